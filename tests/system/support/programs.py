"""The programs under test: where they are, how they are built, and how their output is read."""

import os
import signal
import subprocess
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# The test profile, which the Rust tests have built already.
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
GREET = PROGRAMS / "greet"
GREET_TAP = PROGRAMS / "greet-tap"
CONFORMANCE = PROGRAMS / "conformance"
TAP = ROOT / "smoltcp-app" / "tap"
TUTORIAL = ROOT / "tests" / "system" / "tutorial"

# A background job of a shell, or `nohup`, starts with signals ignored. The programs under test would inherit that.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# The output of the tutorial's client.
CONVERSATION = ["Welcome!", "Hello, haha!", "Hello, you are loser!", "Hello, byebye!"]


def build():
    """Builds all programs. The whole workspace, with the profile of the tests: nothing is built a second time."""
    command = ["cargo", "build", "--quiet", "--profile", "test", "--workspace", "--bins"]
    subprocess.run(command, cwd=ROOT, check=True)


def run(*command, **options):
    """Runs a program to its end; its output is text."""
    return subprocess.run(command, **{"capture_output": True, "text": True, "timeout": 120, **options})


def next_line(process, timeout=60):
    """The next line of a process's output; empty if it ends or prints nothing for `timeout` seconds, and it is killed then."""
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()


def repeated_syns():
    """The number of SYNs that the kernel has retransmitted in this namespace, because they were not answered within a second."""
    lines = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")]
    return int(dict(zip(*lines))["TCPSynRetrans"])
