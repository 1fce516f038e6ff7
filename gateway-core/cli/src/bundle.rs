//! `hearth support-bundle`: one tar file with all that a helper needs to know, without what is private. It asks
//! the manager where that answers, and reads the gateway's files in any case: with a dead manager the bundle has
//! less in it, and says so. Its first file lists what is in it, what is not and why.

mod sources;

use crate::args::Bundle;
use crate::console::print;
use crate::run::Trouble;
use hearth_client::client::{Api, Failure};
use hearth_client::limits::{BUNDLE_MAX, BUNDLE_WAIT, PART_MAX};
use hearth_client::redact::Redactor;
use hearth_client::words::ascii;
use sources::Kind;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// What the API is asked, and under which name the answer is in the bundle.
const ASKED: [(&str, &str); 8] = [
    ("/v1/status", "api/status.json"),
    ("/v1/doctor", "api/doctor.json"),
    ("/v1/top", "api/top.json"),
    ("/v1/net", "api/net.json"),
    ("/v1/rank", "api/rank.json"),
    ("/v1/forwards", "api/forwards.json"),
    ("/v1/events", "api/events.json"),
    ("/v1/usage/open", "api/usage-open.json"),
];

/// The folder that the bundle is unpacked into.
const FOLDER: &str = "hearth-support";

/// A bundle in the making.
struct Parts {
    redactor: Redactor,
    /// Name and text of each part.
    parts: Vec<(String, String)>,
    size: usize,
    /// What could not be had, one sentence each.
    missing: Vec<String>,
}

/// Carries it out.
pub(crate) async fn bundle(api: &Api, args: &Bundle) -> Result<(), Trouble> {
    let mut parts = Parts {
        redactor: Redactor::new(&sources::configurations(&args.root)),
        parts: Vec::new(),
        size: 0,
        missing: Vec::new(),
    };
    ask(api, &mut parts).await;
    sources::gather(&args.root, &mut |name, kind, text| match text {
        Ok(text) => parts.add(name, kind, &text),
        Err(e) => parts.missing.push(format!("{name}: {e}")),
    });
    let contents = parts.contents();
    let tar = parts.tar(&contents)?;
    if args.file == Path::new("-") {
        return Ok(print(&tar)?);
    }
    write(&args.file, &tar).map_err(|e| {
        Trouble::Failed(format!(
            "could not write {}: {e}; name another file, or - for the output",
            args.file.display()
        ))
    })?;
    let summary = if args.format.json {
        let names: Vec<&str> = parts.parts.iter().map(|(name, _)| name.as_str()).collect();
        let told = serde_json::json!({
            "file": args.file, "bytes": tar.len(), "parts": names, "missing": parts.missing,
            "removed": parts.redactor.removed(),
        });
        format!("{told}\n")
    } else {
        format!(
            "{}: {} bytes, {} parts, {} of what was looked for is not in it.\nRead it before you give it away: \
             tar xOf {} {FOLDER}/CONTENTS\n",
            args.file.display(),
            tar.len(),
            parts.parts.len(),
            parts.missing.len(),
            args.file.display()
        )
    };
    Ok(print(summary.as_bytes())?)
}

/// Asks the API; whatever it does not answer is told once.
async fn ask(api: &Api, parts: &mut Parts) {
    for (path, name) in ASKED {
        let answer = match timeout(BUNDLE_WAIT, api.get(path)).await {
            Ok(answer) => answer,
            Err(_) => {
                let seconds = BUNDLE_WAIT.as_secs();
                let text =
                    format!("everything of the API from {name} on: no answer within {seconds} s");
                parts.missing.push(text);
                return;
            }
        };
        match answer.and_then(|answer| answer.read::<serde_json::Value>()) {
            Ok(value) => {
                let text = serde_json::to_string_pretty(&value).unwrap_or_default();
                parts.add(name, Kind::Text, &text);
            }
            Err(failure @ Failure::Silent { .. }) => {
                parts
                    .missing
                    .push(format!("everything of the API from {name} on: {failure}"));
                return;
            }
            Err(failure) => parts.missing.push(format!("{name}: {failure}")),
        }
    }
}

impl Parts {
    /// Adds a part: its end where it is too long, without what is private.
    fn add(&mut self, name: &str, kind: Kind, text: &str) {
        let full = format!("{name}: the bundle has {BUNDLE_MAX} bytes already");
        if self.size + PART_MAX > BUNDLE_MAX && self.size + text.len() > BUNDLE_MAX {
            self.missing.push(full);
            return;
        }
        let text = match kind {
            Kind::Text => self.redactor.text(text),
            Kind::Manifest => self.redactor.manifest(text),
        };
        let text = end_of(&text);
        if self.size + text.len() > BUNDLE_MAX {
            self.missing.push(full);
            return;
        }
        self.size += text.len();
        self.parts.push((name.to_owned(), text));
    }

    /// What is in it, what is not, and what was taken out.
    fn contents(&self) -> String {
        let mut text = format!(
            "Support bundle of a Hearth gateway, made by hearth {}.\n\nIn it, bytes and name:\n",
            env!("CARGO_PKG_VERSION")
        );
        for (name, part) in &self.parts {
            text.push_str(&format!("{:>8} {name}\n", part.len()));
        }
        text.push_str(
            "\nTaken out: addresses but the gateway's own, hardware addresses, names of hosts and sites, mail \
             addresses, what was asked of web servers, values of environment variables, and whatever is called a \
             password, token, cookie or key. The same thing has the same name everywhere (home-1). Not in it: \
             services' data, keys, signed usage records, and who talks with whom. Services choose what they \
             print: read the logs before you give this away.\n",
        );
        let removed = self.redactor.removed();
        if !removed.is_empty() {
            text.push_str(&format!("Different ones: {}\n", removed.join(", ")));
        }
        if !self.missing.is_empty() {
            text.push_str("\nCould not be had:\n");
            for one in &self.missing {
                text.push_str(&format!("- {}\n", ascii(one)));
            }
        }
        text
    }

    fn tar(&self, contents: &str) -> io::Result<Vec<u8>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock before 1970 is no reason to have no bundle.
        let now = now.map_or(0, |since| since.as_secs());
        let mut tar = tar::Builder::new(Vec::new());
        let first = core::iter::once(("CONTENTS", contents));
        let parts = self
            .parts
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        for (name, text) in first.chain(parts) {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(now);
            tar.append_data(&mut header, format!("{FOLDER}/{name}"), text.as_bytes())?;
        }
        tar.into_inner()
    }
}

/// The last [`PART_MAX`] bytes, from the begin of a line on, with a word about the rest.
fn end_of(text: &str) -> String {
    if text.len() <= PART_MAX {
        return text.to_owned();
    }
    let mut at = text.len() - PART_MAX;
    while !text.is_char_boundary(at) {
        at += 1;
    }
    let end = text.get(at..).unwrap_or_default();
    let whole = end.split_once('\n').map_or(end, |(_, lines)| lines);
    format!(
        "({} bytes before this are left out)\n{whole}",
        text.len() - whole.len()
    )
}

/// Writes a file that only its owner reads.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
