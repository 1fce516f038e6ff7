//! Runs one program in a sandbox: a finished [`Plan`](hearth_model::plan::Plan) becomes an ordered list of
//! named steps ([`steps`]), which one loop carries out before it executes the program. [`outside`] is what
//! PID 1 does on the gateway and the command `run` does on a developer's machine: the namespaces, the id
//! maps, the control group.
//!
//! Invariants: what the program may do is decided by the plan and the policy files ([`seccomp`]) alone; the
//! steps add nothing. A step that fails ends the start and is named. What the launcher refuses to do: read a
//! manifest, choose a limit, stay behind as a helper process.
#![deny(unsafe_code)]

pub mod explain;
pub mod killed;
pub mod launcher;
pub mod limits;
pub mod outside;
pub mod record;
pub mod run;
pub mod seccomp;
pub mod steps;
pub mod sys;
