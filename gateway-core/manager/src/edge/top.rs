//! `GET /v1/top`: what each service has used so far, read from the kernel when somebody asks.

use super::api::Door;
use super::cgroup::keyed;
use super::congestion::waited;
use super::host;
use super::paths::{now, read_text};
use super::requests::{Ask, Fault, Reply};
use super::usage::sum;
use crate::limits::KERNEL_FILE_MAX;
use axum::Json;
use axum::extract::State;
use hearth_model::ServiceName;
use hearth_model::api::{Kind, Service, Top, TopRow};
use std::path::Path;

/// The gateway's own groups ("Who is charged for what" in ARCHITECTURE.md).
const GROUPS: [&str; 2] = ["forwarding", "system"];

/// `GET /v1/top`
pub async fn top(State(door): State<Door>) -> Result<Json<Top>, Fault> {
    let Reply::Services(services) = door.ask(Ask::Services).await? else {
        return Err(super::net::confused());
    };
    let network = door.network().await?;
    let link_of = |name: &str| {
        let mut all = network.services.iter();
        all.find(|(_, other, _)| other == name)
            .map(|(id, _, _)| format!("sv{id}"))
    };
    let rows = services.iter().filter(|row| row.kind == Kind::Service);
    let rows = rows.filter_map(|row| {
        let folder = door.paths.cgroup(&ServiceName::new(&row.name).ok()?);
        let link = link_of(&row.name)
            .map(|link| door.paths.at("/sys/class/net").join(link))
            .filter(|link| link.exists());
        Some(of_service(row, &folder, link.as_deref()))
    });
    let groups = GROUPS.iter().filter_map(|&name| {
        let folder = door.paths.at("/sys/fs/cgroup").join(name);
        let row = TopRow {
            name: name.to_owned(),
            kind: Kind::System,
            rank: None,
            state: "Active".to_owned(),
            ..nothing()
        };
        folder.exists().then(|| counted(row, &folder))
    });
    Ok(Json(Top {
        uptime_ms: now().0,
        cores: host::online(&door.paths),
        rows: rows.chain(groups).collect(),
    }))
}

fn of_service(row: &Service, folder: &Path, link: Option<&Path>) -> TopRow {
    let count = |counter: &str| number(&link?.join("statistics").join(counter));
    let row = TopRow {
        name: row.name.clone(),
        kind: row.kind,
        rank: row.rank,
        state: row.state.clone(),
        memory_max_bytes: row.memory_max_bytes,
        // What the gateway's end sends is what the service receives.
        sent_bytes: count("rx_bytes"),
        received_bytes: count("tx_bytes"),
        ..nothing()
    };
    counted(row, folder)
}

/// A row with what its cgroup counts.
fn counted(row: TopRow, folder: &Path) -> TopRow {
    let text = |file: &str| read_text(&folder.join(file), KERNEL_FILE_MAX).ok();
    // A kernel that was told to measure no pressure answers EOPNOTSUPP.
    let pressure = |file: &str| text(file).map(|text| waited(&text));
    let io = text("io.stat");
    TopRow {
        cpu_usec: text("cpu.stat").and_then(|text| keyed(&text, "usage_usec")),
        memory_bytes: number(&folder.join("memory.current")),
        read_bytes: io.as_deref().map(|text| sum(text, "rbytes=")),
        written_bytes: io.as_deref().map(|text| sum(text, "wbytes=")),
        pids: number(&folder.join("pids.current")),
        cpu_waited_usec: pressure("cpu.pressure"),
        memory_waited_usec: pressure("memory.pressure"),
        io_waited_usec: pressure("io.pressure"),
        ..row
    }
}

fn number(path: &Path) -> Option<u64> {
    read_text(path, KERNEL_FILE_MAX).ok()?.trim().parse().ok()
}

fn nothing() -> TopRow {
    TopRow {
        name: String::new(),
        kind: Kind::System,
        rank: None,
        state: String::new(),
        cpu_usec: None,
        memory_bytes: None,
        memory_max_bytes: None,
        read_bytes: None,
        written_bytes: None,
        sent_bytes: None,
        received_bytes: None,
        pids: None,
        cpu_waited_usec: None,
        memory_waited_usec: None,
        io_waited_usec: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_where_they_are_and_others_are_not_made_up() {
        // given a cgroup as the kernel shows it, without a disk and without pressure of memory
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cpu.stat", "usage_usec 1500\nuser_usec 1000\n"),
            ("memory.current", "4096\n"),
            ("pids.current", "3\n"),
            (
                "cpu.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\n",
            ),
        ] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        // when it is read
        let row = counted(nothing(), folder.path());
        // then each is there that the kernel tells, and the rest is not
        assert_eq!((row.cpu_usec, row.memory_bytes), (Some(1500), Some(4096)));
        assert_eq!((row.pids, row.cpu_waited_usec), (Some(3), Some(77)));
        assert_eq!((row.read_bytes, row.memory_waited_usec), (None, None));
    }
}
