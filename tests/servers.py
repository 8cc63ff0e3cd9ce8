"""Servers: how they are built, started and watched, and how figures are told. What tests/speed and tests/figures share.

A server that is measured has one processor and its clients another.
"""

import argparse
import os
import re
import resource
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = TARGET / "peers"
GREET = TARGET / "release" / "greet"
GREET_TAP = TARGET / "release" / "greet-tap"

SERVER_PROCESSOR, LOAD_PROCESSOR = 0, 1

# Seconds; longer than a program takes to say what it has to say.
PATIENCE = 60

# How often a server is looked at while it is measured, in seconds.
LOOK = 0.01

# How a script tells itself that it is in a network namespace.
INSIDE = "--inside"


class Failed(SystemExit):
    """What was to be measured cannot be, and why. It ends the script if nobody has more to do."""


class Failures(list):
    """What failed, and why."""

    @contextmanager
    def noted(self, what):
        """Whatever fails in here does not end the rest."""
        try:
            yield
        except (Failed, OSError) as error:
            self.append(f"{what}: {error}")
            print(f"failed: {self[-1]}", file=sys.stderr, flush=True)


def at_least(least, kind):
    """The type of an option that is a number."""

    def parse(text):
        number = kind(text)
        if not number >= least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return number

    parse.__name__ = "number"
    return parse


def prepare():
    """Says why this machine will not do, or sees that it will."""
    if os.cpu_count() < 2:
        sys.exit("this needs two processors: one for the server, one for its clients")
    # Both ends of an idle connection are descriptors, and children inherit the limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Whoever ends the script ends its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))


def build(peers, *examples):
    """Builds our programs, and these in C."""
    cargo = ["cargo", "build", "--quiet", "--release", "-p", "greet"]
    subprocess.run([*cargo, "-p", "greet-tap"], cwd=ROOT, check=True)
    for example in examples:
        subprocess.run([*cargo, "--example", example], cwd=ROOT, check=True)
    PEERS.mkdir(parents=True, exist_ok=True)
    for name in peers:
        source = ROOT / "tests" / "peers" / f"{name}.c"
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-pthread", source, "-o", PEERS / name], check=True)


def next_line(process, patience=PATIENCE):
    """What a process says next. One that is silent for longer is ended, and has then said nothing."""
    timer = threading.Timer(patience, process.kill)
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()


@contextmanager
def started(command):
    """A server of this command that says where it waits: its process, its address and its port."""
    pinned = ["taskset", "-c", str(SERVER_PROCESSOR), *command]
    with subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next_line(process)
            waits = re.fullmatch(r"Waiting for connection on (.*):(\d+)\.\.\.\n", line)
            if waits is None:
                # It may be about to end, and have more to say; of errors, on the same standard error as this.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                process.kill()
                said = line + process.stdout.read()
                command = shlex.join(map(str, command))
                raise Failed(f"`{command}` (status {process.wait()}) says {said!r}, and not where it waits")
            address, port = waits.groups()
            yield process, address, int(port)
        finally:
            process.kill()


def unshared(*command):
    """A command in a network namespace; its exit status."""
    # Without root's rights the namespace needs a namespace of users too, in which this is root.
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    return subprocess.run([*unshare, *command]).returncode


def has_network_namespaces():
    """Whether this machine allows one, and a TAP device in it."""
    return unshared("ip", "tuntap", "add", "mode", "tap", "name", "tap0") == 0


def in_network_namespace(script, *arguments):
    """Runs a script of ours once more, in a network namespace; its exit status."""
    return unshared(sys.executable, script, INSIDE, *arguments)


def make_network(taps):
    """Within a network namespace: the loopback, and so many TAP devices, tap0 and so on."""

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True)

    ip("link", "set", "lo", "up")
    for number in range(taps):
        ip("tuntap", "add", "mode", "tap", "name", f"tap{number}")
        ip("address", "add", f"192.168.{69 + number}.100/24", "dev", f"tap{number}")
        # As smoltcp-app/tap makes it: with the usual 1000, names of 1,000 clients get lost.
        ip("link", "set", f"tap{number}", "txqueuelen", "10000", "up")


def tap_command(tap, connections):
    """`greet-tap serve` on a device that `make_network` made."""
    network = 69 + int(tap.removeprefix("tap"))
    options = ["--tap", tap, "--ip", f"192.168.{network}.1/24", "--connections", str(connections)]
    return [GREET_TAP, "serve", "--quiet", *options]


def processor_time(process):
    """Nanoseconds that a process has run, with those of its threads that have ended."""
    return time.clock_gettime_ns((~process.pid << 3) | 2)  # Linux: the processor clock of another process


def look_at(process, load):
    """Looks at a server until its load ends: at what time, its processor time by then, how many connections there are."""
    looks = []
    while load.poll() is None:
        try:
            looks.append((time.monotonic_ns(), processor_time(process), open_connections()))
        except OSError:
            break  # It is gone; the load will say how that looks.
        time.sleep(LOOK)
    load.wait()
    return looks


def open_connections():
    """How many ends of connections the kernel has in this network namespace."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, numbers = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(numbers[names.index("CurrEstab")])


def busy_share(looks, warmup, seconds):
    """Which part of a processor the server had while names were counted; `None` if it was not looked at often enough.

    To open and to end connections costs as well, and some of that after the load is gone: so nothing is taken but what
    lies within the counted time. It begins a warm-up after the last connection was opened, which is between two looks.
    """
    most = max((connections for _, _, connections in looks), default=0)
    start = next((index for index, look in enumerate(looks) if look[2] == most), 0)  # then all are open
    if start == 0:
        return None
    begin = looks[start][0] + warmup * 1e9
    end = looks[start - 1][0] + (warmup + seconds) * 1e9
    counted = [look for look in looks if begin <= look[0] <= end]
    if len(counted) < 2:
        return None
    (begin, used_before, _), (end, used, _) = counted[0], counted[-1]
    return (used - used_before) / (end - begin)


def quartiles(values):
    """The lower one, the median, and the upper one: between the outer two lies the middle half."""
    return statistics.quantiles(values, n=4, method="inclusive")


def own_memory(process):
    """Bytes of memory that are the process's own."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return 1024 * sum(int(kilobytes) for kilobytes in re.findall(r"^Private_\w+: +(\d+) kB$", rollup, re.MULTILINE))


def idle_memory(process, address, port, count):
    """Bytes of its own memory that a server spends on a connection that is silent."""
    before = own_memory(process)
    with ExitStack() as clients:
        for _ in range(count):
            # One after the other: what overflows a short backlog may never be greeted.
            client = clients.enter_context(socket.create_connection((address, port), timeout=60))
            if client.recv(8) != b"Welcome!":
                raise Failed(f"{address}:{port}: no greeting")
        time.sleep(0.5)
        return (own_memory(process) - before) / count
