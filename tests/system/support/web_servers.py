"""Web servers of other projects for `greet fetch`, and the pages that they serve."""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from . import is_full
from .skips import has_ipv6

# Debian installs nginx in a folder that is not in the PATH of a user.
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
CURL = shutil.which("curl")

GIBIBYTE = 1 << 30
# The longest page: long enough to fill every buffer many times.
LARGE = GIBIBYTE if is_full() else GIBIBYTE // 4
SIZES = (0, 1, 1 << 16, LARGE)
TIMEOUT = 20
# The addresses of the loopback, and how they are written in a URL.
HOSTS = {"127.0.0.1": "127.0.0.1", "::1": "[::1]"} if has_ipv6() else {"127.0.0.1": "127.0.0.1"}

# A body of /chunked/ has no length: nginx searches it for commands to insert something, and finds none.
CONFIGURATION = """
daemon off;
pid {folder}/pid;
error_log stderr crit;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    {temporary}
    server {{
        {listen}
        location /length/ {{ alias {pages}/; }}
        location /chunked/ {{ alias {pages}/; ssi on; ssi_types *; }}
        location /slow/ {{ alias {pages}/; limit_rate 32k; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /length/$1 permanent; }}
    }}
}}
"""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def make_pages(folder):
    """Makes a file of each size, named by its size. Each mebibyte begins with its number: no two are equal."""
    block = random.Random(1).randbytes(1 << 20)
    assert b"<!--" not in block * 2
    for size in SIZES:
        with open(folder / str(size), "wb") as file:
            for number in range(0, size, len(block)):
                part = (number.to_bytes(8) + block[8:]) if size > len(block) else block
                file.write(part[: size - number])


def free_port():
    *_, host = HOSTS
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(command, port, *hosts):
    """A server of this command, once it answers on this port of each of these addresses."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + TIMEOUT
        for host in hosts:
            while True:
                try:
                    socket.create_connection((host, port), TIMEOUT).close()
                    break
                except ConnectionRefusedError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(f"{command[0]} does not come up on {host}, port {port}") from None
                    time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(TIMEOUT)


@contextmanager
def nginx(folder, pages):
    """nginx on a port of every address of the loopback; what it writes is in `folder`."""
    port = free_port()
    listen = " ".join(f"listen {host}:{port};" for host in HOSTS.values())
    temporary = "\n    ".join(f"{kind}_temp_path {folder}/{kind};" for kind in TEMPORARY)
    file = Path(folder) / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, pages=pages, listen=listen, temporary=temporary))
    # Its processes keep the user that started them, so that they can read the pages.
    rights = ["-g", "user root;"] if os.geteuid() == 0 else []
    with running([NGINX, "-c", file, *rights], port, *HOSTS):
        yield port


@contextmanager
def python(pages, host):
    """Python's own web server, which speaks HTTP/1.0, on a port of this address."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", host, "--directory", pages]
    with running(command, port, host):
        yield port
