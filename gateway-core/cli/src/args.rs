//! The command line. Usage errors end with status 2 (clap's own). Longer than 400 lines, since the text of the
//! help is in it.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use hearth_client::top::Sort;
use hearth_model::ServiceName;
use hearth_model::protocol::{NoPorts, WanPorts};
use std::path::PathBuf;

/// The text of `hearth help`.
pub(crate) const HELP: &str = "\
hearth - look after this gateway

  hearth status [NAME]    is all well? addresses, budget, services; all about one service
  hearth ps               what runs, one line each
  hearth start NAME       run a service, now and after every boot
        --dry-run         only say whether it fits, and the budget before and after
        --make-room       end the lower-ranked services that have to end for it
  hearth stop NAME        end a service and leave it off
  hearth restart NAME     end a service and run it again
  hearth rank             who comes before whom, and what that means
  hearth rank A B C       A before B before C before all others, at once; --clear: nobody
  hearth logs NAME [-f]   what a service printed; -f goes on, Ctrl-C ends it
  hearth why NAME         what makes a service slow, or keeps it from running
  hearth doctor           what is wrong, and what to do about it
  hearth events [-f]      what happened since the boot; -f goes on
  hearth top              what each service uses now, until Ctrl-C; --once: one look,
                          --sort cpu|memory|disk|network|pids|waits|rank, --every 5
  hearth net              links, line, who talks most, what was dropped and why
  hearth net sessions [--host ADDRESS] [--service NAME]
                          connections that pass now
  hearth net trace SRC DST PORT [--udp|--tcp|--icmp] [--from SIDE]
                          what would happen to a packet, and why; SRC is an address
                          (ADDRESS:PORT for a live connection) or a service's name,
                          DST also 'gateway' or 'wan'
  hearth forward list     ports that the Internet reaches in the home
  hearth forward add PROTOCOL PORT TARGET [PORT]
                          tcp 8022 192.168.1.50 22: that port of this home's address
                          in the Internet is port 22 of that host (or of a service)
  hearth forward remove PROTOCOL PORT
                          close it; a range is written as 8000-8010
  hearth support-bundle [FILE]
                          all that a helper needs to know, without what is private,
                          as a tar file of at most 2 MiB; - writes it to the output
  hearth usage            what each service used this month; --month 2026-11, --csv
  hearth usage export     the signed records, to keep elsewhere
  hearth usage key        the public key that they are signed with
  hearth usage verify [FILE] [--key FILE]
                          are the records (or an export) as the gateway wrote them?
  hearth install PATH     take in a package (a folder, or an OCI layout or tar): checks
                          who signed it, whether it is whole, newer, and fits; --dry-run
  hearth remove NAME      end a service and remove its package; --purge: its data too
  hearth poweroff         stop everything in order and switch off
  hearth reboot           stop everything in order and start again
  hearth api PATH         what the API answers to a GET, as /v1/openapi.json
  hearth banner           the three lines shown at login

--json after any of these but help, poweroff, reboot, api and banner prints the answer
for programs. Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 the gateway
does not answer. HEARTH_API=PATH asks at another socket.
";

/// Look after this gateway
#[derive(Parser)]
#[command(
    name = "hearth",
    version,
    override_help = HELP,
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the help.
    Help,
    /// List what runs.
    Ps(Format),
    /// Tell how the gateway is, or one service.
    Status {
        /// Name of a service; without one, the gateway.
        #[arg(value_parser = ServiceName::new)]
        name: Option<ServiceName>,
        #[command(flatten)]
        format: Format,
    },
    /// Run a service.
    Start(Start),
    /// End a service.
    Stop(Target),
    /// End a service and run it again.
    Restart(Target),
    /// Rank the services, or show their ranks.
    Rank(Rank),
    /// Print a service's log.
    Logs {
        #[command(flatten)]
        target: Target,
        /// Go on with what is printed from now on.
        #[arg(short, long)]
        follow: bool,
    },
    /// Tell what keeps a service from being as it should be.
    Why(Target),
    /// Look for what is wrong.
    Doctor(Format),
    /// Tell what happened.
    Events {
        #[command(flatten)]
        format: Format,
        /// Go on with what happens from now on.
        #[arg(short, long)]
        follow: bool,
    },
    /// Show what each service uses now.
    Top(Watch),
    /// Tell what the network does.
    Net(Net),
    /// Ports that the Internet reaches in the home.
    #[command(subcommand)]
    Forward(ForwardAction),
    /// What services used.
    Usage(Usage),
    /// Write down all that a helper needs to know.
    SupportBundle(Bundle),
    /// Take in a package.
    Install(Install),
    /// Remove a package.
    Remove(Remove),
    /// Switch off.
    Poweroff,
    /// Start again.
    Reboot,
    /// Print what the API answers to a GET.
    Api {
        /// A path, as /v1/openapi.json.
        path: String,
    },
    /// Print the lines shown at login.
    Banner,
}

/// What to do with a port-forward.
#[derive(Subcommand)]
pub(crate) enum ForwardAction {
    /// List them.
    List(Format),
    /// Add one.
    Add {
        #[command(flatten)]
        ports: Ports,
        /// Address of a host of the home, or name of a service.
        target: String,
        /// The target's port, of a range the first; the same where none is given.
        #[arg(value_name = "PORT")]
        to_port: Option<u16>,
        #[command(flatten)]
        format: Format,
    },
    /// Remove one.
    Remove {
        #[command(flatten)]
        ports: Ports,
        #[command(flatten)]
        format: Format,
    },
}

/// Ports of the home's address in the Internet.
#[derive(clap::Args)]
pub(crate) struct Ports {
    /// tcp or udp.
    #[arg(value_parser = ["tcp", "udp"])]
    pub(crate) protocol: String,
    /// A port, or a range as 8000-8010.
    pub(crate) port: String,
}

impl Ports {
    /// What they are.
    pub(crate) fn read(&self) -> Result<WanPorts, NoPorts> {
        WanPorts::parse(&self.protocol, &self.port)
    }
}

/// Which service to start, and how.
#[derive(clap::Args)]
pub(crate) struct Start {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only say what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// End the lower-ranked services that have to end for it.
    #[arg(long)]
    pub(crate) make_room: bool,
}

/// Which package, and whether.
#[derive(clap::Args)]
pub(crate) struct Install {
    /// The package: a folder with manifest.toml, signature and image.squashfs, or an OCI image layout (a
    /// folder, or a tar file).
    pub(crate) path: PathBuf,
    /// Only say whether it would be installed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Which package goes, and what of it.
#[derive(clap::Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The service's data goes too.
    #[arg(long)]
    pub(crate) purge: bool,
}

/// A ranking.
#[derive(clap::Args)]
pub(crate) struct Rank {
    /// The services that come first, the most important one first; the ranks are shown where none is
    /// given.
    #[arg(value_parser = ServiceName::new)]
    pub(crate) names: Vec<ServiceName>,
    /// Rank nobody: all services are equal again.
    #[arg(long, conflicts_with = "names")]
    pub(crate) clear: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Where to write a support bundle.
#[derive(clap::Args)]
pub(crate) struct Bundle {
    /// The file, which is written anew; - for the standard output.
    #[arg(default_value = "/tmp/hearth-support.tar")]
    pub(crate) file: PathBuf,
    /// Root of the gateway's files.
    #[arg(long, hide = true, default_value = "/")]
    pub(crate) root: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// How to show what is used.
#[derive(clap::Args)]
pub(crate) struct Watch {
    /// Look once, for a second, and list everybody.
    #[arg(long)]
    pub(crate) once: bool,
    /// Who comes first.
    #[arg(long, default_value = "cpu", value_parser = sort())]
    pub(crate) sort: Sort,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(crate) every: u16,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// The words of `--sort`.
fn sort() -> impl TypedValueParser<Value = Sort> {
    PossibleValuesParser::new(Sort::ALL.map(Sort::name)).map(|word| {
        Sort::ALL
            .into_iter()
            .find(|sort| sort.name() == word)
            .unwrap_or(Sort::Cpu)
    })
}

/// What to tell of the network.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Net {
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) action: Option<NetAction>,
}

/// What else to tell of it.
#[derive(Subcommand)]
pub(crate) enum NetAction {
    /// List connections.
    Sessions(Sessions),
    /// Tell what would happen to a packet.
    Trace(Trace),
}

/// Whose connections.
#[derive(clap::Args)]
pub(crate) struct Sessions {
    /// Only those of this address of the home.
    #[arg(long, conflicts_with = "service")]
    pub(crate) host: Option<String>,
    /// Only those of this service.
    #[arg(long)]
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// A packet. Its words are the manager's to understand, which knows the names.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("protocol").args(["tcp", "udp", "icmp"])))]
pub(crate) struct Trace {
    /// Where it comes from: an address, with `:PORT` that of a live connection, or a service's name.
    pub(crate) source: String,
    /// Where it goes: an address, a service's name, `gateway` or `wan`.
    pub(crate) destination: String,
    /// Its port there.
    pub(crate) port: Option<String>,
    /// It opens a TCP connection; so where nothing else is said.
    #[arg(long)]
    pub(crate) tcp: bool,
    /// It is a UDP datagram.
    #[arg(long)]
    pub(crate) udp: bool,
    /// It is a ping.
    #[arg(long)]
    pub(crate) icmp: bool,
    /// The side it comes from (lan, wan, service or guest), where its source does not say so, or lies.
    #[arg(long)]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Which usage, and how it is shown.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Usage {
    /// The month, as 2026-11; this one where none is given.
    #[arg(long, value_parser = month)]
    pub(crate) month: Option<String>,
    /// Print one line of CSV for each signed record.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) action: Option<UsageAction>,
}

/// What else to do with the records.
#[derive(Subcommand)]
pub(crate) enum UsageAction {
    /// Print the signed records.
    Export,
    /// Print the public key.
    Key,
    /// Check the records.
    Verify {
        /// An export; the gateway's own records where none is given.
        file: Option<PathBuf>,
        /// The public key, PEM; the gateway's where none is given.
        #[arg(long)]
        key: Option<PathBuf>,
    },
}

/// A month as the records are asked for.
fn month(text: &str) -> Result<String, String> {
    let parts = text.split_once('-').filter(|(year, month)| {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let number = month
            .parse::<u8>()
            .is_ok_and(|month| (1..=12).contains(&month));
        year.len() == 4 && month.len() == 2 && digits(year) && digits(month) && number
    });
    match parts {
        Some(_) => Ok(text.to_owned()),
        None => Err("a month is written as 2026-11".to_owned()),
    }
}

/// For people or for programs.
#[derive(clap::Args)]
pub(crate) struct Format {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A service and a format.
#[derive(clap::Args)]
pub(crate) struct Target {
    /// Name of the service, as `hearth ps` lists it.
    #[arg(value_parser = ServiceName::new)]
    pub(crate) name: ServiceName,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_two_words_of_a_command_have_one_name() {
        Args::command().debug_assert();
        // given a forward with and without the target's port
        for (words, expected) in [
            (&["tcp", "8022", "192.168.1.50", "22"][..], Some(22)),
            (&["udp", "8000-8010", "web"], None),
        ] {
            // when it is read, then each word is where it belongs
            let line = ["hearth", "forward", "add"].iter().chain(words);
            let args = Args::try_parse_from(line).unwrap();
            let Command::Forward(ForwardAction::Add {
                ports,
                target,
                to_port,
                ..
            }) = args.command
            else {
                panic!("another command");
            };
            assert_eq!((ports.port.as_str(), target.as_str()), (words[1], words[2]));
            assert_eq!(to_port, expected);
        }
    }
}
