//! Every capacity of the launcher and its command, each with its unit and reason.

use std::ffi::CStr;

/// Size of the tmpfs that is /dev, bytes: it holds only empty files and short links.
pub const DEV_SIZE: &CStr = c"65536";

/// Most files in /dev: 6 devices, 4 links, 2 folders, the root, and room for binds below it.
pub const DEV_INODES: &CStr = c"64";

/// Size of a page, bytes: a tmpfs gets one file for each page it may hold, since empty files cost kernel
/// memory too.
pub const PAGE: u64 = 4096;

/// Most files in one tmpfs, whatever its size. An inode with its name takes about 1 KiB of kernel memory.
pub const INODES_PER_TMPFS_MAX: u64 = 65_536;

/// Most inotify instances of a service: web servers and resolvers open one or two.
pub const WATCHERS_MAX: u32 = 16;

/// Most inotify watches of a service. The gateway's own limits hold this for every service
/// (`fs/inotify` in board/common/overlay/etc/hearth/sysctl).
pub const WATCHES_MAX: u32 = 1024;

/// Most signals that wait for a service's processes, and timers: a program has a few.
pub const PENDING_SIGNALS_MAX: u32 = 256;

/// POSIX message queues, bytes: no policy allows mq_open(2), and none may be made as a file either.
pub const MESSAGE_QUEUES_MAX: u32 = 0;

/// Exit status of the launcher when a step failed, as a shell's "can not be executed".
pub const EXIT_STEP_FAILED: u8 = 127;

/// Exit status of `run` when it could not start the command; 126 and 127 are a shell's, 128 and up are
/// signals.
pub const EXIT_NOT_STARTED: u8 = 125;

/// Exit status of `explain` for a manifest with faults.
pub const EXIT_MANIFEST: u8 = 1;

/// Memory limit of `run`, bytes, where none is given: enough for a service, too little for an accident.
pub const RUN_MEMORY_MIB: u64 = 512;

/// Process limit of `run` where none is given.
pub const RUN_PIDS: u32 = 256;

/// Size limit of each private temporary file system of `run`, MiB.
pub const RUN_TMP_MIB: u64 = 64;

/// Open descriptors of a command that `run` starts.
pub const RUN_OPEN_FILES: u32 = 1024;

/// User and group of a command that `run` starts: not the first user's namespace root.
pub const RUN_UID: u32 = 1000;

/// Tries to get a free loop device: another process may take the one just found.
pub const LOOP_TRIES: u8 = 8;

/// Different calls that a recording keeps; a program makes a few dozen beyond the base policy, and one that
/// counts through argument values is not worth more memory.
pub const RECORD_NEEDS_MAX: usize = 1024;

/// Exit status of `run` when the command, or a shell's child, was killed for a system call: 128 and SIGSYS.
pub const EXIT_FORBIDDEN: u8 = 159;

/// Longest wait for the kernel's record of a killed command, milliseconds: a kernel thread writes it.
pub const KERNEL_LOG_WAIT_MS: u32 = 1000;
