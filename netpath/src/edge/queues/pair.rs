//! The pair of links on which downloads wait.

use super::super::limits::{PAIR_MTU, PAIR_NAMES};
use super::super::links;
use super::super::ports::{self, PortError, on};
use crate::sys;
use hearth_bpf::netlink::Netlink;
use hearth_bpf::tc;
use hearth_netpath::queue::programs::Programs;
use std::fs::File;
use std::os::fd::AsFd;

/// Makes the pair on which downloads wait, or finds it; the number of the end that they go in by.
pub fn make(netlink: &mut Netlink, programs: &Programs) -> Result<u32, PortError> {
    let [into, out] = PAIR_NAMES;
    if sys::interface_index(into).is_err() {
        let here = File::open("/proc/self/ns/net").map_err(on(into))?;
        links::create_veth(netlink, into, out, here.as_fd()).map_err(on(into))?;
    }
    let ends = [into, out].map(|name| sys::interface_index(name).map_err(on(name)));
    let [first, last] = ends;
    let (first, last) = (first?, last?);
    for (name, index) in [(into, first), (out, last)] {
        ports::without_ipv6(name);
        links::set_mtu(netlink, index, PAIR_MTU).map_err(on(name))?;
    }
    // What comes out of it is as what this process writes.
    ports::set(&format!("net/ipv4/conf/{out}/accept_local"), "1")?;
    ports::set(&format!("net/ipv4/conf/{out}/rp_filter"), "0")?;
    ports::set(&format!("net/ipv4/conf/{out}/forwarding"), "1")?;
    tc::attach_ingress(netlink, last, &programs.waited).map_err(on(out))?;
    links::up(netlink, last).map_err(on(out))?;
    links::up(netlink, first).map_err(on(into))?;
    Ok(first)
}

/// Takes it away, where an earlier run had one.
pub fn remove(netlink: &mut Netlink) {
    let [into, _] = PAIR_NAMES;
    if let Ok(index) = sys::interface_index(into)
        && let Err(e) = links::delete(netlink, index)
    {
        log::warn!("{into}: {e}");
    }
}
