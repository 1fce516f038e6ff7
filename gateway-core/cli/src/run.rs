//! Carries a command out: asks the API, waits where a person would, prints what came.

use crate::accounts;
use crate::admission;
use crate::args::{Command, Format, HELP, Target};
use crate::bundle;
use crate::console::{Dots, print, print_json};
use crate::events;
use crate::forwards;
use crate::network;
use crate::packages;
use crate::watch;
use hearth_client::action::{Progress, Verb, judge};
use hearth_client::banner::{self, Machine};
use hearth_client::client::{Answer, Api, Failure, Silence};
use hearth_client::limits::{
    ACTION_POLL, ACTION_WAIT, ANSWER_WAIT, BANNER_POLL, BANNER_WAIT, LOG_LINE_MAX,
};
use hearth_client::why::why;
use hearth_client::{render, words};
use hearth_model::ServiceName;
use hearth_model::api::{Doctor, Done, Service, Status};
use std::io;
use std::process::ExitCode;
use tokio::time::{Instant, sleep};

/// Who tells which firmware this machine has.
const VENDOR_FILE: &str = "/sys/class/dmi/id/sys_vendor";

/// Why a command ends without success.
pub(crate) enum Trouble {
    /// The gateway did not do it.
    Api(Failure),
    /// It did, and the service is not as asked.
    Failed(String),
    /// The result could not be printed.
    Output(io::Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Api(failure)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Output(error)
    }
}

/// Carries out one command.
pub(crate) async fn run(api: &Api, command: Command) -> Result<ExitCode, Trouble> {
    match command {
        Command::Help => print(HELP.as_bytes())?,
        Command::Ps(format) => {
            let answer = api.get("/v1/services").await?;
            show(&format, &answer, |list: Vec<Service>| render::ps(&list))?;
        }
        Command::Status { name: None, format } => {
            let answer = api.get("/v1/status").await?;
            show(&format, &answer, |status: Status| render::status(&status))?;
        }
        Command::Status {
            name: Some(name),
            format,
        } => {
            let answer = api.get(&format!("/v1/services/{name}")).await?;
            show(&format, &answer, |one: Service| {
                render::service::service(&one)
            })?;
        }
        Command::Start(start) => return admission::start(api, &start).await,
        Command::Rank(rank) => admission::rank(api, &rank).await?,
        Command::Stop(target) => act(api, Verb::Stop, &target).await?,
        Command::Restart(target) => act(api, Verb::Restart, &target).await?,
        Command::Logs { target, follow } => logs(api, &target, follow).await?,
        Command::Why(target) => {
            let answer = api.get("/v1/status").await?;
            let status: Status = answer.read()?;
            let reasons = why(&status, target.name.as_str())
                .ok_or_else(|| Trouble::Failed(format!("there is no service {}", target.name)))?;
            if target.format.json {
                print(format!("{}\n", serde_json::json!(reasons)).as_bytes())?;
            } else {
                print(render::why(target.name.as_str(), &reasons).as_bytes())?;
            }
        }
        Command::Doctor(format) => {
            let answer = api.get("/v1/doctor").await?;
            show(&format, &answer, |report: Doctor| render::doctor(&report))?;
            let well = answer.read::<Doctor>()?.well;
            return Ok(if well {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(crate::REFUSED)
            });
        }
        Command::Events { format, follow } => events::events(api, &format, follow).await?,
        Command::Top(args) => watch::top(api, &args).await?,
        Command::Api { path } => print(api.get(&path).await?.body())?,
        Command::Net(net) => network::net(api, &net).await?,
        Command::Forward(action) => forwards::forward(api, &action).await?,
        Command::Usage(usage) => accounts::usage(api, &usage).await?,
        Command::SupportBundle(args) => bundle::bundle(api, &args).await?,
        Command::Install(install) => packages::install(api, &install).await?,
        Command::Remove(remove) => packages::remove(api, &remove).await?,
        Command::Poweroff => system(api, "poweroff").await?,
        Command::Reboot => system(api, "reboot").await?,
        Command::Banner => return greet(api).await,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn show<T: serde::de::DeserializeOwned>(
    format: &Format,
    answer: &Answer,
    render: impl FnOnce(T) -> String,
) -> Result<(), Trouble> {
    if format.json {
        print_json(answer.body())?;
    } else {
        print(render(answer.read()?).as_bytes())?;
    }
    Ok(())
}

/// Starts, stops or restarts, and waits until it is so or known why not.
pub(crate) async fn act(api: &Api, verb: Verb, target: &Target) -> Result<(), Trouble> {
    act_with(api, verb, "", target).await
}

/// As [`act`], with a query.
pub(crate) async fn act_with(
    api: &Api,
    verb: Verb,
    query: &str,
    target: &Target,
) -> Result<(), Trouble> {
    let name = &target.name;
    let path = format!("/v1/services/{name}");
    let deadline = Instant::now() + ACTION_WAIT;
    let before: Service = api.get(&path).await?.read()?;
    let mut dots = Dots::new();
    let verb_path = format!("{path}/{verb}{query}");
    let asked = api.post(&verb_path, ACTION_WAIT);
    let mut answer = {
        tokio::pin!(asked);
        loop {
            tokio::select! {
                answer = &mut asked => break answer?,
                () = sleep(ACTION_POLL) => dots.tick(&format!("{verb} {name} ")),
            }
        }
    };
    let mut stale = true;
    loop {
        let service: Service = answer.read()?;
        match judge(verb, before.pid, &service) {
            Progress::Done(text) => {
                drop(dots);
                return finish(target, &answer, &text);
            }
            // The first answer may still show the fault of an earlier run.
            Progress::Failed(why) if !stale => {
                drop(dots);
                if target.format.json {
                    print_json(answer.body())?;
                }
                return Err(Trouble::Failed(words::ascii(&why)));
            }
            Progress::Failed(_) | Progress::Pending => {}
        }
        if Instant::now() >= deadline {
            return Err(Trouble::Failed(format!(
                "{name} is still {} {} s after '{verb}'; see 'hearth ps' and 'hearth logs {name}'",
                words::ascii(&service.state),
                ACTION_WAIT.as_secs()
            )));
        }
        sleep(ACTION_POLL).await;
        dots.tick(&format!("{verb} {name} "));
        answer = api.get(&path).await?;
        stale = false;
    }
}

fn finish(target: &Target, answer: &Answer, text: &str) -> Result<(), Trouble> {
    if target.format.json {
        print_json(answer.body())?;
    } else {
        print(format!("{}\n", words::ascii(text)).as_bytes())?;
    }
    Ok(())
}

async fn logs(api: &Api, target: &Target, follow: bool) -> Result<(), Trouble> {
    let name = &target.name;
    let query = if follow { "?follow=true" } else { "" };
    let mut pieces = api
        .stream(&format!("/v1/services/{name}/logs{query}"))
        .await?;
    let mut line = Vec::new();
    while let Some(piece) = pieces.next().await? {
        for byte in &piece {
            if *byte == b'\n' || line.len() == LOG_LINE_MAX {
                print_line(target, name, &line)?;
                line.clear();
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        print_line(target, name, &line)?;
    }
    if follow {
        // A followed log has no end: the manager went away, and a script must see it.
        return Err(Trouble::Api(Failure::Silent {
            socket: api.socket().to_owned(),
            why: Silence::Connect(io::ErrorKind::UnexpectedEof.into()),
        }));
    }
    Ok(())
}

fn print_line(target: &Target, name: &ServiceName, line: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(line);
    if target.format.json {
        let row = serde_json::json!({ "service": name.as_str(), "line": text });
        print(format!("{row}\n").as_bytes())
    } else {
        print(format!("{}\n", words::ascii(&text)).as_bytes())
    }
}

async fn system(api: &Api, what: &str) -> Result<(), Trouble> {
    let answer = api.post(&format!("/v1/system/{what}"), ANSWER_WAIT).await?;
    let done: Done = answer.read()?;
    print(format!("{}\n", words::ascii(&done.message)).as_bytes())?;
    Ok(())
}

/// Waits for the gateway to settle, then says what it is. Exit status 3 where nobody answered.
async fn greet(api: &Api) -> Result<ExitCode, Trouble> {
    // No such file on a board whose firmware tells no vendor: then it is not QEMU.
    let machine = Machine::of_vendor(&std::fs::read_to_string(VENDOR_FILE).unwrap_or_default());
    let deadline = Instant::now() + BANNER_WAIT;
    let mut dots = Dots::new();
    let status = loop {
        let seen = match api.get("/v1/status").await {
            Ok(answer) => Some(answer.read::<Status>()?),
            Err(Failure::Silent { .. } | Failure::Refused { .. }) => None,
            Err(failure @ Failure::Unreadable { .. }) => return Err(failure.into()),
        };
        let ready = seen.as_ref().is_some_and(banner::settled);
        if ready || Instant::now() >= deadline {
            break seen;
        }
        dots.tick("Waiting for the services ");
        sleep(BANNER_POLL).await;
    };
    drop(dots);
    let (text, code) = match &status {
        Some(status) => (banner::lines(status, machine), ExitCode::SUCCESS),
        None => (
            banner::silent(&api.socket().display().to_string(), machine),
            ExitCode::from(crate::SILENT),
        ),
    };
    print(text.as_bytes())?;
    Ok(code)
}
