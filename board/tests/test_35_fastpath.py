"""The fast path on the gateway's own kernel: compiled, equal to the machine, taken by what lasts, and not in need of
hearth-netpath for what is live."""

import json
import re
import shutil
import subprocess
import time

import pytest
from home import REPO, SERVER

TRIPLE = "i686-unknown-linux-musl"
PACKETS = 5_000  # through the program and the machine, on an emulated core
AWAY = 10  # seconds that hearth-netpath is not there


@pytest.fixture(autouse=True)
def internet(lan, gateway):
    """The gateway has its WAN address."""
    gateway.wait("a WAN address", 60, lambda: gateway.status()["wan"]["address"])


def test_it_is_on_and_compiled(gateway):
    # given hearth-netpath, which attaches only what the kernel has compiled, then it says so
    assert gateway.status()["nat"]["fast_path"] is not None, gateway.check("dmesg | grep 'fast path'")
    assert gateway.read("/proc/sys/net/core/bpf_jit_enable").strip() == "1"
    assert gateway.check("ls /sys/fs/bpf/hearth").split() == ["CONFIG", "COUNTS", "FLOWS", "HOSTS"]


def test_it_is_the_machine_packet_by_packet(gateway, home):
    # given the tests of netpath/tests/fastpath for this processor
    words = ["cargo", "test", "--release", "--no-run", "--message-format=json", "--target", TRIPLE]
    words += ["-p", "hearth-netpath", "--test", "fastpath"]
    done = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (program,) = [one["executable"] for one in said if one.get("executable") and "test" in one["target"]["kind"]]
    shutil.copy(program, home.state / "files/fastpath-tests")
    gateway.check(f"wget -q -O /tmp/fastpath-tests http://{SERVER}/fastpath-tests && chmod 755 /tmp/fastpath-tests", 180)
    # when they run on the gateway's kernel, then its program does what the machine does
    text = gateway.check(f"HEARTH_PACKETS={PACKETS} /tmp/fastpath-tests --nocapture --test-threads 1", 300)
    assert re.search(r"test result: ok\. [1-9]", text), text
    ran = re.search(rf"{PACKETS} packets, (\d+) forwarded, (\d+) by the program", text)
    assert int(ran[2]) > PACKETS // 10, text
    gateway.check("rm /tmp/fastpath-tests")


def test_a_transfer_takes_it(lan, gateway):
    # when the home fetches something
    before = gateway.status()["nat"]
    size = len(lan.run(f"curl -sS --fail --max-time 120 http://{SERVER}/data.bin", 150).stdout)
    # then hardly a packet of it came to hearth-netpath
    after = gateway.status()["nat"]
    fast, all_ = (after[name] - before[name] for name in ("fast_path", "forwarded"))
    assert fast > size // 1_500, after
    assert fast > 0.9 * all_, (before, after)
    assert after["received"] == after["forwarded"] + after["dropped"], after


def test_live_flows_do_not_notice_that_hearth_netpath_is_away(lan, gateway):
    # given a download on its way
    rate = 100_000  # bytes a second
    download = lan.start(f"curl -sS --fail --limit-rate {rate} --max-time 120 -o /dev/null -w %{{size_download}} "
                         f"http://{SERVER}/data.bin")
    time.sleep(3)
    old = gateway.pids()["hearth-netpath"]
    # when hearth-netpath can not run for a while: it is killed again and again as soon as it is back
    gateway.check(
        f"kill -9 {old}; end=$(($(cut -d. -f1 /proc/uptime) + {AWAY})); "
        "while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do "
        "for p in $(pidof hearth-netpath); do kill -9 $p; done; usleep 100000; done",
        AWAY + 60,
    )
    assert download.poll() is None, "the download was over too early"
    # then, when it is back, the download goes on by the same connection to its end
    gateway.wait("hearth-netpath", 90, lambda: gateway.status()["nat"])
    text, _ = download.communicate(timeout=120)
    assert download.returncode == 0, text
    assert int(text) == 4 << 20
    gateway.wait("the log", 30, lambda: "flows of an earlier run go on" in gateway.check("dmesg"))
    # and new flows are served again
    gateway.wait("the Internet", 60, lambda: lan.run(f"ping -c 1 -W 5 {SERVER}").returncode == 0)
