"""What `figures` and `speed` measure with: servers on one CPU, their clients on another, and alternating turns.

Other load on the host slows all programs. So each program has a turn in every round, and a ratio is taken within a round.
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = TARGET / "peers"
GREET = TARGET / "release" / "greet"
GREET_TAP = TARGET / "release" / "greet-tap"

SERVER_CPU, LOAD_CPU = 0, 1

# Seconds after which a silent program is killed.
TIMEOUT = 60

# The time between two samples of a server's CPU time, in seconds.
SAMPLE_INTERVAL = 0.01

# The option with which a script runs itself again in a network namespace.
INSIDE = "--inside"


class Failed(SystemExit):
    """A measurement failed; the message says why. Uncaught it ends the script."""


class Failures(list):
    """The measurements that failed, and the reasons."""

    @contextmanager
    def noted(self, what):
        """Records a failure of the block, and continues the script."""
        try:
            yield
        except (Failed, OSError) as error:
            self.append(f"{what}: {error}")
            print(f"failed: {self[-1]}", file=sys.stderr, flush=True)


def at_least(least, kind):
    """Reads a number of at least `least`, for argparse."""

    def parse(text):
        number = kind(text)
        if not number >= least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return number

    parse.__name__ = "number"
    return parse


def prepare():
    """Checks that this host has two CPUs, and raises the limit of open files."""
    if os.cpu_count() < 2:
        sys.exit("this needs two CPUs: one for the server, one for its clients")
    # Each idle connection needs one file in this process and one in the server, which inherits the limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Exit in good order, so that the servers end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))


def build(peers, *examples):
    """Builds the programs of this project, these C programs and these examples."""
    cargo = ["cargo", "build", "--quiet", "--release", "-p", "greet"]
    subprocess.run([*cargo, "-p", "greet-tap"], cwd=ROOT, check=True)
    for example in examples:
        subprocess.run([*cargo, "--example", example], cwd=ROOT, check=True)
    PEERS.mkdir(parents=True, exist_ok=True)
    for name in peers:
        source = Path(__file__).parent / "peers" / f"{name}.c"
        libraries = ["-luring"] * (name == "uring")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-pthread", source, "-o", PEERS / name, *libraries], check=True)


def next_line(process, timeout=TIMEOUT):
    """The next line of a process's output; empty if it prints nothing within the timeout, and it is killed then."""
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()


@contextmanager
def started(command, cpus=str(SERVER_CPU)):
    """Starts a server on its own CPU, or these: its process, address and port, as its first line gives them."""
    pinned = ["taskset", "-c", cpus, *command]
    with subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next_line(process)
            waits = re.fullmatch(r"Waiting for connection on (.*):(\d+)\.\.\.\n", line)
            if waits is None:
                # It may be about to exit. Its errors are on the standard error of this script.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                process.kill()
                said = line + process.stdout.read()
                command = shlex.join(map(str, command))
                raise Failed(f"`{command}` (status {process.wait()}) printed {said!r} instead of its address")
            address, port = waits.groups()
            yield process, address, int(port)
        finally:
            process.kill()


def unshared(*command):
    """Runs a command in a new network namespace; its exit status."""
    # Without root's rights the namespace needs a user namespace too, in which this is root.
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    return subprocess.run([*unshare, *command]).returncode


def has_network_namespaces():
    """Whether this host allows a network namespace with a TAP device."""
    return unshared("ip", "tuntap", "add", "mode", "tap", "name", "tap0") == 0


def in_network_namespace(script, *arguments):
    """Runs a script again in a network namespace; its exit status."""
    return unshared(sys.executable, script, INSIDE, *arguments)


def make_network(taps):
    """Within the network namespace: sets up the loopback and `taps` TAP devices, tap0 and so on."""

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True)

    ip("link", "set", "lo", "up")
    for number in range(taps):
        ip("tuntap", "add", "mode", "tap", "name", f"tap{number}")
        ip("address", "add", f"192.168.{69 + number}.100/24", "dev", f"tap{number}")
        # As smoltcp-app/tap sets it: the default queue of 1000 drops frames with 1,000 clients.
        ip("link", "set", f"tap{number}", "txqueuelen", "10000", "up")


def tap_command(tap, connections):
    """The command of `greet-tap serve` on a device of `make_network`."""
    network = 69 + int(tap.removeprefix("tap"))
    options = ["--tap", tap, "--ip", f"192.168.{network}.1/24", "--connections", str(connections)]
    return [GREET_TAP, "serve", "--quiet", *options]


def cpu_time(process):
    """The CPU time of a process in nanoseconds, including ended threads."""
    return time.clock_gettime_ns((~process.pid << 3) | 2)  # Linux: the CPU clock of another process


def sample(process, load):
    """Samples a server until its load exits: the time, its CPU time, the number of open connections."""
    samples = []
    while load.poll() is None:
        try:
            samples.append((time.monotonic_ns(), cpu_time(process), open_connections()))
        except OSError:
            break  # The server exited; the load reports that.
        time.sleep(SAMPLE_INTERVAL)
    load.wait()
    return samples


def open_connections():
    """The number of TCP sockets in ESTABLISHED or CLOSE-WAIT in this network namespace."""
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, numbers = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(numbers[names.index("CurrEstab")])


def busy_share(samples, warmup, seconds):
    """The share of one CPU that the server used during the measured time; `None` with too few samples.

    Opening and closing connections is not counted. The measured time begins one warm-up after the last connection was
    opened, which happened between two samples.
    """
    most = max((connections for _, _, connections in samples), default=0)
    start = next((index for index, each in enumerate(samples) if each[2] == most), 0)  # all are open from here on
    if start == 0:
        return None
    begin = samples[start][0] + warmup * 1e9
    end = samples[start - 1][0] + (warmup + seconds) * 1e9
    counted = [each for each in samples if begin <= each[0] <= end]
    if len(counted) < 2:
        return None
    (begin, used_before, _), (end, used, _) = counted[0], counted[-1]
    return (used - used_before) / (end - begin)


@dataclass
class Turn:
    """The result of one turn of one program."""

    names_per_s: float
    cpu_ns: float | None  # CPU time per name in nanoseconds; `None` if it could not be sampled


def alternate(turns, rounds, warmup_rounds=0, failures=None):
    """Gives every program one turn in each round, in alternating order: the results of each, one per round.

    `turns` has a function for each name. With `failures` a program that fails is recorded there, gets no further turn, and
    has no results.
    """
    results = {name: [] for name in turns}
    active = list(turns)
    for number in range(-warmup_rounds, rounds):
        for name in list(active) if number % 2 == 0 else list(reversed(active)):
            if failures is None:
                result = turns[name]()
            else:
                result = None
                with failures.noted(name):
                    result = turns[name]()
                if result is None:
                    active.remove(name)
                    results[name] = []
                    continue
            if number >= 0:
                results[name].append(result)
    return results


def speed_ratios(ours, theirs):
    """The ratio of the names per second in each round."""
    return [our.names_per_s / their.names_per_s for our, their in zip(ours, theirs)]


def cpu_ratios(ours, theirs):
    """The ratio of the names per second of CPU time in each round that has both."""
    return [their.cpu_ns / our.cpu_ns for our, their in zip(ours, theirs) if our.cpu_ns and their.cpu_ns]


def quartiles(values):
    """The lower quartile, the median and the upper quartile; the outer two enclose the interquartile range (IQR)."""
    return statistics.quantiles(values, n=4, method="inclusive")


def own_memory(process):
    """The private memory of a process in bytes."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return 1024 * sum(int(kilobytes) for kilobytes in re.findall(r"^Private_\w+: +(\d+) kB$", rollup, re.MULTILINE))


def idle_memory(process, address, port, count):
    """The private memory in bytes that a server needs for each of `count` idle connections."""
    before = own_memory(process)
    with ExitStack() as clients:
        for _ in range(count):
            # One at a time: a short backlog must not overflow.
            client = clients.enter_context(socket.create_connection((address, port), timeout=60))
            if client.recv(8) != b"Welcome!":
                raise Failed(f"{address}:{port}: no greeting")
        time.sleep(0.5)
        return (own_memory(process) - before) / count
