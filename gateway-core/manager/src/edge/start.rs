//! The manager's half of a start: image, data folder, cgroup; then the plan and the descriptors that
//! PID 1 needs to start the service, and to start it again without us.

use super::image::Checked;
use super::packages::Found;
use super::paths::{Paths, could_not, reason};
use super::storage::{Place, Sharing};
use super::{cgroup, gates, image, notify, storage};
use crate::limits::{OPEN_FILES_MAX, TMP_PARTS};
use crate::sys;
use hearth_model::cgroup::PAGE;
use hearth_model::gate::Gate;
use hearth_model::gateway::GatewayConfig;
use hearth_model::limits::PLAN_VERSION;
use hearth_model::manifest::{Grant, LinkKind, Listen, Manifest, Network};
use hearth_model::plan::{
    Bind, BindAccess, FirstProcess, Identity, Plan, Ports, SeccompPlan, TcpPlan,
};
use hearth_model::protocol::{Asked, NetworkNs, Notify, StartService, Transport};
use hearth_model::{Bytes, PerMille, ServiceId, api};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

/// Where things are for every start.
#[derive(Debug)]
pub struct Starter {
    /// The file system.
    pub paths: Paths,
    /// The gateway's configuration.
    pub gateway: GatewayConfig,
    /// Folder of the services' own data.
    pub data: PathBuf,
    /// Where that is; or why that is not known, and no limit of storage or of the disk can be applied.
    pub place: Result<Place, String>,
}

/// What a launch says beyond the manifest.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// Who asks for it.
    pub asked: Asked,
    /// How many services stand below it, each needing the next.
    pub depth: u8,
}

impl Starter {
    /// A service's own data.
    fn data_of(&self, manifest: &Manifest) -> PathBuf {
        self.data.join(manifest.name().as_str())
    }

    /// Makes all that stands before its process: the image, the data folder, the limits, the gates.
    ///
    /// # Errors
    /// A sentence that names what could not be made, why, and what to do.
    pub fn prepare(&self, id: ServiceId, package: &Found) -> Result<(), String> {
        let manifest = &package.manifest;
        let place = self.place.clone()?;
        let checked = match self.paths.is_machine() {
            true => Checked::EachRead,
            false => Checked::Once,
        };
        image::mount(&package.image, &self.paths.image(manifest.name()), checked)?;
        self.make_data(id, manifest)?;
        match place {
            // Its pages are charged to the service's memory.
            Place::Memory => {}
            Place::Disk(disk, sharing) => {
                storage::limit(&self.data_of(manifest), id, manifest)?;
                shares(manifest, sharing)?;
                cgroup::begin_slices(&self.paths.cgroups(), disk)?;
            }
        }
        let folder = self.paths.cgroup(manifest.name());
        cgroup::make(&folder, manifest.limits(), place.disk())?;
        gates::make_nodes(&self.paths, id, manifest)?;
        let gate = Gate::of(manifest, &self.gateway, id);
        gates::attach(&self.paths, manifest, &gate)
    }

    fn make_data(&self, id: ServiceId, manifest: &Manifest) -> Result<(), String> {
        let folder = self.data_of(manifest);
        let owner = id.uid_base() + manifest.user();
        let make = || -> io::Result<()> {
            fs::create_dir_all(&self.data)?;
            match DirBuilder::new().mode(0o700).create(&folder) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
            if !fs::symlink_metadata(&folder)?.is_dir() {
                return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
            }
            lchown(&folder, Some(owner), Some(owner))?;
            fs::set_permissions(&folder, Permissions::from_mode(0o700))
        };
        make().map_err(|e| could_not("make its data folder", &folder, &e))
    }

    /// The record for PID 1 and its descriptors: plan, cgroup and, with a link, network namespace.
    ///
    /// # Errors
    /// A sentence that names what could not be made or opened.
    pub fn launch(
        &self,
        id: ServiceId,
        manifest: &Manifest,
        launch: Launch,
    ) -> Result<(StartService, Vec<OwnedFd>), String> {
        let name = manifest.name();
        let plan = sealed(&self.plan(id, manifest))?;
        let open = |path: &Path| {
            let file = File::open(path).map_err(|e| could_not("open", path, &e))?;
            Ok::<OwnedFd, String>(OwnedFd::from(file))
        };
        let mut fds = vec![plan, open(&self.paths.cgroup(name))?];
        let network = match manifest.network() {
            Network::None => NetworkNs::Empty,
            Network::Lan | Network::Wan => {
                fds.push(open(&self.paths.network(id))?);
                NetworkNs::Passed
            }
        };
        let notify = if manifest.notifies() {
            let owner = id.uid_base() + manifest.user();
            fds.push(notify::open(&self.paths, name, owner)?);
            Notify::Passed
        } else {
            Notify::None
        };
        let record = StartService {
            id,
            name: name.clone(),
            restart: manifest.restart(),
            stop_signal: manifest.stop_signal(),
            stop_grace_ms: manifest.stop_grace_ms(),
            network,
            notify,
            active: manifest.active_when(),
            asked: launch.asked,
            depth: launch.depth,
        };
        Ok((record, fds))
    }

    /// The plan of the program that finds out whether a service is ready: its sandbox, another program.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub fn probe(&self, id: ServiceId, manifest: &Manifest) -> Result<OwnedFd, String> {
        let mut plan = self.plan(id, manifest);
        plan.exec = manifest.probe_on(&self.gateway, id);
        sealed(&plan)
    }

    fn plan(&self, id: ServiceId, manifest: &Manifest) -> Plan {
        let name = manifest.name();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let bind = |outside: PathBuf, inside: &str, access| Bind {
            source: text(&outside),
            target: inside.to_owned(),
            access,
        };
        let mut binds = vec![bind(self.data_of(manifest), "/data", BindAccess::ReadWrite)];
        let mut env: Vec<(String, String)> = vec![
            (
                "PATH".into(),
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            ),
            ("HOME".into(), "/data".into()),
        ];
        for (variable, value) in manifest.env_on(&self.gateway, id) {
            env.retain(|(known, _)| *known != variable);
            env.push((variable, value));
        }
        env.push(("HEARTH_SERVICE".into(), name.as_str().into()));
        if manifest.grants(Grant::Api) {
            binds.push(bind(
                self.paths.api(),
                api::SOCKET_FOLDER,
                BindAccess::ReadOnly,
            ));
            env.push((
                api::SOCKET_VARIABLE.into(),
                format!("{}/api.sock", api::SOCKET_FOLDER),
            ));
        }
        if manifest.grants(Grant::Resolvers) {
            binds.push(bind(
                self.paths.shared(),
                "/run/hearth/shared",
                BindAccess::ReadOnly,
            ));
        }
        if manifest.notifies() {
            let folder = self.paths.notify(name);
            binds.push(bind(folder, notify::INSIDE, BindAccess::ReadOnly));
            env.push((notify::VARIABLE.into(), notify::socket_inside()));
        }
        if let Some(ms) = manifest.watchdog_ms() {
            let microseconds = u64::from(ms) * 1000;
            env.push((notify::WATCHDOG_VARIABLE.into(), microseconds.to_string()));
        }
        binds.extend(gates::binds(&self.paths, manifest));
        let tmp = (manifest.memory_max().0 / TMP_PARTS).max(PAGE);
        Plan {
            version: PLAN_VERSION,
            name: name.clone(),
            root: text(&self.paths.image(name)),
            binds,
            tmp_size: Bytes(tmp / PAGE * PAGE),
            exec: manifest.exec_on(&self.gateway, id),
            env,
            working_folder: "/".into(),
            uid: manifest.user(),
            gid: manifest.user(),
            open_files_max: OPEN_FILES_MAX,
            seccomp: SeccompPlan {
                policies: manifest.policies().to_vec(),
                extra: manifest
                    .extra_syscalls()
                    .iter()
                    .map(|call| call.name.clone())
                    .collect(),
            },
            empty_network: manifest.network() == Network::None,
            tcp: tcp(manifest),
            identity: Identity::OwnRange,
            first: FirstProcess::Program,
        }
    }
}

/// A plan as a memory file that nobody changes any more.
fn sealed(plan: &Plan) -> Result<OwnedFd, String> {
    let bytes = plan.encode().map_err(|e| e.to_string())?;
    sys::fd::sealed(c"plan", &bytes)
        .map_err(|e| format!("could not put the plan into memory: {}", reason(&e)))
}

/// Landlock's half of `[access]`: a routed service binds what it lists, and what the kernel chooses for it.
/// A bridged one is a host like others. Alone in an empty network it can only talk to itself.
fn tcp(manifest: &Manifest) -> TcpPlan {
    let listed = || {
        let tcp = |port: &&Listen| port.transport == Transport::Tcp;
        let ports = manifest.listen().iter().filter(tcp);
        ports.map(|port| port.to_port).chain([0]).collect()
    };
    let bind = match (manifest.network(), manifest.link()) {
        (Network::None, _) | (_, LinkKind::Bridged | LinkKind::Guest) => Ports::Any,
        (Network::Lan | Network::Wan, LinkKind::Routed) => Ports::Only(listed()),
    };
    TcpPlan {
        bind,
        connect: Ports::Any,
    }
}

/// Whether the disk can guarantee what a manifest reserves of it.
fn shares(manifest: &Manifest, sharing: Sharing) -> Result<(), String> {
    match (manifest.io_reserve(), sharing) {
        (PerMille(0), _) | (_, Sharing::Weights) => Ok(()),
        (reserve, Sharing::None) => Err(format!(
            "could not apply the limit resources.io.reserve = {reserve}: the disk's scheduler is not \
             BFQ, which shares it out; the kernel must have it (CONFIG_IOSCHED_BFQ), or remove \
             resources.io.reserve from the manifest"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routed_service_binds_what_it_lists() {
        let manifest = |access: &str| {
            let text = format!(
                "[service]\nname = \"web\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\n\
                 max = \"8 MiB\"\n[resources.pids]\nmax = 4\n[access]\n{access}"
            );
            Manifest::parse("m", &text).unwrap()
        };
        let listen = "listen = [\"lan tcp 8080 -> 80\", \"lan udp 53 -> 53\"]";
        let routed = manifest(&format!("network = \"lan\"\n{listen}"));
        assert_eq!(tcp(&routed).bind, Ports::Only(vec![80, 0]));
        let bridged = manifest("network = \"lan\"\nlink = \"bridged\"");
        assert_eq!(tcp(&bridged).bind, Ports::Any);
    }

    #[test]
    fn a_plan_has_what_the_manifest_grants_and_nothing_else() {
        // given a manifest with one grant and its own HOME
        let text = "[service]\nname = \"web\"\nversion = \"1\"\nexec = [\"/a\", \"${lan.address}\"]\n\
                    user = 33\nenv = { HOME = \"/data/home\" }\n[resources.memory]\nmax = \"8 MiB\"\n\
                    [resources.pids]\nmax = 4\n[access]\ngrants = [\"api\"]\n";
        let manifest = Manifest::parse("m", text).unwrap();
        let gateway = include_str!("../../../../board/common/gateway.toml");
        let starter = Starter {
            paths: Paths::new("/".into()),
            gateway: GatewayConfig::parse("g", gateway).unwrap(),
            data: "/data/services".into(),
            place: Ok(Place::Memory),
        };
        // when its plan is made
        let plan = starter.plan(ServiceId::new(2).unwrap(), &manifest);
        // then it can be encoded and holds just that
        assert!(plan.encode().is_ok());
        assert_eq!(plan.exec, ["/a", "192.168.1.1"]);
        let binds: Vec<_> = plan
            .binds
            .iter()
            .map(|b| (&*b.source, &*b.target, b.access))
            .collect();
        assert_eq!(
            binds,
            [
                ("/data/services/web", "/data", BindAccess::ReadWrite),
                ("/run/hearth/api", "/run/hearth/api", BindAccess::ReadOnly)
            ]
        );
        let env: Vec<_> = plan.env.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            env[1..],
            [
                "HOME=/data/home",
                "HEARTH_SERVICE=web",
                "HEARTH_API=/run/hearth/api/api.sock"
            ]
        );
        assert_eq!(
            (plan.root.as_str(), plan.uid, plan.gid),
            ("/run/hearth/images/web", 33, 33)
        );
        assert_eq!(plan.tmp_size, Bytes::mib(4));
        assert!(plan.empty_network);
    }
}
