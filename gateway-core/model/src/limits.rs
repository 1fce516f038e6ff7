//! Capacities that more than one process must agree on. Each has its unit, reason and source.

/// Services the gateway can hold at once. The paper's boxes run a handful; the table in PID 1
/// costs about 200 bytes a row, so 256 rows are 50 KiB of a 2 GiB machine.
pub const SERVICES_MAX: usize = 256;

/// Longest service name, bytes. A name is also a host name label (RFC 1035: 63), a cgroup and
/// part of a file name; 32 fits a console table of 80 columns.
pub const SERVICE_NAME_MAX: usize = 32;

/// Largest record on a private socket, bytes. One `SOCK_SEQPACKET` message, one stack buffer.
pub const RECORD_MAX: usize = 512;

/// Most descriptors that travel with one record (plan, cgroup, network namespace).
pub const RECORD_FDS_MAX: usize = 4;

/// First user id outside of every person's and system's range. Service `n` owns
/// `UID_BASE + n * UID_COUNT ..` and no id is ever shared (user_namespaces(7)).
pub const UID_BASE: u32 = 0x0010_0000;

/// Ids per service: what programs expect to find (0 to 65534, `nobody`).
pub const UID_COUNT: u32 = 0x0001_0000;

/// Length of a network interface name without its final NUL, bytes (`IFNAMSIZ` - 1, netdevice(7)).
pub const IFNAME_MAX: usize = 15;

/// Resolvers that a WAN lease may carry on (RFC 2132 option 6 may list more; resolv.conf(5) uses 3).
pub const RESOLVERS_MAX: usize = 3;

/// Networks of the gateway's own: one of each [`crate::protocol::NetworkRole`].
pub const OWN_NETWORKS_MAX: usize = 4;

/// Port-forwards and service listeners netpath holds in all.
pub const FORWARDS_MAX: usize = 128;

/// Port-forwards that the household may have, beside those: each is a few bytes, looked through when a
/// flow of the home begins.
pub const HOUSEHOLD_FORWARDS_MAX: usize = 64;

/// Ports of one such forward: all of them together leave three quarters of the WAN address's to the home.
pub const HOUSEHOLD_RANGE_MAX: u16 = 256;

/// First port of the gateway's own connections (`net.ipv4.ip_local_port_range`): after those that
/// Linux gives by itself (32,768 to 60,999), so that a home host's port is its external one too, and
/// its connections go on after a restart of netpath.
pub const LOCAL_PORT_FIRST: u16 = 61_000;

/// Last port of the gateway's own connections.
pub const LOCAL_PORT_LAST: u16 = 61_999;

/// The port of a DHCP client, kept for the WAN's lease (RFC 2131).
pub const DHCP_CLIENT_PORT: u16 = 68;

/// Version of the records in [`crate::protocol`]; both sides refuse another one by name.
pub const PROTOCOL_VERSION: u16 = 6;

/// Version of [`crate::plan::Plan`](../plan/struct.Plan.html)'s encoding.
pub const PLAN_VERSION: u16 = 2;

/// Most granted folders and files of one plan: a service has a handful. Each is a mount, and mounts are
/// looked through one after the other at every start and end.
pub const PLAN_BINDS_MAX: usize = 256;

/// Most TCP ports in each list of a plan: what a manifest can list in `access.listen` is fewer.
pub const PLAN_PORTS_MAX: usize = 256;

/// Largest encoded plan, bytes: hundreds of binds and arguments fit; a launcher never reads more.
pub const PLAN_MAX: usize = 64 * 1024;

/// Descriptor on which the launcher finds its plan.
pub const LAUNCHER_PLAN_FD: i32 = 3;

/// Descriptor on which the launcher reports a failed step; closed by a successful exec.
pub const LAUNCHER_STATUS_FD: i32 = 4;

/// Descriptor on which a probe's launcher finds the process whose sandbox it enters (a pidfd).
pub const LAUNCHER_TARGET_FD: i32 = 5;

/// Descriptor on which the manager finds its socket to PID 1.
pub const MANAGER_INIT_FD: i32 = 3;
