"""Copies files of an unpacked system, with every shared library they need, into a new root.

Usage: elf-closure.py FROM TO PATH...   (PATH: absolute inside FROM; a glob or a folder is fine)
Outputs: TO. Exit: 0, or 1 with the path or library that is not in FROM.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

LIBRARIES = ["lib", "lib/i386-linux-gnu", "usr/lib", "usr/lib/i386-linux-gnu"]


def real(root, path):
    """`path` inside `root`, links followed without leaving it."""
    for _ in range(40):
        full = root / path.lstrip("/")
        if not full.is_symlink():
            parent = full.parent.resolve()
            return parent / full.name
        target = os.readlink(full)
        path = target if target.startswith("/") else os.path.join(os.path.dirname(path), target)
    sys.exit(f"elf-closure: {path}: too many links")


def needs(file):
    """Libraries and interpreter that an ELF file names; nothing for any other file."""
    with open(file, "rb") as stream:
        if stream.read(4) != b"\x7fELF":
            return []
    text = subprocess.run(["readelf", "-dl", file], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.+)\]", text) + re.findall(r"interpreter: (.+)\]", text)


def main(source, target, wanted):
    queue, done = [], set()
    for pattern in wanted:
        hits = [h for h in source.glob(pattern.lstrip("/"))]
        if not hits:
            sys.exit(f"elf-closure: {pattern}: not in the packages")
        for hit in hits:
            files = (f for f in hit.rglob("*") if not f.is_dir()) if hit.is_dir() else [hit]
            queue += ["/" + str(f.relative_to(source)) for f in files]
    while queue:
        path = queue.pop()
        if path in done:
            continue
        done.add(path)
        file = real(source, path)
        if not file.exists():
            sys.exit(f"elf-closure: {path}: not in the packages")
        to = target / path.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, to)
        for name in needs(file):
            places = [name] if name.startswith("/") else [f"/{d}/{name}" for d in LIBRARIES]
            place = next((p for p in places if os.path.lexists(source / p.lstrip("/"))), None)
            if place is None:
                sys.exit(f"elf-closure: {path} needs {name}, which is not in the packages")
            queue.append(place)


main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]), sys.argv[3:])
