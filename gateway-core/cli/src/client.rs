//! HTTP/1.1 over the API's Unix socket: one connection a request, bounded in time and size.

use crate::limits::{ANSWER_MAX, ANSWER_WAIT};
use core::fmt;
use core::time::Duration;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Environment variable that names another socket than [`hearth_model::api::SOCKET`].
pub const SOCKET_VARIABLE: &str = "HEARTH_API";

/// Why there is no answer to use.
#[derive(Debug)]
pub enum Failure {
    /// Nobody answered: the caller may try again later.
    Silent {
        /// Where nobody answered.
        socket: PathBuf,
        /// What happened instead.
        why: Silence,
    },
    /// The gateway answered that it will not do it.
    Refused {
        /// Its own sentence, for the person.
        text: String,
        /// The answer as it came, for programs; empty where it was not asked.
        body: Vec<u8>,
    },
    /// An answer came that this version does not understand.
    Unreadable {
        /// What was asked for.
        path: String,
        /// What is wrong with the answer.
        why: serde_json::Error,
    },
}

/// How a gateway does not answer.
#[derive(Debug)]
pub enum Silence {
    /// The socket can not be reached.
    Connect(io::Error),
    /// The conversation broke off.
    Broken(hyper::Error),
    /// No answer in this time.
    Slow(Duration),
    /// The answer is longer than [`ANSWER_MAX`].
    TooLong,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Silent { socket, why } => write!(
                f,
                "the gateway does not answer on {}: {why}; {}",
                socket.display(),
                why.remedy()
            ),
            Failure::Refused { text, .. } => f.write_str(text),
            Failure::Unreadable { path, why } => write!(
                f,
                "the gateway's answer to {path} can not be read: {why}; this program and \
                 hearth-manager are of different versions: reboot after an update"
            ),
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::Connect(e) => write!(f, "{e}"),
            Silence::Broken(e) => write!(f, "the connection broke off: {e}"),
            Silence::Slow(time) => write!(f, "no answer within {} s", time.as_secs()),
            Silence::TooLong => write!(f, "the answer is longer than {ANSWER_MAX} bytes"),
        }
    }
}

impl Silence {
    fn remedy(&self) -> &'static str {
        match self {
            Silence::Connect(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                "this user may not use it: log in as root"
            }
            Silence::Connect(_) | Silence::Broken(_) => {
                "hearth-manager is started again by itself: try again in a few seconds, then see \
                 'dmesg' for its last words"
            }
            Silence::Slow(_) => "the gateway is very busy, or hearth-manager hangs: try again",
            Silence::TooLong => "this is no hearth-manager: check the variable HEARTH_API",
        }
    }
}

/// A successful answer's body.
#[derive(Debug)]
pub struct Answer {
    path: String,
    body: Bytes,
}

impl Answer {
    /// The body as it came, for `--json`.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as the type that the contract names for this path.
    ///
    /// # Errors
    /// [`Failure::Unreadable`] where it is another.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|why| Failure::Unreadable {
            path: self.path.clone(),
            why,
        })
    }
}

/// The gateway's API at one socket.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    /// The API at the socket that [`SOCKET_VARIABLE`] names, else at the usual one.
    #[must_use]
    pub fn from_env() -> Api {
        let socket = std::env::var_os(SOCKET_VARIABLE)
            .filter(|value| !value.is_empty())
            .unwrap_or_else(|| hearth_model::api::SOCKET.into());
        Api {
            socket: PathBuf::from(socket),
        }
    }

    /// The API at this socket.
    #[must_use]
    pub fn at(socket: &Path) -> Api {
        Api {
            socket: socket.to_owned(),
        }
    }

    /// Where the API is asked.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// [`Failure::Silent`] after [`ANSWER_WAIT`] or at once, [`Failure::Refused`].
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, ANSWER_WAIT).await
    }

    /// Posts to `path`, without a body, and waits up to `wait`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post(&self, path: &str, wait: Duration) -> Result<Answer, Failure> {
        self.ask(Method::POST, path, wait).await
    }

    /// Removes `path`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(Method::DELETE, path, ANSWER_WAIT).await
    }

    /// Asks for `path` and hands over each piece of the body as it comes, without an end in time or
    /// size: a log that is followed.
    ///
    /// # Errors
    /// As [`Api::get`]; [`Failure::Silent`] too where the stream breaks off.
    pub async fn stream(&self, path: &str) -> Result<Pieces, Failure> {
        let response = self
            .within(ANSWER_WAIT, self.send(Method::GET, path))
            .await?;
        let response = self.accepted(response).await?;
        Ok(Pieces {
            api: self.clone(),
            body: response.into_body(),
        })
    }

    async fn ask(&self, method: Method, path: &str, wait: Duration) -> Result<Answer, Failure> {
        self.within(wait, async {
            let response = self.send(method, path).await?;
            let response = self.accepted(response).await?;
            Ok(Answer {
                path: path.to_owned(),
                body: self.collect(response).await?,
            })
        })
        .await
    }

    async fn within<T>(
        &self,
        wait: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout(wait, work)
            .await
            .unwrap_or_else(|_| Err(self.silent(Silence::Slow(wait))))
    }

    async fn send(&self, method: Method, path: &str) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| self.silent(Silence::Connect(e)))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.silent(Silence::Broken(e)))?;
        // The connection's own error is seen by the request that waits on it.
        tokio::spawn(connection);
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Failure::Refused {
            text: format!("the path {path} is no address of the gateway's API"),
            body: Vec::new(),
        })?;
        request.headers_mut().insert(
            hyper::header::HOST,
            hyper::header::HeaderValue::from_static("gateway"),
        );
        sender
            .send_request(request)
            .await
            .map_err(|e| self.silent(Silence::Broken(e)))
    }

    /// Passes a 2xx answer on; turns any other into the error that its body tells.
    async fn accepted(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.collect(response).await?;
        Err(Failure::Refused {
            text: refusal(status, &body),
            body: body.into(),
        })
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, Failure> {
        match Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await
        {
            Ok(body) => Ok(body.to_bytes()),
            Err(e) if e.is::<LengthLimitError>() => Err(self.silent(Silence::TooLong)),
            Err(e) => match e.downcast::<hyper::Error>() {
                Ok(e) => Err(self.silent(Silence::Broken(*e))),
                Err(e) => Err(self.silent(Silence::Connect(io::Error::other(e)))),
            },
        }
    }

    fn silent(&self, why: Silence) -> Failure {
        Failure::Silent {
            socket: self.socket.clone(),
            why,
        }
    }
}

/// A body that comes in pieces.
#[derive(Debug)]
pub struct Pieces {
    api: Api,
    body: Incoming,
}

impl Pieces {
    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// [`Failure::Silent`] where the stream breaks off before its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|e| self.api.silent(Silence::Broken(e)))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// The text of an error's body: the contract's [`hearth_model::api::ApiError`], or what there is.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice::<hearth_model::api::ApiError>(body) {
        Ok(told) => told.error,
        Err(_) => format!(
            "the gateway answered {status} without a reason; see 'dmesg' for hearth-manager's words"
        ),
    }
}
