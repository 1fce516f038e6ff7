//! `hearth top`: asks twice, shows what was used in between, and again, until it is ended.

use crate::args::Watch;
use crate::console::print;
use crate::run::Trouble;
use core::time::Duration;
use hearth_client::client::Api;
use hearth_client::limits::TOP_FIRST;
use hearth_client::top::{list, screen, uses};
use hearth_model::api::Top;
use std::io::{self, IsTerminal};
use tokio::time::sleep;

/// VT100: clear the screen; to its upper left; clear the rest of a line; clear the rest of the screen.
const CLEAR: &str = "\x1b[2J";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Carries it out. On no terminal it is as with `--once`, unless it is for a program.
pub(crate) async fn top(api: &Api, args: &Watch) -> Result<(), Trouble> {
    let live = io::stdout().is_terminal();
    let once = args.once || !(live || args.format.json);
    let every = Duration::from_secs(args.every.into());
    let mut before: Top = api.get("/v1/top").await?.read()?;
    let mut wait = every.min(TOP_FIRST);
    let mut first = true;
    loop {
        sleep(wait).await;
        wait = every;
        let after: Top = api.get("/v1/top").await?.read()?;
        let uses = uses(&before, &after, args.sort);
        if args.format.json {
            print(format!("{}\n", serde_json::json!(uses)).as_bytes())?;
        } else if once {
            print(list(&uses).as_bytes())?;
        } else {
            let text = screen(&uses, args.sort);
            let text = text.replace('\n', &format!("{CLEAR_LINE}\n"));
            let start = if first { CLEAR } else { "" };
            print(format!("{start}{HOME}{text}{CLEAR_BELOW}").as_bytes())?;
        }
        if once {
            return Ok(());
        }
        (before, first) = (after, false);
    }
}
