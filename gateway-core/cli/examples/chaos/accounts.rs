//! The accounts, followed record by record as they come: each signed, each the next, none changed, and what
//! a service has used never less than before.

use hearth_client::client::{Api, Failure};
use hearth_client::usage::Lines;
use hearth_model::api::OpenUsage;
use hearth_model::usage::{Broken, Chain, Head, PublicKey};
use std::collections::BTreeMap;

/// Why they could not be followed.
pub enum Trouble {
    /// Not yet: the manager does not answer, or an hour was closed meanwhile.
    Later(String),
    /// They are not what the gateway wrote.
    Wrong(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Later(failure.to_string())
    }
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Trouble {
        Trouble::Wrong(format!("usage records: {broken}"))
    }
}

/// What was seen of them.
#[derive(Default)]
pub struct Accounts {
    key: Option<PublicKey>,
    chain: Chain,
    /// Lines that were followed, and the last of them.
    seen: usize,
    last: String,
    /// Processor time of each service in them.
    recorded: BTreeMap<String, u64>,
    /// The same with the open hour, as it was when it was asked last.
    used: BTreeMap<String, u64>,
}

impl Accounts {
    /// How many records there are.
    pub fn records(&self) -> usize {
        self.seen
    }

    /// Follows what is new.
    pub async fn follow(&mut self, api: &Api) -> Result<(), Trouble> {
        if self.key.is_none() {
            let answer = api.get("/v1/usage/key").await?;
            let pem = String::from_utf8_lossy(answer.body()).into_owned();
            self.key = Some(PublicKey::from_pem(&pem)?);
        }
        self.read(api).await?;
        let before = self.seen;
        let open: OpenUsage = api.get("/v1/usage/open").await?.read()?;
        self.read(api).await?;
        if self.seen != before {
            return Err(Trouble::Later("an hour was closed meanwhile".to_owned()));
        }
        let mut used = self.recorded.clone();
        for row in &open.services {
            *used.entry(row.service.clone()).or_default() += row.used.cpu_usec;
        }
        for (service, &before) in &self.used {
            let now = used.get(service).copied().unwrap_or(0);
            if now < before {
                return Err(Trouble::Wrong(format!(
                    "usage: {service} had used {before} us, and now {now}"
                )));
            }
        }
        self.used = used;
        Ok(())
    }

    async fn read(&mut self, api: &Api) -> Result<(), Trouble> {
        let Some(key) = self.key.clone() else {
            return Ok(());
        };
        let mut pieces = api.stream("/v1/usage").await?;
        let mut lines = Lines::default();
        let (mut number, mut head) = (0, None);
        while let Some(piece) = pieces.next().await? {
            lines.piece(&piece, |line| -> Result<(), Trouble> {
                if !line.starts_with("{\"sequence\":") {
                    head = Some(key.open::<Head>(line)?.0);
                    return Ok(());
                }
                number += 1;
                if number == self.seen && line != self.last {
                    return Err(Trouble::Wrong(format!("usage record {number} was changed")));
                }
                if number > self.seen {
                    let record = self.chain.follow(&key, line)?;
                    *self.recorded.entry(record.service).or_default() += record.used.cpu_usec;
                    (self.seen, self.last) = (number, line.to_owned());
                }
                Ok(())
            })?;
        }
        // What came while it was read is read the next time.
        let head = head.ok_or_else(|| Trouble::Later("the records have no head".to_owned()))?;
        if number < self.seen {
            return Err(Trouble::Wrong(format!(
                "usage: there were {} records, and now {number}",
                self.seen
            )));
        }
        self.chain
            .ends_at(&head)
            .map_err(|broken| Trouble::Later(format!("usage records: {broken}")))
    }
}
