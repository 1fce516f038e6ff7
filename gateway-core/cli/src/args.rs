//! The command line. Usage errors end with status 2 (clap's own).

use clap::{Parser, Subcommand};
use hearth_model::ServiceName;

/// The text of `hearth help`.
pub(crate) const HELP: &str = "\
hearth - look after this gateway

  hearth status           is all well? addresses, budget, services
  hearth ps               what runs, one line each
  hearth start NAME       run a service, now and after every boot
  hearth stop NAME        end a service and leave it off
  hearth restart NAME     end a service and run it again
  hearth logs NAME [-f]   what a service printed; -f goes on, Ctrl-C ends it
  hearth poweroff         stop everything in order and switch off
  hearth reboot           stop everything in order and start again
  hearth banner           the three lines shown at login

--json after ps, status, start, stop, restart or logs prints the answer for
programs. Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 the gateway
does not answer. HEARTH_API=PATH asks at another socket.
";

/// The whole command line.
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
    /// Tell how the gateway is.
    Status(Format),
    /// Run a service.
    Start(Target),
    /// End a service.
    Stop(Target),
    /// End a service and run it again.
    Restart(Target),
    /// Print a service's log.
    Logs {
        #[command(flatten)]
        target: Target,
        /// Go on with what is printed from now on.
        #[arg(short, long)]
        follow: bool,
    },
    /// Switch off.
    Poweroff,
    /// Start again.
    Reboot,
    /// Print the lines shown at login.
    Banner,
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
