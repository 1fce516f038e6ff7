//! A service's gates at its cgroup, and the device nodes that it is granted. Both stand before its first
//! process: a gate that can not be attached fails the start. Nothing of it is remembered here: the gates
//! live as long as the cgroup, whoever restarts meanwhile.

use super::paths::{Paths, could_not};
use crate::sys::node;
use hearth_bpf::gate;
use hearth_model::ServiceId;
use hearth_model::gate::Gate;
use hearth_model::manifest::{Device, Manifest};
use hearth_model::plan::{Bind, BindAccess};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

/// File for the gates below a root that is not the machine's: a test's cgroups are plain folders, and
/// what would be attached there is written as text.
const TEXT: &str = "hearth.gates";

/// Attaches a service's gates to its cgroup; the ones that stand there are replaced.
///
/// # Errors
/// A sentence with the name of the gate that can not be attached.
pub fn attach(paths: &Paths, manifest: &Manifest, gate: &Gate) -> Result<(), String> {
    let folder = paths.cgroup(manifest.name());
    if !paths.is_machine() {
        let file = folder.join(TEXT);
        return fs::write(&file, format!("{gate:#?}\n"))
            .map_err(|e| format!("the gate device can not be attached: {e}"));
    }
    let cgroup = File::open(&folder).map_err(|e| could_not("open", &folder, &e))?;
    gate::attach(cgroup.as_fd(), gate).map_err(|e| {
        format!("{e}; the kernel must have CONFIG_CGROUP_BPF and net.core.bpf_jit_enable must be 1")
    })
}

/// What a service's gates have refused, by reason; empty where there are none.
#[must_use]
pub fn refused(folder: &Path) -> BTreeMap<String, u64> {
    let refusals = File::open(folder)
        .ok()
        .and_then(|cgroup| gate::refusals(cgroup.as_fd()).ok().flatten());
    let counts = refusals.iter().flat_map(gate::Refusals::iter);
    counts
        .map(|(refusal, count)| (refusal.name().to_owned(), count))
        .collect()
}

/// Makes the nodes of the granted devices, for this service's user alone. The device need not be there:
/// a stick that is plugged in later works.
///
/// # Errors
/// A sentence that names the node.
pub fn make_nodes(paths: &Paths, id: ServiceId, manifest: &Manifest) -> Result<(), String> {
    let folder = paths.devices(manifest.name());
    remove_nodes(&folder).map_err(|e| could_not("remove", &folder, &e))?;
    let owner = id.uid_base() + manifest.user();
    for device in manifest.devices() {
        let path = node_of(&folder, device);
        let (major, minor) = device.numbers();
        let make = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            node::make_character(&path, major, minor)?;
            lchown(&path, Some(owner), Some(owner))
        };
        make().map_err(|e| could_not("make the device node", &path, &e))?;
    }
    Ok(())
}

/// Removes a service's nodes; none is fine.
///
/// # Errors
/// As unlink(2).
pub fn remove_nodes(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// How a service finds its devices: at the paths that its manifest names.
pub fn binds(paths: &Paths, manifest: &Manifest) -> Vec<Bind> {
    let folder = paths.devices(manifest.name());
    let bind = |device: &Device| Bind {
        source: node_of(&folder, device).to_string_lossy().into_owned(),
        target: device.path(),
        access: BindAccess::ReadWrite,
    };
    manifest.devices().iter().map(bind).collect()
}

/// `/dev/net/tun` is `net-tun` in the service's folder.
fn node_of(folder: &Path, device: &Device) -> PathBuf {
    let path = device.path();
    folder.join(path.trim_start_matches("/dev/").replace('/', "-"))
}
