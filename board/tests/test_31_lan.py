"""The household's port-forwards: the Internet reaches a host of the home, or a service, where it says so."""

import subprocess

import pytest

PORT = 8099
SILENCE = 28  # curl: nothing came back


@pytest.fixture
def page(lan, lease, tmp_path):
    """A page on a host of the home; the host's address."""
    (tmp_path / "index.html").write_text("a page of the home")
    server = lan.start(f"python3 -m http.server {PORT} --directory {tmp_path}")
    lan.get(f"http://127.0.0.1:{PORT}/")
    yield lease["ip"]
    server.terminate()
    try:
        server.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()


def address(gateway):
    return gateway.wait("a WAN address", 60, lambda: gateway.status()["wan"]["address"]).split("/")[0]


def curl(side, url):
    return side.run(f"curl -sS --max-time 5 {url}").returncode


def kill(gateway, name):
    before = gateway.pids()[name]
    gateway.check(f"kill -9 {before}")
    gateway.wait(f"{name} is back", 60, lambda: gateway.pids()[name] not in (0, before))


def test_a_host_of_the_home_is_reached_by_a_forward_that_survives(lan, wan, gateway, page):
    url = f"http://{address(gateway)}:8022/"
    # given a port of the WAN's address for a page in the home
    said = gateway.check(f"hearth forward add tcp 8022 {page} {PORT}")
    assert f"tcp port 8022 leads to {page} port {PORT}" in said
    # then both sides get it there, and it is in the list
    assert wan.get(url) == "a page of the home"
    assert lan.get(url) == "a page of the home"
    (row,) = gateway.json("forward list")
    assert (row["first"], row["host"], row["to_port"], row["state"]) == (8022, page, PORT, "open")
    # when the manager or netpath is killed, then it is there again
    for name in ("hearth-manager", "hearth-netpath"):
        kill(gateway, name)
        gateway.wait("it is open", 60, lambda: gateway.json("forward list")[0]["state"] == "open")
        gateway.wait("the page", 60, lambda: curl(wan, url) == 0)
    # and it is on disk
    assert '"8022"' not in gateway.read("/data/hearth/state/forwards.json")
    assert f'"host": "{page}"' in gateway.read("/data/hearth/state/forwards.json")
    # when it is removed, then there is silence
    gateway.check("hearth forward remove tcp 8022")
    assert curl(wan, url) == SILENCE
    assert gateway.json("forward list") == []


def test_a_service_is_reached_by_a_forward(lan, wan, gateway):
    gateway.wait_active("nginx", 120)
    url = f"http://{address(gateway)}:8443/"
    gateway.check("hearth forward add tcp 8443 nginx 80")
    for side in (wan, lan):
        assert "served by nginx" in side.get(url)
    gateway.check("hearth forward remove tcp 8443")
    assert curl(wan, url) == SILENCE


def test_what_can_not_be_forwarded_is_refused_with_its_reason(gateway, lease):
    for words, reason in (
        (f"tcp 61000 {lease['ip']}", "is kept for the gateway itself"),
        ("tcp 80 192.168.1.1", "is the gateway itself"),
        ("tcp 80 192.168.1.2", "for the home alone"),
        ("tcp 80 192.168.1.255", "is no host of the home"),
        ("tcp 80 198.51.100.7", "is no host of the home"),
        ("tcp 80 nginx 81", "nginx does not listen on port 81"),
        ("tcp 80 dnsmasq 53", "for the home alone"),
        ("tcp 80-1000 192.168.1.50", "a range"),
    ):
        said, code = gateway.run(f"hearth forward add {words}")
        assert code == 1 and reason in said.replace("\n", " "), f"{words}: {code} {said}"
    said, code = gateway.run("hearth forward remove tcp 9")
    assert code == 1 and "no port-forward has tcp 9" in said
    assert gateway.json("forward list") == []
