"""The home's traffic through NAT, by real programs."""

import hashlib
import json

import pytest

ENOUGH = 100_000  # bits/s: an emulated core on a shared host says nothing about speed


@pytest.fixture(autouse=True)
def internet(lan, gateway):
    """The gateway has its WAN address."""
    gateway.wait("a WAN address", 60, lambda: gateway.status()["wan"]["address"])


def forwarded(gateway):
    return gateway.status()["nat"]["forwarded"]


def test_ping(lan):
    text = lan.check("ping -c 5 -i 0.5 -W 5 203.0.113.1")
    assert " 0% packet loss" in text


def test_a_download_arrives_whole_and_from_the_gateways_address(lan, home, gateway):
    # given a file on the Internet, and the name of its server
    (server,) = lan.resolve("server.test", "192.168.1.2")
    before = forwarded(gateway)
    # when a client fetches it by name
    done = lan.run(
        f"curl -sS --fail --max-time 300 --resolve server.test:80:{server} http://server.test/data.bin", timeout=310
    )
    assert done.returncode == 0, done.stderr
    # then every byte is right
    wanted = (home.state / "files/data.bin.sha256").read_text().split()[0]
    assert hashlib.sha256(done.stdout).hexdigest() == wanted
    # and the gateway forwarded it, and the server saw only the gateway
    assert forwarded(gateway) - before > len(done.stdout) // 1500
    seen = {line.split()[0] for line in (home.state / "http.log").read_text().splitlines() if '"GET' in line}
    assert seen == {gateway.status()["wan"]["address"].split("/")[0]}


@pytest.mark.parametrize("options", ["", "--reverse"], ids=["up", "down"])
def test_tcp_throughput(lan, options):
    end = lan.iperf3(options)
    assert end["sum_received"]["bits_per_second"] > ENOUGH, json.dumps(end["sum_received"])


@pytest.mark.parametrize("options", ["", "--reverse"], ids=["up", "down"])
def test_udp(lan, options):
    # given a rate far below what the emulated core can do
    end = lan.iperf3("--udp --bitrate 1M --length 1200", options)
    # then hardly a datagram is lost
    assert end["sum"]["packets"] > 200 and end["sum"]["lost_percent"] < 5, json.dumps(end["sum"])


def test_every_packet_is_accounted_for(lan, gateway):
    lan.check("ping -c 2 -W 5 203.0.113.1")
    nat = gateway.status()["nat"]
    assert nat["received"] == nat["forwarded"] + nat["dropped"], nat
    assert 0 < nat["mappings"] <= nat["mappings_max"]
    assert nat["mappings_refused"] == 0
