//! Where a package comes from: a folder with its three files, or an OCI image layout, as a folder or as a tar file.

use crate::could_not;
use crate::limits::PIECE;
use hearth_model::manifest::{MANIFEST_MAX, Sealed};
use hearth_package::oci::{self, Blob, INDEX_FILE, JSON_MAX, LAYOUT_FILE};
use hearth_package::signature::SIGNATURE_MAX;
use hearth_package::tar::Reader;
use hearth_package::verity::{Builder, tree_length};
use std::collections::BTreeMap;
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

/// Where the files of a layout are.
enum Layout {
    Folder(PathBuf),
    Tar(File, BTreeMap<String, hearth_package::tar::Place>),
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
    whole(open(path)?.take(max as u64 + 1), max)
}

fn whole(mut from: impl Read, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
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
        if path.join(LAYOUT_FILE).exists() {
            return Source::of_layout(path, &Layout::Folder(path.to_owned()));
        }
        if path.is_file() {
            return Source::of_layout(path, &Layout::of_tar(path)?);
        }
        Source::of_folder(path)
    }

    fn of_folder(path: &Path) -> Result<Source, String> {
        let manifest = path.join("manifest.toml");
        let bytes = small(&manifest, MANIFEST_MAX).map_err(|e| {
            let what = could_not("read", &manifest, &e);
            format!(
                "{what}; a package is a folder with manifest.toml, signature and image.squashfs, or an OCI layout"
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
        Ok(Source {
            path: path.to_owned(),
            manifest: bytes,
            signature: text,
            image: Part::whole(open(&image).map_err(|e| could_not("open", &image, &e))?)
                .map_err(|e| could_not("look at", &image, &e))?,
        })
    }

    fn of_layout(path: &Path, layout: &Layout) -> Result<Source, String> {
        let wrong = |why: oci::NoArtifact| format!("{} is no package: {why}", path.display());
        let index = layout.small(path, INDEX_FILE, JSON_MAX)?;
        let described = oci::read_index(&index).map_err(wrong)?;
        let artifact =
            oci::read_description(&layout.blob(path, &described, JSON_MAX)?).map_err(wrong)?;
        let image = layout.part(path, &artifact.image.path())?;
        Ok(Source {
            path: path.to_owned(),
            manifest: layout.blob(path, &artifact.manifest, MANIFEST_MAX)?,
            signature: artifact.signature,
            image,
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
    fn whole(file: File) -> io::Result<Part> {
        let length = file.metadata()?.len();
        Ok(Part {
            file,
            offset: 0,
            length,
        })
    }

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

impl Layout {
    fn of_tar(path: &Path) -> Result<Layout, String> {
        let failed = |e: io::Error| could_not("read", path, &e);
        let file = open(path).map_err(failed)?;
        let mut reader = Reader::new(file.metadata().map_err(failed)?.len());
        let mut header = [0; 512];
        while let Some(at) = reader.wants() {
            file.read_exact_at(&mut header, at).map_err(failed)?;
            reader
                .take(&header)
                .map_err(|why| format!("{} is no package: {why}", path.display()))?;
        }
        Ok(Layout::Tar(file, reader.files()))
    }

    /// A file of the layout. Its name is one of ours or made of hexadecimal digits.
    fn part(&self, path: &Path, name: &str) -> Result<Part, String> {
        let failed = |e: io::Error| could_not("open", &path.join(name), &e);
        match self {
            Layout::Folder(folder) => open(&folder.join(name))
                .and_then(Part::whole)
                .map_err(failed),
            Layout::Tar(file, places) => {
                let place = places.get(name).ok_or_else(|| {
                    format!("{} has no {name}; get the package again", path.display())
                })?;
                Ok(Part {
                    file: file.try_clone().map_err(failed)?,
                    offset: place.offset,
                    length: place.length,
                })
            }
        }
    }

    /// All of a small file.
    fn small(&self, path: &Path, name: &str, max: usize) -> Result<Vec<u8>, String> {
        let part = self.part(path, name)?;
        if part.length > max as u64 {
            return Err(format!(
                "{name} of {} is larger than {max} bytes",
                path.display()
            ));
        }
        let mut bytes = Vec::new();
        part.read(0, part.length, path, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// All of a small blob, if it has the bytes that its name says.
    fn blob(&self, path: &Path, blob: &Blob, max: usize) -> Result<Vec<u8>, String> {
        let name = blob.path();
        let bytes = self.small(path, &name, max)?;
        match blob.fits(&bytes) {
            true => Ok(bytes),
            false => Err(format!(
                "{name} of {} has other bytes than its name says; get the package again",
                path.display()
            )),
        }
    }
}
