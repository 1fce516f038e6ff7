"""The gateway boots into what it should be."""

import re

import pytest
from home import REPO


def test_boot_ends_in_a_greeting_that_says_what_runs(gateway):
    # given the console since power on
    lines = [line.strip() for line in gateway.said.splitlines() if line.strip()]
    # then its last lines name the firmware and what runs, and the console's URL
    assert any(line.startswith("Hearth 0.") and "active" in line for line in lines[-3:]), lines[-5:]
    assert any("http://192.168.1.1" in line and "192.168.1.1/24" in line for line in lines[-3:]), lines[-5:]


def test_ps_shows_every_unit_and_service_active(gateway):
    for name in ("hearth-netpath", "hearth-manager", "dnsmasq", "nginx", "web"):
        row = gateway.wait_active(name, 120)
        assert row["pid"] > 1, row
        assert (row["restarts"], row["fault"], row["message"]) == (0, "NoFault", ""), row


def test_a_person_reads_it_too(gateway):
    table = gateway.check("hearth ps").splitlines()
    header, row = (next(line.split() for line in table if line.startswith(word)) for word in ("NAME ", "nginx "))
    assert row[header.index("STATE")] == "Active"
    assert all(len(line) <= 80 and line.isascii() for line in table)
    assert "All is well." in gateway.check("hearth status")


def test_status_has_addresses_budget_and_no_problem(gateway):
    # when the WAN has answered
    gateway.wait("a WAN address", 60, lambda: gateway.status()["wan"]["address"])
    status = gateway.status()
    # then it is the provider's, and the budget adds up
    assert status["wan"]["address"].startswith("203.0.113.1"), status["wan"]
    assert status["wan"]["router"] == "203.0.113.1"
    assert status["lan"] == "192.168.1.1/24"
    assert status["problems"] == []
    for line in status["budget"]:
        assert line["system"] + line["reserved"] + line["free"] == line["total"], line


@pytest.mark.lg_feature("emulated")
def test_debians_kernel_has_what_the_firmwares_kernel_must_have():
    # given the options that every machine's kernel needs, and those of the kernel of this image
    wanted = set()
    for name in ("services", "forwarding"):
        text = (REPO / f"board/common/kernel/{name}.config").read_text()
        wanted |= set(re.findall(r"^(CONFIG_\w+)=y", text, re.MULTILINE))
    (config,) = (REPO / "target/debs/unpacked/kernel/boot").glob("config-*")
    has = set(re.findall(r"^(CONFIG_\w+)=[ym]", config.read_text(), re.MULTILINE))
    # then none is missing: what is tested here is what the firmware has
    assert wanted - has == set()


def test_root_is_read_only_and_data_is_not(gateway):
    assert gateway.run("touch /usr/written")[1] != 0
    gateway.check("touch /data/written && rm /data/written")


def test_pid_1_is_ours_and_small(gateway):
    assert gateway.check("readlink /proc/1/exe").endswith("/hearth-init")
    assert int(gateway.check("stat -c %s /sbin/hearth-init")) <= 500_000
    resident = gateway.check("grep VmRSS: /proc/1/status").split()[1]
    assert int(resident) < 4096, f"{resident} KiB"
