"""What is measured: our programs, built; the peers that are installed; and the same sandbox in the words of each."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import tomllib

from common import OUT, ROOT, command, fail, say

MUSL = {"x86_64": "x86_64-unknown-linux-musl", "i686": "i686-unknown-linux-musl"}
POLICY = "exec-children"
UID = 1000
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def build(word, package="hearth-sandbox", programs=("starts", "hostile")):
    """Builds static release programs of one word size, a package's own and examples: the folder that they are in."""
    folder = ROOT / "target" / MUSL[word] / "release"
    words = ["cargo", "build", "--release", "--quiet", "-p", package, "--target", MUSL[word], "--bin", package]
    env = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    for program in programs:
        words += ["--example", program]
    command(words, cwd=ROOT, env=env)
    return folder


def image(word, folder):
    """A root with the empty folders of a package, and the program that does nothing."""
    root = OUT / f"root-{word}"
    for name in ("proc", "sys", "dev", "tmp", "run", "data"):
        (root / name).mkdir(parents=True, exist_ok=True)
    bits = "-m64" if word == "x86_64" else "-m32"
    source = pathlib.Path(__file__).with_name("nothing.S")
    command(["cc", bits, "-static", "-nostdlib", "-o", root / "nothing", source])
    shutil.copy(folder / "examples" / "hostile", root / "hostile")
    return root


def plan_text(launcher, root):
    """What `run` would do, as data."""
    words = [launcher, "run", "--without-limits", "--dry-run", "--json", "--root", root, "--", "/nothing"]
    return json.loads(command(words))


def hidden(plan):
    """Paths that our sandbox covers and that this kernel has: those of files, those of folders, and the read-only ones."""
    of = lambda step: [one["detail"] for one in plan["steps"] if one["step"] == step]
    covered = [path for path in of("MaskPath") if os.path.exists(path)]
    read_only = [path for path in of("ReadOnlyPath") if os.path.exists(path)]
    return (
        [path for path in covered if not os.path.isdir(path)],
        [path for path in covered if os.path.isdir(path)],
        read_only,
    )


def bubblewrap(root, filter_fd, plan=None):
    """bubblewrap with what it knows of our sandbox, and with `plan` its covered paths, too. Its namespaces are the
    same but for the time's, which it lacks, as it lacks Landlock; --as-pid-1 saves it the helper inside."""
    words = ["bwrap", "--unshare-all", "--unshare-user", "--uid", UID, "--gid", UID, "--hostname", "bench"]
    words += ["--new-session", "--die-with-parent", "--as-pid-1", "--clearenv", "--cap-drop", "ALL"]
    words += ["--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/run", "/dev/shm"):
        words += ["--size", 16 << 20, "--tmpfs", folder]
    words += ["--mqueue", "/dev/mqueue"]
    if plan:
        files, folders, read_only = hidden(plan)
        for path in files:
            words += ["--ro-bind", "/dev/null", path]
        for path in folders:
            words += ["--tmpfs", path, "--remount-ro", path]
        for path in read_only:
            words += ["--ro-bind", path, path]
    words += ["--remount-ro", "/dev", "--seccomp", filter_fd]
    return [str(word) for word in words]


def allowed_calls():
    """Names of the calls that base and one difference allow; conditions on arguments are left out: for crun's filter,
    which then is no longer than ours."""
    names = []
    for file in ("base", POLICY):
        text = (ROOT / "sandbox" / "policy" / f"{file}.toml").read_text()
        for entry in tomllib.loads(text)["allow"]:
            names += entry["calls"]
    return sorted(set(names))


def oci_bundle(root, plan, arguments):
    """crun's input: the same sandbox as an OCI bundle. Returns its folder."""
    files, folders, read_only = hidden(plan)
    tmpfs = ["nosuid", "nodev", "noexec", "size=16m"]
    mount = lambda target, kind, options, source=None: {
        "destination": target,
        "type": kind,
        "source": source or kind,
        "options": options,
    }
    config = {
        "ociVersion": "1.0.2",
        "hostname": "bench",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": UID, "gid": UID},
            "args": arguments,
            "env": [f"PATH={PATH}"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {name: [] for name in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024},
                {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
            ],
        },
        "mounts": [
            mount("/proc", "proc", ["nosuid", "nodev", "noexec"]),
            mount("/dev", "tmpfs", ["nosuid", "noexec", "mode=755", "size=65536k"]),
            mount("/dev/shm", "tmpfs", [*tmpfs, "mode=1777"], "shm"),
            mount("/dev/mqueue", "mqueue", ["nosuid", "nodev", "noexec"]),
            mount("/tmp", "tmpfs", [*tmpfs, "mode=1777"]),
            mount("/run", "tmpfs", [*tmpfs, "mode=755"]),
        ],
        "linux": {
            "namespaces": [
                {"type": kind} for kind in ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")
            ],
            "uidMappings": [{"containerID": 0, "hostID": 17825792, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": 17825792, "size": 65536}],
            "maskedPaths": files + folders,
            "readonlyPaths": read_only,
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{"names": allowed_calls(), "action": "SCMP_ACT_ALLOW"}],
            },
        },
    }
    folder = OUT / ("bundle-" + "-".join(word.strip("/") for word in arguments))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    return folder


def version(program):
    """First line of what a peer says of itself; None where it is not installed."""
    if not shutil.which(program):
        return None
    return command([program, "--version"]).splitlines()[0]


class Starter:
    """Runs words as a process, with /dev/null as standard descriptors, and times it from start to end."""

    def __init__(self):
        self.null = os.open("/dev/null", os.O_RDWR)

    def spawn(self, words, files=()):
        """Starts it. `files` are (descriptor, path), opened for it."""
        words = [str(word) for word in words]
        program = shutil.which(words[0]) or fail(f"{words[0]} is missing")
        actions = [(os.POSIX_SPAWN_DUP2, self.null, fd) for fd in (0, 1, 2)]
        actions += [(os.POSIX_SPAWN_OPEN, fd, str(path), os.O_RDONLY, 0) for fd, path in files]
        return os.posix_spawn(program, words, {"PATH": PATH}, file_actions=actions)

    def timed(self, words, files=()):
        """A function that runs it to its end and returns the microseconds that this took."""
        words = [str(word) for word in words]
        program = shutil.which(words[0]) or fail(f"{words[0]} is missing")
        actions = [(os.POSIX_SPAWN_DUP2, self.null, fd) for fd in (0, 1, 2)]
        actions += [(os.POSIX_SPAWN_OPEN, fd, str(path), os.O_RDONLY, 0) for fd, path in files]

        def run():
            before = time.perf_counter_ns()
            pid = os.posix_spawn(program, words, {"PATH": PATH}, file_actions=actions)
            _, status = os.waitpid(pid, 0)
            took = time.perf_counter_ns() - before
            if status != 0:
                fail(f"{' '.join(words)}: status {status:#x}")
            return took / 1000

        return run


class Gateway:
    """Starts as PID 1 makes them; see sandbox/examples/starts.rs."""

    def __init__(self, folder, root, arguments, hold=False):
        words = [folder / "examples" / "starts", *(["--hold"] if hold else [])]
        words += [folder / "hearth-sandbox", root, *arguments]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def start(self):
        """One more; microseconds."""
        self.process.stdin.write("\n")
        line = self.process.stdout.readline()
        if not line:
            fail("starts ended")
        return int(line) / 1000

    def close(self):
        """Ends it and all that it holds."""
        self.process.stdin.close()
        if self.process.wait() != 0:
            fail(f"starts: status {self.process.returncode}")


def kill(pid):
    """Kills a process that we started, and takes its status."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def peers():
    """Versions of the installed peers by name; says what is missing."""
    found = {"bubblewrap": version("bwrap"), "crun": version("crun")}
    for name in [name for name, text in found.items() if text is None]:
        say(f"{name} is not installed and not compared: scripts/bench --peers sandbox installs it")
        del found[name]
    return found
