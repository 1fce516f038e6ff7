//! What a person types after `run`. The words are bubblewrap's where it has them.

use crate::limits::{RUN_MEMORY_MIB, RUN_PIDS};
use clap::Args;
use hearth_model::plan::{Bind, BindAccess};
use std::path::PathBuf;

/// Flags of `run`.
#[derive(Args, Debug)]
#[command(after_help = "\
A service of a manifest is process 1, as on a gateway: signals that it sends to itself do nothing unless it
handles them. Any other command has a process 1 above it that waits. Without --policy it may start processes, and with a network use TCP and UDP; `--policy base` allows neither.")]
pub struct RunArgs {
    /// Take name, command, user, limits and policies from a service's manifest.toml
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Root inside: a folder, or a squashfs file (root only) [default: the machine's own, read-only]
    #[arg(
        long,
        visible_alias = "image",
        value_name = "DIR|FILE",
        default_value = "/",
        hide_default_value = true
    )]
    pub root: PathBuf,
    /// Bind the host's SOURCE at TARGET, writable; may be repeated
    #[arg(long, num_args = 2, value_names = ["SOURCE", "TARGET"])]
    pub bind: Vec<String>,
    /// The same, read-only
    #[arg(long, num_args = 2, value_names = ["SOURCE", "TARGET"])]
    pub ro_bind: Vec<String>,
    /// Environment variable NAME=VALUE; may be repeated. Nothing else is passed but PATH, HOME and TERM
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub env: Vec<(String, String)>,
    /// Working folder inside
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub chdir: String,
    /// User and group id inside [default: the manifest's, or your own]
    #[arg(long)]
    pub uid: Option<u32>,
    /// none, host, or a network namespace such as /run/netns/NAME
    #[arg(long, value_name = "none|host|FILE", default_value = "none", value_parser = parse_network)]
    pub network: NetworkArg,
    /// Policy on top of base, such as network-client; may be repeated
    #[arg(long, value_name = "NAME")]
    pub policy: Vec<String>,
    /// One more system call; may be repeated
    #[arg(long, value_name = "CALL")]
    pub allow: Vec<String>,
    /// Make the command process 1 of its sandbox, as on a gateway: no process waits beside it
    #[arg(long)]
    pub as_pid_1: bool,
    /// Memory limit, MiB [default: the manifest's, or 512]
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u64>,
    /// Processor limit, percent of one core [default: the manifest's, or none]
    #[arg(long, value_name = "PERCENT")]
    pub cpu: Option<u32>,
    /// Process limit [default: the manifest's, or 256]
    #[arg(long)]
    pub pids: Option<u32>,
    /// Run even where these limits can not be applied
    #[arg(long)]
    pub without_limits: bool,
    /// An encoded plan instead of all the flags above but the limits
    #[arg(long, value_name = "FILE", conflicts_with_all = ["manifest", "root", "bind", "ro_bind", "uid", "policy", "allow", "env", "chdir", "command"])]
    pub plan: Option<PathBuf>,
    /// Print what would be done, in order, and what would not; do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print it as JSON
    #[arg(long, requires = "dry_run")]
    pub json: bool,
    /// The command: an absolute path inside, and arguments
    #[arg(last = true, required_unless_present_any = ["plan", "manifest"])]
    pub command: Vec<String>,
}

/// Which network a command gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkArg {
    /// Loopback alone.
    None,
    /// The host's.
    Host,
    /// This namespace.
    File(PathBuf),
}

fn parse_network(text: &str) -> Result<NetworkArg, String> {
    match text {
        "none" => Ok(NetworkArg::None),
        "host" => Ok(NetworkArg::Host),
        path if path.starts_with('/') => Ok(NetworkArg::File(path.into())),
        other => Err(format!(
            "{other:?} is neither none, host nor the path of a network namespace"
        )),
    }
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.into(), value.into()))
}

impl RunArgs {
    /// All binds, the writable ones first.
    #[must_use]
    pub fn binds(&self) -> Vec<Bind> {
        let of = |pairs: &[String], access| -> Vec<Bind> {
            // The parser takes two words for each.
            let (pairs, _) = pairs.as_chunks::<2>();
            let bind = |[source, target]: &[String; 2]| Bind {
                source: source.clone(),
                target: target.clone(),
                access,
            };
            pairs.iter().map(bind).collect()
        };
        let mut all = of(&self.bind, BindAccess::ReadWrite);
        all.extend(of(&self.ro_bind, BindAccess::ReadOnly));
        all
    }

    /// The memory limit that was asked for, or the usual one.
    #[must_use]
    pub fn memory_mib(&self) -> u64 {
        self.memory.unwrap_or(RUN_MEMORY_MIB)
    }

    /// The process limit that was asked for, or the usual one.
    #[must_use]
    pub fn pids(&self) -> u32 {
        self.pids.unwrap_or(RUN_PIDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn parse(words: &[&str]) -> Result<RunArgs, clap::Error> {
        let words = ["run"].iter().chain(words);
        Line::try_parse_from(words).map(|line| line.run)
    }

    #[test]
    fn binds_are_bubblewraps() {
        let words = "--ro-bind /a /b --bind /c /d --bind /e /f -- /x";
        let args = parse(&words.split(' ').collect::<Vec<_>>()).unwrap();
        let found: Vec<_> = args
            .binds()
            .into_iter()
            .map(|bind| (bind.source, bind.access))
            .collect();
        assert_eq!(
            found,
            [
                ("/c".into(), BindAccess::ReadWrite),
                ("/e".into(), BindAccess::ReadWrite),
                ("/a".into(), BindAccess::ReadOnly)
            ]
        );
        assert!(parse(&["--bind", "/a", "--", "/x"]).is_err());
    }

    #[test]
    fn a_network_is_one_of_three() {
        let network = |word| parse(&["--network", word, "--", "/x"]).map(|args| args.network);
        assert_eq!(network("host").unwrap(), NetworkArg::Host);
        assert_eq!(network("/n").unwrap(), NetworkArg::File("/n".into()));
        assert!(network("lan").is_err());
    }
}
