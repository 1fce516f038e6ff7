"""Checks the compile arrows and the place of `unsafe` (STYLE: layout and dependency direction).

Inputs: the tree this file stands in. Outputs: one line a violation. Exit: 0 none, 1 some.
"""

import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARROWS = {  # crate: the crates of ours it may import
    "gateway-core/model": set(),
    "gateway-core/init": {"hearth-model"},
    "gateway-core/package": {"hearth-model"},
    "gateway-core/store": {"hearth-model", "hearth-package"},
    "gateway-core/vendor": {"hearth-model", "hearth-package", "hearth-store"},
    "gateway-core/manager": {"hearth-model", "hearth-bpf", "hearth-package"},
    "gateway-core/cli": {"hearth-model", "hearth-store"},
    "gateway-core/web": {"hearth-model", "hearth"},  # hearth: the API's client is the command's library
    "gateway-core/stage1": set(),
    "gateway-core/bpf": {"hearth-model"},
    "sandbox": {"hearth-model", "hearth-bpf"},
    "netpath": {"hearth-model", "hearth-bpf"},
}
PURE_CRATES = {"gateway-core/model", "gateway-core/package"}
PURE_FOLDERS = {"machine", "wire", "nat", "dhcp"}
IMPURE = re.compile(
    r"\bstd::(fs|process|thread|os)\b|\bstd::net::(Tcp|Udp|ToSocket)|\bstd::time::(Instant|SystemTime)"
    r"|\blibc::|\bcrate::(sys|edge)\b"
)
UNSAFE = re.compile(r"\bunsafe\s*(\{|fn|impl|extern)")
LINES_MAX = 400


def code(text):
    """The text without line comments and without its test module, which may do anything."""
    text = text.split("#[cfg(test)]\nmod tests", 1)[0]
    return re.sub(r"//.*", "", text)


def violations():
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    if set(members) != set(ARROWS):
        yield f"Cargo.toml: members and ARROWS differ: {set(members) ^ set(ARROWS)}"
    for crate, allowed in ARROWS.items():
        manifest = tomllib.loads((ROOT / crate / "Cargo.toml").read_text())
        ours = {d for d in manifest.get("dependencies", {}) if d == "hearth" or d.startswith("hearth-")}
        for extra in sorted(ours - allowed):
            yield f"{crate}/Cargo.toml: must not import {extra}"
        for path in sorted((ROOT / crate / "src").rglob("*.rs")):
            parts = path.relative_to(ROOT / crate / "src").parts
            text = path.read_text()
            body = code(text)
            name = path.relative_to(ROOT)
            pure = crate in PURE_CRATES or PURE_FOLDERS & set(parts)
            if pure and (found := IMPURE.search(body)):
                yield f"{name}: a pure file names {found.group(0)}"
            if "sys" not in parts and parts[-1] != "sys.rs" and UNSAFE.search(body):
                yield f"{name}: unsafe outside of sys"
            is_test = path.stem == "tests" or path.stem.endswith("_tests")
            if not is_test and body.count("\n") > LINES_MAX and "Longer than" not in text[:2000]:
                yield f"{name}: more than {LINES_MAX} lines; split it, or say why ('Longer than ...') on top"


found = list(violations())
print("\n".join(found), end="\n" if found else "")
sys.exit(bool(found))
