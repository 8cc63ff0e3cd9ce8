"""What a test does that cannot be run on this machine: it says so, and why. The Rust tests of std-app do the same.

`tests/run` names a file in the environment, and tells in its summary what it finds there.
"""

import os
import socket
import sys


def skip(reason):
    """Part of what was to be tested is not. With CI=true in the environment that is a failure, and the end."""
    print(f"skipped: {reason}", file=sys.stderr, flush=True)
    if path := os.environ.get("GREET_TESTS_SKIPS"):
        with open(path, "a") as file:
            file.write(f"{reason}\n")
    if os.environ.get("CI") == "true":
        sys.exit("with CI=true in the environment a skipped check is a failure")


def has_ipv6():
    """Whether there is an IPv6 loopback."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
