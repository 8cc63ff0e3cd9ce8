"""The boards' firmware in QEMU: how it is built and run, and how its log is read. smoltcp-app/boards/boards.py lists the boards."""

import fcntl
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from .programs import ROOT

BOARDS = ROOT / "smoltcp-app" / "boards"
sys.path.insert(0, str(BOARDS))
from boards import Board, boards

# Its own folder, because this is another workspace.
TARGET = Path(os.environ["CARGO_TARGET_DIR"]) / "boards" if os.environ.get("CARGO_TARGET_DIR") else BOARDS / "target"
PLUGIN_SOURCE = Path(__file__).resolve().with_name("count-instructions.c")

TIMEOUT = 30  # seconds; longer than any expected wait
PORT = 9999

IN_QEMU = [board for board in boards() if board.machine]
SILICON = [board for board in boards() if not board.machine]


def build(board: Board, copy, features=None, **environment):
    """Builds the firmware with these features of cargo, or the default ones; `copy` is where the program is put."""
    features = board.default_features if features is None else features
    with locked():
        cargo_build(board, "--no-default-features", f"--features={features}", **environment)
        shutil.copy(TARGET / board.target / "release" / board.package, copy)
    return copy


def locked():
    """A file that is locked until it is closed. Builds of one package with other features or another environment write the same program,
    so whoever builds it holds the lock until the program was copied, or QEMU has read it."""
    TARGET.mkdir(parents=True, exist_ok=True)
    file = open(TARGET / "programs.lock", "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def build_example(board: Board, example, features=""):
    """Builds an example of the board's package with these features of cargo, by default without a log; returns the program."""
    cargo_build(board, "--no-default-features", f"--features={features}", f"--example={example}")
    return TARGET / board.target / "release" / "examples" / example


def cargo_build(board: Board, *options, **environment):
    """Builds with these options. A warning is an error: clippy is not run on every build."""
    command = ["cargo", "build", "--quiet", "--release", f"--target={board.target}", *options]
    # CARGO_TARGET_DIR is that of the other workspace.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET), **environment}
    result = subprocess.run(command, cwd=board.path, env=environment, stderr=subprocess.PIPE, text=True)
    sys.stderr.write(result.stderr)
    if result.returncode or result.stderr.startswith("warning"):
        raise RuntimeError(f"{shlex.join(command)} in {board.path}: exit status {result.returncode}, and what is above")


class InstructionCounter:
    """Counts the instructions that a board executes: a plugin of QEMU's and the file in which it counts."""

    def __init__(self, folder, name="count"):
        plugin = Path(folder) / "count-instructions.so"
        if not plugin.exists():
            command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", plugin, PLUGIN_SOURCE]
            subprocess.run(command, check=True)
        self.file = Path(folder) / name
        self.options = f"-plugin {plugin},count={self.file}"

    def read(self):
        return struct.unpack("<Q", self.file.read_bytes())[0]


class Running:
    """A running board and its log: runs this program, or `cargo run` in the board's folder."""

    def __init__(self, board, program=None, nic=None, options="", **environment):
        self.port = free_port()
        environment = {
            **os.environ,
            "CARGO_TARGET_DIR": str(TARGET),
            "GREET_PORT": str(self.port),
            "GREET_QEMU_OPTIONS": options,
            **environment,
        }
        if nic:
            environment["GREET_NIC"] = nic
        self.lines = []
        self.heard = threading.Condition()
        self.lock = None if program else locked()
        # The process becomes QEMU itself, and has a child that prints the log.
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
            self.unlock()
            with self.heard:
                self.lines.append(line.removeprefix("INFO").strip())
                self.heard.notify_all()
        self.unlock()
        with self.heard:
            self.lines.append(None)
            self.heard.notify_all()

    def unlock(self):
        if self.lock:
            self.lock.close()

    def wait_for(self, pattern, timeout=TIMEOUT):
        """The first line of the log that the pattern matches as a whole."""

        def found():
            return next((line for line in self.lines if line is not None and re.fullmatch(pattern, line)), None)

        with self.heard:
            self.heard.wait_for(lambda: found() or None in self.lines, timeout)
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
        """Waits until this many connections were accepted and all are closed."""
        self.wait_for(rf"connections: 0 open, {accepted} accepted, .*")

    def log_printer(self):
        """The process id of the program that prints the log."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in map(int, children):
            if Path(f"/proc/{child}/comm").read_text().strip() == "defmt-print":
                return child
        raise AssertionError("there is no defmt-print")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(TIMEOUT)
        try:
            os.killpg(self.process.pid, signal.SIGCONT)  # one that a test has stopped
        except ProcessLookupError:
            pass
        self.reader.join(TIMEOUT)
        self.process.stdout.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
