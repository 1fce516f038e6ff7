"""Checks of the Buildroot tree that need no Buildroot: files parse, name what exists, and agree with scripts/image.

Inputs: the tree this file stands in, make. Outputs: one line a fault. Exit: 0 none, 1 some.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXTERNAL = ROOT / "buildroot"
MACHINES = {"hearth_qemu_x86_defconfig": "qemu-x86", "hearth_ce4235_defconfig": "ce4235"}
SETTING = re.compile(r'(?:BR2|CONFIG)_\w+=(?:y|\d+|0x[0-9a-f]+|"[^"]*")|# (?:BR2|CONFIG)_\w+ is not set')
# What the quick image and the firmware share: whoever takes one of these from elsewhere makes two products.
SHARED = ["board/common/overlay", "board/common/gateway.toml", "board/common/queues.toml", "board/common/services", "scripts/pack-service",
          "scripts/lib/disk"]


def lines(path):
    return list(enumerate(path.read_text().splitlines(), 1))


def key(setting):
    return re.search(r"(?:BR2|CONFIG)_\w+", setting).group(0)


def settings(path):
    """The settings of a file by name, and its faults."""
    found, faults = {}, []
    name = path.relative_to(ROOT)
    for number, line in lines(path):
        if SETTING.fullmatch(line):
            if key(line) in found:
                faults.append(f"{name}:{number}: {key(line)} is set twice")
            found[key(line)] = line
        elif line and (not line.startswith("# ") or "CONFIG_" in line):
            faults.append(f"{name}:{number}: neither a setting nor a comment: {line}")
    return found, faults


def fragment(path):
    """Settings of a kernel fragment: each stands below a comment with its reason, alone or in a group."""
    found, faults = settings(path)
    above = ""
    for number, line in lines(path):
        if SETTING.fullmatch(line) and not above:
            faults.append(f"{path.relative_to(ROOT)}:{number}: {key(line)} has no reason above it")
        above = line
    return found, faults


def named_files(found):
    """Files that a defconfig names, as paths of this tree."""
    for line in found.values():
        for path in re.findall(r"\$\(BR2_EXTERNAL_HEARTH_PATH\)/([^ \"]+)", line):
            yield (EXTERNAL / path).resolve()


def defconfig(name, machine):
    path = EXTERNAL / "configs" / name
    found, faults = settings(path)
    yield from faults
    kernel = {}
    for file in named_files(found):
        where = f"{path.relative_to(ROOT)}: {file.relative_to(ROOT)}"
        if not file.exists():
            yield f"{where}: no such file"
        elif file.parent.name in ("kernel", machine) and file.suffix == ".config":
            options, faults = fragment(file)
            yield from faults
            for option in options:
                if kernel.get(option, options[option]) != options[option]:
                    yield f"{where}: {option} is set otherwise by another fragment"
            kernel.update(options)
        elif not file.is_dir() and not file.stat().st_mode & 0o111:
            yield f"{where}: is not executable"
    if not (ROOT / "board" / machine / "cmdline").is_file():
        yield f"board/{machine}/cmdline: no such file"


def same_but_for_the_machine():
    """Both defconfigs are one, with another machine's folder."""
    one, other = (
        [line.replace(machine, "MACHINE") for _, line in lines(EXTERNAL / "configs" / name)]
        for name, machine in MACHINES.items()
    )
    for line in sorted(set(one) ^ set(other)):
        yield f"buildroot/configs: only one of the defconfigs has: {line}"
    unused = set((ROOT / "board/common/kernel").glob("*.config")) - {
        file for name in MACHINES for file in named_files(settings(EXTERNAL / "configs" / name)[0])
    }
    for file in sorted(unused):
        yield f"{file.relative_to(ROOT)}: no defconfig names it"


def same_board_files():
    quick = (ROOT / "scripts/image").read_text()
    firmware = "".join((EXTERNAL / name).read_text() for name in ("post-build", "post-image"))
    firmware += (EXTERNAL / "configs/hearth_qemu_x86_defconfig").read_text()
    for path in SHARED:
        for what, text in (("scripts/image", quick), ("buildroot/", firmware)):
            if path not in text:
                yield f"{what}: does not use {path}"
    for path in sorted(set(re.findall(r"board/common/[\w.-]+", quick + firmware))):
        if not (ROOT / path).exists():
            yield f"{path}: named, and no such file"


def makefiles():
    """make reads the .mk files as Buildroot does, with its functions stubbed; the recipes must name our crates."""
    text = f"""
BR2_EXTERNAL_HEARTH_PATH = {EXTERNAL}
INSTALL = install
define sep


endef
generic-package = $(foreach v,VERSION SITE SITE_METHOD LICENSE LICENSE_FILES BUILD_CMDS INSTALL_TARGET_CMDS,\
$(if $(HEARTH_$(v)),,$(error HEARTH_$(v) is empty)))
include {EXTERNAL}/external.mk
$(info PROGRAMS $(HEARTH_PROGRAMS))
$(foreach f,$(HEARTH_LICENSE_FILES),$(if $(wildcard $(HEARTH_SITE)/$(f)),,$(error $(f) is missing)))
all: ;
"""
    done = subprocess.run(["make", "-s", "-f", "-"], input=text, capture_output=True, text=True, cwd=ROOT)
    if done.returncode or done.stderr:
        yield f"buildroot/external.mk: make: {done.stderr.strip()}"
        return
    programs = re.search(r"PROGRAMS (.*)", done.stdout).group(1).split()
    quick = set(re.findall(r"-p (hearth[\w-]*)", (ROOT / "scripts/image").read_text()))
    if set(programs) != quick:
        yield f"buildroot/package/hearth/hearth.mk and scripts/image build other programs: {set(programs) ^ quick}"


def external():
    text = (EXTERNAL / "external.desc").read_text()
    if not re.fullmatch(r"name: HEARTH\ndesc: .+\n", text):
        yield "buildroot/external.desc: needs `name: HEARTH` and `desc: ...`"
    for path in re.findall(r'source "\$BR2_EXTERNAL_HEARTH_PATH/(.+)"', (EXTERNAL / "Config.in").read_text()):
        if not (EXTERNAL / path).is_file():
            yield f"buildroot/Config.in: {path}: no such file"
    if {path.name for path in (EXTERNAL / "configs").iterdir()} != set(MACHINES):
        yield "buildroot/configs and this check know other machines"


faults = [*external(), *same_but_for_the_machine(), *same_board_files(), *makefiles()]
for config, folder in MACHINES.items():
    faults += defconfig(config, folder)
print("\n".join(dict.fromkeys(faults)), end="\n" if faults else "")
sys.exit(bool(faults))
