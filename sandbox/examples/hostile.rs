//! A program that tries to get out of its sandbox and says how far it came. The tests run it inside and
//! outside; the QEMU image runs it as the service `probe`.
//!
//! `hostile all` prints one line `RESULT <name> <outcome>` an attempt, then `RESULT end`, then sleeps; an
//! outcome is `ok`, `errno=N`, `signal=N` or `value=...`. `hostile once` does the same and ends.
//! `hostile memory MIB` touches that much, `hostile fork N` starts N sleeping children, `hostile spin` burns
//! processor time, `hostile write FILE` and `list FOLDER` try that, `hostile exit N` ends with status N. Each attempt is harmless where it succeeds, in a
//! mount and host name namespace of its own.

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::exit;

/// What came of an attempt.
enum Outcome {
    Ok,
    Errno(i32),
    Signal(i32),
    Value(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Ok => f.write_str("ok"),
            Outcome::Errno(errno) => write!(f, "errno={errno}"),
            Outcome::Signal(signal) => write!(f, "signal={signal}"),
            Outcome::Value(value) => write!(f, "value={value}"),
        }
    }
}

impl<T> From<std::io::Result<T>> for Outcome {
    fn from(result: std::io::Result<T>) -> Outcome {
        match result {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Errno(error.raw_os_error().unwrap_or(-1)),
        }
    }
}

impl From<Result<i64, i32>> for Outcome {
    fn from(result: Result<i64, i32>) -> Outcome {
        match result {
            Ok(_) => Outcome::Ok,
            Err(errno) => Outcome::Errno(errno),
        }
    }
}

/// An argument of a system call: a number or the address of something.
type Arg = libc::c_long;

fn address<T: ?Sized>(thing: &T) -> Arg {
    std::ptr::from_ref(thing).cast::<u8>() as Arg
}

/// The one system call of this program; up to six arguments, the rest is 0.
fn call(number: libc::c_long, args: &[Arg]) -> Result<i64, i32> {
    let arg = |at: usize| args.get(at).copied().unwrap_or(0);
    let (a, b, c, d, e, f) = (arg(0), arg(1), arg(2), arg(3), arg(4), arg(5));
    // SAFETY: every address passed is that of a value or NUL-terminated string that the caller keeps
    // alive, as large as the call reads or writes; calls that start a process copy memory like fork(2).
    let returned = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if returned < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(-1));
    }
    #[allow(clippy::useless_conversion)] // c_long is i32 on i686
    Ok(i64::from(returned))
}

/// Runs `attempt` in a child. What it returns is the child's exit status: 0, or the errno.
fn in_child(attempt: impl FnOnce() -> Result<i64, i32>) -> Outcome {
    match call(libc::SYS_fork, &[]) {
        Ok(0) => exit(attempt().err().unwrap_or(0)),
        Ok(child) => wait(child),
        Err(errno) => Outcome::Value(format!("fork-errno-{errno}")),
    }
}

fn wait(child: i64) -> Outcome {
    let mut status: libc::c_int = 0;
    let place = std::ptr::from_mut(&mut status) as Arg;
    match call(libc::SYS_wait4, &[child as Arg, place]) {
        Ok(_) if libc::WIFSIGNALED(status) => Outcome::Signal(libc::WTERMSIG(status)),
        Ok(_) if libc::WEXITSTATUS(status) == 0 => Outcome::Ok,
        Ok(_) => Outcome::Errno(libc::WEXITSTATUS(status)),
        Err(errno) => Outcome::Value(format!("wait-errno-{errno}")),
    }
}

/// Brings loopback up (SIOCSIFFLAGS), as who has power over the network can.
fn raise_interface() -> Outcome {
    let Ok(socket) = std::net::UdpSocket::bind("0.0.0.0:0") else {
        return Outcome::Value("no-socket".into());
    };
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = 1; // IFF_UP
    let args = [Arg::from(socket.as_raw_fd()), 0x8914, address(&request)];
    call(libc::SYS_ioctl, &args).into()
}

/// A clone that copies memory like fork(2), with more flags.
fn clone_with(flags: libc::c_int) -> Outcome {
    let flags = flags | libc::SIGCHLD;
    match call(libc::SYS_clone, &[flags as Arg]) {
        Ok(0) => exit(0),
        Ok(child) => wait(child),
        Err(errno) => Outcome::Errno(errno),
    }
}

fn clone3() -> Outcome {
    let mut arguments = [0_u64; 8];
    arguments[4] = libc::SIGCHLD as u64;
    match call(libc::SYS_clone3, &[address(&arguments), 64]) {
        Ok(0) => exit(0),
        Ok(child) => wait(child),
        Err(errno) => Outcome::Errno(errno),
    }
}

fn proc_1_environ() -> Outcome {
    let own = fs::read("/proc/self/environ");
    match (fs::read("/proc/1/environ"), own) {
        (Ok(first), Ok(own)) if first == own => Outcome::Value("own".into()),
        (Ok(_), _) => Outcome::Value("foreign".into()),
        (Err(error), _) => Outcome::from(Err::<(), _>(error)),
    }
}

/// Names in a folder, sorted.
fn names(folder: &str) -> Result<Vec<String>, std::io::Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn listed(names: Result<Vec<String>, std::io::Error>) -> Outcome {
    match names {
        Ok(names) => Outcome::Value(names.join(",")),
        Err(error) => Outcome::from(Err::<(), _>(error)),
    }
}

fn processes() -> Outcome {
    let names = names("/proc").unwrap_or_default();
    let numbers = names.iter().filter(|name| name.parse::<u32>().is_ok());
    Outcome::Value(numbers.count().to_string())
}

/// Open descriptors, but for the one that lists them.
fn descriptors() -> Outcome {
    let open = |name: &String| fs::read_link(format!("/proc/self/fd/{name}")).is_ok();
    listed(names("/proc/self/fd").map(|list| list.into_iter().filter(open).collect()))
}

/// The values of some lines of /proc/self/status.
fn status(keys: &[&str]) -> Outcome {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &&str| {
        text.lines()
            .find_map(|line| line.strip_prefix(*key)?.strip_prefix(':'))
    };
    let values: Vec<&str> = keys.iter().filter_map(of).map(str::trim).collect();
    Outcome::Value(values.join(","))
}

fn line_of(path: &str) -> Outcome {
    match fs::read_to_string(path) {
        Ok(text) => Outcome::Value(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Err(error) => Outcome::from(Err::<(), _>(error)),
    }
}

/// The hard limits of open files and core files.
fn limits() -> Outcome {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let of = |name: &&str| text.lines().find_map(|line| line.strip_prefix(*name));
    let hard = |line: &str| Some(line.split_whitespace().nth(1)?.to_owned());
    let names = ["Max open files", "Max core file size"];
    let values: Vec<String> = names.iter().filter_map(of).filter_map(hard).collect();
    Outcome::Value(values.join(","))
}

/// Whether it leads its session.
fn session() -> Outcome {
    match call(libc::SYS_getsid, &[0]) {
        Ok(leader) if leader == i64::from(std::process::id()) => Outcome::Value("own".into()),
        Ok(_) => Outcome::Value("inherited".into()),
        Err(errno) => Outcome::Errno(errno),
    }
}

/// Whether loopback is up: the kernel then has a local route.
fn loopback() -> Outcome {
    let routes = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let up = routes.contains("127.0.0.1");
    Outcome::Value(if up { "up" } else { "down" }.into())
}

fn environment() -> Outcome {
    let mut all: Vec<String> = std::env::vars()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    all.sort();
    Outcome::Value(all.join(","))
}

/// Makes a file, and takes it away again where that worked.
fn write(path: &str) -> Outcome {
    Outcome::from(fs::write(path, "x").and_then(|()| fs::remove_file(path)))
}

/// Makes a node for the null device, and takes it away again where that worked.
fn make_device() -> Outcome {
    let mode = (libc::S_IFCHR | 0o600) as Arg;
    let null_device = 0x103;
    let path = c"/tmp/hostile-null";
    let at = Arg::from(libc::AT_FDCWD);
    let made = call(libc::SYS_mknodat, &[at, address(path), mode, null_device]);
    let _ = fs::remove_file("/tmp/hostile-null");
    made.into()
}

fn bytes_in(path: &str) -> Outcome {
    let mut buffer = [0; 64];
    match fs::File::open(path).and_then(|mut file| file.read(&mut buffer)) {
        Ok(count) => Outcome::Value(count.to_string()),
        Err(error) => Outcome::from(Err::<(), _>(error)),
    }
}

fn setns() -> Outcome {
    match fs::File::open("/proc/self/ns/uts") {
        Ok(file) => in_child(|| call(libc::SYS_setns, &[Arg::from(file.as_raw_fd())])),
        Err(error) => Outcome::from(Err::<(), _>(error)),
    }
}

fn execute_from_tmp() -> Outcome {
    let path = c"/tmp/hostile-copy";
    let text = "/tmp/hostile-copy";
    if let Err(error) = fs::copy("/proc/self/exe", text) {
        return Outcome::from(Err::<(), _>(error));
    }
    let arguments = [
        path.as_ptr(),
        c"exit".as_ptr(),
        c"0".as_ptr(),
        std::ptr::null(),
    ];
    let outcome = in_child(|| call(libc::SYS_execve, &[address(path), address(&arguments), 0]));
    let _ = fs::remove_file(text);
    outcome
}

fn bpf() -> Outcome {
    let array_map = [2_u32, 4, 4, 1, 0, 0, 0, 0];
    in_child(|| call(libc::SYS_bpf, &[0, address(&array_map), 32]))
}

fn perf() -> Outcome {
    let mut software_clock = [0_u32; 32];
    software_clock[0] = 1; // PERF_TYPE_SOFTWARE
    software_clock[1] = 128; // its size
    let args = [address(&software_clock), 0, -1, -1];
    call(libc::SYS_perf_event_open, &args).into()
}

fn read_own_memory_by_pid() -> Outcome {
    in_child(|| {
        let (from, to) = ([7_u8; 8], [0_u8; 8]);
        let piece = |bytes: &[u8; 8]| [address(bytes) as usize, 8];
        let args = [
            Arg::from(std::process::id() as i32),
            address(&piece(&to)),
            1,
            address(&piece(&from)),
            1,
        ];
        call(libc::SYS_process_vm_readv, &args)
    })
}

fn abstract_socket() -> Outcome {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let address = SocketAddr::from_abstract_name("hearth-hostile");
    Outcome::from(address.and_then(|address| UnixStream::connect_addr(&address)))
}

/// Enters the kernel by the gate for 32-bit programs (getpid is 20 there).
#[cfg(target_arch = "x86_64")]
fn int_80() -> Outcome {
    in_child(|| {
        let mut number = 20_i64;
        // SAFETY: getpid(2) touches no memory; the gate changes no register but rax, and r8 to r11.
        unsafe {
            std::arch::asm!("int 0x80", inout("rax") number, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        if number > 0 {
            Ok(number)
        } else {
            Err(libc::ENOSYS)
        }
    })
}

/// The number of getpid(2) for x32 programs.
#[cfg(target_arch = "x86_64")]
fn x32() -> Outcome {
    in_child(|| call(0x4000_0000 + libc::SYS_getpid, &[]))
}

#[cfg(target_pointer_width = "32")]
const SET_RES_UID: libc::c_long = libc::SYS_setresuid32;
#[cfg(target_pointer_width = "64")]
const SET_RES_UID: libc::c_long = libc::SYS_setresuid;

fn observe() -> Vec<(&'static str, Outcome)> {
    let caps = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    vec![
        // What it can see; before any child is made, so that it is alone.
        ("processes", processes()),
        ("kill_outside", call(libc::SYS_kill, &[2, 0]).into()),
        ("proc_1_environ", proc_1_environ()),
        ("descriptors", descriptors()),
        ("environment", environment()),
        ("capabilities", status(&caps)),
        ("signals", status(&["SigBlk", "SigIgn"])),
        ("umask", status(&["Umask"])),
        ("limits", limits()),
        ("session", session()),
        ("no_new_privs", status(&["NoNewPrivs"])),
        ("seccomp", status(&["Seccomp"])),
        ("groups", status(&["Groups"])),
        ("uid_map", line_of("/proc/self/uid_map")),
        ("host_name", line_of("/proc/sys/kernel/hostname")),
        ("loopback", loopback()),
        ("interfaces", listed(interfaces())),
        ("folder_dev", listed(names("/dev"))),
        ("folder_sys", listed(names("/sys"))),
        ("control_group", control_group()),
        ("kernel_memory", bytes_in("/proc/kcore")),
        ("interrupts", bytes_in("/proc/interrupts")),
        // Files.
        ("host_file", fs::read("/etc/passwd").into()),
        (
            "host_file_above_root",
            fs::read("/../../../etc/passwd").into(),
        ),
        ("kernel_log", fs::File::open("/dev/kmsg").into()),
        ("write_root", write("/hostile-was-here")),
        ("write_dev", write("/dev/hostile-was-here")),
        ("write_tmp", write("/tmp/hostile-was-here")),
        (
            "write_sysctl",
            fs::write("/proc/sys/vm/overcommit_ratio", "50").into(),
        ),
        ("execute_from_tmp", execute_from_tmp()),
    ]
}

fn interfaces() -> Result<Vec<String>, std::io::Error> {
    let text = fs::read_to_string("/proc/net/dev")?;
    let names = text
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    Ok(names.collect())
}

/// The path of its group in the cgroup v2 tree, as it sees it.
fn control_group() -> Outcome {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    Outcome::Value(path.unwrap_or("none").to_owned())
}

fn attack() -> Vec<(&'static str, Outcome)> {
    let tmpfs = address(c"tmpfs");
    let tmp = address(c"/tmp");
    let at = Arg::from(libc::AT_FDCWD);
    let bad_time = [0 as Arg, 2_000_000, 0, 0];
    let number = |value: libc::c_int| value as Arg;
    vec![
        ("mount", call(libc::SYS_mount, &[tmpfs, tmp, tmpfs]).into()),
        (
            "umount",
            call(libc::SYS_umount2, &[tmp, number(libc::MNT_DETACH)]).into(),
        ),
        (
            "pivot_root",
            in_child(|| call(libc::SYS_pivot_root, &[tmp, tmp])),
        ),
        (
            "chroot",
            in_child(|| call(libc::SYS_chroot, &[address(c"/")])),
        ),
        ("mknod", make_device()),
        (
            "unshare_user",
            in_child(|| call(libc::SYS_unshare, &[number(libc::CLONE_NEWUSER)])),
        ),
        ("clone_user", clone_with(libc::CLONE_NEWUSER)),
        ("clone_net", clone_with(libc::CLONE_NEWNET)),
        ("clone3", clone3()),
        ("setns", setns()),
        ("ptrace", in_child(|| call(libc::SYS_ptrace, &[0]))),
        ("process_vm_readv", read_own_memory_by_pid()),
        ("bpf", bpf()),
        ("perf_event_open", perf()),
        (
            "userfaultfd",
            call(libc::SYS_userfaultfd, &[number(libc::O_CLOEXEC)]).into(),
        ),
        (
            "io_uring_setup",
            call(libc::SYS_io_uring_setup, &[1, 0]).into(),
        ),
        (
            "init_module",
            in_child(|| call(libc::SYS_init_module, &[tmp, 0, tmp])),
        ),
        (
            "kexec_load",
            in_child(|| call(libc::SYS_kexec_load, &[0, 0, 0, 0xffff])),
        ),
        (
            "open_by_handle_at",
            in_child(|| call(libc::SYS_open_by_handle_at, &[at, address(&[0_u64; 2]), 0])),
        ),
        ("keyctl", call(libc::SYS_keyctl, &[0, -2, 1]).into()),
        (
            "add_key",
            call(
                libc::SYS_add_key,
                &[address(c"user"), address(c"hostile"), tmp, 1, -2],
            )
            .into(),
        ),
        ("syslog", call(libc::SYS_syslog, &[10]).into()),
        ("reboot", in_child(|| call(libc::SYS_reboot, &[0, 0, 0]))),
        (
            "swapon",
            in_child(|| call(libc::SYS_swapon, &[address(c"/nonexistent")])),
        ),
        (
            "settimeofday",
            call(libc::SYS_settimeofday, &[address(&bad_time), 0]).into(),
        ),
        (
            "sethostname",
            call(libc::SYS_sethostname, &[address(c"hostile"), 7]).into(),
        ),
        ("iopl", in_child(|| call(libc::SYS_iopl, &[3]))),
        ("ioprio_get", call(libc::SYS_ioprio_get, &[1, 0]).into()),
        ("become_root", in_child(|| call(SET_RES_UID, &[0, 0, 0]))),
        (
            "personality",
            in_child(|| call(libc::SYS_personality, &[0x0004_0000])),
        ),
        (
            "type_into_terminal",
            call(
                libc::SYS_ioctl,
                &[0, number(libc::TIOCSTI as libc::c_int), address(c"x")],
            )
            .into(),
        ),
        ("raw_socket", call(libc::SYS_socket, &[2, 3, 1]).into()),
        ("packet_socket", call(libc::SYS_socket, &[17, 3, 0]).into()),
        ("netlink_socket", call(libc::SYS_socket, &[16, 3, 0]).into()),
        ("internet_socket", call(libc::SYS_socket, &[2, 1, 0]).into()),
        ("raise_interface", raise_interface()),
        ("abstract_socket", abstract_socket()),
        ("call_newer_than_policy", call(5000, &[]).into()),
    ]
}

#[cfg(target_arch = "x86_64")]
fn foreign_gates() -> Vec<(&'static str, Outcome)> {
    vec![("int_80", int_80()), ("x32", x32())]
}

/// The calls that hide others behind a number: `ipc` (shmget) and `socketcall` (a raw socket).
#[cfg(target_arch = "x86")]
fn foreign_gates() -> Vec<(&'static str, Outcome)> {
    let raw: [libc::c_ulong; 3] = [2, 3, 1];
    vec![
        (
            "ipc",
            call(libc::SYS_ipc, &[23, 0, 4096, 0o600 | 0o1000]).into(),
        ),
        (
            "socketcall_raw",
            call(libc::SYS_socketcall, &[1, address(&raw)]).into(),
        ),
    ]
}

fn everything() {
    for (name, outcome) in observe() {
        println!("RESULT {name} {outcome}");
    }
    for (name, outcome) in attack().into_iter().chain(foreign_gates()) {
        println!("RESULT {name} {outcome}");
    }
    println!("RESULT end");
}

fn sleep() -> ! {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

fn memory(mib: usize) -> ! {
    let mut held = Vec::new();
    for done in 1..=mib {
        held.push(vec![1_u8; 1024 * 1024]);
        println!("MEMORY {done}");
    }
    sleep()
}

fn fork(wanted: u32) -> ! {
    for done in 0..wanted {
        match call(libc::SYS_fork, &[]) {
            Ok(0) => sleep(),
            Ok(_) => {}
            Err(errno) => {
                println!("FORK failed after={done} errno={errno}");
                sleep()
            }
        }
    }
    println!("FORK done={wanted}");
    sleep()
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().unwrap_or(0_u32);
    match words.as_slice() {
        ["all"] => {
            everything();
            sleep()
        }
        ["once"] => everything(),
        ["memory", mib] => memory(number(mib) as usize),
        ["fork", count] => fork(number(count)),
        ["spin"] => spin(),
        ["write", path] => println!("RESULT write {}", Outcome::from(fs::write(path, "x"))),
        ["list", folder] => println!("RESULT list {}", listed(names(folder))),
        ["exit", status] => exit(number(status) as i32),
        _ => {
            eprintln!("usage: hostile all | once | memory MIB | fork N | spin | exit N");
            exit(2)
        }
    }
}
