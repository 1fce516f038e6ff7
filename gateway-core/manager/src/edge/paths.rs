//! Where everything is. All of it can stand below another root, so that a test needs no gateway.

use crate::sys;
use hearth_model::step::errno_words;
use hearth_model::{ServiceId, ServiceName, Tick};
use std::io;
use std::path::{Path, PathBuf};

/// The file system as the manager sees it.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Everything below `root`; `/` on a gateway. Loop devices are the kernel's and stay in `/dev`.
    #[must_use]
    pub fn new(root: PathBuf) -> Paths {
        Paths { root }
    }

    /// A place that is absolute on a gateway.
    #[must_use]
    pub fn at(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The household's configuration and the firmware's, in the order in which they are tried.
    #[must_use]
    pub fn configurations(&self) -> [PathBuf; 2] {
        [
            self.at("/data/hearth/gateway.toml"),
            self.at("/etc/hearth/gateway.toml"),
        ]
    }

    /// The household's packages and the firmware's; the first that has a name wins.
    #[must_use]
    pub fn packages(&self) -> [PathBuf; 2] {
        [
            self.at("/data/hearth/packages"),
            self.at("/usr/share/hearth/packages"),
        ]
    }

    /// The keys of vendors that this gateway trusts: the firmware's and the household's.
    #[must_use]
    pub fn trust(&self) -> [PathBuf; 2] {
        [
            self.at("/etc/hearth/trust.toml"),
            self.at("/data/hearth/trust.toml"),
        ]
    }

    /// The services' own data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.at("/data/services")
    }

    /// The same where the data partition can not be used: until the gateway restarts.
    #[must_use]
    pub fn data_in_memory(&self) -> PathBuf {
        self.at("/run/hearth/data")
    }

    /// What the services that run were planned for: the gateway's own networks, as text.
    #[must_use]
    pub fn planned_for(&self) -> PathBuf {
        self.at("/run/hearth/planned-for")
    }

    /// Where a service's root image is mounted.
    #[must_use]
    pub fn image(&self, name: &ServiceName) -> PathBuf {
        self.at("/run/hearth/images").join(name.as_str())
    }

    /// The cgroup of all services.
    #[must_use]
    pub fn cgroups(&self) -> PathBuf {
        self.at("/sys/fs/cgroup/services")
    }

    /// A service's cgroup.
    #[must_use]
    pub fn cgroup(&self, name: &ServiceName) -> PathBuf {
        self.cgroups().join(name.as_str())
    }

    /// Nodes of the devices that a service is granted. In /dev, since the other places of the gateway
    /// are mounted without devices.
    #[must_use]
    pub fn devices(&self, name: &ServiceName) -> PathBuf {
        self.at("/dev/hearth").join(name.as_str())
    }

    /// Folder of a service's notify socket.
    #[must_use]
    pub fn notify(&self, name: &ServiceName) -> PathBuf {
        self.at("/run/hearth/notify").join(name.as_str())
    }

    /// Whether all this is the machine itself, and no root of a test.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where netpath pins a service's network namespace.
    #[must_use]
    pub fn network(&self, id: ServiceId) -> PathBuf {
        self.at("/run/hearth/netns").join(id.to_string())
    }

    /// Folder of the API's socket; granted as a folder, so that a new socket is seen by everyone.
    #[must_use]
    pub fn api(&self) -> PathBuf {
        self.at(hearth_model::api::SOCKET_FOLDER)
    }

    /// Folder of what services with the grant `resolvers` may read.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.at("/run/hearth/shared")
    }
}

/// The reason of an error in words.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => errno_words(errno).to_string(),
        None => error.to_string(),
    }
}

/// `could not VERB PATH: reason`
#[must_use]
pub fn could_not(verb: &str, path: &Path, error: &io::Error) -> String {
    format!("could not {verb} {}: {}", path.display(), reason(error))
}

/// Now, on the clock that PID 1 uses too.
#[must_use]
pub fn now() -> Tick {
    // The call fails only where the kernel lacks the clock (before 2.6.39); then nothing is late.
    Tick(sys::machine::boot_clock_ms().unwrap_or(0))
}

/// Seconds since 1970; 0 on a clock that is set to before.
#[must_use]
pub fn wall() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A text file of at most `max` bytes.
///
/// # Errors
/// As read(2); `InvalidData` for more bytes, or for bytes that are no UTF-8.
pub fn read_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read_bytes(path, max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no UTF-8 text"))
}

/// Bytes that most files of the kernel's have fewer than.
const ROOM: usize = 1024;

/// A file of at most `max` bytes.
///
/// # Errors
/// As read(2); `InvalidData` for more bytes.
pub fn read_bytes(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    // The kernel's own files have no length: they are read with one call, and their end with another.
    let mut bytes = Vec::with_capacity(ROOM);
    std::fs::File::open(path)?
        .take(max + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let what = format!("longer than {max} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(bytes)
}
