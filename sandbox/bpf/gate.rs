//! The gates of a service's cgroup: which devices its processes open.
//!
//! The kernel asks at each open and mknod of a device (`BPF_PROG_TYPE_CGROUP_DEVICE`). What is not
//! allowed by a row fails with EPERM.
#![no_std]

mod abi;

use abi::{ANY, DEVICES, Device};
use kernel::{ARRAY, Map};

kernel::license!();

/// One value: every device that is allowed.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static DEVICE_ROWS: Map<u32, [Device; DEVICES]> = Map::new(ARRAY, 1);

/// `struct bpf_cgroup_dev_ctx`
#[repr(C)]
pub struct DeviceContext {
    /// Kind in the lower half, what is wanted in the upper.
    access_type: u32,
    major: u32,
    minor: u32,
}

const REFUSE: i32 = 0;
const ALLOW: i32 = 1;

/// May this process open, or make, this device?
#[unsafe(no_mangle)]
#[unsafe(link_section = "cgroup/dev")]
pub extern "C" fn device(context: &DeviceContext) -> i32 {
    let first = 0u32;
    let Some(rows) = DEVICE_ROWS.get(&first) else {
        return REFUSE;
    };
    let rows: *const Device = rows.as_ptr().cast();
    let (kind, wanted) = (context.access_type & 0xffff, context.access_type >> 16);
    let mut at = 0;
    while at < DEVICES {
        // SAFETY: `at` is below the number of rows in the value; nobody writes it after the start.
        let row = unsafe { &*rows.add(at) };
        if row.kind == kind
            && row.major == context.major
            && (row.minor == ANY || row.minor == context.minor)
            && wanted & !row.access == 0
        {
            return ALLOW;
        }
        at += 1;
    }
    REFUSE
}
