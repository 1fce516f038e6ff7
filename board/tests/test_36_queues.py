"""The line to the Internet while it is full: shaped on the gateway's own kernel, with the best leaf that it has, and short
for whoever waits for an answer."""

import json
import re
import statistics
import subprocess
import time

import pytest
from home import SERVER
from line import Line

LINE = 6  # Mbit/s, in both directions: far below what the emulated machine forwards
USED = 0.95  # of it, by queues.toml
LOAD = 0.95  # of what is used: that full the line has to be while somebody waits
OVERHEAD = 24  # bytes that the line adds to a frame, by queues.toml
PORT, HOG, FLOOD = 7007, 5299, 5298
ROUNDS = 3
ADDED_MAX = 5.0  # ms that an interactive flow waits longer while the line is full; an emulated clock, on a machine with
OF_PLAIN = 10  # other work, may show more: then a tenth of what it is without queues
GOOD = 1448 / (1514 + OVERHEAD)  # of the line's bytes, what TCP carries

ECHO = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", {PORT}))
while True:
    data, who = s.recvfrom(2000)
    s.sendto(data, who)
"""
# Fifty questions a second with a code point; prints how long each answer took, ms.
ASK = f"""
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(sys.argv[1]) << 2)
s.settimeout(2)
s.connect(("{SERVER}", {PORT}))
for number in range(int(sys.argv[2])):
    sent = time.monotonic()
    s.send(str(number).encode())
    try:
        while s.recv(100) != str(number).encode():
            pass
        print(round((time.monotonic() - sent) * 1000, 3), flush=True)
    except TimeoutError:
        print("lost", flush=True)
    time.sleep(max(0, 0.02 - (time.monotonic() - sent)))
"""


@pytest.fixture(scope="module")
def internet(booted, home):
    """Peers in the Internet: one that echoes, and two that take and send as much as they can."""
    booted.wait("a WAN address", 60, lambda: booted.status()["wan"]["address"])
    peers = [
        subprocess.Popen(["ip", "netns", "exec", home.wan.namespace, "python3", "-c", ECHO]),
        *(subprocess.Popen(["ip", "netns", "exec", home.wan.namespace, "iperf3", "-s", "-p", str(port)],
                           stdout=subprocess.DEVNULL) for port in (HOG, FLOOD)),
    ]
    yield
    for peer in peers:
        peer.kill()
        peer.wait()


@pytest.fixture(scope="module")
def line(booted, lease, internet):
    """Shaped, and as before afterwards."""
    line = Line(booted, LINE)
    yield line
    line.as_before()


def asked(lan, mark=46, count=60):
    """Milliseconds that answers took, and how many did not come."""
    words = ["ip", "netns", "exec", lan.namespace, "python3", "-c", ASK, str(mark), str(count)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    return [float(one) for one in lines if one != "lost"], lines.count("lost")


def filled(lan, reverse):
    """The line, full of somebody's transfers, four of TCP and one that knows no restraint: processes."""
    way = "-R" if reverse else ""
    hogs = [
        lan.start(f"iperf3 -c {SERVER} -p {HOG} -t 60 -P 4 {way}"),
        lan.start(f"iperf3 -c {SERVER} -p {FLOOD} -t 60 -u -b {LINE}M -l 1200 {way}"),
    ]
    time.sleep(3)
    for hog in hogs:
        assert hog.poll() is None, hog.stdout.read()
    return hogs


def arrived(side):
    """Bits that a side has received so far, as the line counts them, and when that was read."""
    (link,) = json.loads(side.check("ip -j -s link show eth0"))
    came = link["stats64"]["rx"]
    return 8 * (came["bytes"] + OVERHEAD * came["packets"]), time.monotonic()


def added(lan, wan, reverse, rounds=ROUNDS, lost_max=5):
    """How much longer the median answer takes while the line is full, ms, and how full it is, of what is used of it:
    the medians of some rounds."""
    more, loads = [], []
    end = lan if reverse else wan
    for _ in range(rounds):
        idle, _ = asked(lan)
        hogs = filled(lan, reverse)
        before, begin = arrived(end)
        busy, lost = asked(lan)
        after, finish = arrived(end)
        for hog in hogs:
            hog.kill()
            hog.wait()
        assert lost <= lost_max, f"{lost} of 60 answers did not come"
        more.append(statistics.median(busy) - statistics.median(idle))
        loads.append((after - before) / (finish - begin) / (LINE * USED * 1e6))
        time.sleep(1)
    return statistics.median(more), statistics.median(loads)


def test_the_line_is_shaped_with_the_best_leaf(lan, gateway, line):
    said = line.set()
    for direction in ("up", "down"):
        found = re.search(rf"queues {direction}: shaped to ([0-9.]+) Mbit/s, leaves (\w+)", said)
        assert found, said
        assert float(found[1]) == pytest.approx(LINE * USED)
        assert found[2] == "cake", said
    for options in ("", "-R"):
        # The first one after a restart may take a second to begin.
        end = lan.iperf3("-p", str(HOG), "--time 5 -P 4", options)
        rate = end["sum_received"]["bits_per_second"] / 1e6
        assert 0.4 * LINE * USED < rate < 1.02 * LINE * USED * GOOD, rate


def test_who_waits_for_an_answer_waits_less_than_five_ms_longer_on_a_full_line(lan, wan, gateway, line):
    line.set()
    more, load = {}, {}
    for reverse in (False, True):
        more[reverse], load[reverse] = added(lan, wan, reverse)
    print(f"added with queues: up {more[False]:.2f} ms, down {more[True]:.2f} ms; load {load}")
    # when all share one queue, first come, first served, and what finds it full is lost
    line.set(lambda text: re.sub(r"^(home|order) = .*$",
                                 lambda m: 'order = ["pfifo"]' if m[1] == "order" else "", text, flags=re.M))
    plain = {reverse: added(lan, wan, reverse, 1, lost_max=30)[0] for reverse in (False, True)}
    print(f"added without: up {plain[False]:.2f} ms, down {plain[True]:.2f} ms")
    for reverse in (False, True):
        # then, on a line that is as full as the queues let it be,
        assert load[reverse] > LOAD, load
        # everybody waits as long as it is, and by the queues hardly at all
        assert plain[reverse] > 20, (more, plain)
        assert more[reverse] < max(ADDED_MAX, plain[reverse] / OF_PLAIN), (more, plain)
