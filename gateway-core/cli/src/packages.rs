//! `hearth install` and `hearth remove`. The command does it, as root, and not the manager: strangers wrote what is
//! read here. The manager is started anew when all is on disk; its services go on meanwhile.

use crate::args::{Install, Remove};
use crate::console::{Dots, print};
use crate::run::{Trouble, act};
use hearth_client::action::Verb;
use hearth_client::client::{Api, Failure};
use hearth_client::limits::{ACTION_POLL, ACTION_WAIT, ANSWER_WAIT};
use hearth_client::words;
use hearth_model::Bytes;
use hearth_model::api::Service;
use hearth_store::place::{Installed, Place};
use serde_json::json;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

/// Stands for the root of the file system in tests.
const ROOT_VARIABLE: &str = "HEARTH_ROOT";

const MANAGER: &str = "/v1/services/hearth-manager";

fn place() -> Place {
    let root = std::env::var_os(ROOT_VARIABLE).unwrap_or_else(|| "/".into());
    Place::new(Path::new(&root))
}

fn failed(why: impl AsRef<str>) -> Trouble {
    Trouble::Failed(words::ascii(why.as_ref()))
}

/// Days since 1970; 0 on a clock that is set to before.
fn today() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / 86_400)
}

/// A service's row; `None` where there is no such service.
async fn row(api: &Api, name: &str) -> Result<Option<Service>, Trouble> {
    match api.get(&format!("/v1/services/{name}")).await {
        Ok(answer) => Ok(Some(answer.read()?)),
        Err(Failure::Refused { .. }) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// Takes a package in.
pub(crate) async fn install(api: &Api, install: &Install) -> Result<(), Trouble> {
    let candidate = place().look(&install.path, today()).map_err(failed)?;
    let name = candidate.package().manifest().name().clone();
    let runs = row(api, name.as_str())
        .await?
        .is_some_and(|row| row.pid != 0);
    if runs {
        return Err(Trouble::Failed(format!(
            "{name} runs; hearth stop {name}, then install it again"
        )));
    }
    if install.dry_run {
        let manifest = candidate.package().manifest();
        let (version, vendor) = (manifest.version(), &candidate.package().sealed().vendor);
        return tell(
            install.format.json,
            &json!({ "name": name.as_str(), "version": version, "vendor": vendor.as_str(), "replaces": candidate.replaces() }),
            &format!("{name} {version} of {vendor} can be installed"),
        );
    }
    let mut dots = Dots::new();
    dots.tick(&format!("install {name} "));
    let done = candidate.install().map_err(failed)?;
    look_again(api, &mut dots).await?;
    let found = row(api, name.as_str()).await?;
    drop(dots);
    let row = found.ok_or_else(|| {
        Trouble::Failed(format!(
            "{name} is installed and can not be used; hearth status says why"
        ))
    })?;
    tell(
        install.format.json,
        &json!({
            "name": name.as_str(), "version": done.version, "vendor": done.vendor.as_str(),
            "replaces": done.replaces, "size": done.size,
        }),
        &said(&done, &row),
    )
}

fn said(done: &Installed, row: &Service) -> String {
    let name = &done.name;
    let replaces = match &done.replaces {
        Some(old) => format!(" in the place of {old}"),
        None => String::new(),
    };
    let next = match row.wanted {
        true => "; it starts now: hearth ps".to_owned(),
        false => format!("; hearth start {name} runs it"),
    };
    format!(
        "{name} {} of {} is installed{replaces}, {}{next}",
        done.version,
        done.vendor,
        Bytes(done.size)
    )
}

/// Takes a package away.
pub(crate) async fn remove(api: &Api, remove: &Remove) -> Result<(), Trouble> {
    let name = &remove.target.name;
    if row(api, name.as_str())
        .await?
        .is_some_and(|row| row.pid != 0 || row.wanted)
    {
        act(api, Verb::Stop, &remove.target).await?;
    }
    let firmware = place().remove(name, remove.purge).map_err(failed)?;
    let mut dots = Dots::new();
    dots.tick(&format!("remove {name} "));
    look_again(api, &mut dots).await?;
    drop(dots);
    let data = match remove.purge {
        true => "with its data",
        false => "its data stays (--purge)",
    };
    let rest = match firmware {
        true => "; the firmware's own package of this name is the service now",
        false => "",
    };
    tell(
        remove.target.format.json,
        &json!({ "name": name.as_str(), "purged": remove.purge, "firmware": firmware }),
        &format!("{name} is removed, {data}{rest}"),
    )
}

fn tell(as_json: bool, value: &serde_json::Value, text: &str) -> Result<(), Trouble> {
    let line = match as_json {
        true => format!("{value}\n"),
        false => format!("{text}\n"),
    };
    Ok(print(line.as_bytes())?)
}

/// Lets the manager look at its packages again: a new one does when it starts.
async fn look_again(api: &Api, dots: &mut Dots) -> Result<(), Trouble> {
    let pid = |row: Option<Service>| row.map_or(0, |row| row.pid);
    let before = pid(row(api, "hearth-manager").await?);
    api.post(&format!("{MANAGER}/restart"), ANSWER_WAIT).await?;
    let deadline = Instant::now() + ACTION_WAIT;
    loop {
        sleep(ACTION_POLL).await;
        dots.tick("");
        // While it is away nobody answers.
        let now = match row(api, "hearth-manager").await {
            Ok(found) => pid(found),
            Err(_) => 0,
        };
        if now != 0 && now != before {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Trouble::Failed(
                "hearth-manager does not come back, and looks at packages when it does; see dmesg"
                    .to_owned(),
            ));
        }
    }
}
