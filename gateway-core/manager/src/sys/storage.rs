//! Quotas by project id: quotactl_fd(2), `FS_IOC_FSSETXATTR` (linux/fs.h), and what file system a
//! folder is on (statfs(2)).

use super::check;
use core::mem;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `struct if_dqblk` of linux/quota.h. Its last field leaves padding only where 64-bit numbers are
/// aligned to 8: 68 bytes for i386, 72 for x86_64, as the kernel of each has it.
#[repr(C)]
struct Dqblk {
    block_hard: u64,
    block_soft: u64,
    space: u64,
    inode_hard: u64,
    inode_soft: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}
const _: () = assert!(mem::size_of::<Dqblk>() == 64 + mem::align_of::<u64>());

/// `struct fsxattr` of linux/fs.h.
#[repr(C)]
struct FsXattr {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}
const _: () = assert!(mem::size_of::<FsXattr>() == 28);

/// `FS_IOC_FSGETXATTR`, linux/fs.h: `_IOR('X', 31, struct fsxattr)`.
const GET_XATTR: u32 = 0x801C_581F;
/// `FS_IOC_FSSETXATTR`, linux/fs.h: `_IOW('X', 32, struct fsxattr)`.
const SET_XATTR: u32 = 0x401C_5820;
/// `FS_XFLAG_PROJINHERIT`, linux/fs.h: what is made in this folder gets its project.
const INHERIT: u32 = 0x200;
/// `QCMD(Q_GETQUOTA, PRJQUOTA)` and `QCMD(Q_SETQUOTA, PRJQUOTA)`, linux/quota.h.
const GET_QUOTA: u32 = 0x80_0007 << 8 | 2;
const SET_QUOTA: u32 = 0x80_0008 << 8 | 2;
/// `QIF_LIMITS`, linux/quota.h: the four limits are given.
const LIMITS: u32 = 1 | 4;
/// Unit of a block limit, bytes (`QIF_DQBLKSIZE`, linux/quota.h).
pub const QUOTA_BLOCK: u64 = 1024;
/// `TMPFS_MAGIC`, linux/magic.h.
const TMPFS: u32 = 0x0102_1994;

/// What a project has and may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Most it may have, in [`QUOTA_BLOCK`]s; 0 is no limit.
    pub blocks_max: u64,
    /// Most files and folders; 0 is no limit.
    pub files_max: u64,
    /// What it has, bytes.
    pub used: u64,
}

/// The quota of `project` in the file system of `file`.
///
/// # Errors
/// As quotactl(2): ESRCH where the file system keeps no project quotas, ENOSYS where the kernel does
/// not (or lacks quotactl_fd, Linux 5.14).
pub fn quota(file: &File, project: u32) -> io::Result<Quota> {
    let mut block = Dqblk {
        block_hard: 0,
        block_soft: 0,
        space: 0,
        inode_hard: 0,
        inode_soft: 0,
        inodes: 0,
        block_time: 0,
        inode_time: 0,
        valid: 0,
    };
    quotactl(file, GET_QUOTA, project, &mut block)?;
    Ok(Quota {
        blocks_max: block.block_hard,
        files_max: block.inode_hard,
        used: block.space,
    })
}

/// Sets the limits of `project`; what it has is the kernel's to count.
///
/// # Errors
/// As [`quota`].
pub fn set_quota(file: &File, project: u32, blocks_max: u64, files_max: u64) -> io::Result<()> {
    let mut block = Dqblk {
        block_hard: blocks_max,
        block_soft: 0,
        space: 0,
        inode_hard: files_max,
        inode_soft: 0,
        inodes: 0,
        block_time: 0,
        inode_time: 0,
        valid: LIMITS,
    };
    quotactl(file, SET_QUOTA, project, &mut block)
}

fn quotactl(file: &File, command: u32, project: u32, block: &mut Dqblk) -> io::Result<()> {
    // SAFETY: `file` is open; the kernel reads or writes one if_dqblk (its size is asserted) at the
    // live `block`.
    let done = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            file.as_raw_fd(),
            command,
            project,
            &raw mut *block,
        )
    };
    check(if done < 0 { -1 } else { 0 }).map(|_| ())
}

/// The project id of an open file or folder.
///
/// # Errors
/// As ioctl(2): ENOTTY where the file system has none.
pub fn project(file: &File) -> io::Result<u32> {
    attributes(file).map(|attributes| attributes.project)
}

/// Puts an open file or folder into a project; what is made in the folder later is in it too.
///
/// # Errors
/// As ioctl(2): EOPNOTSUPP where the file system keeps no projects, EDQUOT where it is full.
pub fn set_project(file: &File, project: u32) -> io::Result<()> {
    let mut attributes = attributes(file)?;
    attributes.project = project;
    if file.metadata()?.is_dir() {
        attributes.flags |= INHERIT;
    }
    let pointer: *const FsXattr = &raw const attributes;
    // SAFETY: FS_IOC_FSSETXATTR reads one fsxattr (its size is asserted) at `pointer`, which lives.
    check(unsafe { libc::ioctl(file.as_raw_fd(), SET_XATTR as _, pointer) })?;
    Ok(())
}

fn attributes(file: &File) -> io::Result<FsXattr> {
    let mut attributes = FsXattr {
        flags: 0,
        extent_size: 0,
        extents: 0,
        project: 0,
        copy_extent_size: 0,
        padding: [0; 8],
    };
    let pointer: *mut FsXattr = &raw mut attributes;
    // SAFETY: FS_IOC_FSGETXATTR writes one fsxattr (its size is asserted) at `pointer`, which lives.
    check(unsafe { libc::ioctl(file.as_raw_fd(), GET_XATTR as _, pointer) })?;
    Ok(attributes)
}

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its size, bytes.
    pub size: u64,
    /// What ordinary users may still fill of it, bytes.
    pub free: u64,
    /// Whether it is in memory (tmpfs).
    pub in_memory: bool,
}

/// The file system of an open folder.
///
/// # Errors
/// As fstatfs(2).
pub fn file_system(folder: &File) -> io::Result<FileSystem> {
    // SAFETY: `statfs` is integers, for which all zeroes is a value.
    let mut facts: libc::statfs64 = unsafe { mem::zeroed() };
    // SAFETY: `folder` is open; `facts` is a live local of the right type.
    check(unsafe { libc::fstatfs64(folder.as_raw_fd(), &mut facts) })?;
    // Signed or 32 bits wide on some targets; a block's size is neither negative nor that large.
    let block = facts.f_bsize as u64;
    Ok(FileSystem {
        size: block.saturating_mul(facts.f_blocks),
        free: block.saturating_mul(facts.f_bavail),
        in_memory: facts.f_type as u32 == TMPFS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_in_memory_is_known_and_keeps_no_quotas() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let folder = File::open(folder.path()).unwrap();
        let facts = file_system(&folder).unwrap();
        assert!(facts.in_memory && facts.size > 0, "{facts:?}");
        assert!(quota(&folder, 7).is_err());
        let folder = File::open("/proc").unwrap();
        assert!(!file_system(&folder).unwrap().in_memory);
    }
}
