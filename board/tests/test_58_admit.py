"""Admission and ranks, on the console: a refusal says who would make room, room is made by exactly those, and a rank
takes effect in the kernel at once, survives a dead manager, and decides who is admitted at boot."""

import re

import pytest

GROUPS = "/sys/fs/cgroup/services"
PACKAGES = "/data/hearth/packages"
NAMES = ("first", "second", "third")
MIB = 1 << 20


@pytest.fixture(scope="module")
def three(booted):
    """Three services that reserve 20 % of the processor each; the gateway's own leave 58 %. The first also reserves a
    part of the line."""
    # the order in which they get their numbers
    for name in NAMES:
        folder = f"{PACKAGES}/{name}"
        booted.check(f"mkdir -p {folder} && cp {PACKAGES}/neighbour/image.squashfs {folder}/")
        booted.check(
            f"sed 's/\"neighbour\"/\"{name}\"/; s/^\\[resources.pids\\]/[resources.cpu]\\nreserve = \"20 %\"\\n&/' "
            f"{PACKAGES}/neighbour/manifest.toml >{folder}/manifest.toml"
        )
    line = '[access]\\nnetwork = "wan"\\n[resources.network]\\nreserve-up = "2 Mbit/s"\\nclass = "interactive"\\n'
    booted.check(f"printf '{line}' >>{PACKAGES}/first/manifest.toml")
    for name in NAMES:
        booted.sign(name)
    booted.restart_manager()
    for name in ("first", "second"):
        booted.check(f"hearth start {name}", timeout=120)
    yield booted
    booted.check("hearth rank --clear")
    for name in NAMES:
        booted.run(f"hearth stop {name}", timeout=120)
    booted.check(f"cd {PACKAGES} && rm -r {' '.join(NAMES)} && cd /data/services && rm -rf {' '.join(NAMES)}")
    booted.restart_manager()


def budget(gateway, resource):
    return next(line for line in gateway.status()["budget"] if line["resource"] == resource)


def kernel(gateway, name):
    """What the kernel keeps of a rank: weights of processor and disk, memory kept, score of its process."""
    group = f"{GROUPS}/{name}"
    pid = gateway.pids()[name]
    files = " ".join(f"{group}/{file}" for file in ("cpu.weight", "io.bfq.weight", "memory.low", "memory.min"))
    text = gateway.check(f"cat {files} /proc/{pid}/oom_score_adj").replace("default ", "")
    cpu, disk, low, least, score = (int(line) for line in text.split())
    return {"cpu": cpu, "disk": disk, "low": low, "min": least, "score": score, "pid": pid}


def ranking(gateway):
    return [row["service"] for row in gateway.json("rank")]


def test_the_line_is_counted(three):
    up = budget(three, "upload")
    # the port tells its speed where the household says nothing
    assert up["total"] > 0 and up["system"] == up["total"] / 5
    assert up["reserved"] == 2_000_000 and up["free"] == up["total"] - up["system"] - 2_000_000


def test_a_refusal_says_what_is_short_and_changes_nothing(three):
    before = three.pids()
    text, code = three.run("hearth start third")
    text = " ".join(text.split())
    assert code == 1 and "service third reserves 20 % of a core, 18 % free, 2 % short" in text, text
    # the third is ranked last by its number: nobody ends for it
    assert "rank it higher (`hearth rank`)" in text, text
    assert three.pids() == before and not three.ps()["third"]["wanted"]
    # when it is ranked above the second, then that one would be enough
    three.check("hearth rank third")
    text, code = three.run("hearth start third")
    remedy = "stop second, ranked lower (`hearth start third --make-room` does it)"
    assert code == 1 and remedy in " ".join(text.split()), text
    text, code = three.run("hearth start third --json")
    assert code == 1 and '"room":["second"]' in text, text


def test_a_dry_run_shows_the_budget_before_and_after(three):
    before = three.pids()
    text, code = three.run("hearth start third --dry-run")
    assert code == 1 and text.startswith("third fits only after the end of: second."), text
    rows = {line.split()[0]: line for line in text.splitlines() if line and line[0] != " "}
    # total, system, reserved before and after, free before and after
    assert re.findall(r"[\d.]+ %", rows["cpu"]) == ["100 %", "30 %", "52 %", "52 %", "18 %", "18 %"], text
    text, code = three.run("hearth start third --dry-run --make-room")
    assert code == 0, text
    # another one that fits
    text, code = three.run("hearth start probe --dry-run")
    assert code == 0 and text.startswith("probe fits."), text
    assert three.pids() == before


def test_a_rank_changes_what_runs_at_once(three):
    three.check("hearth rank second first")
    one, two = kernel(three, "second"), kernel(three, "first")
    # 18 % of a core are nobody's; second and first get 4 and 2 parts of 7 beyond their 20 %
    assert (one["cpu"], two["cpu"]) == (2000 + 1020, 2000 + 510)
    assert one["disk"] > two["disk"] and one["score"] < two["score"]
    rows = {row["service"]: row for row in three.json("rank")}
    assert rows["second"]["traffic_class"] is None and rows["first"]["traffic_class"] == "interactive"
    # when it is turned around, then so is all of it, and neither process is another one
    three.check("hearth rank first second")
    new_two, new_one = kernel(three, "first"), kernel(three, "second")
    assert (new_two["cpu"], new_one["cpu"]) == (3020, 2510)
    assert new_two["disk"] > new_one["disk"] and new_two["score"] < new_one["score"]
    assert (new_one["pid"], new_two["pid"]) == (one["pid"], two["pid"])
    # a better rank keeps memory, and no rank takes from what is guaranteed
    assert three.json("rank")[0]["memory_low_bytes"] == new_two["low"] >= new_two["min"]
    # and the first column of `hearth ps` is in that order
    rows = [line.split()[:2] for line in three.check("hearth ps").splitlines()]
    assert rows[1:3] == [["first", "1"], ["second", "2"]], rows


def test_a_rank_survives_the_manager_and_a_new_process_has_it(three):
    three.check("hearth rank second first")
    before = kernel(three, "second")
    # when the manager is killed, and somebody meddled
    three.check(f"echo 1 >{GROUPS}/second/cpu.weight")
    three.restart_manager()
    three.wait("its weight is back", 30, lambda: kernel(three, "second") == before)
    assert ranking(three)[:2] == ["second", "first"]
    # and when its process ends, then the new one has its place
    three.check("hearth restart second", timeout=120)
    three.wait("its place", 30, lambda: kernel(three, "second")["score"] == before["score"])
    assert kernel(three, "second")["pid"] != before["pid"]


def test_room_is_made_by_exactly_those(three):
    # given that nobody but this one has a rank: the others come after it in the order of their numbers
    three.check("hearth rank --clear && hearth rank third")
    before = three.pids()
    text = three.check("hearth start third --make-room", timeout=120)
    assert "third is active" in text, text
    after = three.ps()
    assert after["second"]["state"] == "Idle" and not after["second"]["wanted"]
    others = [name for name in before if name not in ("second", "third")]
    assert {name: before[name] for name in others} == {name: after[name]["pid"] for name in others}
    # where it is made in vain nobody has ended: the image is damaged, and what ended for it runs again
    three.check("hearth stop third && hearth start second", timeout=120)
    three.check(f"cd {PACKAGES}/third && mv image.squashfs kept && echo none >image.squashfs")
    text, code = three.run("hearth start third --make-room", timeout=120)
    three.check(f"cd {PACKAGES}/third && mv kept image.squashfs")
    assert code == 1 and "second may run again" in " ".join(text.split()), text
    three.wait_active("second")
    assert not three.ps()["third"]["wanted"]


def test_the_highest_rank_is_admitted_first_at_boot(three):
    # given three that run and should, one of which reserves more from the next boot on
    three.check("hearth rank --clear")
    manifest = f"{PACKAGES}/third/manifest.toml"
    three.check(f"sed -i 's/20 %/10 %/' {manifest}")
    three.sign("third")
    three.restart_manager()
    for name in NAMES:
        three.check(f"hearth start {name}", timeout=120)
    three.check(f"sed -i 's/10 %/20 %/' {manifest} && hearth rank third second")
    three.sign("third")
    three.check("sync")
    # when the gateway boots
    three.reboot()
    # then the ranking is there, the first two run and the third one is told why not
    three.wait_active("third", 90)
    three.wait_active("second")
    assert ranking(three)[:2] == ["third", "second"]
    row = three.ps()["first"]
    assert row["state"] == "Idle" and "2 % short" in row["message"], row
    # and as soon as there is room, it starts by itself
    three.check("hearth stop second", timeout=120)
    three.wait_active("first")
