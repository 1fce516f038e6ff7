"""Bad packages: each is told with its place and remedy, harms nobody and starts nothing."""

import pathlib

import pytest

PACKAGES = "/data/hearth/packages"
FAULTY = pathlib.Path(__file__).parent / "data/faulty.toml"
SMALL = """[service]
name = "{name}"
version = "1"
exec = ["{exec}"]
[resources.memory]
reserve = "{reserve} MiB"
max = "{max} MiB"
[resources.pids]
max = 2
[access]
network = "{network}"
listen = [{listen}]
"""


@pytest.fixture
def package(gateway):
    """Makes packages; takes them away afterwards."""
    made = []

    def make(name, manifest, image):
        made.append(name)
        gateway.check(f"mkdir -p {PACKAGES}/{name}")
        # its image is the probe's, or damaged
        sealed = gateway.read(f"{PACKAGES}/probe/manifest.toml").split("[package]")[1]
        gateway.write(f"{PACKAGES}/{name}/manifest.toml", manifest + f"[package]{sealed}\n".encode())
        gateway.sign(name)
        gateway.check(f"{image} >{PACKAGES}/{name}/image.squashfs")

    yield make
    for name in made:
        gateway.run(f"hearth stop {name}")
        gateway.check(f"rm -r {PACKAGES}/{name}")
    gateway.restart_manager()


def small(name, exec="/hostile", reserve=1, max=8, network="none", listen=""):
    text = SMALL.format(name=name, exec=exec, reserve=reserve, max=max, network=network, listen=listen)
    return text.encode()


def problems(gateway, name):
    return [line for line in gateway.status()["problems"] if name in line]


def others(gateway, before, *but):
    """Who has another process than before, but for those."""
    after = gateway.pids()
    return {name for name in before if name not in but and before[name] != after.get(name)}


def test_ten_faults_are_ten_messages_and_nothing_starts(gateway, package):
    before = gateway.pids()
    # given a manifest with a fault on each of ten lines
    package("faulty", FAULTY.read_bytes(), f"cat {PACKAGES}/probe/image.squashfs")
    # when the manager reads it
    gateway.restart_manager()
    # then each fault is told with its line, once
    found = problems(gateway, "faulty/manifest.toml")
    places = [line.split("faulty/manifest.toml:")[1].split(":")[0] for line in found]
    assert places == ["2", "4", "5", "6", "8", "11", "13", "15", "16", "17"], found
    assert len(set(found)) == 10
    # and nothing of it runs, and all others go on
    assert "faulty" not in gateway.ps()
    assert others(gateway, before, "hearth-manager") == set()


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("noise", "head -c 65536 /dev/urandom"),
        ("half", f"head -c 20000 {PACKAGES}/probe/image.squashfs"),
        ("empty", ":"),
    ],
    ids=["noise", "half", "empty"],
)
def test_a_damaged_image_is_a_clear_error(gateway, package, name, image):
    before = gateway.pids()
    package(name, small(name), image)
    gateway.restart_manager()
    # then it is given up, and the household reads what is wrong with it
    row = gateway.wait("a message", 90, lambda: (r := gateway.ps()[name])["message"] and r)
    assert row["state"] in ("Idle", "Restarting") and row["pid"] == 0, row
    assert "image" in row["message"], row
    assert row["fault"] != "NoFault", row
    assert others(gateway, before, "hearth-manager") == set()


def test_a_program_that_is_not_in_the_image_is_a_clear_error(gateway, package):
    package("lost", small("lost", exec="/no/such/program"), f"cat {PACKAGES}/probe/image.squashfs")
    gateway.restart_manager()
    row = gateway.wait("a message", 90, lambda: (r := gateway.ps()["lost"])["message"] and r)
    assert "the service's program: no such file" in row["message"], row


def test_more_memory_than_there_is_is_refused_with_the_shortfall(gateway, package):
    package("giant", small("giant", reserve=4000, max=4000), f"cat {PACKAGES}/probe/image.squashfs")
    gateway.restart_manager()
    row = gateway.wait("a message", 60, lambda: (r := gateway.ps()["giant"])["message"] and r)
    assert (row["state"], row["pid"]) == ("Idle", 0)
    assert "of memory" in row["message"] and " short" in row["message"], row


def test_a_port_that_is_taken_is_refused_by_name(lan, gateway, package):
    package(
        "twin",
        small("twin", network="lan", listen='"lan tcp 8080 -> 80"'),
        f"cat {PACKAGES}/probe/image.squashfs",
    )
    gateway.restart_manager()
    row = gateway.wait("a message", 60, lambda: (r := gateway.ps()["twin"])["message"] and r)
    assert row["pid"] == 0 and "8080" in row["message"] and "nginx" in row["message"], row
    assert "nginx" in lan.get("http://192.168.1.1:8080/")
