//! The new root while it is built. Its paths are looked up inside of it: no link of the image leads out. A
//! place in a folder that is known is named by folder and name, and the folder stays open for the next place:
//! most of a start is system calls.

use super::action::Target;
use crate::sys::Errno;
use crate::sys::mount::{self, Kind, NO_DEV, NO_EXEC, NO_SUID, NewFileSystem, READ_ONLY, Reach};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The new root.
#[derive(Debug)]
pub struct Inside {
    root: OwnedFd,
    /// The folder that was used last.
    open: Option<(CString, OwnedFd)>,
    /// What files are covered by.
    null: Option<OwnedFd>,
    /// What folders are covered by: the first one that was.
    empty: Option<OwnedFd>,
}

impl Inside {
    /// This root.
    #[must_use]
    pub fn new(root: OwnedFd) -> Inside {
        Inside {
            root,
            open: None,
            null: None,
            empty: None,
        }
    }

    /// Its descriptor.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The place at `path`.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn find(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        mount::find(self.root.as_fd(), path)
    }

    /// Mounts over `target`, which is made as a `kind` where it may be and is missing.
    ///
    /// # Errors
    /// As openat2(2), mkdirat(2), move_mount(2).
    pub fn attach(
        &mut self,
        mount: BorrowedFd<'_>,
        target: &Target,
        kind: Kind,
    ) -> Result<(), Errno> {
        let path = target.path();
        match target {
            Target::Made(_) if self.make(path, kind)? => {
                let (above, name) = split(path)?;
                mount::attach_at(mount, self.folder(&above)?, name)?;
            }
            Target::InImage(_) | Target::Made(_) => {
                mount::attach(mount, self.find(path)?.as_fd())?;
            }
        }
        self.is_covered(path);
        Ok(())
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// As symlinkat(2).
    pub fn link(&mut self, folder: &CStr, name: &CStr, to: &CStr) -> Result<(), Errno> {
        mount::make_link(self.folder(folder)?, name, to)
    }

    /// Makes `path` read-only, where it exists.
    ///
    /// # Errors
    /// As open_tree(2), mount_setattr(2), move_mount(2).
    pub fn read_only(&mut self, path: &CStr) -> Result<(), Errno> {
        self.cover(path, |_, place, _| {
            let copy = mount::clone_open(place)?;
            mount::add_attributes(copy.as_fd(), READ_ONLY, Reach::Mount)?;
            Ok(copy)
        })
        .map(|_| ())
    }

    /// Covers `path`, where it exists: a file by the null device, a folder by an empty one.
    ///
    /// # Errors
    /// As openat2(2), fsopen(2), open_tree(2), move_mount(2).
    pub fn mask(&mut self, path: &CStr) -> Result<(), Errno> {
        let cover = self.cover(path, |inside, _, kind| match (kind, &inside.empty) {
            (Kind::File | Kind::Device, _) => inside.null_device(),
            (Kind::Folder, Some(empty)) => mount::clone_open(empty.as_fd()),
            (Kind::Folder, None) => {
                let setup = NewFileSystem::open(c"tmpfs")?;
                setup.option(c"mode", c"555")?;
                setup.option(c"nr_inodes", c"1")?;
                setup.mount(READ_ONLY | NO_SUID | NO_DEV | NO_EXEC)
            }
        })?;
        if let Some((Kind::Folder, mount)) = cover {
            // Only one that is attached can be copied (open_tree(2)).
            self.empty.get_or_insert(mount);
        }
        Ok(())
    }

    fn null_device(&mut self) -> Result<OwnedFd, Errno> {
        let null = match self.null.take() {
            Some(null) => null,
            None => self.find(c"/dev/null")?,
        };
        mount::clone_open(self.null.insert(null).as_fd())
    }

    /// Mounts what `make` returns over `path`; nothing where there is no such path.
    fn cover(
        &mut self,
        path: &CStr,
        make: impl FnOnce(&mut Inside, BorrowedFd<'_>, Kind) -> Result<OwnedFd, Errno>,
    ) -> Result<Option<(Kind, OwnedFd)>, Errno> {
        let place = match self.find(path) {
            Err(Errno(libc::ENOENT)) => return Ok(None),
            other => other?,
        };
        let kind = mount::kind(place.as_fd())?;
        let cover = make(self, place.as_fd(), kind)?;
        mount::attach(cover.as_fd(), place.as_fd())?;
        self.is_covered(path);
        Ok(Some((kind, cover)))
    }

    /// Whether it made a file or a folder at `path`, with the folders above it; not where there is one.
    fn make(&mut self, path: &CStr, kind: Kind) -> Result<bool, Errno> {
        let (above, name) = split(path)?;
        match self.folder(&above) {
            Ok(_) => {}
            Err(Errno(libc::ENOENT)) if above.as_bytes() != b"/" => {
                self.make(&above, Kind::Folder)?;
            }
            Err(errno) => return Err(errno),
        }
        let folder = self.folder(&above)?;
        let made = match kind {
            Kind::File | Kind::Device => mount::make_file(folder, name),
            Kind::Folder => mount::make_folder(folder, name, 0o755),
        };
        match made {
            Ok(()) => Ok(true),
            Err(Errno(libc::EEXIST)) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn folder(&mut self, path: &CStr) -> Result<BorrowedFd<'_>, Errno> {
        let open = match self.open.take() {
            Some((known, open)) if *known == *path => open,
            Some(_) | None => self.find(path)?,
        };
        Ok(self.open.insert((path.into(), open)).1.as_fd())
    }

    /// A folder that was opened before something was mounted over it, or above it, is not what its path
    /// names any more.
    fn is_covered(&mut self, path: &CStr) {
        let is_below = |open: &CStr| {
            let rest = open.to_bytes().strip_prefix(path.to_bytes());
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        if let Some((open, _)) = &self.open
            && is_below(open)
        {
            self.open = None;
        }
    }
}

/// The folder above `path` and the name in it.
fn split(path: &CStr) -> Result<(CString, &CStr), Errno> {
    let bytes = path.to_bytes_with_nul();
    let invalid = Errno(libc::EINVAL);
    let slash = bytes
        .iter()
        .rposition(|&byte| byte == b'/')
        .ok_or(invalid)?;
    let (above, name) = bytes.split_at(slash + 1);
    let above = match above {
        [above @ .., b'/'] if !above.is_empty() => above,
        root => root,
    };
    let above = CString::new(above).map_err(|_| invalid)?;
    let name = CStr::from_bytes_with_nul(name).map_err(|_| invalid)?;
    Ok((above, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_folder_and_a_name_in_it() {
        for (path, above, name) in [
            (c"/dev", c"/", c"dev"),
            (c"/dev/shm", c"/dev", c"shm"),
            (c"/run/a/b", c"/run/a", c"b"),
        ] {
            assert_eq!(split(path).unwrap(), (above.into(), name));
        }
        assert!(split(c"dev").is_err());
    }
}
