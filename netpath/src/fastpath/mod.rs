//! The fast path: flows that the machine has decided about pass by a program of the kernel
//! (`netpath/bpf`), and only what is new or unusual comes here.
//!
//! This is the carrier of [`crate::nat`]: it writes and reads the program's maps. Invariants: an
//! answer's entry is there before the entry of what it answers; the maps are pinned, so that live flows
//! outlive this process, but not by more than [`HEARTBEAT_MS`]; a program that the kernel does not
//! compile, or that fails its self-test, is never attached. It decides nothing about packets.

#[path = "../../bpf/abi.rs"]
pub mod abi;
pub mod entry;
mod self_test;
mod waiting;
pub mod ways;

use crate::limits::HEARTBEAT_MS;
use crate::nat::{Carrier, Pair, Passed, Tuple};
use abi::{Config, Entry, Key};
use entry::Clock;
use hearth_bpf::map::{Map, Maps, When};
use hearth_bpf::object::{MapSpec, Object};
use hearth_bpf::program::{Kind, Program};
use hearth_bpf::{KernelError, LoadError};
use hearth_model::Tick;
use hearth_model::queues::CodePoint;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
pub use waiting::Refused;
use ways::{Mtus, Way, Ways};

/// The committed object; `scripts/bpf` makes it.
const OBJECT: &[u8] = include_bytes!("../../bpf/fastpath.o");
const FLOWS: &str = "FLOWS";
const CONFIG: &str = "CONFIG";
const HOSTS: &str = "HOSTS";
const COUNTS: &str = "COUNTS";
/// The one key of the configuration's map.
const FIRST: [u8; 4] = [0; 4];

/// Why there is no fast path.
#[derive(Debug)]
pub enum FastPathError {
    /// The kernel has not taken the object, or would interpret it.
    Load(LoadError),
    /// The maps can not be pinned.
    Pin(PathBuf, String),
    /// The program does not do what it should.
    SelfTest(&'static str),
}

impl fmt::Display for FastPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FastPathError::Load(error) => error.fmt(f),
            FastPathError::Pin(path, reason) => write!(f, "{}: {reason}", path.display()),
            FastPathError::SelfTest(what) => write!(f, "the program failed its self-test: {what}"),
        }
    }
}

impl std::error::Error for FastPathError {}

impl<E: Into<LoadError>> From<E> for FastPathError {
    fn from(error: E) -> FastPathError {
        FastPathError::Load(error.into())
    }
}

/// The program's maps.
#[derive(Debug)]
pub struct FastPath {
    maps: Maps,
    config: Config,
    clock: Clock,
    /// Where packets leave; whoever changes it takes all flows back.
    pub ways: Ways,
    /// Where downloads wait; 0: nowhere. What an earlier process has said holds until the next beat.
    pub pair: u32,
}

/// The programs: for what arrives from the home, the Internet and the services, and at the home's port
/// before it is in the bridge.
pub type Programs = [Program; 5];

/// Programs with these maps.
fn programs(object: &Object, maps: &Maps) -> Result<Programs, LoadError> {
    let load = |function| Program::load_function(Kind::Classifier, object, function, maps);
    Ok([
        load("from_lan")?,
        load("from_wan")?,
        load("from_service")?,
        load("from_guest")?,
        load("from_port")?,
    ])
}

impl FastPath {
    /// Opens the maps that an earlier process has pinned in `folder`, or makes them, and loads the
    /// programs. `daemon`: the interfaces to which packets without an entry go, by their side.
    ///
    /// # Errors
    /// [`FastPathError`]; nothing is pinned then.
    pub fn open(
        folder: &Path,
        daemon: [u32; 4],
        mtus: Mtus,
        clock: Clock,
    ) -> Result<(FastPath, Programs), FastPathError> {
        let opened = FastPath::try_open(folder, daemon, mtus, clock);
        if opened.is_err() {
            unpin(folder);
        }
        opened
    }

    fn try_open(
        folder: &Path,
        daemon: [u32; 4],
        mtus: Mtus,
        clock: Clock,
    ) -> Result<(FastPath, Programs), FastPathError> {
        let object = Object::parse(OBJECT).map_err(LoadError::Object)?;
        self_test::run(&object)?;
        fs::create_dir_all(folder).map_err(pin(folder))?;
        let existing = pinned(&object, folder).unwrap_or_else(|| {
            unpin(folder);
            Vec::new()
        });
        let is_new = existing.is_empty();
        let maps = Maps::create(&object, existing)?;
        let programs = programs(&object, &maps)?;
        if is_new {
            for spec in object.maps() {
                let path = folder.join(&spec.name);
                let map = maps.get(&spec.name).ok_or(missing(&spec.name))?;
                map.pin(&path).map_err(pin(&path))?;
            }
        }
        let mut fast = FastPath {
            pair: said_before(&maps),
            maps,
            config: Config {
                daemon,
                layout: abi::LAYOUT,
                rounds: waiting::first_rounds(&clock),
                ..Config::default()
            },
            clock,
            ways: Ways::new(mtus),
        };
        fast.beat(clock)?;
        Ok((fast, programs))
    }

    /// Lets the program go on for another [`HEARTBEAT_MS`].
    ///
    /// # Errors
    /// [`KernelError`]: the kernel refuses to write.
    pub fn beat(&mut self, clock: Clock) -> Result<(), LoadError> {
        self.clock = clock;
        self.config.valid_until = clock.nanoseconds_at(clock.tick.after_ms(HEARTBEAT_MS));
        // What was lost on the way here is no host's fault for ever.
        self.config.rounds = self.config.rounds.map(|round| round.wrapping_add(1));
        self.configure()
    }

    fn configure(&self) -> Result<(), LoadError> {
        let map = self.maps.get(CONFIG).ok_or(missing(CONFIG))?;
        let bytes = entry::config_bytes(&Config {
            pair: self.pair,
            ..self.config
        });
        Ok(map.update(&FIRST, &bytes, When::Any)?)
    }

    /// The flows that an earlier process has left. Entries that make no flow are removed.
    ///
    /// # Errors
    /// [`KernelError`]: the kernel refuses to read.
    pub fn found(&mut self) -> Result<Vec<(Pair, Passed)>, KernelError> {
        let mut flows = Vec::new();
        let mut stray = Vec::new();
        for key in self.keys()? {
            let entry = self.look_up(&key);
            let Some(pair) = entry.and_then(|entry| entry::pair(&key, &entry)) else {
                // That of a responder is looked at with its initiator's.
                if entry.is_none_or(|entry| self.partner(&key, &entry).is_none()) {
                    stray.push(key);
                }
                continue;
            };
            match self.passed(&pair) {
                Some(passed) => flows.push((pair, passed)),
                None => stray.push(key),
            }
        }
        for key in stray {
            self.remove(&key);
        }
        Ok(flows)
    }

    /// The initiator's entry of a responder's.
    fn partner(&self, key: &Key, entry: &Entry) -> Option<Pair> {
        let as_initiator = Entry {
            role: abi::INITIATOR,
            ..*entry
        };
        let reversed = entry::pair(key, &as_initiator)?;
        let pair = Pair {
            initiator: reversed.responder,
            responder: reversed.initiator,
        };
        self.passed_in(&pair).map(|_| pair)
    }

    /// Whether both entries of a flow are what would be written now; `None` where there is no way for
    /// one of them yet.
    #[must_use]
    pub fn is_current(&self, pair: &Pair) -> Option<bool> {
        let wanted = self.entries(pair, CodePoint::default(), 0)?;
        let mut found = wanted.iter().map(|(key, wanted)| {
            let is = self.look_up(key);
            is.is_some_and(|is| entry::decided(&is) == entry::decided(wanted))
        });
        Some(found.all(|same| same))
    }

    /// Both entries of a flow, the answers' first.
    fn entries(&self, pair: &Pair, mark: CodePoint, at: u64) -> Option<[(Key, Entry); 2]> {
        let Pair {
            initiator,
            responder,
        } = pair;
        let one = |from: &Tuple, to: &Tuple, role| {
            let way = Way {
                priority: self.ways.members.class(from, to, mark),
                ..self.ways.to(to.zone, to.source)?
            };
            Some((entry::key(from), entry::entry(from, to, &way, role, at)))
        };
        Some([
            one(responder, initiator, abi::RESPONDER)?,
            one(initiator, responder, abi::INITIATOR)?,
        ])
    }

    fn passed_in(&self, pair: &Pair) -> Option<Passed> {
        let initiator = self.look_up(&entry::key(&pair.initiator))?;
        let responder = self.look_up(&entry::key(&pair.responder))?;
        let whole = entry::pair(&entry::key(&pair.initiator), &initiator) == Some(*pair)
            && responder.role == abi::RESPONDER;
        whole.then(|| [&initiator, &responder].map(|entry| entry::traffic(entry, &self.clock)))
    }

    fn keys(&self) -> Result<Vec<Key>, KernelError> {
        let mut keys = Vec::new();
        let Some(map) = self.maps.get(FLOWS) else {
            return Ok(keys);
        };
        let mut last = None;
        let mut next = [0; entry::KEY_SIZE];
        // Nobody adds entries meanwhile, so that the walk ends; more than the map holds are none.
        while keys.len() < abi::ENTRIES_MAX as usize
            && map.next_key(last.as_ref().map(<[u8; _]>::as_slice), &mut next)?
        {
            keys.push(entry::key_from(&next));
            last = Some(next);
        }
        Ok(keys)
    }

    fn look_up(&self, key: &Key) -> Option<Entry> {
        let mut value = [0; entry::ENTRY_SIZE];
        let map = self.maps.get(FLOWS)?;
        let found = map.lookup(&entry::key_bytes(key), &mut value);
        found.ok()?.then(|| entry::entry_from(&value))
    }

    fn remove(&self, key: &Key) -> Option<Entry> {
        let mut value = [0; entry::ENTRY_SIZE];
        let map = self.maps.get(FLOWS)?;
        let found = map.take(&entry::key_bytes(key), &mut value);
        found.ok()?.then(|| entry::entry_from(&value))
    }
}

impl Carrier for FastPath {
    fn carry(&mut self, pair: &Pair, mark: CodePoint, now: Tick) -> Option<Passed> {
        let map = self.maps.get(FLOWS)?;
        let entries = self.entries(pair, mark, self.clock.nanoseconds_at(now))?;
        for (key, value) in &entries {
            let (key, value) = (entry::key_bytes(key), entry::entry_bytes(value));
            if map.update(&key, &value, When::Any).is_err() {
                self.stop(pair);
                return None;
            }
        }
        let [responder, initiator] = entries.map(|(_, value)| entry::traffic(&value, &self.clock));
        Some([initiator, responder])
    }

    fn passed(&self, pair: &Pair) -> Option<Passed> {
        self.passed_in(pair)
    }

    fn stop(&mut self, pair: &Pair) -> Option<Passed> {
        // The initiator's first: an answer without a question is refused here as well as there.
        let initiator = self.remove(&entry::key(&pair.initiator));
        let responder = self.remove(&entry::key(&pair.responder));
        Some([initiator?, responder?].map(|entry| entry::traffic(&entry, &self.clock)))
    }
}

fn missing(name: &str) -> LoadError {
    LoadError::Missing(name.to_owned())
}

fn pin<E: fmt::Display>(path: &Path) -> impl FnOnce(E) -> FastPathError + '_ {
    move |reason| FastPathError::Pin(path.to_owned(), reason.to_string())
}

/// The maps of an earlier process, if all are there, in the shape and layout of this one's.
fn pinned(object: &Object, folder: &Path) -> Option<Vec<Map>> {
    let open = |spec: &MapSpec| Map::open(&folder.join(&spec.name), spec.clone()).ok();
    let maps: Vec<Map> = object.maps().iter().map(open).collect::<Option<_>>()?;
    let config = maps.iter().find(|map| map.spec().name == CONFIG)?;
    let mut value = [0; entry::CONFIG_SIZE];
    let read = config.lookup(&FIRST, &mut value).ok()?;
    (read && entry::config_from(&value).layout == abi::LAYOUT).then_some(maps)
}

/// Where downloads waited for the process that wrote the configuration; 0 in a new map.
fn said_before(maps: &Maps) -> u32 {
    let mut value = [0; entry::CONFIG_SIZE];
    let read = maps.get(CONFIG).map(|map| map.lookup(&FIRST, &mut value));
    match read {
        Some(Ok(true)) => entry::config_from(&value).pair,
        Some(Ok(false) | Err(_)) | None => 0,
    }
}

/// Forgets the maps of an earlier process; programs that are attached keep theirs.
fn unpin(folder: &Path) {
    for name in [FLOWS, CONFIG, HOSTS, COUNTS] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(e) if path.exists() => log::warn!("{}: {e}", path.display()),
            Ok(()) | Err(_) => {}
        }
    }
}
