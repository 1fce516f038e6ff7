//! hyper answers what is no HTTP by itself, with a status and nothing else. This layer under it tells the same
//! as an `ApiError`, like every other error.

use super::requests::Fault;
use crate::limits::{HEAD_MAX, HEADERS_MAX};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;

/// A connection on which an error without a body is told with one.
#[derive(Debug)]
pub struct Retold<IO> {
    inner: IO,
    /// What is written instead of an answer of hyper's, and how much of that is out.
    instead: Option<(Vec<u8>, usize)>,
}

impl<IO> Retold<IO> {
    /// Over this connection.
    pub fn new(inner: IO) -> Retold<IO> {
        Retold {
            inner,
            instead: None,
        }
    }
}

/// An answer of hyper's own as it should be; `None` for any other piece of an answer. Ours with a status of 4xx
/// always have a body (`guard`), so the two can not be taken for each other.
fn retold(piece: &[u8]) -> Option<Vec<u8>> {
    let status = piece.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let bare = b"content-length: 0\r\n";
    if !status.starts_with(b"4") || !piece.windows(bare.len()).any(|part| part == bare) {
        return None;
    }
    let (line, text) = match status {
        b"414" => (
            "414 URI Too Long",
            format!(
                "the path of the request is longer than {HEAD_MAX} bytes; no path of this API is"
            ),
        ),
        b"431" => (
            "431 Request Header Fields Too Large",
            format!(
                "the head of the request is larger than {HEAD_MAX} bytes or has more than {HEADERS_MAX} \
                 lines; leave out what the API does not need: `host` is enough"
            ),
        ),
        _ => (
            "400 Bad Request",
            "the request is no HTTP/1.1 (RFC 9112); ask as in: curl --unix-socket \
             /run/hearth/api.sock http://gateway/v1/status"
                .to_owned(),
        ),
    };
    let (_, error) = Fault::Arguments(text).parts();
    let body = serde_json::to_string(&error).ok()?;
    let head = format!(
        "HTTP/1.1 {line}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    Some((head + &body).into_bytes())
}

impl<IO: Read + Unpin> Read for Retold<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<IO: Write + Unpin> Write for Retold<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            this.instead = retold(piece).map(|text| (text, 0));
        }
        let Some((text, done)) = &mut this.instead else {
            return Pin::new(&mut this.inner).poll_write(context, piece);
        };
        while let Some(rest) = text.get(*done..).filter(|rest| !rest.is_empty()) {
            *done += match ready!(Pin::new(&mut this.inner).poll_write(context, rest))? {
                0 => return Poll::Ready(Ok(0)),
                count => count,
            };
        }
        this.instead = None;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_without_a_body_is_told_anew() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let text = String::from_utf8(retold(bare).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(body.contains("7004"), "{body}");
        for other in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 20\r\n\r\n{\"error\":\"\",\"code\":1}",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(retold(other), None);
        }
    }
}
