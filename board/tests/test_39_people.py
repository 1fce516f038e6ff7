"""What `hearth net` tells, beside what really passes: sessions, talkers, drops, and traces that come true."""

import socket

import pytest

SERVER = "203.0.113.1"
ECHO = """
import socket
s = socket.create_server(("", 9009))
while True:
    c, _ = s.accept()
    while d := c.recv(2000):
        c.sendall(d)
"""
TALK = """
import socket, time
s = socket.create_connection(("203.0.113.1", 9009), 20)
for _ in range(6):
    s.sendall(b"hello")
    assert s.recv(100)
print(s.getsockname()[1], flush=True)
time.sleep(300)
"""
# Connects, and says how that ended.
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 4)
    print("open")
except TimeoutError:
    print("silence")
except OSError as error:
    print("refused" if error.errno in (111, 113) else error)
"""


@pytest.fixture(autouse=True)
def internet(lan, gateway):
    """The gateway has its WAN address."""
    gateway.wait("a WAN address", 60, lambda: gateway.status()["wan"]["address"])


@pytest.fixture
def echo(wan, tmp_path):
    """An echo server in the Internet."""
    (tmp_path / "echo.py").write_text(ECHO)
    server = wan.start(f"python3 {tmp_path}/echo.py")
    yield server
    server.kill()
    server.wait()


@pytest.fixture
def connect(tmp_path):
    """How a connection from a side ends."""
    (tmp_path / "connect.py").write_text(CONNECT)
    return lambda side, host, port: side.check(f"python3 {tmp_path}/connect.py {host} {port}").strip()


@pytest.fixture
def own(lan):
    """The address of the home's client."""
    return lan.check("hostname -I").split()[0]


def wan_address(gateway):
    return gateway.status()["wan"]["address"].split("/")[0]


def dropped(gateway, reason, place="netpath"):
    rows = gateway.json("net")["drops"]
    return sum(row["packets"] for row in rows if (row["reason"], row["place"]) == (reason, place))


def steps(trace):
    return " | ".join(step["text"] for step in trace["steps"])


@pytest.fixture
def talk(lan, echo, tmp_path, connect):
    """A live connection of the home with the Internet: its port."""
    (tmp_path / "talk.py").write_text(TALK)
    for _ in range(20):
        if connect(lan, SERVER, 9009) == "open":
            break
    client = lan.start(f"python3 {tmp_path}/talk.py")
    port = int(client.stdout.readline())
    yield port
    client.kill()
    client.wait()


def test_a_live_flow_is_listed_and_traced_as_such(gateway, talk, own):
    # given a connection that lasts; then its session has all three ends
    wan = wan_address(gateway)
    rows = gateway.json(f"net sessions --host {own}")["sessions"]
    row = next(row for row in rows if row["inside"] == f"{own}:{talk}")
    assert (row["protocol"], row["remote"], row["state"]) == ("tcp", f"{SERVER}:9009", "established")
    assert row["outside"].startswith(f"{wan}:") and row["idle_seconds"] < 300
    assert row["fast_path"] == (gateway.status()["nat"]["fast_path"] is not None)
    text = gateway.check(f"hearth net sessions --host {own}")
    assert f"{own}:{talk}" in text and max(map(len, text.splitlines()[:2])) <= 80
    # and a trace of its packets knows it, from both ends
    trace = gateway.json(f"net trace {own}:{talk} {SERVER} 9009")
    assert trace["verdict"] == "forwarded" and trace["leaves_from"] == row["outside"]
    assert "belongs to a flow that is there (established)" in steps(trace)
    back = gateway.json(f"net trace {SERVER}:9009 wan {row['outside'].split(':')[1]}")
    assert back["leaves_to"] == f"{own}:{talk}" and "established" in steps(back)


def test_a_new_flow_is_traced_as_it_then_is(gateway, lan, echo, connect, own):
    # given a trace of a connection that nobody has opened, from a port that is free
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    trace = gateway.json(f"net trace {own}:{port} {SERVER} 9009")
    assert (trace["from"], trace["verdict"]) == ("lan", "forwarded"), trace
    assert "a mapping would be made" in steps(trace)
    # then asking has opened nothing
    rows = gateway.json(f"net sessions --host {own}")["sessions"]
    assert f"{own}:{port}" not in [row["inside"] for row in rows]
    # and when it is opened, then the server is reached, from the address that was told
    gateway.wait("a connection", 30, lambda: connect(lan, SERVER, 9009) == "open")
    assert trace["leaves_from"].startswith(wan_address(gateway))


def test_what_the_internet_may_not_is_told_and_silent(gateway, wan, connect):
    address = wan_address(gateway)
    trace = gateway.json(f"net trace {SERVER} wan 81")
    assert (trace["from"], trace["verdict"], trace["told"]) == ("wan", "dropped", False)
    before = dropped(gateway, trace["reason"])
    assert connect(wan, address, 81) == "silence"
    assert trace["reason"] == "wan_unsolicited_packets" and dropped(gateway, trace["reason"]) > before
    # and the page says it in words
    assert "nobody here asked for" in gateway.check("hearth net")


def test_what_a_services_policy_refuses_is_told_and_happens(gateway):
    # nginx may not leave the home: its gates stop it first, so root pings in its place, from its network
    trace = gateway.json(f"net trace nginx {SERVER} --icmp")
    assert (trace["from"], trace["verdict"], trace["told"]) == ("service", "dropped", True), trace
    assert trace["reason"] == "service_policy_packets"
    before = dropped(gateway, trace["reason"])
    enter = f"nsenter -t {gateway.pids()['nginx']} -n"
    text, code = gateway.run(f"{enter} ping -c 1 -W 5 {SERVER} 2>&1")
    assert code != 0, text
    assert dropped(gateway, trace["reason"]) > before, (text, gateway.json("net")["drops"])


def test_a_source_that_is_anothers_is_told_and_dropped(gateway, lan):
    # from a service's link, it is the guard's to drop
    trace = gateway.json(f"net trace 10.213.0.99 {SERVER} 80")
    assert (trace["from"], trace["reason"]) == ("service", "guard_source_frames"), trace
    enter = f"nsenter -t {gateway.pids()['nginx']} -n"
    before = dropped(gateway, trace["reason"], "nginx")
    gateway.check(f"{enter} ip addr add 10.213.0.99/32 dev eth0")
    try:
        assert gateway.run(f"{enter} ping -c 1 -W 2 -I 10.213.0.99 10.213.0.1")[1] != 0
    finally:
        gateway.check(f"{enter} ip addr del 10.213.0.99/32 dev eth0")
    assert dropped(gateway, trace["reason"], "nginx") > before
    # from the home, netpath's
    trace = gateway.json(f"net trace 172.16.0.9 {SERVER} --icmp --from lan")
    assert trace["reason"] == "reverse_path_packets", trace
    before = dropped(gateway, trace["reason"])
    lan.check("ip addr add 172.16.0.9/32 dev eth0")
    try:
        assert lan.run(f"ping -c 1 -W 2 -I 172.16.0.9 {SERVER}").returncode != 0
    finally:
        lan.check("ip addr del 172.16.0.9/32 dev eth0")
    assert dropped(gateway, trace["reason"]) > before


def test_links_and_talkers_are_those_of_now(gateway, lan, own):
    # given a client that sends 1 Mbit/s for longer than two windows of ten seconds
    client = lan.start(f"iperf3 --client {SERVER} --time 45 --udp --bitrate 1M --length 1200")
    try:

        def loud():
            net = gateway.json("net")
            talkers = [row for row in net["talkers"] if row["address"] == own]
            return net if talkers and (talkers[0]["sent_bits_per_second"] or 0) > 300_000 else None

        net = gateway.wait("the talker is seen", 40, loud)
    finally:
        client.kill()
        client.wait()
    # then it talks most, and the port to the Internet carries it
    assert net["talkers"][0]["address"] == own and net["talkers"][0]["sessions"] > 0, net["talkers"]
    links = {link["name"]: link for link in net["links"]}
    assert links["eth1"]["up"] and links["eth1"]["sent_bits_per_second"] > 100_000, links["eth1"]
    assert links["br-lan"]["address"] == "192.168.1.1/24"
    assert {link["service"] for link in net["links"]} >= {"nginx", "web", "dnsmasq"}
    # and the page fits on the console
    text = gateway.check("hearth net")
    assert max(map(len, text.splitlines())) <= 80, text
    assert own in text and "Internet" in text


@pytest.mark.parametrize(
    "words, status, part",
    [
        ("net trace kitchen 198.51.100.1 80", 1, 'no service "kitchen"'),
        ("net trace 192.168.1.300 198.51.100.1 80", 1, "no IPv4 address"),
        ("net trace 192.168.1.20 198.51.100.1 http", 1, "1 to 65535"),
        ("net trace 192.168.1.20 198.51.100.1", 1, "which port"),
        ("net trace gateway 198.51.100.1 80", 1, "the gateway itself"),
        ("net trace 192.168.1.20 198.51.100.1 80 --udp --icmp", 2, "--udp"),
        ("net sessions --service nginy", 1, 'did you mean "nginx"?'),
        ("net sessions --host kitchen", 1, "no address of a host"),
    ],
)
def test_words_that_make_no_sense_are_named(gateway, words, status, part):
    text, code = gateway.run(f"hearth {words} 2>&1")
    assert code == status and part in text, text
