"""What is wrong: one cause and one advice, whatever else follows from it."""


def doctor(gateway):
    """What the doctor says for programs, and its exit status."""
    text, code = gateway.run("hearth doctor", 60)
    report = gateway.json("doctor") if code == 0 else None
    return text, code, report


def test_a_gateway_that_is_well_is_told_so(lan, gateway):
    # given a home whose names are resolved
    gateway.wait("an answer", 60, lambda: lan.resolve("server.test", "192.168.1.2") == ["203.0.113.1"])
    text, code, report = doctor(gateway)
    assert code == 0, text
    assert "All is well." in text
    names = [check["name"] for check in report["checks"]]
    assert names == ["link", "address", "dns", "wan", "nat", "services", "congestion", "storage", "time"]
    assert {check["outcome"] for check in report["checks"]} == {"good"}


def test_an_unplugged_internet_is_the_cause_of_all_that_follows(gateway):
    gateway.check("ip link set eth1 down")
    try:
        gateway.wait("no address", 30, lambda: gateway.status()["wan"]["address"] is None)
        text, code, _ = doctor(gateway)
        assert code == 1, text
        cause = text.split("Cause:")[1]
        assert "port eth1 to the Internet has no cable" in " ".join(cause.split())
        assert "check the cable in eth1" in " ".join(cause.split())
    finally:
        gateway.check("ip link set eth1 up")
    # then it is well again by itself
    gateway.wait("all is well", 120, lambda: gateway.run("hearth doctor", 60)[1] == 0)


def test_a_stopped_resolver_is_the_cause_and_its_start_the_advice(lan, gateway):
    gateway.check("hearth stop dnsmasq")
    try:
        text, code, _ = doctor(gateway)
        assert code == 1, text
        assert "service dnsmasq is Idle" in " ".join(text.split("Cause:")[1].split())
        assert "hearth start dnsmasq" in " ".join(text.split("To do:")[1].split())
    finally:
        gateway.check("hearth start dnsmasq", 120)
    gateway.wait("all is well", 120, lambda: gateway.run("hearth doctor", 60)[1] == 0)
