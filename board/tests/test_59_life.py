"""The life of services on the gateway: ready by a word, a port and a probe; a watchdog that bites; a chain of needs that
starts and ends in order, also over the manager's death; a need that fails; and one service that is given up."""

import pytest

CHAIN = ("hub", "spoke", "rim")


def touch(gateway, name, file):
    """Makes a file in the data of a service."""
    gateway.check(f"touch /data/services/{name}/{file}")


def row(gateway, name):
    return gateway.ps()[name]


def waits(gateway, name, words):
    """Waits until a service says that it waits for this."""

    def starting():
        found = row(gateway, name)
        return found if found["state"] == "Starting" and words in (found["life"]["waits"] or "") else None

    return gateway.wait(f"{name} waits {words}", 60, starting)


def told(gateway, name):
    """What the gateway told of a service, in order."""
    return [event["text"] for event in gateway.json("events") if event["object"] == f"service {name}"]


@pytest.fixture(scope="module")
def chain(booted):
    """The wheel at rest, without files of an earlier run; and the doomed service, which fails from now on."""
    for name in CHAIN:
        booted.check(f"rm -f /data/services/{name}/go /data/services/{name}/hang")
    booted.run("hearth start doomed", timeout=60)
    yield booted
    for name in reversed(CHAIN):
        booted.run(f"hearth stop {name}", timeout=60)
    booted.run("hearth stop doomed", timeout=60)


def test_each_service_starts_when_the_one_it_needs_is_ready(chain):
    # when the last one is started
    chain.run("(hearth start rim >/dev/null 2>&1 &)")
    # then the first one starts, and each says what it waits for
    waits(chain, "hub", "for its READY=1")
    assert row(chain, "spoke")["life"]["waits"] == "for hub, which it needs"
    assert row(chain, "rim")["life"]["waits"] == "for spoke, which it needs"
    assert "it waits for its READY=1" in chain.check("hearth status")
    chain.wait("its word", 20, lambda: row(chain, "hub")["life"]["says"] == "waits for its file")
    # when the manager is killed in the middle, and the first becomes ready while it is away
    pid = row(chain, "hub")["pid"]
    chain.check(f"kill -9 {chain.pids()['hearth-manager']}; touch /data/services/hub/go")
    # then the same process is Active, by its word
    assert chain.wait_active("hub")["pid"] == pid
    assert "at work" in row(chain, "hub")["life"]["says"]
    # and the next one starts, and is ready when it listens
    waits(chain, "spoke", "until it listens at tcp 8080")
    touch(chain, "spoke", "go")
    chain.wait_active("spoke")
    # and the last one when its probe, inside its sandbox, finds what it looks for
    waits(chain, "rim", "until /living succeeds")
    touch(chain, "rim", "go")
    chain.wait_active("rim")
    # each was Active before the next one was started
    assert "WATCHDOG" not in " ".join(chain.logs("hub"))
    assert any("watchdog=10000000" in line for line in chain.logs("hub"))


def test_the_probe_was_in_the_sandbox(chain):
    facts = next(line for line in chain.logs("rim") if line.startswith("PROBE "))
    for fact in ("Uid:1000,1000,1000,1000", "CapEff:0000000000000000", "NoNewPrivs:1", "Seccomp:2", "open=4"):
        assert fact in facts, facts
    pid = row(chain, "rim")["pid"]
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert chain.check(f"readlink /proc/{pid}/ns/{kind}").strip() in facts, facts
    # and nothing of it is left
    assert chain.read("/sys/fs/cgroup/services/rim/cgroup.procs").split() == [str(row(chain, "rim")["pid"])]


def test_a_service_without_a_sign_of_life_is_killed_and_comes_back(chain):
    before = row(chain, "hub")["pid"]
    # when it goes on, and says nothing
    touch(chain, "hub", "hang")
    chain.wait("the bite", 60, lambda: row(chain, "hub")["pid"] not in (0, before))
    chain.check("rm /data/services/hub/hang")
    found = chain.wait_active("hub")
    # then the reason is told, and who needs it runs on
    assert found["restarts"] >= 1
    assert any("it gives no sign of life (health.watchdog)" in text for text in told(chain, "hub"))
    assert row(chain, "spoke")["state"] == row(chain, "rim")["state"] == "Active"


def test_a_stop_ends_those_that_need_it_before(chain):
    # when the first is stopped
    chain.check("hearth stop hub", timeout=60)
    rows = chain.ps()
    assert [rows[name]["state"] for name in CHAIN] == ["Idle"] * 3
    # then the others say why, and stay wanted
    for name, need in (("spoke", "hub"), ("rim", "spoke")):
        assert (rows[name]["fault"], rows[name]["wanted"]) == ("DependencyFailure", True), rows[name]
        assert f"it needs {need}" in rows[name]["message"]
    # and the furthest ended first
    def at(name):
        return max(event["id"] for event in chain.json("events") if event["object"] == f"service {name}" and event["text"].startswith("Idle"))

    assert at("rim") < at("spoke") < at("hub")
    # and they come back with it, by themselves, also after a death of the manager
    chain.restart_manager()
    assert row(chain, "rim")["fault"] == "DependencyFailure"
    chain.check("hearth start hub", timeout=60)
    chain.wait_active("rim")


def test_a_need_that_fails_is_a_dependency_failure(chain):
    # given a first service that is not ready in time
    chain.check("hearth stop hub", timeout=60)
    chain.check("rm /data/services/hub/go")
    manifest = "/data/hearth/packages/hub/manifest.toml"
    chain.check(f"cp {manifest} /tmp/hub.toml; cp {manifest.replace('manifest.toml', 'signature')} /tmp/hub.signature")
    chain.check(f"sed -i 's/\"60 s\"/\"3 s\"\\nrestart = \"never\"/' {manifest}")
    chain.sign("hub")
    chain.restart_manager()
    # when it is started
    chain.run("hearth start hub", timeout=60)
    # then it says why, and so do those that need it
    hub = row(chain, "hub")
    assert (hub["state"], hub["fault"]) == ("Idle", "FailureOnStart"), hub
    assert "it was not ready within 3 s" in hub["message"], hub
    for name in ("spoke", "rim"):
        assert row(chain, name)["fault"] == "DependencyFailure"
    text = chain.check("hearth status")
    assert "it needs hub, which does not run (FailureOnStart" in " ".join(text.split())
    # and once it can, all come back
    chain.check(f"cp /tmp/hub.toml {manifest}; cp /tmp/hub.signature {manifest.replace('manifest.toml', 'signature')}")
    chain.check("touch /data/services/hub/go")
    chain.restart_manager()
    chain.check("hearth start hub", timeout=60)
    chain.wait_active("rim")


def test_a_service_that_fails_each_time_is_given_up_and_says_what_to_do(chain):
    # 0.5 s, doubled to 30 s, ten times: since the first test here
    gone = chain.wait("it is given up", 240, lambda: (one := row(chain, "doomed"))["state"] == "Idle" and one)
    assert (gone["fault"], gone["wanted"]) == ("UnStartable", True), gone
    text = " ".join(chain.check("hearth status").split())
    assert "it failed too often and is left alone: see `hearth logs doomed`, then `hearth start doomed`" in text
    assert "UnStartable" in chain.check("hearth status doomed")
