//! Numbers of calls that the two word sizes name differently (asm/unistd_32.h, asm/unistd_64.h).

use libc::c_long;

#[cfg(target_arch = "x86")]
mod of_word {
    use super::c_long;
    pub const SET_RES_UID: c_long = libc::SYS_setresuid32;
    pub const SET_RES_GID: c_long = libc::SYS_setresgid32;
    pub const SET_GROUPS: c_long = libc::SYS_setgroups32;
    pub const SET_FS_UID: c_long = libc::SYS_setfsuid32;
    pub const CLOCK_SETTIME: c_long = 404; // clock_settime64
    pub const CLOCK_ADJTIME: c_long = 405; // clock_adjtime64
    pub const SEM_GET: c_long = 393;
    pub const SEM_CTL: c_long = 394;
    pub const SHM_GET: c_long = 395;
    pub const SHM_CTL: c_long = 396;
    pub const MSG_GET: c_long = 399;
    pub const MSG_CTL: c_long = 402;
}

#[cfg(target_arch = "x86_64")]
mod of_word {
    use super::c_long;
    pub const SET_RES_UID: c_long = libc::SYS_setresuid;
    pub const SET_RES_GID: c_long = libc::SYS_setresgid;
    pub const SET_GROUPS: c_long = libc::SYS_setgroups;
    pub const SET_FS_UID: c_long = libc::SYS_setfsuid;
    pub const CLOCK_SETTIME: c_long = libc::SYS_clock_settime;
    pub const CLOCK_ADJTIME: c_long = libc::SYS_clock_adjtime;
    pub const SEM_GET: c_long = libc::SYS_semget;
    pub const SEM_CTL: c_long = libc::SYS_semctl;
    pub const SHM_GET: c_long = libc::SYS_shmget;
    pub const SHM_CTL: c_long = libc::SYS_shmctl;
    pub const MSG_GET: c_long = libc::SYS_msgget;
    pub const MSG_CTL: c_long = libc::SYS_msgctl;
}

pub use of_word::*;
