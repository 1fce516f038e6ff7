//! bpf(2): commands on programs.

use super::{ById, address, call, info as ask, length, name, owned, refused};
use crate::error::KernelError;
use crate::limits::{LOG_MAX, LOG_READ_MAX};
use crate::program::{Instruction, Kind};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_TEST_RUN: libc::c_long = 10;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;

/// Begins of `struct bpf_prog_info`, up to the number of maps.
#[repr(C, align(8))]
#[derive(Default)]
pub struct ProgInfo {
    pub kind: u32,
    pub id: u32,
    tag: [u8; 8],
    pub jited_prog_len: u32,
    pub xlated_prog_len: u32,
    jited_prog_insns: u64,
    xlated_prog_insns: u64,
    load_time: u64,
    created_by_uid: u32,
    pub nr_map_ids: u32,
    map_ids: u64,
}
const _: () = assert!(size_of::<ProgInfo>() == 64);

/// `BPF_OBJ_GET_INFO_BY_FD` of a program, and the numbers of its maps into `maps`.
pub fn info(program: BorrowedFd<'_>, maps: &mut [u32]) -> Result<ProgInfo, KernelError> {
    let mut found = ProgInfo {
        nr_map_ids: u32::try_from(maps.len()).unwrap_or(0),
        map_ids: address(maps.as_mut_ptr()),
        ..ProgInfo::default()
    };
    ask(program, &mut found)?;
    Ok(found)
}

#[repr(C, align(8))]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}
const _: () = assert!(size_of::<ProgLoad>() == 72);

/// `BPF_PROG_LOAD`. The verifier's words are asked for only when it refuses: they cost memory and
/// time on every start else.
pub fn load(
    kind: Kind,
    title: &str,
    license: &CStr,
    code: &[Instruction],
) -> Result<OwnedFd, KernelError> {
    let (prog_type, expected_attach_type) = kind.numbers();
    let mut attr = ProgLoad {
        prog_type,
        insn_cnt: u32::try_from(code.len()).unwrap_or(u32::MAX),
        insns: address(code.as_ptr()),
        license: address(license.as_ptr()),
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: name(title),
        prog_ifindex: 0,
        expected_attach_type,
    };
    // SAFETY: insns and license point to insn_cnt instructions and to a C string that outlive the
    // call; there is no log buffer.
    if let Ok(fd) = unsafe { call(PROG_LOAD, &mut attr) } {
        return Ok(owned(fd));
    }
    let mut log = vec![0u8; LOG_READ_MAX];
    attr.log_level = 1;
    attr.log_size = length(&log);
    attr.log_buf = address(log.as_mut_ptr());
    // SAFETY: as above, and log_buf points to log_size bytes that outlive the call.
    let errno = match unsafe { call(PROG_LOAD, &mut attr) } {
        Ok(fd) => return Ok(owned(fd)),
        Err(errno) => errno,
    };
    let said = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let tail = log
        .get(said.saturating_sub(LOG_MAX)..said)
        .unwrap_or_default();
    let log = String::from_utf8_lossy(tail).trim().to_owned();
    Err(KernelError::Verifier { errno, log })
}

#[repr(C, align(8))]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}
const _: () = assert!(size_of::<TestRun>() == 64);

/// What a run said: the program's value, bytes written to `out`, nanoseconds a run.
pub struct Ran {
    pub value: u32,
    pub written: usize,
    pub nanoseconds: u32,
}

/// `BPF_PROG_TEST_RUN`: `data` goes in, the packet comes back in `out`, the context (may be empty) is
/// read and written back.
pub fn test_run(
    program: BorrowedFd<'_>,
    data: &[u8],
    out: &mut [u8],
    context: &mut [u8],
    repeat: u32,
) -> Result<Ran, KernelError> {
    // The kernel wants no address where there are no bytes.
    let context_at = if context.is_empty() {
        0
    } else {
        address(context.as_mut_ptr())
    };
    let mut attr = TestRun {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        retval: 0,
        data_size_in: length(data),
        data_size_out: length(out),
        data_in: address(data.as_ptr()),
        data_out: address(out.as_mut_ptr()),
        repeat,
        duration: 0,
        ctx_size_in: length(context),
        ctx_size_out: length(context),
        ctx_in: context_at,
        ctx_out: context_at,
    };
    // SAFETY: each address names a slice of the length beside it that outlives the call; the kernel
    // copies the context in before it writes it out.
    let done = unsafe { call(PROG_TEST_RUN, &mut attr) };
    done.map_err(refused("run a program for a test"))?;
    Ok(Ran {
        value: attr.retval,
        written: (attr.data_size_out as usize).min(out.len()),
        nanoseconds: attr.duration,
    })
}

/// `BPF_PROG_GET_FD_BY_ID`
pub fn by_id(id: u32) -> Result<OwnedFd, KernelError> {
    let mut attr = ById::new(id);
    // SAFETY: the structure is the command's and holds no address.
    let fd = unsafe { call(PROG_GET_FD_BY_ID, &mut attr) };
    fd.map(owned)
        .map_err(refused("open a program by its number"))
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}
const _: () = assert!(size_of::<Attach>() == 20);

/// `BPF_PROG_ATTACH` to a cgroup, without a flag: replaces what is there, and nothing may be attached
/// below.
pub fn attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    hook: u32,
) -> Result<(), KernelError> {
    let mut attr = Attach {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: hook,
        attach_flags: 0,
        replace_bpf_fd: 0,
    };
    // SAFETY: the structure is the command's and holds no address.
    let done = unsafe { call(PROG_ATTACH, &mut attr) };
    done.map(|_| ())
        .map_err(refused("attach a program to the cgroup"))
}

#[repr(C, align(8))]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}
const _: () = assert!(size_of::<Query>() == 32);

/// `BPF_PROG_QUERY` of a cgroup: the number of the first program there, 0 for none.
pub fn attached(cgroup: BorrowedFd<'_>, hook: u32) -> Result<u32, KernelError> {
    let mut ids = [0u32; 1];
    let mut attr = Query {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_type: hook,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: address(ids.as_mut_ptr()),
        prog_cnt: 1,
        padding: 0,
    };
    // SAFETY: prog_ids points to prog_cnt words that outlive the call.
    let done = unsafe { call(PROG_QUERY, &mut attr) };
    done.map_err(refused("ask for the programs of the cgroup"))?;
    Ok(if attr.prog_cnt == 0 { 0 } else { ids[0] })
}
