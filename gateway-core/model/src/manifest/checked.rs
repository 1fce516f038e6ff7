//! The checked manifest and what can be asked of it. Only `check` makes one.

use super::health::Health;
use super::{
    Device, ExtraSyscall, Grant, LinkKind, Listen, ManifestErrors, Network, RawManifest,
    STORAGE_BYTES_PER_FILE, Sealed,
};
use crate::ServiceName;
use crate::cgroup::Limits;
use crate::gate::Served;
use crate::protocol::NetworkShare;
use crate::units::{Bytes, MilliCpu, PerMille};

/// A manifest without a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub(super) service: Service,
    pub(super) resources: Resources,
    pub(super) access: Access,
    pub(super) health: Health,
    pub(super) policies: Vec<String>,
    pub(super) extra_syscalls: Vec<ExtraSyscall>,
    pub(super) sealed: Option<Sealed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: ServiceName,
    pub(super) version: String,
    pub(super) title: String,
    pub(super) vendor: String,
    pub(super) exec: Vec<String>,
    pub(super) user: u32,
    pub(super) env: Vec<(String, String)>,
    pub(super) autostart: bool,
    pub(super) needs: Vec<ServiceName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resources {
    pub(super) group: Limits,
    pub(super) pids_reserve: u32,
    pub(super) storage_reserve: Bytes,
    pub(super) storage_max: Bytes,
    pub(super) network: NetworkShare,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) network: Network,
    pub(super) link: LinkKind,
    pub(super) listen: Vec<Listen>,
    pub(super) grants: Vec<Grant>,
    pub(super) serves: Vec<Served>,
    pub(super) devices: Vec<Device>,
}

impl Access {
    /// As [`Manifest::served`].
    pub(super) fn served(&self) -> Vec<Served> {
        let listen = self.listen.iter().map(|line| Served {
            transport: line.transport,
            port: line.to_port,
        });
        listen.chain(self.serves.iter().copied()).collect()
    }
}

impl Manifest {
    /// Reads and checks a manifest. `file` is only named in errors.
    ///
    /// # Errors
    /// Every fault of the file at once.
    pub fn parse(file: &str, text: &str) -> Result<Manifest, ManifestErrors> {
        RawManifest::parse(file, text).check()
    }

    /// `service.name`
    #[must_use]
    pub fn name(&self) -> &ServiceName {
        &self.service.name
    }
    /// `service.version`
    #[must_use]
    pub fn version(&self) -> &str {
        &self.service.version
    }
    /// `service.title`; the name where the manifest has none.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.service.title
    }
    /// `service.vendor`; empty where the manifest has none.
    #[must_use]
    pub fn vendor(&self) -> &str {
        &self.service.vendor
    }
    /// `service.exec` as written; [`Manifest::exec_on`] fills its placeholders.
    #[must_use]
    pub fn exec(&self) -> &[String] {
        &self.service.exec
    }
    /// `service.user`: user and group id inside, 1 to 65534.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.service.user
    }
    /// `service.env` as written; [`Manifest::env_on`] fills its placeholders.
    #[must_use]
    pub fn env(&self) -> &[(String, String)] {
        &self.service.env
    }
    /// `service.autostart`
    #[must_use]
    pub fn autostart(&self) -> bool {
        self.service.autostart
    }
    /// `service.needs`: services that must be Active before it starts.
    #[must_use]
    pub fn needs(&self) -> &[ServiceName] {
        &self.service.needs
    }
    /// `resources.cpu`, `.memory`, `.io` and `.pids.max`: what the kernel's control groups enforce.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.resources.group
    }
    /// `resources.memory.reserve`
    #[must_use]
    pub fn memory_reserve(&self) -> Bytes {
        self.limits().memory_reserve
    }
    /// `resources.memory.max`
    #[must_use]
    pub fn memory_max(&self) -> Bytes {
        self.limits().memory_max
    }
    /// `resources.cpu.reserve`
    #[must_use]
    pub fn cpu_reserve(&self) -> MilliCpu {
        self.limits().cpu_reserve
    }
    /// `resources.cpu.max`; `None`: no limit.
    #[must_use]
    pub fn cpu_max(&self) -> Option<MilliCpu> {
        self.limits().cpu_max
    }
    /// `resources.io.reserve`
    #[must_use]
    pub fn io_reserve(&self) -> PerMille {
        self.limits().io_reserve
    }
    /// `resources.pids.reserve`
    #[must_use]
    pub fn pids_reserve(&self) -> u32 {
        self.resources.pids_reserve
    }
    /// `resources.pids.max`
    #[must_use]
    pub fn pids_max(&self) -> u32 {
        self.limits().pids_max
    }
    /// `resources.storage.reserve`
    #[must_use]
    pub fn storage_reserve(&self) -> Bytes {
        self.resources.storage_reserve
    }
    /// `resources.storage.max`
    #[must_use]
    pub fn storage_max(&self) -> Bytes {
        self.resources.storage_max
    }
    /// `resources.network`: its part of the line, before anybody has ranked it.
    #[must_use]
    pub fn network_share(&self) -> NetworkShare {
        self.resources.network
    }
    /// Files and folders that its data may have, by `resources.storage.max`.
    #[must_use]
    pub fn files_max(&self) -> u64 {
        const FILES_MIN: u64 = 16;
        (self.storage_max().0 / STORAGE_BYTES_PER_FILE).max(FILES_MIN)
    }
    /// `access.network`
    #[must_use]
    pub fn network(&self) -> Network {
        self.access.network
    }
    /// `access.link`
    #[must_use]
    pub fn link(&self) -> LinkKind {
        self.access.link
    }
    /// `access.listen`
    #[must_use]
    pub fn listen(&self) -> &[Listen] {
        &self.access.listen
    }
    /// Whether `access.grants` has this one.
    #[must_use]
    pub fn grants(&self, grant: Grant) -> bool {
        self.access.grants.contains(&grant)
    }
    /// `access.devices`
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.access.devices
    }
    /// Its own ports: behind `access.listen` or, of a bridged service, `access.serves`.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.access.served()
    }
    /// `sandbox.policies`
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }
    /// `sandbox.syscall`
    #[must_use]
    pub fn extra_syscalls(&self) -> &[ExtraSyscall] {
        &self.extra_syscalls
    }
    /// `package`: what the packer added; `None` before it is packed.
    #[must_use]
    pub fn sealed(&self) -> Option<&Sealed> {
        self.sealed.as_ref()
    }
}
