//! A package's root image: put behind a loop device, and a device that checks each block against the hash tree
//! whose root the signed manifest has; mounted read-only from there. A bit that flips on flash or on its way
//! from a server is then an error for whoever reads it, never data.

use super::paths::{could_not, reason};
use crate::limits::{LOOP_TRIES, PIECE};
use crate::sys;
use crate::sys::verity::{Table, Verified};
use hearth_model::hex;
use hearth_model::manifest::IMAGE_BLOCK;
use hearth_package::verity::{Builder, tree_length};
use std::ffi::{CString, NulError};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A package's image, and what its signed manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The file: the file system, and its hash tree behind it.
    pub file: PathBuf,
    /// Length of the file system, bytes.
    pub size: u64,
    /// Root of the tree, in hexadecimal digits.
    pub root: String,
}

/// How an image is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Each block at each read, by the kernel (dm-verity).
    EachRead,
    /// All of it once, here: for tests below another root, on kernels without device-mapper.
    Once,
}

/// Mounts `image` at `target`. What was mounted there for an earlier start is taken away first, so
/// that a package that was installed anew is seen; where something still uses it, it stays.
///
/// # Errors
/// A sentence that names the image, the reason and what to do.
pub fn mount(image: &Image, target: &Path, checked: Checked) -> Result<(), String> {
    let path = image.file.as_path();
    fs::create_dir_all(target).map_err(|e| could_not("make", target, &e))?;
    if is_mounted(target).map_err(|e| could_not("look at", target, &e))? {
        match unmount(target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => return Ok(()),
            Err(e) => return Err(could_not("unmount", target, &e)),
        }
    }
    let file = File::open(path).map_err(|e| could_not("open", path, &e))?;
    check(image, &file)?;
    let device = loop_device(&file).map_err(|e| {
        let what = format!(
            "could not put {} behind a loop device: {}",
            path.display(),
            reason(&e)
        );
        format!("{what}; the kernel needs its module loop")
    })?;
    match checked {
        Checked::EachRead => {
            let verified = verified(image, &device.path, target)?;
            mount_device(path, &verified.path, target)
        }
        Checked::Once => {
            check_all(image, &file)?;
            mount_device(path, &device.path, target)
        }
    }
}

fn mount_device(image: &Path, device: &Path, target: &Path) -> Result<(), String> {
    let mounted = c_path(device)
        .and_then(|device| Ok(sys::image::mount_squashfs(&device, &c_path(target)?)))
        .map_err(|_| format!("{} has a NUL in its path; rename it", image.display()))?;
    mounted.map_err(|e| {
        let what = could_not("mount", image, &e);
        match e.raw_os_error() {
            Some(libc::ENODEV) => format!("{what}; the kernel needs its module squashfs"),
            Some(_) | None => format!("{what}; the image is damaged: install the package again"),
        }
    })
}

/// The device that checks what it reads of an image.
fn verified(image: &Image, device: &Path, target: &Path) -> Result<Verified, String> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("hearth-{name}");
    let table = Table {
        device,
        size: image.size,
        block: IMAGE_BLOCK,
        root: &image.root,
    };
    let made = match Verified::make(&name, &table) {
        // Left by a manager that died between making and mounting it.
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
            sys::verity::remove(&name).and_then(|()| Verified::make(&name, &table))
        }
        other => other,
    };
    made.map_err(|e| {
        format!(
            "could not have {} checked while it is read: {}; the kernel needs its modules dm_mod and dm_verity",
            image.file.display(),
            reason(&e)
        )
    })
}

/// Takes a service's image away, if nobody uses it any more.
///
/// # Errors
/// As umount2(2), but for "nothing is mounted there", which is as wanted.
pub fn release(target: &Path) -> io::Result<()> {
    match is_mounted(target) {
        Ok(true) => unmount(target),
        Ok(false) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

fn unmount(target: &Path) -> io::Result<()> {
    let target = c_path(target).map_err(io::Error::from)?;
    sys::image::unmount(&target)
}

fn c_path(path: &Path) -> Result<CString, NulError> {
    CString::new(path.as_os_str().as_bytes())
}

/// A mount point is on another device than the folder it is in.
fn is_mounted(target: &Path) -> io::Result<bool> {
    let own = fs::metadata(target)?.dev();
    let around = target.parent().map(fs::metadata).transpose()?;
    Ok(around.is_some_and(|around| around.dev() != own))
}

fn loop_device(image: &File) -> io::Result<sys::image::LoopDevice> {
    let mut tries = 1;
    loop {
        match sys::image::set_loop_device(sys::image::free_loop_device()?, image) {
            // Somebody else took it between the two calls.
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && tries < LOOP_TRIES => tries += 1,
            other => return other,
        }
    }
}

/// Looks at the length and at the super block (squashfs 4.0: magic at 0, version at 28), so that damage is told in
/// words and not as a mount(2) errno.
fn check(image: &Image, file: &File) -> Result<(), String> {
    const SUPER_BLOCK: usize = 96;
    let path = image.file.as_path();
    let damaged = |why: String| {
        let path = path.display();
        format!("the image {path} is damaged: {why}; install the package again")
    };
    let length = file
        .metadata()
        .map_err(|e| could_not("look at", path, &e))?
        .len();
    let expected = image.size.saturating_add(tree_length(image.size));
    if length != expected {
        return Err(damaged(format!(
            "it has {length} bytes instead of {expected}"
        )));
    }
    let mut head = [0; SUPER_BLOCK];
    file.read_exact_at(&mut head, 0)
        .map_err(|e| could_not("read", path, &e))?;
    let four = |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok());
    if four(0) != Some(*b"hsqs") || four(28) != Some([4, 0, 0, 0]) {
        return Err(damaged("it is no squashfs 4.0 image".to_owned()));
    }
    Ok(())
}

/// Checks all of an image against the root of its tree.
fn check_all(image: &Image, file: &File) -> Result<(), String> {
    let path = image.file.as_path();
    let mut builder = Builder::default();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < image.size {
        let left = usize::try_from(image.size - at).unwrap_or(PIECE).min(PIECE);
        let piece = piece.get_mut(..left).unwrap_or_default();
        file.read_exact_at(piece, at)
            .map_err(|e| could_not("read", path, &e))?;
        builder.update(piece).map_err(|e| e.to_string())?;
        at += left as u64;
    }
    let tree = builder.finish().map_err(|e| e.to_string())?;
    if hex::text(&tree.root) == image.root {
        Ok(())
    } else {
        let path = path.display();
        Err(format!(
            "the image {path} is damaged: it was changed after it was signed; install the package again"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that begins as an image does, and what is said of it.
    fn file(folder: &Path, bytes: &[u8]) -> Image {
        let mut builder = Builder::default();
        builder.update(bytes).unwrap();
        let tree = builder.finish().unwrap();
        let path = folder.join("image.squashfs");
        fs::write(&path, [bytes, &tree.bytes].concat()).unwrap();
        Image {
            file: path,
            size: bytes.len() as u64,
            root: hex::text(&tree.root),
        }
    }

    fn verdict(image: &Image) -> String {
        let file = File::open(&image.file).unwrap();
        let said = check(image, &file).and_then(|()| check_all(image, &file));
        let said = said.err().unwrap_or_default();
        said.replace(
            &format!("the image {} is damaged: ", image.file.display()),
            "",
        )
    }

    #[test]
    fn damage_is_told_in_words() {
        // given two blocks that begin as a squashfs image does
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; 8192];
        bytes[..4].copy_from_slice(b"hsqs");
        bytes[28] = 4;
        let image = file(folder.path(), &bytes);
        assert_eq!(verdict(&image), "");
        // when a bit flips, then it is told
        let mut all = fs::read(&image.file).unwrap();
        all[5000] ^= 1;
        fs::write(&image.file, &all).unwrap();
        let again = "; install the package again";
        assert_eq!(
            verdict(&image),
            format!("it was changed after it was signed{again}")
        );
        // when the end is missing, then it is told
        fs::write(&image.file, &all[..8200]).unwrap();
        assert_eq!(
            verdict(&image),
            format!("it has 8200 bytes instead of 12288{again}")
        );
        // when it is something else, then it is told
        bytes[0] = 0;
        let image = file(folder.path(), &bytes);
        assert_eq!(
            verdict(&image),
            format!("it is no squashfs 4.0 image{again}")
        );
    }
}
