//! A root image for `run`: a squashfs file, mounted read-only by a loop device.

use crate::limits::LOOP_TRIES;
use crate::sys::{Errno, loop_device, mount, process};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A mounted image. The mount is in a mount namespace of this process alone and goes away with it; the
/// folder is removed when this value is dropped.
#[derive(Debug)]
pub struct Mounted {
    folder: PathBuf,
}

impl Mounted {
    /// Where it is mounted.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The mount over it is another namespace's business; an empty folder left in /tmp harms nothing.
        let path = CString::new(self.folder.as_os_str().as_encoded_bytes());
        if let Ok(path) = path {
            let _ = mount::detach(&path);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Mounts `image`.
///
/// # Errors
/// EINVAL where the file is no squashfs, EIO where it is damaged, EPERM without root.
pub fn mount_image(image: &Path) -> Result<Mounted, Errno> {
    process::new_mount_namespace()?;
    mount::make_tree_private()?;
    let file = File::open(image)?;
    let (device, _open) = attach(&file)?;
    let name = format!("hearth-sandbox-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder)?;
    let mounted = Mounted { folder };
    let target = CString::new(mounted.folder.as_os_str().as_encoded_bytes())
        .map_err(|_| Errno(libc::EINVAL))?;
    mount::mount_squashfs(&device, &target)?;
    Ok(mounted)
}

/// A loop device that shows `file`: its path, and the descriptor that keeps it until it is mounted.
fn attach(file: &File) -> Result<(CString, File), Errno> {
    let control = File::open("/dev/loop-control")?;
    let mut tries = LOOP_TRIES;
    loop {
        let path = format!("/dev/loop{}", loop_device::free_number(control.as_fd())?);
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        tries -= 1;
        match loop_device::configure(device.as_fd(), file.as_fd()) {
            Ok(()) => {
                let path = CString::new(path).map_err(|_| Errno(libc::EINVAL))?;
                return Ok((path, device));
            }
            Err(Errno(libc::EBUSY)) if tries > 0 => {}
            Err(errno) => return Err(errno),
        }
    }
}
