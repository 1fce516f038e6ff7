//! Packs: a folder becomes a read-only image with its hash tree, and the manifest says which.

use crate::files::{could_not, read_text, write};
use hearth_model::hex;
use hearth_model::manifest::{MANIFEST_MAX, Manifest};
use hearth_model::{ServiceName, calendar};
use hearth_package::verity::{BLOCK, Builder};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a service finds mounted, so its image has a folder for each.
const MOUNT_POINTS: [&str; 6] = ["proc", "sys", "dev", "tmp", "run", "data"];

/// Deepest folder that is looked into; deeper than any distribution's.
const DEPTH_MAX: usize = 64;

/// Piece of an image that is read at once, bytes.
const PIECE: usize = 64 * BLOCK;

/// What to pack.
pub struct Order {
    /// The manifest.
    pub manifest: PathBuf,
    /// A folder or a squashfs image.
    pub root: PathBuf,
    /// Where the package goes.
    pub out: PathBuf,
    /// Whose it is.
    pub vendor: ServiceName,
    /// For which processors.
    pub architecture: String,
    /// From when on it is not installed.
    pub expires: Option<u64>,
}

/// Makes the package; an unsigned one.
pub fn pack(order: &Order) -> Result<String, String> {
    let named = order.manifest.to_string_lossy();
    let text = read_text(&order.manifest, MANIFEST_MAX as u64)?;
    let manifest = Manifest::parse(&named, &text).map_err(|errors| errors.to_string())?;
    if manifest.sealed().is_some() {
        return Err(format!(
            "{named} is packed already: pack the vendor's own manifest.toml, without [package]"
        ));
    }
    fs::create_dir_all(&order.out).map_err(|e| could_not("make", &order.out, &e))?;
    let image = order.out.join("image.squashfs");
    make_image(&order.root, &image)?;
    let (size, root_hash) = add_tree(&image)?;
    let mut sealed = format!(
        "{}\n\n[package] # written by hearth-vendor pack\nvendor = \"{}\"\narchitecture = \"{}\"\nsize = {size}\n\
         root-hash = \"{}\"\n",
        text.trim_end(),
        order.vendor,
        order.architecture,
        hex::text(&root_hash)
    );
    if let Some(day) = order.expires {
        sealed.push_str(&format!("expires = \"{}\"\n", calendar::day_text(day)));
    }
    let file = order.out.join("manifest.toml");
    Manifest::parse(&file.to_string_lossy(), &sealed).map_err(|errors| errors.to_string())?;
    // What was signed before is not what is here now.
    let signature = order.out.join("signature");
    if signature.exists() {
        fs::remove_file(&signature).map_err(|e| could_not("remove", &signature, &e))?;
    }
    write(&file, sealed.as_bytes())?;
    Ok(format!(
        "{} {} of {}: {} KiB in {}; sign it next",
        manifest.name(),
        manifest.version(),
        order.vendor,
        size / 1024,
        order.out.display()
    ))
}

/// An image of a folder: files owned by root, one time stamp, no extended attributes, so that the same folder
/// gives the same bytes. lz4 because reading it costs a gateway's processor least.
fn make_image(root: &Path, image: &Path) -> Result<(), String> {
    if root.is_file() {
        let copied = fs::copy(root, image).map_err(|e| could_not("copy", root, &e))?;
        let mut head = [0; 4];
        let read = File::open(image).and_then(|mut file| file.read_exact(&mut head));
        return match read {
            Ok(()) if head == *b"hsqs" && copied > 0 => Ok(()),
            Ok(()) | Err(_) => Err(format!(
                "{} is neither a folder nor a squashfs image",
                root.display()
            )),
        };
    }
    look(root, DEPTH_MAX)?;
    let mut command = Command::new("mksquashfs");
    command.arg(root).arg(image).args([
        "-noappend",
        "-quiet",
        "-no-progress",
        "-no-xattrs",
        "-all-root",
        "-comp",
        "lz4",
        "-Xhc",
        "-mkfs-time",
        "0",
        "-all-time",
        "0",
    ]);
    for folder in MOUNT_POINTS {
        if !root.join(folder).is_dir() {
            command.args(["-p", &format!("{folder} d 755 0 0")]);
        }
    }
    let output = command
        .output()
        .map_err(|e| format!("could not run mksquashfs: {e}; install squashfs-tools"))?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("mksquashfs failed: {}", said.trim()))
    }
}

/// Refuses what no service gets: devices, and what only lives in a running system.
fn look(folder: &Path, depth: usize) -> Result<(), String> {
    if depth == 0 {
        return Err(format!(
            "{} is deeper than {DEPTH_MAX} folders",
            folder.display()
        ));
    }
    let entries = fs::read_dir(folder).map_err(|e| could_not("read", folder, &e))?;
    for entry in entries {
        let entry = entry.map_err(|e| could_not("read", folder, &e))?;
        let kind = entry
            .file_type()
            .map_err(|e| could_not("look at", &entry.path(), &e))?;
        let path = entry.path();
        if kind.is_dir() {
            look(&path, depth - 1)?;
        } else if kind.is_block_device() || kind.is_char_device() {
            return Err(format!(
                "{} is a device; a service gets those of access.devices in its own /dev: remove it",
                path.display()
            ));
        } else if kind.is_fifo() || kind.is_socket() {
            return Err(format!(
                "{} is a pipe or a socket; the service makes those in /run: remove it",
                path.display()
            ));
        }
    }
    Ok(())
}

/// Puts the hash tree behind an image; the image's length, filled up to a block, and the tree's root.
fn add_tree(image: &Path) -> Result<(u64, [u8; 32]), String> {
    let failed = |e: std::io::Error| could_not("pack", image, &e);
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .open(image)
        .map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let size = length.next_multiple_of(BLOCK as u64);
    file.set_len(size).map_err(failed)?;
    let mut builder = Builder::default();
    let mut piece = vec![0; PIECE];
    let bad = |why| format!("{} can not be packed: {why}", image.display());
    loop {
        let count = file.read(&mut piece).map_err(failed)?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        builder.update(read).map_err(bad)?;
    }
    let tree = builder.finish().map_err(bad)?;
    file.write_all(&tree.bytes).map_err(failed)?;
    Ok((size, tree.root))
}
