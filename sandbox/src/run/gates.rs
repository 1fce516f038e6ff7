//! The gates of a command that `run` starts: on the gateway the manager attaches them by the manifest;
//! here they are what the flags grant. They stand at the control group that has the limits, and go with it.

use super::args::NetworkArg;
use hearth_bpf::KernelError;
use hearth_bpf::gate::{GateError, attach};
use hearth_model::gate::{DeviceKind, DeviceRule, Gate, Served, Target, Verdict};
use hearth_model::manifest::Manifest;
use hearth_model::plan::Plan;
use hearth_model::protocol::Transport;
use std::fs::{self, Metadata};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// What these are, for who reads that they are not applied.
pub const WORDS: &str = "gates for devices, sockets and ports";

/// The gates of a command: the devices of its binds and of the terminal that it is given; every address
/// where it is given a network, which here no gateway divides into home and Internet; the ports of its
/// manifest, or every one.
#[must_use]
pub fn gate(plan: &Plan, manifest: Option<&Manifest>, network: &NetworkArg) -> Gate {
    let mut gate = match manifest {
        Some(manifest) => Gate::without_network(manifest),
        None => {
            let every = |transport| Served { transport, port: 0 };
            let served = vec![every(Transport::Tcp), every(Transport::Udp)];
            Gate {
                served,
                ..Gate::base()
            }
        }
    };
    let binds = plan.binds.iter().map(|bind| bind.source.clone());
    let standard = (0..3).map(|fd| format!("/proc/self/fd/{fd}"));
    let devices = binds.chain(standard).filter_map(|path| {
        let found = fs::metadata(path).ok()?;
        device(&found)
    });
    for device in devices {
        if !gate.devices.contains(&device) {
            gate.devices.push(device);
        }
    }
    match network {
        NetworkArg::None => {}
        NetworkArg::Host | NetworkArg::File(_) => gate.targets.push(Target {
            address: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            port: None,
            verdict: Verdict::Allow,
        }),
    }
    gate
}

fn device(file: &Metadata) -> Option<DeviceRule> {
    let kind = match file.file_type() {
        kind if kind.is_block_device() => DeviceKind::Block,
        kind if kind.is_char_device() => DeviceKind::Character,
        _ => return None,
    };
    Some(DeviceRule {
        kind,
        major: libc::major(file.rdev()),
        minor: Some(libc::minor(file.rdev())),
    })
}

/// Attaches them; where this user may not, the answer is why.
///
/// # Errors
/// A sentence that names the gate: the kernel refused it to root.
pub fn stand(cgroup: BorrowedFd<'_>, gate: &Gate) -> Result<Option<String>, String> {
    match attach(cgroup, gate) {
        Ok(()) => Ok(None),
        Err(error) if forbidden(&error) => Ok(Some("that takes root".to_owned())),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether it was the user that was refused, not the gate.
fn forbidden(error: &GateError) -> bool {
    use hearth_bpf::LoadError::Kernel;
    let error = match error {
        GateError::Rules { error, .. } => error,
        GateError::Object(Kernel(error))
        | GateError::Gate {
            error: Kernel(error),
            ..
        } => error,
        GateError::Object(_) | GateError::Gate { .. } => return false,
    };
    matches!(
        error,
        KernelError::Refused {
            errno: libc::EPERM,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::gate::{DeviceUse, Refusal};
    use hearth_model::plan::{Bind, BindAccess};
    use std::net::IpAddr;

    const READ: DeviceUse = DeviceUse {
        make: false,
        read: true,
        write: false,
    };

    #[test]
    fn a_bound_device_is_granted_and_a_network_is_open() {
        // given a plan without binds
        let mut plan = crate::steps::testing::plan("/");
        plan.binds.clear();
        let gate_of = |plan: &Plan, network| gate(plan, None, &network);
        let kmsg = |gate: &Gate| gate.open(DeviceKind::Character, 1, 11, READ);
        assert_eq!(
            kmsg(&gate_of(&plan, NetworkArg::None)),
            Verdict::Refuse(Refusal::Device)
        );
        // when it binds a device
        let path = "/dev/kmsg".to_owned();
        plan.binds.push(Bind {
            source: path.clone(),
            target: path,
            access: BindAccess::ReadOnly,
        });
        let alone = gate_of(&plan, NetworkArg::None);
        assert_eq!(kmsg(&alone), Verdict::Allow);
        // then it may open that; without a network it reaches itself only
        let far = IpAddr::from([198, 51, 100, 7]);
        let reach = |gate: &Gate, to| gate.reach(Transport::Tcp, 0, to, 80);
        assert_eq!(reach(&alone, far), Verdict::Refuse(Refusal::NoNetwork));
        assert_eq!(reach(&alone, IpAddr::from([127, 0, 0, 1])), Verdict::Allow);
        // and with one, everybody, at every port
        let host = gate_of(&plan, NetworkArg::Host);
        assert_eq!(reach(&host, far), Verdict::Allow);
        assert_eq!(host.bind(Transport::Tcp, far, 81), Verdict::Allow);
    }
}
