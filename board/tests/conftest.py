"""One boot for all tests: the home around the gateway, then the gateway, then its client's address.

Outputs: target/test/console_main, the serial console of the whole session.
"""

import os
import pathlib

import pytest
from gateway import Gateway
from home import REPO, Home

HERE = pathlib.Path(__file__).parent
TRANSCRIPT = REPO / "target/test/console_main"
LAB = f"test-{os.getpid()}"

os.environ.setdefault("LG_ENV", str(HERE / "qemu.yaml"))
# For qemu.yaml: what starts the machine.
os.environ["LG_EMULATOR"] = (
    f"ip netns exec {LAB}-gw {REPO}/scripts/run --headless --lan-tap tap-lan --wan-tap tap-wan --guest-tap tap-guest"
)


def pytest_addoption(parser):
    """How long test_72_chaos.py goes on, and by which numbers."""
    parser.addoption("--chaos-rounds", type=int, default=200, help="rounds of test_72_chaos.py")
    parser.addoption("--chaos-seed", type=int, default=1, help="its seed: the same faults in the same order")


def pytest_configure(config):
    """Keeps the console's transcript."""
    config.option.lg_log = config.option.lg_log or str(TRANSCRIPT.parent)
    TRANSCRIPT.parent.mkdir(parents=True, exist_ok=True)
    TRANSCRIPT.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def home(env):
    """The LAN, the WAN and the guests around the gateway."""
    home = Home(LAB)
    ports = [env.config.get_option(side) for side in ("lan_port", "wan_port")] if "board" in env.get_features() else []
    home.up(*ports)
    yield home
    home.down()


@pytest.fixture(scope="session")
def booted(home, strategy):
    """A gateway that has booted, with what its console said."""
    said = strategy.boot()
    gateway = Gateway(strategy)
    gateway.said = said
    yield gateway
    strategy.off()


@pytest.fixture
def gateway(booted):
    """The gateway, at its prompt."""
    return booted


@pytest.fixture(scope="session")
def lease(booted, home):
    """What the home's client got by DHCP. It keeps the address for the session."""
    booted.wait_active("dnsmasq", 120)
    return home.lan.lease()


@pytest.fixture
def lan(home, lease):
    """The client of the home, with an address."""
    return home.lan


@pytest.fixture
def wan(home):
    """The Internet."""
    return home.wan
