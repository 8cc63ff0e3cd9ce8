"""A network namespace with a TAP device: a script runs itself again in one."""

import os
import subprocess
import sys
from pathlib import Path

from .programs import TAP, run

INSIDE = "GREET_TESTS_INSIDE"


def entered():
    """Whether this process is the one that `enter` started."""
    return INSIDE in os.environ


def command():
    """What runs a command in a network namespace of its own: its words come before those of the command. `None` if there can be none."""
    # Without root's rights the namespace needs a user namespace too, in which this is root.
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    return unshare if Path("/dev/net/tun").exists() and run(*unshare, "true").returncode == 0 else None


def enter(script, *arguments):
    """Runs the script again in a network namespace, with these arguments or else its own; its exit status, or `None` if there can be
    none."""
    unshare = command()
    if unshare is None:
        return None
    return subprocess.run([*unshare, sys.executable, script, *(arguments or sys.argv[1:])], env={**os.environ, INSIDE: "1"}).returncode


def set_up():
    """Within the namespace: the loopback and `tap0`."""
    ip("link", "set", "lo", "up")
    subprocess.run([TAP, "up"], check=True, stdout=subprocess.DEVNULL)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)
