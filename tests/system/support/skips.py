"""How a test reports that it cannot run on this computer, and why. The Rust tests of std-app do the same.

`tests/run` names a file in the environment variable GREET_TESTS_SKIPS, and lists its lines in the summary.
"""

import os
import socket
import sys


def skip(reason):
    """Reports that a test cannot run. With CI=true in the environment that is a failure, and ends the program."""
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
