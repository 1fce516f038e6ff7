"""The API's document against the standard, and what a booted gateway answers against the document."""

import hashlib
import json

import jsonschema
import openapi_spec_validator
import pytest
from home import REPO

WRITTEN = REPO / "gateway-core/model/openapi.json"

# A request of each path that can be read as JSON.
READ = {
    "/v1/status": "/v1/status",
    "/v1/services": "/v1/services",
    "/v1/services/{name}": "/v1/services/nginx",
    "/v1/rank": "/v1/rank",
    "/v1/top": "/v1/top",
    "/v1/doctor": "/v1/doctor",
    "/v1/events": "/v1/events",
    "/v1/forwards": "/v1/forwards",
    "/v1/usage/open": "/v1/usage/open",
    "/v1/net": "/v1/net",
    "/v1/net/sessions": "/v1/net/sessions",
    "/v1/net/trace": "/v1/net/trace?source=192.168.1.20&destination=203.0.113.1&port=443",
    "/v1/openapi.json": "/v1/openapi.json",
}


@pytest.fixture(scope="module")
def document():
    """The document, in which no object has a field that it does not tell of."""
    document = json.loads(WRITTEN.read_text())
    openapi_spec_validator.validate(document)
    for schema in document["components"]["schemas"].values():
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    return document


def content(document, path, method="get", status="200"):
    """What an answer may be, by its kind."""
    return document["paths"][path][method]["responses"][status]["content"]


def hold_against(document, schema, answer):
    """Fails where an answer is not what its schema says."""
    whole = {"components": document["components"], **schema}
    jsonschema.Draft202012Validator.check_schema(whole)
    jsonschema.Draft202012Validator(whole).validate(answer)


def test_the_gateway_serves_the_document(gateway):
    told = gateway.check("hearth api /v1/openapi.json | sha256sum").split()[0]
    assert told == hashlib.sha256(WRITTEN.read_bytes()).hexdigest()


def test_every_answer_is_as_the_document_says(lan, gateway, document):
    # given a gateway where something happens: connections, a forward, a ranking
    lan.get("http://192.168.1.1:8080/")
    gateway.check("hearth forward add tcp 8099 192.168.1.50 22")
    try:
        # when each path is read
        readable = {
            path
            for path, row in document["paths"].items()
            if "get" in row and "application/json" in content(document, path)
        }
        assert readable == set(READ)
        for path in sorted(READ.keys() - {"/v1/openapi.json"}):
            answer = json.loads(gateway.check(f"hearth api '{READ[path]}'"))
            # then it is as the document says
            hold_against(document, content(document, path)["application/json"]["schema"], answer)
    finally:
        gateway.check("hearth forward remove tcp 8099")
    # and what a start would come to, and what one comes to
    started = content(document, "/v1/services/{name}/{verb}", "post")["application/json"]["schema"]
    plan = gateway.json("start nginx --dry-run")
    assert plan["before"]
    hold_against(document, started, plan)
    hold_against(document, started, gateway.json("start nginx"))
    # and one that is not so is found
    with pytest.raises(jsonschema.ValidationError):
        hold_against(document, started, {**plan, "fits": "yes"})


def test_top_tells_what_each_service_uses(gateway):
    # given the services of the image
    for name in ("dnsmasq", "nginx", "web"):
        gateway.wait_active(name, 120)
    pid = gateway.pids()["hearth-manager"]
    # when it is looked at, for a program and on the console
    uses = json.loads(gateway.check("hearth top --once --sort rank --json"))
    rows = {row["name"]: row for row in uses["rows"]}
    # then services are there by rank, and the gateway's own groups
    ranked = [row["service"] for row in sorted(gateway.json("rank"), key=lambda row: row["rank"])]
    assert [row["name"] for row in uses["rows"]] == [*ranked, "forwarding", "system"]
    for name in ("dnsmasq", "nginx", "web"):
        row = rows[name]
        assert row["memory_bytes"] > 0 and row["pids"] >= 1, row
        assert row["cpu_permille"] is not None and row["cpu_waits_permille"] is not None, row
        assert row["sent_bits_per_second"] is not None, row
    # the manager has just read all this
    assert rows["system"]["cpu_permille"] > 0, rows["system"]
    # and on the serial console it is a screen that is drawn anew
    text, _ = gateway.run("timeout 15 hearth top --every 1", 60)
    assert text.count("WAITS") >= 2 and "nginx" in text, text
    assert all(len(screen.splitlines()) <= 24 for screen in text.split("Up ")[1:]), text
    assert gateway.pids()["hearth-manager"] == pid


def test_a_support_bundle_has_what_a_helper_needs_and_nothing_private(lan, lease, gateway):
    # given a home whose host has asked the gateway for something
    lan.get("http://192.168.1.1:8080/?pin=wxyz4711")
    host, mac = lease["ip"], gateway.check("cat /sys/class/net/eth1/address").strip()
    # when a bundle is made with a manager that lives, and with one that does not answer
    made = json.loads(gateway.check("hearth support-bundle --json", 120))
    dead = json.loads(gateway.check("HEARTH_API=/nowhere hearth support-bundle /tmp/dead.tar --json", 120))
    try:
        # then it has what was asked for, within its bound
        assert made["bytes"] < 2.5 * 1024 * 1024
        assert {"kernel.log", "api/status.json", "api/doctor.json", "api/net.json", "run/hearth/events"} <= set(
            made["parts"]
        )
        assert {"cgroup/services/nginx.txt", "run/hearth/logs/nginx"} <= set(made["parts"])
        assert made["missing"] == []
        # and the dead one all but the manager's answers
        assert [part for part in made["parts"] if not part.startswith("api/")] == dead["parts"]
        assert "does not answer" in dead["missing"][0]
        # and it unpacks, and no file has what is the people's
        gateway.check("cd /tmp && tar xf hearth-support.tar")
        assert gateway.run(f"grep -rlF -e '{host}' -e '{mac}' -e wxyz4711 /tmp/hearth-support")[1] == 1
        limits = gateway.read("/tmp/hearth-support/cgroup/services/nginx.txt")
        assert "memory.max: 67108864" in limits
        assert "home-" in gateway.read("/tmp/hearth-support/run/hearth/logs/nginx")
        assert "api/status.json" in gateway.read("/tmp/hearth-support/CONTENTS")
    finally:
        gateway.check("rm -rf /tmp/hearth-support /tmp/hearth-support.tar /tmp/dead.tar")
