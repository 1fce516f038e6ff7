"""The gateway as labgrid sees it: an emulated machine, and the way to a shell on it or on a real board."""

import enum
import os
import select
import shlex
import subprocess
import time

import attr
from labgrid.driver import ExecutionError, ExternalConsoleDriver
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.strategy import Strategy, StrategyError

BOOT_SECONDS = 240  # an emulated Atom on a loaded host; a real one needs a tenth
GREETING = "Type 'hearth help' for commands"  # last line that a login prints, once a boot


@target_factory.reg_driver
@attr.s(eq=False)
class EmulatedMachine(ExternalConsoleDriver, PowerProtocol):
    """A process whose standard input and output are the serial port. Power on starts it, power off ends it.

    `extra` is more words for the command of the next power on.
    """

    extra = attr.ib(default="", validator=attr.validators.instance_of(str))

    def __attrs_post_init__(self):
        super().__attrs_post_init__()
        # A byte a read, each a logged step, is for real ports.
        self._expect.maxread = 4096

    def on_activate(self):
        """Nothing: power is what starts it."""

    def on_deactivate(self):
        self.off()

    def on(self):
        """Starts the process."""
        self.off()
        self._child = subprocess.Popen(
            shlex.split(f"{self.cmd} {self.extra}"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def off(self):
        """Ends the process, whatever it does."""
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()

    def cycle(self):
        """Off and on."""
        self.off()
        self.on()

    def wait_off(self, seconds):
        """Reads the console until the machine switches itself off; its exit status and what it wrote last."""
        text, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                text += self.read(4096, timeout=1.0)
            except ExecutionError:
                return self._child.wait(timeout=10), text.decode("ascii", "replace")
        raise AssertionError(f"still on after {seconds} s; console: {text[-2000:]!r}")

    def _read(self, size=1024, timeout=0, max_size=None):
        # Unlike the original: `timeout` is in seconds, and what a dying process wrote is read first.
        if self._child is None:
            raise ExecutionError("the machine is off")
        out = self._child.stdout.fileno()
        if not select.select([out], [], [], max(timeout, 0))[0]:
            return b""
        data = os.read(out, min(size, max_size) if max_size else size)
        if not data:
            raise ExecutionError("the machine switched itself off")
        return data

    def _write(self, data):
        if self._child is None:
            raise ExecutionError("the machine is off")
        return self._child.stdin.write(data)


class Status(enum.Enum):
    """Where the gateway is."""

    UNKNOWN = 0
    OFF = 1
    SHELL = 2


@target_factory.reg_driver
@attr.s(eq=False)
class GatewayStrategy(Strategy):
    """Brings a gateway from any state to a shell on its console."""

    bindings = {"power": "PowerProtocol", "console": "ConsoleProtocol", "shell": "ShellDriver"}
    status = attr.ib(default=Status.UNKNOWN)

    def transition(self, status):
        """To off, or to a shell."""
        if status == self.status:
            return
        if status == Status.OFF:
            self.off()
        elif status == Status.SHELL:
            self.boot()
        else:
            raise StrategyError(f"no way from {self.status} to {status}")

    def off(self):
        """Takes the power away."""
        self.target.deactivate(self.shell)
        self.target.activate(self.power)
        self.power.off()
        self.status = Status.OFF

    def log_in(self):
        """Waits for the end of a boot that has begun, however it began. What the console said until then."""
        self.target.deactivate(self.shell)
        self.target.activate(self.console)
        said = self.console.expect(GREETING, timeout=BOOT_SECONDS)[1]
        self.target.activate(self.shell)
        # The kernel's own lines would break into the answers of commands; `dmesg` has them all.
        self.shell.run_check("dmesg -n 1")
        return said.decode("ascii", "replace")

    def power_up(self, extra=""):
        """Off and on again. `extra`: more words for an emulated machine's command."""
        self.off()
        if extra or isinstance(self.console, EmulatedMachine):
            self.console.extra = extra
        self.target.activate(self.console)
        self.power.on()

    def boot(self, extra=""):
        """A boot from power off, as `power_up`; what the console said."""
        self.power_up(extra)
        said = self.log_in()
        self.status = Status.SHELL
        return said
