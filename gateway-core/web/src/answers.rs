//! The manager's answers: asked for by whoever comes first, shared by all who come meanwhile. However
//! many look at the page, the manager has one question at a time from here.

use crate::limits::{ANSWER_KEPT, API_WAIT};
use hearth_client::client::{Api, Failure, Silence};
use hearth_model::api::{Net, Status};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// An answer, or why there is none, in a sentence for a person.
pub type Answer = Result<Arc<Status>, Arc<str>>;

/// The network, where the manager tells it.
pub type Network = Option<Arc<Net>>;

/// Where answers come from.
#[derive(Debug)]
pub struct Answers {
    api: Api,
    last: Mutex<Option<(Instant, Answer)>>,
    last_network: Mutex<Kept>,
    last_network_now: Mutex<Kept>,
}

/// The network as it was told last, and when.
type Kept = Option<(Instant, Network)>;

impl Answers {
    /// Answers of this API.
    #[must_use]
    pub fn new(api: Api) -> Answers {
        Answers {
            api,
            last: Mutex::new(None),
            last_network: Mutex::new(None),
            last_network_now: Mutex::new(None),
        }
    }

    /// The status, at most [`ANSWER_KEPT`] old.
    pub async fn status(&self) -> Answer {
        let mut last = self.last.lock().await;
        if let Some((when, answer)) = last.as_ref()
            && when.elapsed() < ANSWER_KEPT
        {
            return answer.clone();
        }
        let answer = self.ask().await;
        tell_a_change(last.as_ref().map(|(_, answer)| answer), &answer);
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    /// The network, at most [`ANSWER_KEPT`] old, without the rates of links, which need a wait. Where
    /// there is no answer, the status has said why.
    pub async fn network(&self) -> Network {
        self.ask_network(&self.last_network, "/v1/net?rates=false")
            .await
    }

    /// The network with what passes now: half a second is measured.
    pub async fn network_now(&self) -> Network {
        self.ask_network(&self.last_network_now, "/v1/net").await
    }

    async fn ask_network(&self, last: &Mutex<Kept>, path: &str) -> Network {
        let mut last = last.lock().await;
        if let Some((when, network)) = last.as_ref()
            && when.elapsed() < ANSWER_KEPT
        {
            return network.clone();
        }
        let asked = timeout(API_WAIT, self.api.get(path)).await;
        let network = asked.ok().and_then(Result::ok);
        let network = network.and_then(|answer| answer.read().ok()).map(Arc::new);
        *last = Some((Instant::now(), network.clone()));
        network
    }

    async fn ask(&self) -> Answer {
        let asked = timeout(API_WAIT, self.api.get("/v1/status")).await;
        let answer = asked.unwrap_or_else(|_| {
            Err(Failure::Silent {
                socket: self.api.socket().to_owned(),
                why: Silence::Slow(API_WAIT),
            })
        });
        answer
            .and_then(|answer| answer.read())
            .map(Arc::new)
            .map_err(|failure| failure.to_string().into())
    }
}

/// One line in the log where the manager falls silent or comes back, however many ask meanwhile.
fn tell_a_change(before: Option<&Answer>, now: &Answer) {
    match (before, now) {
        (None | Some(Ok(_)), Err(why)) => eprintln!("warn hearth-web: {why}"),
        (Some(Err(_)), Ok(_)) => eprintln!("info hearth-web: the manager answers again"),
        (Some(Err(_)), Err(_)) | (None | Some(Ok(_)), Ok(_)) => {}
    }
}
