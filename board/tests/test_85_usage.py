"""What services used: figures, signed records, and their check."""

import json
import time

CPU = "/sys/fs/cgroup/services/nginx/cpu.stat"


def used_cpu(gateway):
    rows = gateway.json("usage")["services"]
    return sum(row["used"]["cpu_usec"] for row in rows if row["service"] == "nginx")


def test_figures_are_the_kernels_own(lan, gateway):
    # given a service whose control group is new
    gateway.wait_active("nginx", 120)
    gateway.check("hearth restart nginx", timeout=120)
    before = used_cpu(gateway)
    first = int(gateway.read(CPU).split()[1])
    for _ in range(20):
        assert "nginx" in lan.get("http://192.168.1.1:8080/")
    # when it rests
    time.sleep(1)
    kernel = int(gateway.read(CPU).split()[1])
    accounted = used_cpu(gateway) - before
    # then both have counted the same: what it used until the first look may be on either side
    assert kernel - first - 0.01 * kernel <= accounted <= kernel + 0.01 * kernel, (first, kernel, accounted)


def held_by_nginx(gateway):
    """Byte-seconds of storage so far, and the gateway's seconds before and after it was asked."""
    first, answer, last = gateway.check("cat /proc/uptime; hearth usage --json; cat /proc/uptime").splitlines()
    rows = json.loads(answer)["services"]
    held = sum(row["used"]["storage_byte_seconds"] for row in rows if row["service"] == "nginx")
    return float(first.split()[0]), held, float(last.split()[0])


def test_storage_is_charged_for_as_long_as_it_is_held(gateway):
    # given a service with some data, which rests
    gateway.check("hearth stop nginx", timeout=120)
    gateway.check("dd if=/dev/zero of=/data/services/nginx/held bs=64k count=128; sync")
    size = int(gateway.check("du -sk /data/services/nginx").split()[0]) * 1024
    # when time passes
    start, before, started = held_by_nginx(gateway)
    time.sleep(30)
    end, after, ended = held_by_nginx(gateway)
    gateway.check("rm /data/services/nginx/held; hearth start nginx", timeout=120)
    # then it is the file system's own count times that
    assert size > 8 << 20
    assert 0.99 * size * (end - started) <= after - before <= 1.01 * size * (ended - start), (size, after - before)


def test_records_are_whole(gateway):
    # given the records that a reboot closes
    gateway.reboot()
    text = gateway.check("hearth usage verify", timeout=120)
    # then each is signed and none is missing
    assert "none is changed, removed or moved" in text, text
    rows = gateway.check("hearth usage --csv").splitlines()
    assert any(",nginx," in row and ",shutdown," in row for row in rows), rows


def test_a_changed_export_is_found(gateway):
    gateway.check("hearth usage export > /tmp/usage; hearth usage key > /tmp/key")
    gateway.check("hearth usage verify /tmp/usage --key /tmp/key", timeout=120)
    gateway.check("sed -i '1s/\"cpu_usec\":/\"cpu_usec\":1/' /tmp/usage")
    text, code = gateway.run("hearth usage verify /tmp/usage --key /tmp/key")
    assert code == 1 and "line 1: the signature does not fit" in text, text
