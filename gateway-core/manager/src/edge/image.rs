//! A package's root image: looked at, put behind a loop device, mounted read-only.

use super::paths::{could_not, reason};
use crate::limits::LOOP_TRIES;
use crate::sys;
use std::ffi::{CString, NulError};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Mounts `image` at `target`. What was mounted there for an earlier start is taken away first, so
/// that a package that was installed anew is seen; where something still uses it, it stays.
///
/// # Errors
/// A sentence that names the image, the reason and what to do.
pub fn mount(image: &Path, target: &Path) -> Result<(), String> {
    fs::create_dir_all(target).map_err(|e| could_not("make", target, &e))?;
    if is_mounted(target).map_err(|e| could_not("look at", target, &e))? {
        match unmount(target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => return Ok(()),
            Err(e) => return Err(could_not("unmount", target, &e)),
        }
    }
    let file = File::open(image).map_err(|e| could_not("open", image, &e))?;
    check(image, &file)?;
    let device = loop_device(&file).map_err(|e| {
        let what = format!(
            "could not put {} behind a loop device: {}",
            image.display(),
            reason(&e)
        );
        format!("{what}; the kernel needs its module loop")
    })?;
    let mounted = c_path(&device.path)
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

/// Looks at the super block (squashfs 4.0: magic at 0, version at 28, bytes used at 40, all little
/// endian), so that damage is told in words and not as a mount(2) errno, or as EIO later.
fn check(image: &Path, file: &File) -> Result<(), String> {
    const SUPER_BLOCK: usize = 96;
    let mut head = [0; SUPER_BLOCK];
    let damaged = |why: String| {
        format!(
            "{} is damaged: {why}; install the package again",
            image.display()
        )
    };
    let length = file
        .metadata()
        .map_err(|e| could_not("look at", image, &e))?
        .len();
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged(format!(
                "{length} bytes are too few for a squashfs image"
            )));
        }
        Err(e) => return Err(could_not("read", image, &e)),
    }
    let four = |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok());
    let eight = |at: usize| head.get(at..at + 8).and_then(|b| b.try_into().ok());
    if four(0) != Some(*b"hsqs") || four(28) != Some([4, 0, 0, 0]) {
        return Err(damaged("it is no squashfs 4.0 image".to_owned()));
    }
    let used = eight(40).map_or(0, u64::from_le_bytes);
    if used > length {
        return Err(damaged(format!("{length} of its {used} bytes are there")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.squashfs");
        fs::write(&path, bytes).unwrap();
        match check(&path, &File::open(&path).unwrap()) {
            Ok(()) => String::new(),
            Err(text) => text.replace(&format!("{} is damaged: ", path.display()), ""),
        }
    }

    #[test]
    fn damage_is_told_in_words() {
        // given a super block that says 200 bytes
        let mut image = vec![0; 200];
        image[..4].copy_from_slice(b"hsqs");
        image[28] = 4;
        image[40] = 200;
        // when it is whole, then it is accepted; when it is cut or changed, then the reason is told
        assert_eq!(verdict(&image), "");
        let again = "; install the package again";
        assert_eq!(
            verdict(&image[..150]),
            format!("150 of its 200 bytes are there{again}")
        );
        assert_eq!(
            verdict(b"x"),
            format!("1 bytes are too few for a squashfs image{again}")
        );
        image[0] = 0;
        assert_eq!(
            verdict(&image),
            format!("it is no squashfs 4.0 image{again}")
        );
    }
}
