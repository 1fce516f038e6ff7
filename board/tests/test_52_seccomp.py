"""System calls that a service may not make: who makes one is killed, and the household is told which and what to do."""

import pytest

PACKAGES = "/usr/share/hearth/packages"
# Each shipped service as its manifest starts it, but for its ports of the home; where it is asked something, by whom.
RECORDED = {
    "nginx": ("/usr/sbin/nginx -c /etc/nginx/nginx.conf -e stderr", "wget -q -O /dev/null http://127.0.0.1/"),
    "web": ("/hearth-web", "wget -q -O /dev/null http://127.0.0.1/healthz"),
    "dnsmasq": (
        "/usr/sbin/dnsmasq --keep-in-foreground --log-facility=- --conf-file=/etc/dnsmasq.conf"
        " --dhcp-range=192.168.1.100,192.168.1.200,255.255.255.0,12h --address=/gateway.lan/192.168.1.1",
        # By UDP, and by TCP, where an address's answer has 47 bytes.
        r'''sh -c "nslookup -type=a gateway.lan 192.168.1.2 &&
            printf '\0\035\0\1\1\0\0\1\0\0\0\0\0\0\7gateway\3lan\0\0\1\0\1' | nc -w 3 192.168.1.2 53 | wc -c | grep -qx 47"''',
    ),
}


@pytest.fixture
def forbidden(booted):
    """The row of a service that makes a forbidden call, at rest again."""
    booted.run("hearth start forbidden 2>&1", timeout=120)

    def row():
        found = booted.ps()["forbidden"]
        return found if found["state"] == "Idle" and "ptrace" in found["message"] else None

    yield booted.wait("it is killed and told", 60, row)
    booted.run("hearth stop forbidden")


def test_a_service_that_makes_a_dangerous_call_is_killed_and_told_by_name(booted, forbidden):
    # given a service that starts a thread, which it may, and then traces
    remedy = 'its manifest needs [[sandbox.syscall]] with name = "ptrace" and a reason'
    # then its row says which call it was and which line would allow it
    assert "made the system call ptrace" in forbidden["message"], forbidden
    assert remedy in forbidden["message"], forbidden
    # and its own log has it behind what it printed, and the manager's log with its name
    said = booted.logs("forbidden")
    assert "CALLED thread ok" in said and not any("ptrace" in line and "CALLED" in line for line in said), said
    assert any(line.startswith("hearth: process") and remedy in line for line in said), said
    kernel = booted.check("dmesg")
    assert any("service forbidden" in line and remedy in line for line in kernel.splitlines()), kernel[-2000:]


def test_a_killed_child_is_told_and_its_service_lives(booted):
    # given a service whose children try everything
    booted.check("hearth start probe", timeout=120)

    def told():
        return [line for line in booted.logs("probe") if line.startswith("hearth: process")]

    # then some of their ends are told (the kernel keeps 10 records in 5 s), with what no manifest can allow
    lines = booted.wait("a child's end", 60, told)
    assert all("made the system call" in line for line in lines), lines
    assert any("no manifest can allow it" in line for line in lines), lines
    row = booted.ps()["probe"]
    assert (row["state"], row["message"]) == ("Active", ""), row
    booted.run("hearth stop probe")


@pytest.mark.parametrize("name", RECORDED)
def test_a_shipped_manifest_asks_for_just_what_its_service_does(booted, name):
    command, question = RECORDED[name]
    # given the service's own image with the folders that a sandbox would give it, and a network of its own
    booted.wait_active(name)
    booted.write(
        "/tmp/record.sh",
        f"""set -e
root=/tmp/record.root
mkdir -p $root
mount --bind /run/hearth/images/{name} $root
for folder in tmp run data; do mount -t tmpfs -o mode=1777 none $root/$folder; done
mkdir -p $root/run/hearth/api $root/run/hearth/shared
mount --bind /run/hearth/api $root/run/hearth/api
mount --bind /run/hearth/shared $root/run/hearth/shared
mount -t tmpfs -o mode=755 none $root/dev
for node in null zero random urandom; do : >$root/dev/$node; mount --bind /dev/$node $root/dev/$node; done
ln -s /proc/self/fd/1 $root/dev/stdout
mount -t proc none $root/proc
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
ip link set lo up
ip link add eth0 type bridge
ip address add 192.168.1.2/24 dev eth0
ip link set eth0 up
# Not in /tmp: a sticky folder's files can not be opened by others, as nginx does with /dev/stdout.
: >/run/record.log
chmod 666 /run/record.log
hearth-sandbox record --root $root --check {PACKAGES}/{name}/manifest.toml -- {command} >/run/record.log 2>&1 &
recorder=$!
asked=1 tries=0
while [ $asked = 1 ] && [ $tries -lt 20 ]; do
    sleep 1
    tries=$((tries + 1))
    if timeout 5 {question} >/run/record.asked 2>&1; then asked=0; fi
done
kill -TERM $recorder || :
status=0
wait $recorder || status=$?
echo asked=$asked status=$status
cat /run/record.log /run/record.asked
""".encode(),
    )
    # when it is recorded from its start to its end, with a question in between
    said = booted.check("unshare -m -n sh /tmp/record.sh; rm -rf /tmp/record.* /run/record.*", timeout=180)
    # then it answered, and nothing in its manifest is stale or missing
    assert "asked=0 status=0" in said, said
