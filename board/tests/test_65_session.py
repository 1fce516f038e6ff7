"""A session at the serial console, as a household's helper has it: two services are installed, one stalls, the gateway says
who is in its way and what to do, and that helps. What was typed and answered is kept in target/test/session.txt."""

import shutil
import subprocess
import time

import pytest
from gateway import signature
from glutton import POUR_PORT, pouring
from home import REPO, SERVER
from line import Line

LINE = 2  # Mbit/s
# kbit/s: more than half of the line and less than two thirds, and more than all of it
VIDEO, BACKUP = 1050, 2500
MS = 80_000
IMAGE = REPO / "target/image/test-packages/waiter"
TRANSCRIPT = REPO / "target/test/session.txt"


def package(name, title, folder, files):
    """A vendor's package, where the Internet serves it."""
    manifest = (IMAGE / "manifest.toml").read_text(encoding="utf-8")
    manifest = manifest.replace('"waiter"', f'"{name}"').replace("Who waits for the taker, of the board tests", title)
    assert f'"{name}"' in manifest and title in manifest
    folder.mkdir()
    shutil.copy(IMAGE / "image.squashfs", folder)
    (folder / "manifest.toml").write_text(manifest, encoding="utf-8")
    (folder / "signature").write_text(signature(manifest.encode()), encoding="utf-8")
    vendor = REPO / "target/debug/hearth-vendor"
    subprocess.run([vendor, "oci", folder, files / f"{name}.tar"], check=True, stdout=subprocess.DEVNULL)


class Session:
    """What somebody types, and what comes back."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.lines = []

    def note(self, text):
        """What the person sees elsewhere."""
        self.lines += ["", f"# {text}"]

    def types(self, command):
        """What was answered, as one line."""
        text, code = self.gateway.run(command, 120)
        self.lines += [f"hearth# {command}", *text.splitlines()]
        return " ".join(text.split()), code

    def waits(self, what, seconds, question):
        """Looks again and again, which is not written down."""
        begun = time.monotonic()
        self.gateway.wait(what, seconds, question)
        self.lines.append(f"# {time.monotonic() - begun:.0f} s later")


@pytest.fixture
def session(booted, home, tmp_path):
    """A gateway whose household has said what its line carries, and the two packages in the Internet."""
    for name, title in (("video", "Films for the home"), ("backup", "Copies of all files, elsewhere")):
        package(name, title, tmp_path / name, home.state / "files")
    line = Line(booted, LINE)
    line.set()
    session = Session(booted)
    with pouring(home.wan):
        yield session
    TRANSCRIPT.write_text("\n".join(session.lines) + "\n", encoding="utf-8")
    booted.run("hearth rank --clear")
    for name in ("video", "backup"):
        booted.run(f"hearth remove {name} --purge; rm -f /tmp/{name}.tar", 120)
    line.as_before()


def order(words, name):
    """A line that makes the test's service do something."""
    file = f"/data/services/{name}/order"
    return f"echo {words} >{file}.new && mv {file}.new {file}"


def test_a_stalled_video_is_explained_and_recovers(session, gateway):
    def congestion():
        return {one["resource"]: (one["culprit"], one["victims"]) for one in gateway.status()["congestion"]}

    session.note("two services are installed")
    text, code = session.types("hearth doctor")
    assert code == 0 and "All is well." in text, text
    for name in ("video", "backup"):
        assert session.types(f"wget -q -P /tmp http://{SERVER}/{name}.tar")[1] == 0
        text, code = session.types(f"hearth install /tmp/{name}.tar")
        assert code == 0 and "is installed" in text, text
        text, code = session.types(f"hearth start {name}")
        assert code == 0, text
    session.waits("both settled", 90, lambda: gateway.ps()["backup"]["since_seconds"] > 21)

    session.note("a film is watched, and the backup of the night has begun early")
    session.types(order(f"1 send {SERVER} {POUR_PORT} {VIDEO} {MS}", "video"))
    session.types(order(f"2 send {SERVER} {POUR_PORT} {BACKUP} {MS}", "backup"))
    session.waits("it is told", 60, lambda: congestion().get("uplink") == ("backup", ["video"]))

    session.note("the film stalls: why?")
    cause = "backup takes so much of the line to the Internet that video waits"
    advice = "hearth rank video backup: video then comes before backup"
    assert cause in session.types("hearth status")[0]
    assert f"{cause}; {advice}" in session.types("hearth why video")[0]
    assert "it is in the way of others" in session.types("hearth why backup")[0]
    text, code = session.types("hearth doctor")
    assert code == 1 and f"Cause: {cause}" in text and f"To do: {advice}" in text, text

    session.note("what was advised is done")
    before = gateway.pids()
    assert session.types("hearth rank video backup")[1] == 0
    session.waits("it is over", 60, lambda: congestion() == {})
    # while both still want as much as before, and run as before
    assert gateway.pids() == before
    assert not any("RESULT" in line for name in ("video", "backup") for line in gateway.logs(name))
    assert session.types("hearth why video")[0] == "video runs, and waits for nothing."
    text, code = session.types("hearth doctor")
    assert code == 0 and "All is well." in text, text
    text, _ = session.types("hearth events | tail -n 4")
    assert cause in text and "uplink: enough for all again" in text.replace("uplink ", "uplink: ", 1), text
