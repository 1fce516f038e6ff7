//! The faults. A round's kind, victim and moment are the seed's. One that may not be killed now passes the
//! turn to the next in the seed's order: a service that ends again and again is given up by its policy
//! (ten times in a row without a minute's run), which is not what is tested here.

use super::random::Random;
use super::sys;
use super::world::{Process, names, processes};
use hearth_client::client::{Api, Failure};
use hearth_model::api::{Kind, Service};
use std::fs::{self, File};
use std::time::{Duration, Instant};

/// A run of this many seconds makes the ends before it forgotten (`RestartPolicy::DEFAULT`).
const FORGOTTEN: u64 = 61;

/// Restarts after which a service is left alone until they are forgotten.
const RESTARTS_MAX: u32 = 4;

/// Longest wait for the gateway to take a request again.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Where the clock is sent, seconds from where it was: an hour, a day, ten years (what 32 bits count ends in 2038).
const JUMPS: [i64; 5] = [3_600, -3_600, 86_400, -86_400, 10 * 365 * 86_400];

/// Files that fill a file system: the household's, and that in memory.
const FILL: [&str; 2] = ["/data/chaos-fill", "/run/chaos-fill"];

/// What remembers from round to round.
pub struct Hand {
    seed: u64,
    /// How far the clock was sent.
    off: i64,
}

/// What happens in a round, and how often.
const KINDS: [(Fault, usize); 12] = [
    (Fault::Service, 5),
    (Fault::Child, 3),
    (Fault::Launcher, 2),
    (Fault::Manager, 3),
    (Fault::Netpath, 2),
    (Fault::Any, 2),
    (Fault::Two, 3),
    (Fault::Order, 4),
    (Fault::DiskFull, 3),
    (Fault::RunFull, 1),
    (Fault::Memory, 2),
    (Fault::Clock, 3),
];

#[derive(Clone, Copy)]
enum Fault {
    /// The first process of a service dies.
    Service,
    /// Another process of a service dies.
    Child,
    /// A service dies, and then the launcher of its next run.
    Launcher,
    /// The manager dies.
    Manager,
    /// hearth-netpath dies.
    Netpath,
    /// Any process dies but PID 1 and the console's.
    Any,
    /// The manager dies, and a moment before or later a service or netpath.
    Two,
    /// A service is stopped and started by the household, and the manager dies meanwhile.
    Order,
    /// The disk is full while something else happens.
    DiskFull,
    /// `/run` is full while something else happens.
    RunFull,
    /// A service takes more memory than it may have.
    Memory,
    /// The clock is set.
    Clock,
}

async fn rows(api: &Api) -> Result<Vec<Service>, String> {
    let answer = api.get("/v1/services").await.map_err(|e| e.to_string())?;
    answer.read().map_err(|e| e.to_string())
}

fn pid_of(rows: &[Service], name: &str) -> u32 {
    rows.iter()
        .find(|row| row.name == name)
        .map_or(0, |row| row.pid)
}

/// Whether it is back by itself whenever it is killed now, and soon.
fn may_die(row: &&Service) -> bool {
    let wait_ms = 500_u64 << row.restarts;
    let rested = row.restarts == 0 || row.since_seconds >= FORGOTTEN;
    row.kind == Kind::Service
        && row.pid != 0
        && (rested || (row.restarts < RESTARTS_MAX && row.since_seconds * 1000 >= wait_ms))
}

/// Whether the manager would be back soon: PID 1 doubles its wait of 200 ms up to 10 s, from start to start,
/// until a run of 30 s.
fn rested(rows: &[Service]) -> bool {
    let manager = rows.iter().find(|row| row.name == "hearth-manager");
    manager.is_some_and(|row| {
        row.restarts == 0 || row.since_seconds * 1000 >= 200_u64 << row.restarts.min(6)
    })
}

impl Hand {
    /// The hand that this seed leads.
    pub fn new(seed: u64) -> Hand {
        Hand { seed, off: 0 }
    }

    /// Does what is the round's; says what it was.
    pub async fn act(&mut self, api: &Api, round: u64) -> Result<String, String> {
        let mut random = Random::of(self.seed, round);
        let rows = rows(api).await?;
        let mut services: Vec<&Service> = rows
            .iter()
            .filter(|row| row.kind == Kind::Service)
            .collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        random.shuffle(&mut services);
        let victim = services.iter().copied().find(may_die);
        let all: usize = KINDS.iter().map(|(_, often)| often).sum();
        let mut at = random.below(all);
        let kind = KINDS.iter().find(|(_, often)| {
            let here = at < *often;
            at = at.saturating_sub(*often);
            here
        });
        let kind = kind.map_or(Fault::Manager, |(kind, _)| *kind);
        // A manager that is killed again at once comes back later each time, which is not waited for.
        let tired = matches!(kind, Fault::Manager | Fault::Two | Fault::Order) && !rested(&rows);
        let kind = if tired { Fault::Service } else { kind };
        let moment = Duration::from_millis(random.below(60) as u64);
        let manager = pid_of(&rows, "hearth-manager");
        let netpath = pid_of(&rows, "hearth-netpath");
        match (kind, victim) {
            (Fault::Service, Some(row)) => Ok(kill(&row.name, row.pid)),
            (Fault::Child, Some(row)) => Ok(child(row, &mut random)),
            (Fault::Launcher, Some(row)) => Ok(launcher(row, moment).await),
            (Fault::Any, Some(_)) => Ok(any(&rows, &mut random)),
            (Fault::Two, Some(row)) => {
                let other = if random.below(3) == 0 {
                    ("hearth-netpath", netpath)
                } else {
                    (row.name.as_str(), row.pid)
                };
                let mut both = [("hearth-manager", manager), other];
                random.shuffle(&mut both);
                let [first, second] = both.map(|(name, pid)| (name.to_owned(), pid));
                let first = kill(&first.0, first.1);
                tokio::time::sleep(moment).await;
                let second = kill(&second.0, second.1);
                Ok(format!("{first}, {} ms later {second}", moment.as_millis()))
            }
            (Fault::Order, Some(row)) => order(api, row, manager, moment).await,
            (Fault::DiskFull, Some(row)) => full(api, FILL[0], row, manager, &mut random).await,
            (Fault::RunFull, Some(row)) => full(api, FILL[1], row, manager, &mut random).await,
            (Fault::Memory, victim) => {
                let owns = |row: &&&Service| row.name.starts_with("victim") && may_die(row);
                match services.iter().find(owns).or(victim.as_ref()) {
                    Some(row) if row.name.starts_with("victim") => {
                        sys::signal(row.pid, libc::SIGUSR1);
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        Ok(format!("{} takes all memory", row.name))
                    }
                    Some(_) | None => Ok(kill("hearth-manager", manager)),
                }
            }
            (Fault::Clock, _) => self.clock(manager, &mut random),
            (Fault::Netpath, _) => Ok(kill("hearth-netpath", netpath)),
            (_, _) => Ok(kill("hearth-manager", manager)),
        }
    }

    /// Sets the clock back to where it would be.
    pub fn leave(self) {
        let _ = sys::jump(-self.off);
    }

    /// Sends the clock somewhere, or back to where it would be.
    fn clock(&mut self, manager: u32, random: &mut Random) -> Result<String, String> {
        let by = if self.off != 0 && random.below(2) == 0 {
            -self.off
        } else {
            random.pick(&JUMPS).copied().unwrap_or(1)
        };
        // Beyond what a person would take for a year, it goes back first.
        let by = if self.off + by > 11 * 365 * 86_400 {
            -self.off
        } else {
            by
        };
        sys::jump(by).map_err(|e| format!("the clock can not be set: {e}"))?;
        self.off += by;
        let mut done = format!("the clock goes by {by} s");
        if random.below(2) == 0 {
            done = format!("{done}, {}", kill("hearth-manager", manager));
        }
        Ok(done)
    }
}

fn kill(name: &str, pid: u32) -> String {
    sys::signal(pid, libc::SIGKILL);
    format!("kill {name} ({pid})")
}

/// Processes of a service but its first.
fn children(row: &Service) -> Vec<Process> {
    let group = format!("/services/{}", row.name);
    let all = processes().into_values();
    all.filter(|process| process.group == group && process.pid != row.pid && !process.kernel)
        .collect()
}

fn child(row: &Service, random: &mut Random) -> String {
    match random.pick(&children(row)) {
        Some(process) => kill(&format!("{} of {}", process.name, row.name), process.pid),
        None => kill(&row.name, row.pid),
    }
}

/// Kills a service and, so long after its launcher is there, that.
async fn launcher(row: &Service, moment: Duration) -> String {
    let group = format!("/sys/fs/cgroup/services/{}/cgroup.procs", row.name);
    let first = kill(&row.name, row.pid);
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        let procs = fs::read_to_string(&group).unwrap_or_default();
        let new = procs
            .lines()
            .filter_map(|line| line.parse::<u32>().ok())
            .find(|&pid| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                pid != row.pid && !name.starts_with("napi")
            });
        if let Some(pid) = new {
            tokio::time::sleep(moment).await;
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let second = kill(name.trim(), pid);
            return format!(
                "{first}, {} ms into its next run {second}",
                moment.as_millis()
            );
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    format!("{first}, which has no next run")
}

/// Kills any process but PID 1 and those of the console, which this one is.
fn any(rows: &[Service], random: &mut Random) -> String {
    let tired: Vec<u32> = rows
        .iter()
        .filter(|row| row.kind == Kind::Service && !may_die(row))
        .map(|row| row.pid)
        .collect();
    let all: Vec<Process> = processes()
        .into_values()
        .filter(|process| {
            !process.kernel
                && process.pid != 1
                && !process.group.ends_with("console")
                && !tired.contains(&process.pid)
        })
        .collect();
    match random.pick(&all) {
        Some(process) => kill(
            &format!("{} in {}", process.name, process.group),
            process.pid,
        ),
        None => "nothing to kill".to_owned(),
    }
}

/// The household stops a service, and the manager dies so long after. What it has acknowledged stays; then
/// the service is started again, whatever that takes.
async fn order(api: &Api, row: &Service, manager: u32, moment: Duration) -> Result<String, String> {
    let stop = format!("/v1/services/{}/stop", row.name);
    let asked = api.post(&stop, ANSWER_MAX);
    let ((), answer) = tokio::join!(
        async {
            tokio::time::sleep(moment).await;
            sys::signal(manager, libc::SIGKILL);
        },
        asked
    );
    let acknowledged = answer.is_ok();
    let after = again(api, &row.name).await?;
    if acknowledged && after.wanted {
        return Err(format!(
            "{} was stopped, acknowledged, and is wanted again",
            row.name
        ));
    }
    start(api, &row.name).await?;
    let word = if acknowledged {
        "acknowledged"
    } else {
        "not acknowledged"
    };
    let moment = moment.as_millis();
    Ok(format!(
        "stop {} ({word}), kill the manager after {moment} ms, start it",
        row.name
    ))
}

/// The row of a service, as soon as the manager answers.
async fn again(api: &Api, name: &str) -> Result<Service, String> {
    let until = Instant::now() + ANSWER_MAX;
    loop {
        let answer = api.get(&format!("/v1/services/{name}")).await;
        match answer.and_then(|answer| answer.read()) {
            Ok(row) => return Ok(row),
            Err(failure) if Instant::now() > until => return Err(failure.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Starts a service, as often as nobody answers.
async fn start(api: &Api, name: &str) -> Result<(), String> {
    let until = Instant::now() + ANSWER_MAX;
    loop {
        match api
            .post(&format!("/v1/services/{name}/start"), ANSWER_MAX)
            .await
        {
            Ok(_) => return Ok(()),
            Err(Failure::Refused { text, .. }) => return Err(format!("start {name}: {text}")),
            Err(failure) if Instant::now() > until => return Err(failure.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Fills a file system to the last block, does something else, and makes room again.
async fn full(
    api: &Api,
    path: &str,
    row: &Service,
    manager: u32,
    random: &mut Random,
) -> Result<String, String> {
    let file = File::create(path).map_err(|e| format!("{path}: {e}"))?;
    for shift in (12..27).rev() {
        while sys::grow(&file, 1 << shift) {}
    }
    let size = file.metadata().map_or(0, |facts| facts.len()) >> 20;
    let meanwhile = match random.below(4) {
        0 => kill("hearth-manager", manager),
        1 => kill(&row.name, row.pid),
        2 => format!(
            "{}, {}",
            kill(&row.name, row.pid),
            kill("hearth-manager", manager)
        ),
        _ => {
            // It may be refused, with a reason; it may not half happen.
            let stop = api
                .post(&format!("/v1/services/{}/stop", row.name), ANSWER_MAX)
                .await;
            let after = again(api, &row.name).await?;
            if stop.is_ok() && after.wanted {
                return Err(format!(
                    "{} was stopped, acknowledged, and is wanted",
                    row.name
                ));
            }
            match stop {
                Ok(_) => format!("stop {}", row.name),
                Err(failure) => format!("stop {}: {failure}", row.name),
            }
        }
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(file);
    fs::remove_file(path).map_err(|e| format!("{path}: {e}"))?;
    if !names("/data").is_empty() {
        start(api, &row.name).await?;
    }
    Ok(format!("{path} takes the last {size} MiB, {meanwhile}"))
}
