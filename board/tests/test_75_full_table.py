"""One host takes all the mappings that it may have. Its share stays taken until the reboot that the next file begins with."""

import shlex
import textwrap

HOST_SHARE = 4096  # netpath/src/limits.rs
FLOOD = textwrap.dedent(
    f"""
    import socket, time
    for port in range(20000, 20000 + {HOST_SHARE} + 500):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("0.0.0.0", port))
            one.sendto(b"x", ("203.0.113.1", 9))
        if port % 20 == 0:
            time.sleep(0.01)  # more at once would only fill the queue before the table
    """
)


def test_a_full_share_refuses_and_counts_and_harms_nobody_else(lan, gateway):
    # given a download on its way, and another host of the home
    lan.check("ip address add 192.168.1.90/24 dev eth0")
    download = lan.start("curl -sS --fail --limit-rate 150k --max-time 180 -o /dev/null http://203.0.113.1/data.bin")
    # when the first host opens more flows than its share

    def refused():
        lan.check(f"python3 -c {shlex.quote(FLOOD)}", timeout=120)
        nat = gateway.status()["nat"]
        return nat if nat["mappings_refused"] else None

    nat = gateway.wait("a refusal", 60, refused)
    # then the table holds its share and not more, with room for all others
    assert nat["mappings"] <= HOST_SHARE + 100 < nat["mappings_max"], nat
    assert nat["received"] == nat["forwarded"] + nat["dropped"], nat
    # and the other host goes on as always
    assert "data.bin" in lan.get("http://203.0.113.1/data.bin.sha256", "--interface 192.168.1.90")
    # and what was open before stays open
    text, _ = download.communicate(timeout=200)
    assert download.returncode == 0, text
    lan.check("ip address del 192.168.1.90/24 dev eth0")
