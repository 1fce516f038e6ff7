//! A client of the gateway's API, shared by the `hearth` command and by `hearth-web`: requests over
//! the Unix socket, the words in which states and amounts are told to people, and the text that the
//! command prints.
//!
//! [`words`], [`redact`], [`render`], [`room`], [`why`], [`usage`], [`top`], [`action`] and [`banner`] are pure: a value in, a text or
//! verdict out.
//! Only [`client`] touches a socket. What this crate refuses to do: decide anything about a service;
//! the manager decides, this crate asks and tells.
#![forbid(unsafe_code)]

pub mod action;
pub mod banner;
pub mod client;
pub mod limits;
pub mod redact;
pub mod render;
pub mod room;
pub mod top;
pub mod usage;
pub mod why;
pub mod words;
