//! The sandbox as an ordered list of named steps: what they are, how a plan becomes them, and the loop
//! that carries them out.

pub mod action;
pub mod build;
pub mod execute;
pub mod inside;
pub mod landlock;

#[cfg(test)]
pub(crate) mod testing {
    use hearth_model::limits::PLAN_VERSION;
    use hearth_model::plan::{FirstProcess, Identity, Plan, Ports, SeccompPlan, TcpPlan};
    use hearth_model::{Bytes, ServiceName};

    /// A plan with nothing granted.
    pub fn plan(root: &str) -> Plan {
        Plan {
            version: PLAN_VERSION,
            name: ServiceName::new("probe").unwrap(),
            root: root.into(),
            binds: vec![],
            tmp_size: Bytes::mib(4),
            exec: vec!["/hostile".into(), "all".into()],
            env: vec![],
            working_folder: "/".into(),
            uid: 1000,
            gid: 1000,
            open_files_max: 64,
            seccomp: SeccompPlan {
                policies: vec![],
                extra: vec![],
            },
            empty_network: true,
            tcp: TcpPlan {
                bind: Ports::Any,
                connect: Ports::Any,
            },
            identity: Identity::OwnRange,
            first: FirstProcess::Program,
        }
    }
}
