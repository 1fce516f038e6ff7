//! `hearth start` with its ways of making room, and `hearth rank`.

use crate::args::{Rank, Start};
use crate::console::{print, print_json};
use crate::run::{Trouble, act_with, show};
use hearth_client::action::Verb;
use hearth_client::client::{Api, Failure};
use hearth_client::limits::ANSWER_WAIT;
use hearth_client::room;
use hearth_model::api::{RankRow, StartPlan};
use std::process::ExitCode;

/// Starts a service, or says what that would come to.
pub(crate) async fn start(api: &Api, start: &Start) -> Result<ExitCode, Trouble> {
    if start.dry_run {
        return dry_run(api, start).await;
    }
    let query = match start.make_room {
        true => "?make_room=true",
        false => "",
    };
    match act_with(api, Verb::Start, query, &start.target).await {
        Err(Trouble::Api(failure @ Failure::Refused { .. })) => {
            if let (true, Failure::Refused { body, .. }) = (start.target.format.json, &failure) {
                print_json(body)?;
            }
            Err(failure.into())
        }
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

async fn dry_run(api: &Api, start: &Start) -> Result<ExitCode, Trouble> {
    let name = &start.target.name;
    let path = format!("/v1/services/{name}/start?dry_run=true");
    let answer = api.post(&path, ANSWER_WAIT).await?;
    let plan: StartPlan = answer.read()?;
    if start.target.format.json {
        print_json(answer.body())?;
    } else {
        print(room::plan(&plan).as_bytes())?;
    }
    let starts = plan.fits || (start.make_room && !plan.stops.is_empty());
    Ok(match starts {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(crate::REFUSED),
    })
}

/// Shows the ranks, after ranking the services that are named.
pub(crate) async fn rank(api: &Api, rank: &Rank) -> Result<(), Trouble> {
    let answer = if rank.names.is_empty() && !rank.clear {
        api.get("/v1/rank").await?
    } else {
        let names: Vec<&str> = rank.names.iter().map(|name| name.as_str()).collect();
        let path = format!("/v1/rank?order={}", names.join(","));
        api.post(&path, ANSWER_WAIT).await?
    };
    show(&rank.format, &answer, |rows: Vec<RankRow>| {
        room::ranks(&rows)
    })
}
