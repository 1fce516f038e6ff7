//! `hearth usage`: asks for the records and has them summed, checked or handed on.

use crate::args::{Usage, UsageAction};
use crate::console::{Dots, print};
use crate::run::Trouble;
use hearth_client::client::Api;
use hearth_client::usage::{CSV_HEADER, Check, Lines, Sums, Wrong, csv};
use hearth_model::api::OpenUsage;
use hearth_model::calendar;
use hearth_model::usage::{Broken, PublicKey};
use std::io::Read;
use std::path::Path;

/// Records between two dots of progress.
const RECORDS_PER_DOT: u32 = 200;

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Trouble {
        Trouble::Failed(format!("the usage records can not be read: {broken}"))
    }
}

impl From<Wrong> for Trouble {
    fn from(wrong: Wrong) -> Trouble {
        Trouble::Failed(format!(
            "the usage records are NOT as the gateway wrote them: {wrong}"
        ))
    }
}

/// Carries it out.
pub(crate) async fn usage(api: &Api, usage: &Usage) -> Result<(), Trouble> {
    match &usage.action {
        None => sums(api, usage).await,
        Some(UsageAction::Export) => {
            let mut pieces = api.stream("/v1/usage").await?;
            while let Some(piece) = pieces.next().await? {
                print(&piece)?;
            }
            Ok(())
        }
        Some(UsageAction::Key) => Ok(print(api.get("/v1/usage/key").await?.body())?),
        Some(UsageAction::Verify { file, key }) => {
            verify(api, file.as_deref(), key.as_deref()).await
        }
    }
}

async fn sums(api: &Api, usage: &Usage) -> Result<(), Trouble> {
    let open: OpenUsage = api.get("/v1/usage/open").await?.read()?;
    let month = usage
        .month
        .clone()
        .unwrap_or_else(|| calendar::month(open.until));
    let (mut sums, mut lines) = (Sums::default(), Lines::default());
    let mut rows = CSV_HEADER.to_owned();
    let mut pieces = api.stream("/v1/usage").await?;
    while let Some(piece) = pieces.next().await? {
        lines.piece(&piece, |line| -> Result<(), Trouble> {
            if let Some(record) = sums.line(line, &month)?
                && usage.csv
            {
                rows.push_str(&csv(&record));
            }
            Ok(())
        })?;
    }
    sums.open(&open, &month);
    let text = if usage.csv {
        rows
    } else if usage.format.json {
        format!("{}\n", sums.json(&month))
    } else {
        sums.text(&month, &open)
    };
    Ok(print(text.as_bytes())?)
}

async fn verify(api: &Api, file: Option<&Path>, key: Option<&Path>) -> Result<(), Trouble> {
    let pem = match key {
        Some(path) => std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?,
        None => String::from_utf8_lossy(api.get("/v1/usage/key").await?.body()).into_owned(),
    };
    let mut check = Check::new(PublicKey::from_pem(&pem)?);
    let (mut lines, mut dots, mut count) = (Lines::default(), Dots::new(), 0_u32);
    let mut each = |line: &str| -> Result<(), Trouble> {
        count += 1;
        if count.is_multiple_of(RECORDS_PER_DOT) {
            dots.tick("checking ");
        }
        Ok(check.line(line)?)
    };
    match file {
        Some(path) => {
            let mut bytes = Vec::new();
            std::fs::File::open(path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .map_err(|e| unreadable(path, &e))?;
            for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
                lines.piece(piece, &mut each)?;
            }
        }
        None => {
            let mut pieces = api.stream("/v1/usage").await?;
            while let Some(piece) = pieces.next().await? {
                lines.piece(&piece, &mut each)?;
            }
        }
    }
    drop(dots);
    Ok(print(format!("{}\n", check.verdict()?).as_bytes())?)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Failed(format!("can not read {}: {error}", path.display()))
}
