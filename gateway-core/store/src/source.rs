//! Where a package comes from: a folder with its three files.

use crate::could_not;
use crate::limits::PIECE;
use hearth_model::manifest::{MANIFEST_MAX, Sealed};
use hearth_package::signature::SIGNATURE_MAX;
use hearth_package::verity::{Builder, tree_length};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A package that was read but for its image. Nothing of it is believed yet.
#[derive(Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// The bytes of its manifest.
    pub manifest: Vec<u8>,
    /// The text of its signature; `None` where it has none.
    pub signature: Option<String>,
    image: Part,
}

/// A part of a file.
#[derive(Debug)]
struct Part {
    file: File,
    offset: u64,
    length: u64,
}

/// Opens a plain file, and nothing that would wait for somebody.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "no plain file"))
    }
}

/// A plain file of at most `max` bytes.
fn small(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        let what = format!("it is larger than {max} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(bytes)
}

impl Source {
    /// Reads a package but for its image.
    ///
    /// # Errors
    /// A sentence that names the file and the reason.
    pub fn open(path: &Path) -> Result<Source, String> {
        let manifest = path.join("manifest.toml");
        let bytes = small(&manifest, MANIFEST_MAX).map_err(|e| {
            let what = could_not("read", &manifest, &e);
            format!(
                "{what}; a package is a folder with manifest.toml, signature and image.squashfs"
            )
        })?;
        let signature = path.join("signature");
        let text = match small(&signature, SIGNATURE_MAX) {
            // What is no text is no signature: said when it is checked.
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(could_not("read", &signature, &e)),
        };
        let image = path.join("image.squashfs");
        let file = open(&image).map_err(|e| could_not("open", &image, &e))?;
        let facts = file
            .metadata()
            .map_err(|e| could_not("look at", &image, &e))?;
        Ok(Source {
            path: path.to_owned(),
            manifest: bytes,
            signature: text,
            image: Part {
                file,
                offset: 0,
                length: facts.len(),
            },
        })
    }

    /// Whether its image has the length that the manifest says, with its tree.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check_length(&self, sealed: &Sealed) -> Result<u64, String> {
        let expected = sealed.size.saturating_add(tree_length(sealed.size));
        let (path, length) = (self.path.display(), self.image.length);
        if length == expected {
            return Ok(expected);
        }
        let what = if length < expected {
            "cut off"
        } else {
            "too long"
        };
        Err(format!(
            "the image of {path} is {what}: it has {length} bytes instead of {expected}; get the package again"
        ))
    }

    /// Reads the whole image with its tree, checks it against the root that was signed, and hands each piece on.
    ///
    /// # Errors
    /// A sentence that says what is wrong; what was handed on is then to be thrown away.
    pub fn copy_image(
        &self,
        sealed: &Sealed,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        self.check_length(sealed)?;
        let changed = || {
            let path = self.path.display();
            format!("the image of {path} was changed after it was signed; get the package again")
        };
        let mut builder = Builder::default();
        self.image.read(0, sealed.size, &self.path, |piece| {
            builder.update(piece).map_err(|why| why.to_string())?;
            take(piece)
        })?;
        let tree = builder.finish().map_err(|why| why.to_string())?;
        if tree.root != sealed.root_hash {
            return Err(changed());
        }
        let mut rest = tree.bytes.as_slice();
        let length = rest.len() as u64;
        self.image.read(sealed.size, length, &self.path, |piece| {
            let (expected, more) = rest.split_at(piece.len().min(rest.len()));
            rest = more;
            if piece == expected {
                take(piece)
            } else {
                Err(changed())
            }
        })
    }
}

impl Part {
    /// Reads `length` bytes from `from` on, piece by piece.
    fn read(
        &self,
        from: u64,
        length: u64,
        path: &Path,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut piece = vec![0; PIECE];
        let mut done = 0;
        while done < length {
            let left = usize::try_from(length - done).unwrap_or(PIECE).min(PIECE);
            let piece = piece.get_mut(..left).unwrap_or_default();
            self.file
                .read_exact_at(piece, self.offset + from + done)
                .map_err(|e| could_not("read the image of", path, &e))?;
            take(piece)?;
            done += left as u64;
        }
        Ok(())
    }
}
