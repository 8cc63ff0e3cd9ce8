#!/usr/bin/env python3
"""The boards and their facts, from [package.metadata.greet] of each package here: boards.py targets|lints

  targets   the compiler's targets, one per line
  lints     what clippy is run on: folder, target and features, one build per line. Every package with all its features, and one
            package with every combination of them: the code that depends on the features is in packages that all boards share.
            (tests/system/board-sizes compiles every build, and fails if the compiler warns.)

A package has facts for all its boards, and a table [package.metadata.greet.boards.NAME] for each board.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# The boards' workspace, and packages that are a workspace of their own.
WORKSPACES = (FOLDER, FOLDER / "esp32c3", FOLDER / "pico-w")

# The board of which every build is linted.
EVERY_BUILD = "lm3s6965evb"


@dataclass(frozen=True)
class Board:
    """A board; the fields are the keys of the metadata, with `_` for `-`."""

    name: str
    package: str
    path: Path  # the package's folder
    target: str  # the compiler's

    clients: int  # conversations at once
    name_capacity: int  # in bytes
    builds: tuple  # of features, separated by commas: those whose size is kept; the last one is the default
    run: tuple = ("run", "--release")  # arguments of cargo, to run it

    qemu: str = ""  # the program; empty for a board that QEMU does not have
    machine: str = ""  # of QEMU
    qemu_options: tuple = ()
    qemu_device: str = ""  # the network card, where the machine has none

    framings: tuple = ("auto",)  # with which the conformance table is run
    failures: tuple = ("panic", "fault", "overflow")  # which it is made to fail with
    proofs: tuple = ()  # examples of the package that end with status 0 in QEMU if what they prove is true
    long_frames: int = 0  # frames beyond the limit that reach it, of those that a test sends: QEMU drops the others
    steady: bool = True  # the instructions of a round trip are always the same
    flash_limit: int = 0  # bytes of flash that the smallest build may take
    like: str = ""  # another board of the package, from which this one differs in the processor only

    @property
    def default_features(self):
        return self.builds[-1]


@cache
def boards():
    """All boards, those that QEMU runs first."""
    command = ["cargo", "metadata", "--no-deps", "--format-version=1", "--offline"]
    packages = []
    for folder in WORKSPACES:
        packages += json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout)["packages"]
    keys = {field.name for field in fields(Board)}
    found = []
    for package in packages:
        facts = (package["metadata"] or {}).get("greet", {})
        for name, own in facts.get("boards", {}).items():
            merged = {key.replace("-", "_"): value for key, value in {**facts, **own}.items() if key != "boards"}
            if unknown := merged.keys() - keys:
                sys.exit(f"{package['manifest_path']}: unknown keys of the board {name}: {', '.join(sorted(unknown))}")
            values = {key: tuple(value) if isinstance(value, list) else value for key, value in merged.items()}
            path = Path(package["manifest_path"]).parent
            found.append(Board(name=name, package=package["name"], path=path, **values))
    return sorted(found, key=lambda board: (not board.machine, board.name))


def main():
    match sys.argv[1:]:
        case ["targets"]:
            print("\n".join(sorted({board.target for board in boards()})))
        case ["lints"]:
            for board in boards():
                if not board.like:
                    for features in board.builds if board.name == EVERY_BUILD else [board.default_features]:
                        print(board.path.name, board.target, features)
        case ["-h" | "--help"]:
            print(__doc__)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
