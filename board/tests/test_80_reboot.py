"""What survives a reboot, and what a panic leaves for the next boot."""

import pytest


def test_what_the_household_asked_for_survives_a_reboot(lan, gateway):
    # given one service stopped that starts by itself, and one started that does not
    gateway.check("hearth stop nginx")
    gateway.check("hearth start probe", timeout=120)
    # and a port-forward
    gateway.check("hearth forward add udp 27015 192.168.1.60")
    # when
    gateway.reboot()
    # then each is as asked, and the rest is as always
    gateway.wait_active("probe", 120)
    gateway.wait_active("dnsmasq", 120)
    row = gateway.ps()["nginx"]
    assert (row["state"], row["wanted"], row["pid"]) == ("Idle", False, 0)
    (forward,) = gateway.json("forward list")
    assert (forward["first"], forward["host"], forward["state"]) == (27015, "192.168.1.60", "open")
    # and can be changed back
    gateway.check("hearth forward remove udp 27015")
    gateway.check("hearth start nginx")
    gateway.check("hearth stop probe")
    assert "nginx" in lan.get("http://192.168.1.1:8080/")


def test_the_file_system_was_left_clean(gateway):
    text = gateway.check("dmesg | grep -i ext4 || :")
    assert "recovery" not in text and "orphan" not in text, text


@pytest.mark.lg_feature("emulated")
def test_a_panic_of_pid_1_leaves_its_last_words(gateway):
    # given a boot in which PID 1 may be told to panic
    gateway.strategy.boot("--append hearth.test")
    # when it does, and the kernel reboots
    said = gateway.reboot("kill -40 1")
    # then the next boot says cause and place on the console, and in its log
    _, told, words = said.partition("the last boot ended with: ")
    assert told, said[-3000:]
    for line in words.splitlines()[0], gateway.check("dmesg | grep 'the last boot ended with'"):
        assert ".rs:" in line and "asked to by a test signal" in line
    gateway.wait_active("nginx", 120)
