"""The boards' firmware: the table of boards, how each is built; and how it is run in QEMU, and its log is read."""

import os
import re
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOARDS = ROOT / "smoltcp-app" / "boards"
# A folder of its own, wherever the other programs are built: this is another workspace.
TARGET = Path(os.environ["CARGO_TARGET_DIR"]) / "boards" if os.environ.get("CARGO_TARGET_DIR") else BOARDS / "target"

PATIENCE = 30
PORT = 9999


@dataclass(frozen=True)
class Board:
    """A board of the table."""

    name: str  # as run-in-qemu calls it
    target: str  # the compiler's
    folder: str = ""  # in boards/; the name, where that is not said
    run: tuple = ("run", "--release")  # what cargo is told in the folder, to see it run
    options: tuple = ()  # of cargo
    usual: tuple = ()  # of cargo too, where nothing else is said of features
    clients: int = 8
    name_capacity: int = 256
    framings: tuple = ("auto",)  # with which the table of cases is run
    failures: tuple = ("panic", "fault", "overflow")
    watchdog: bool = False  # which is tried, too
    long_frames: int = 7  # of the seven too long ones that a test sends: those that are not dropped by QEMU itself

    # Whether the instructions of a round trip are always the same. A network card that QEMU runs beside the processor tells it
    # of one frame in one interrupt or in three, as it happens.
    steady: bool = True
    ram: int = 0x2000_0000  # where the stack ends at the latest: flip-link puts it there
    features: tuple = ("", "ipv6", "defmt", "defmt,ipv6")  # with which its size is kept

    @property
    def path(self):
        return BOARDS / (self.folder or self.name)

    def build(self, copy, *options, **environment):
        """Builds the firmware; `copy` is where the program is put."""
        command = ["cargo", "build", "--quiet", "--release", *self.options, *(options or self.usual)]
        # What was said to cargo for the programs of a PC is not for a board.
        environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET), **environment}
        subprocess.run(command, cwd=self.path, env=environment, check=True)
        shutil.copy(TARGET / self.target / "release" / f"greet-{self.path.name}", copy)
        return copy


def mps2(machine, target, **others):
    """One of the machines that a folder is for: which one is a feature, and the compiler's target goes with it."""
    features = f"{machine},defmt,ipv6"
    return Board(
        **{
            "name": f"mps2-{machine}",
            "target": target,
            "folder": "mps2",
            "run": (machine,),
            "options": (f"--target={target}",),
            "usual": ("--no-default-features", f"--features={features}"),
            "name_capacity": 512,
            "long_frames": 6,
            "watchdog": True,
            "features": (features,),
            **others,
        }
    )


TABLE = [
    Board("lm3s6965evb", "thumbv7m-none-eabi", framings=("auto", "line", "chunk"), watchdog=True),
    mps2("an385", "thumbv7m-none-eabi", run=("run", "--release"), features=("an385", "an385,ipv6", "an385,defmt", "an385,defmt,ipv6")),
    mps2("an386", "thumbv7em-none-eabihf"),
    mps2("an500", "thumbv7em-none-eabihf"),
    mps2("an505", "thumbv8m.main-none-eabi", ram=0x3800_0000),
    Board(
        "virt-riscv32",
        "riscv32imac-unknown-none-elf",
        clients=16,
        name_capacity=1024,
        framings=("auto", "line", "chunk"),
        long_frames=2,
        steady=False,
        ram=0x8000_0000,
    ),
]
# What is built, and not run.
SILICON = [
    Board("nucleo-h743zi", "thumbv7em-none-eabihf"),
    Board("w5500-evb-pico", "thumbv6m-none-eabi"),
]


class Running:
    """A board that runs, and its log: this program, or as `cargo` runs it in the board's folder."""

    def __init__(self, board, program=None, nic=None, options=""):
        self.port = free_port()
        environment = {
            **os.environ,
            "CARGO_TARGET_DIR": str(TARGET),
            "GREET_PORT": str(self.port),
            "GREET_QEMU_OPTIONS": options,
        }
        if nic:
            environment["GREET_NIC"] = nic
        self.lines = []
        self.heard = threading.Condition()
        self.process = subprocess.Popen(
            [BOARDS / "run-in-qemu", board.name, program] if program else ["cargo", *board.run],
            cwd=board.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            process_group=0,
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.heard:
                self.lines.append(line.removeprefix("INFO").strip())
                self.heard.notify_all()
        with self.heard:
            self.lines.append(None)
            self.heard.notify_all()

    def wait_for(self, pattern, patience=PATIENCE):
        """The first line of the log that the pattern matches as a whole."""

        def found():
            return next((line for line in self.lines if line is not None and re.fullmatch(pattern, line)), None)

        with self.heard:
            self.heard.wait_for(lambda: found() or None in self.lines, patience)
            if line := found():
                return line
        raise AssertionError(f"{pattern!r} is not in the log: " + "\n".join(map(str, self.lines)))

    def last(self, begin):
        """The last line of the log that begins so."""
        return next(line for line in reversed(self.lines) if line and line.startswith(begin))

    def end_of_log(self, count=40):
        """The last lines of the log, once it has ended."""
        return [line for line in self.lines if line is not None][-count:]

    def wait_until_listening(self, address="10.0.2.15"):
        self.wait_for(re.escape(f"listening on {address}:{PORT}"))
        return self

    def wait_until_free(self, accepted):
        """Waits until so many have come, and all are gone."""
        self.wait_for(rf"connections: 0 busy, {accepted} accepted, .*")

    def ticks(self):
        """How long QEMU has used a processor, in hundredths of a second."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in map(int, children):
            if Path(f"/proc/{child}/comm").read_text().startswith("qemu"):
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                return int(fields[11]) + int(fields[12])
        raise AssertionError("there is no QEMU")

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.process.stdout.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
