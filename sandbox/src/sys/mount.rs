//! Mounts by descriptor (open_tree(2), fsopen(2), move_mount(2), mount_setattr(2), openat2(2)): a path of
//! the image is looked up once, inside of the image, and never again.

use super::{Errno, check, check_int, owned};
use std::ffi::CStr;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

// linux/mount.h
const OPEN_TREE_CLONE: libc::c_uint = 1;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
// linux/openat2.h
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_IN_ROOT: u64 = 0x10;

/// `MOUNT_ATTR_RDONLY`, linux/mount.h.
pub const READ_ONLY: u64 = 1;
/// `MOUNT_ATTR_NOSUID`: set-user-id files and file capabilities have no effect.
pub const NO_SUID: u64 = 2;
/// `MOUNT_ATTR_NODEV`: device nodes can not be opened.
pub const NO_DEV: u64 = 4;
/// `MOUNT_ATTR_NOEXEC`: nothing can be executed.
pub const NO_EXEC: u64 = 8;

/// `struct mount_attr`, linux/mount.h.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}
const _: () = assert!(mem::size_of::<MountAttr>() == 32); // MOUNT_ATTR_SIZE_VER0

/// `struct open_how`, linux/openat2.h.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}
const _: () = assert!(mem::size_of::<OpenHow>() == 24); // OPEN_HOW_SIZE_VER0

/// Whether a call means one mount, or also all that are mounted below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One.
    Mount,
    /// All.
    Tree,
}

/// A detached copy of what is mounted at `path` (a folder or a file), and of all below it.
///
/// # Errors
/// As open_tree(2).
pub fn clone_tree(path: &CStr) -> Result<OwnedFd, Errno> {
    open_tree(libc::AT_FDCWD, path, AT_RECURSIVE)
}

/// The same for a place that is already open.
///
/// # Errors
/// As open_tree(2).
pub fn clone_open(place: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    open_tree(place.as_raw_fd(), c"", libc::AT_EMPTY_PATH as libc::c_uint)
}

fn open_tree(at: libc::c_int, path: &CStr, flags: libc::c_uint) -> Result<OwnedFd, Errno> {
    let flags = flags | OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: `path` is a NUL-terminated string that lives through the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, at, path.as_ptr(), flags) })
}

/// Adds attributes ([`READ_ONLY`] ...) to a mount; none is ever taken away.
///
/// # Errors
/// As mount_setattr(2).
pub fn add_attributes(mount: BorrowedFd<'_>, attributes: u64, reach: Reach) -> Result<(), Errno> {
    let attr = MountAttr {
        set: attributes,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    let mut flags = libc::AT_EMPTY_PATH as libc::c_uint;
    if reach == Reach::Tree {
        flags |= AT_RECURSIVE;
    }
    // SAFETY: the empty path is NUL-terminated; `attr` is a live local of the size that is passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            mem::size_of::<MountAttr>(),
        )
    })
    .map(|_| ())
}

/// A file system that is being set up.
#[derive(Debug)]
pub struct NewFileSystem(OwnedFd);

impl NewFileSystem {
    /// fsopen(2).
    ///
    /// # Errors
    /// ENODEV where the kernel lacks this kind.
    pub fn open(kind: &CStr) -> Result<NewFileSystem, Errno> {
        // SAFETY: `kind` is a NUL-terminated string that lives through the call.
        let made = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) };
        owned(made).map(NewFileSystem)
    }

    /// fsconfig(2), one option.
    ///
    /// # Errors
    /// EINVAL for an option or a value that this kind does not know.
    pub fn option(&self, key: &CStr, value: &CStr) -> Result<(), Errno> {
        // SAFETY: key and value are NUL-terminated strings that live through the call.
        check(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.0.as_raw_fd(),
                FSCONFIG_SET_STRING,
                key.as_ptr(),
                value.as_ptr(),
                0,
            )
        })
        .map(|_| ())
    }

    /// Makes the file system and a detached mount of it.
    ///
    /// # Errors
    /// As fsconfig(2) and fsmount(2).
    pub fn mount(self, attributes: u64) -> Result<OwnedFd, Errno> {
        // SAFETY: FSCONFIG_CMD_CREATE takes null for key and value.
        check(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.0.as_raw_fd(),
                FSCONFIG_CMD_CREATE,
                ptr::null::<libc::c_char>(),
                ptr::null::<libc::c_char>(),
                0,
            )
        })?;
        let attributes = attributes as libc::c_uint;
        // SAFETY: takes no pointer.
        owned(unsafe {
            libc::syscall(
                libc::SYS_fsmount,
                self.0.as_raw_fd(),
                FSMOUNT_CLOEXEC,
                attributes,
            )
        })
    }
}

/// Attaches a detached mount over `target`.
///
/// # Errors
/// As move_mount(2): EINVAL where one is a folder and the other is not.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: both empty paths are NUL-terminated strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(|_| ())
}

/// The same over the entry `name` of a folder; a link there is not followed.
///
/// # Errors
/// As move_mount(2).
pub fn attach_at(mount: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: the empty path and `name` are NUL-terminated strings that live through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            folder.as_raw_fd(),
            name.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(|_| ())
}

/// The place that `path` names for a process whose root is `root`: symbolic links and `..` stay inside.
///
/// # Errors
/// As openat2(2).
pub fn find(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    open(root, path, libc::O_PATH)
}

/// The file that `path` names for a process whose root is `root`, for writing.
///
/// # Errors
/// As openat2(2).
pub fn open_for_writing(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    open(root, path, libc::O_WRONLY)
}

fn open(root: BorrowedFd<'_>, path: &CStr, flags: libc::c_int) -> Result<OwnedFd, Errno> {
    let how = OpenHow {
        flags: (flags | libc::O_CLOEXEC) as u64,
        mode: 0,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    // SAFETY: `path` is NUL-terminated; `how` is a live local of the size that is passed.
    owned(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            mem::size_of::<OpenHow>(),
        )
    })
}

/// A place outside, by path.
///
/// # Errors
/// As open(2).
pub fn find_outside(path: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: `path` is a NUL-terminated string that lives through the call.
    let made = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    owned(libc::c_long::from(made))
}

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A character or block device.
    Device,
    /// Anything else.
    File,
}

/// fstat(2).
///
/// # Errors
/// As fstat(2).
pub fn kind(place: BorrowedFd<'_>) -> Result<Kind, Errno> {
    // SAFETY: `stat` is plain integers, for which all zeroes is a value.
    let mut facts: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `facts` is a live local that the kernel fills.
    check_int(unsafe { libc::fstat(place.as_raw_fd(), &mut facts) })?;
    Ok(match facts.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Kind::Folder,
        libc::S_IFCHR | libc::S_IFBLK => Kind::Device,
        _ => Kind::File,
    })
}

/// mkdirat(2).
///
/// # Errors
/// As mkdirat(2): EEXIST where there is something.
pub fn make_folder(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: `name` is a NUL-terminated string that lives through the call.
    check_int(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), mode) }).map(|_| ())
}

/// Makes an empty file to mount over.
///
/// # Errors
/// As mknod(2): EEXIST where there is something.
pub fn make_file(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let mode = libc::S_IFREG | 0o644;
    // SAFETY: `name` is a NUL-terminated string that lives through the call.
    check_int(unsafe { libc::mknodat(parent.as_raw_fd(), name.as_ptr(), mode, 0) }).map(|_| ())
}

/// symlinkat(2).
///
/// # Errors
/// As symlinkat(2).
pub fn make_link(parent: BorrowedFd<'_>, name: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: both are NUL-terminated strings that live through the call.
    check_int(unsafe { libc::symlinkat(to.as_ptr(), parent.as_raw_fd(), name.as_ptr()) })
        .map(|_| ())
}

/// No mount event leaves or enters this namespace any more (mount_namespaces(7), `MS_PRIVATE`).
///
/// # Errors
/// As mount(2).
pub fn make_tree_private() -> Result<(), Errno> {
    // SAFETY: the target is NUL-terminated; a change of propagation takes null for the others.
    check_int(unsafe {
        libc::mount(
            ptr::null(),
            c"/".as_ptr(),
            ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            ptr::null(),
        )
    })
    .map(|_| ())
}

/// Mounts a read-only squashfs from a block device, nosuid and nodev.
///
/// # Errors
/// As mount(2): EINVAL where the device holds no squashfs, EIO where it is damaged.
pub fn mount_squashfs(device: &CStr, target: &CStr) -> Result<(), Errno> {
    // SAFETY: all are NUL-terminated strings that live through the call; no options.
    check_int(unsafe {
        libc::mount(
            device.as_ptr(),
            target.as_ptr(),
            c"squashfs".as_ptr(),
            libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV,
            ptr::null(),
        )
    })
    .map(|_| ())
}

/// Makes the open folder `root` the root and takes the old one out of the tree (pivot_root(2), with both
/// at the same place).
///
/// # Errors
/// As fchdir(2), pivot_root(2), umount2(2), chdir(2).
pub fn pivot(root: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes no pointer; the descriptor is open.
    check_int(unsafe { libc::fchdir(root.as_raw_fd()) })?;
    let here = c".".as_ptr();
    // SAFETY: both are the same NUL-terminated string.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })?;
    // SAFETY: a NUL-terminated string: "." is now the old root, which lies over the new one.
    check_int(unsafe { libc::umount2(here, libc::MNT_DETACH) })?;
    change_folder(c"/")
}

/// chdir(2).
///
/// # Errors
/// As chdir(2).
pub fn change_folder(path: &CStr) -> Result<(), Errno> {
    // SAFETY: `path` is a NUL-terminated string that lives through the call.
    check_int(unsafe { libc::chdir(path.as_ptr()) }).map(|_| ())
}

/// Takes `target` out of the tree, in use or not (umount2(2), `MNT_DETACH`).
///
/// # Errors
/// EINVAL where nothing is mounted there.
pub fn detach(target: &CStr) -> Result<(), Errno> {
    // SAFETY: `target` is a NUL-terminated string that lives through the call.
    check_int(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(|_| ())
}
