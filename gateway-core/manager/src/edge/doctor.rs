//! The API's route for what is wrong: looks at ports and disk, asks the next hop and the resolvers, all at once
//! and without the loop. What it means is decided in [`crate::machine::doctor`].

use super::api::Door;
use super::paths::{Paths, read_text, wall};
use super::requests::{Ask, Fault, Reply};
use crate::limits::{KERNEL_FILE_MAX, PROBE_WAIT};
use crate::machine::doctor::{Answer, Facts, Port, diagnose};
use crate::sys::storage;
use axum::Json;
use axum::extract::State;
use core::net::Ipv4Addr;
use core::time::Duration;
use hearth_model::api::Doctor;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

/// Port of DNS.
const DNS: u16 = 53;
/// Port of the discard service (RFC 863): what is sent there is for nobody, but the kernel has to find the
/// next hop's hardware address first.
const DISCARD: u16 = 9;
/// Between two looks at the kernel's table of neighbours.
const LOOK: Duration = Duration::from_millis(100);
/// `ATF_COM`, linux/if_arp.h: the hardware address is known.
const COMPLETE: u32 = 2;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// The file system.
    pub paths: Paths,
    /// The home's port.
    pub lan: String,
    /// The Internet's port.
    pub wan: String,
    /// The home's resolver.
    pub home: Ipv4Addr,
    /// Where services' data is.
    pub data: PathBuf,
}

/// `GET /v1/doctor`
pub async fn doctor(State(door): State<Door>) -> Result<Json<Doctor>, Fault> {
    let Reply::Status(status) = door.ask(Ask::Status).await? else {
        return Err(Fault::Busy(
            "the manager told no status; try again".to_owned(),
        ));
    };
    let places = &door.places;
    let resolvers: Vec<Ipv4Addr> = addresses(status.wan.resolvers.iter());
    let router = addresses(status.wan.router.iter());
    let asked = resolvers
        .iter()
        .map(|&address| tokio::spawn(resolves(address)));
    let asked: Vec<_> = asked.collect();
    let home = tokio::spawn(resolves(places.home));
    let router = match router.first() {
        Some(&address) => reaches(&places.paths, address).await,
        None => Answer::NotAsked,
    };
    let mut answers = Vec::new();
    for (address, task) in resolvers.iter().zip(asked) {
        // A task that was ended has no answer.
        answers.push((address.to_string(), task.await.unwrap_or(Answer::Silent)));
    }
    let port = |name: &str| (name.to_owned(), port(&places.paths, name));
    Ok(Json(diagnose(&Facts {
        status: *status,
        lan: port(&places.lan),
        wan: port(&places.wan),
        router,
        resolvers: answers,
        home: (
            places.home.to_string(),
            home.await.unwrap_or(Answer::Silent),
        ),
        data: File::open(&places.data)
            .and_then(|folder| storage::file_system(&folder))
            .ok()
            .map(|facts| (facts.size.saturating_sub(facts.free), facts.size)),
        clock: wall(),
    })))
}

fn addresses<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<Ipv4Addr> {
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// `carrier` and `operstate` of sysfs-class-net: a port that is switched off can not tell its carrier (EINVAL).
fn port(paths: &Paths, name: &str) -> Port {
    let folder = paths.at("/sys/class/net").join(name);
    if !folder.exists() {
        return Port::Missing;
    }
    match read_text(&folder.join("carrier"), KERNEL_FILE_MAX) {
        Ok(text) if text.trim() == "1" => Port::Up,
        Ok(_) | Err(_) => Port::Down,
    }
}

/// Asks for the name servers of the root, which every resolver knows or can find.
async fn resolves(resolver: Ipv4Addr) -> Answer {
    match timeout(PROBE_WAIT, ask(resolver)).await {
        Ok(Ok(RCODE::NoError | RCODE::NameError)) => Answer::Good,
        Ok(Ok(_)) => Answer::Bad,
        Ok(Err(_)) | Err(_) => Answer::Silent,
    }
}

async fn ask(resolver: Ipv4Addr) -> io::Result<RCODE> {
    let odd = |e: simple_dns::SimpleDnsError| io::Error::other(e);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    // From a port that the kernel chose, to a connected peer: an answer from elsewhere is not taken.
    socket.connect((resolver, DNS)).await?;
    let number = socket.local_addr()?.port();
    let mut query = Packet::new_query(number);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let root = Name::new(".").map_err(odd)?;
    let (kind, class) = (QTYPE::TYPE(TYPE::NS), QCLASS::CLASS(CLASS::IN));
    query
        .questions
        .push(Question::new(root, kind, class, false));
    socket.send(&query.build_bytes_vec().map_err(odd)?).await?;
    let mut answer = [0; 1500];
    loop {
        let length = socket.recv(&mut answer).await?;
        let answer = Packet::parse(answer.get(..length).unwrap_or_default());
        if let Ok(answer) = answer
            && answer.id() == number
            && answer.has_flags(PacketFlag::RESPONSE)
        {
            return Ok(answer.rcode());
        }
    }
}

/// Whether a neighbour tells its hardware address.
async fn reaches(paths: &Paths, address: Ipv4Addr) -> Answer {
    let find = async {
        loop {
            if let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await {
                // What comes of it is seen in the table.
                let _sent = socket.send_to(&[], (address, DISCARD)).await;
            }
            sleep(LOOK).await;
            let table = read_text(&paths.at("/proc/net/arp"), KERNEL_FILE_MAX).unwrap_or_default();
            if is_complete(&table, address) {
                return;
            }
        }
    };
    match timeout(PROBE_WAIT, find).await {
        Ok(()) => Answer::Good,
        Err(_) => Answer::Silent,
    }
}

/// `/proc/net/arp`: address, type, flags in hexadecimal, hardware address, mask, device.
fn is_complete(table: &str, address: Ipv4Addr) -> bool {
    table.lines().any(|line| {
        let mut words = line.split_whitespace();
        let is_it = words.next().and_then(|word| word.parse().ok()) == Some(address);
        let flags = words.nth(1).and_then(|word| word.strip_prefix("0x"));
        let flags = flags.and_then(|word| u32::from_str_radix(word, 16).ok());
        is_it && flags.is_some_and(|flags| flags & COMPLETE != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_reached_where_its_hardware_address_is_known() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     192.0.2.1        0x1         0x2         52:54:00:12:34:56     *        eth1\n\
                     192.0.2.9        0x1         0x0         00:00:00:00:00:00     *        eth1\n";
        assert!(is_complete(table, Ipv4Addr::new(192, 0, 2, 1)));
        assert!(!is_complete(table, Ipv4Addr::new(192, 0, 2, 9)));
        assert!(!is_complete(table, Ipv4Addr::new(192, 0, 2, 2)));
    }
}
