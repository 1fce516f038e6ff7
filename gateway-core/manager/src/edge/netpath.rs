//! The connection to netpath: made again with growing waits whenever it is lost.

use super::channel::{Channel, Lost};
use crate::limits::{NETPATH_RETRY_MAX, NETPATH_RETRY_MIN};
use crate::sys;
use core::time::Duration;
use hearth_model::limits::PROTOCOL_VERSION;
use hearth_model::protocol::{FromNetpath, OwnNetworks, ToNetpath};
use std::path::PathBuf;
use tokio::time::{Instant, sleep_until};

/// What happened on the connection.
#[derive(Debug)]
pub enum NetEvent {
    /// netpath answered the Hello; the networks that it forwards for.
    Up(OwnNetworks),
    /// A record of netpath.
    Record(Box<FromNetpath>),
    /// The connection is gone; why.
    Down(String),
}

#[derive(Debug)]
enum State {
    Down { retry_at: Instant },
    Greeting(Channel),
    Up(Channel),
}

/// The connection.
#[derive(Debug)]
pub struct Netpath {
    socket: PathBuf,
    state: State,
    wait: Duration,
}

impl Netpath {
    /// A connection that is made as soon as somebody waits for [`Netpath::next`].
    #[must_use]
    pub fn new(socket: PathBuf) -> Netpath {
        let state = State::Down {
            retry_at: Instant::now(),
        };
        Netpath {
            socket,
            state,
            wait: NETPATH_RETRY_MIN,
        }
    }

    /// Whether records can be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Queues a record. One that can not be queued is lost together with the connection; the next
    /// [`NetEvent::Up`] is the time to say everything again.
    pub fn send(&mut self, record: &ToNetpath) {
        let State::Up(channel) = &mut self.state else {
            return;
        };
        if let Err(lost) = channel.send(record, Vec::new()) {
            log::error!("hearth-netpath: {lost}; connecting anew");
            self.down();
        }
    }

    /// The next event. Nothing is lost where the caller stops waiting.
    pub async fn next(&mut self) -> NetEvent {
        loop {
            match &mut self.state {
                State::Down { retry_at } => {
                    sleep_until(*retry_at).await;
                    self.connect();
                }
                State::Greeting(channel) => match channel.next::<FromNetpath>().await {
                    Ok((
                        FromNetpath::Welcome {
                            version, networks, ..
                        },
                        _,
                    )) if version == PROTOCOL_VERSION => {
                        return self.up(networks);
                    }
                    Ok((other, _)) => {
                        let text = match other {
                            FromNetpath::Welcome { version, .. } => format!(
                                "it speaks protocol version {version}, this manager \
                                 {PROTOCOL_VERSION}; install matching firmware"
                            ),
                            FromNetpath::Refused { reason, .. } => reason.to_string(),
                            FromNetpath::Attached { .. }
                            | FromNetpath::Detached { .. }
                            | FromNetpath::Forwarded { .. }
                            | FromNetpath::PortsOpened(_)
                            | FromNetpath::PortsClosed(_)
                            | FromNetpath::PortsRefused { .. }
                            | FromNetpath::PortsSettled
                            | FromNetpath::Wan(_)
                            | FromNetpath::Overlap(_)
                            | FromNetpath::WanEvent(_)
                            | FromNetpath::Report(_)
                            | FromNetpath::Queues(_)
                            | FromNetpath::Seen { .. } => "it did not greet first".to_owned(),
                        };
                        log::error!("hearth-netpath: {text}");
                        self.down();
                    }
                    // It is starting, or going: the next try tells.
                    Err(_) => self.down(),
                },
                State::Up(channel) => match channel.next::<FromNetpath>().await {
                    Ok((record, _)) => return NetEvent::Record(Box::new(record)),
                    Err(lost) => {
                        self.down();
                        return NetEvent::Down(lost.to_string());
                    }
                },
            }
        }
    }

    fn connect(&mut self) {
        let hello = ToNetpath::Hello {
            version: PROTOCOL_VERSION,
        };
        let greeting = || -> Result<Channel, Lost> {
            let socket = sys::socket::connect(self.socket.as_os_str())?;
            let mut channel = Channel::new(socket)?;
            channel.send(&hello, Vec::new())?;
            Ok(channel)
        };
        match greeting() {
            Ok(channel) => self.state = State::Greeting(channel),
            Err(_) => self.down(),
        }
    }

    fn up(&mut self, networks: OwnNetworks) -> NetEvent {
        self.wait = NETPATH_RETRY_MIN;
        let before = State::Down {
            retry_at: Instant::now(),
        };
        self.state = match core::mem::replace(&mut self.state, before) {
            State::Greeting(channel) | State::Up(channel) => State::Up(channel),
            down @ State::Down { .. } => down,
        };
        NetEvent::Up(networks)
    }

    fn down(&mut self) {
        self.state = State::Down {
            retry_at: Instant::now() + self.wait,
        };
        self.wait = (self.wait * 2).min(NETPATH_RETRY_MAX);
    }
}
