"""Web, DNS and DHCP servers, some of them with faults, for the tests of `greet-tap fetch` in tests/system/tap_fetch.py."""

import contextlib
import socket
import struct
import threading
import time

OWN, OWN6 = "192.168.69.100", "fdaa::100"

A, CNAME, AAAA = 1, 5, 28
SERVER_FAILURE, NO_SUCH_NAME = 2, 3
TRUNCATED = 0x0200


@contextlib.contextmanager
def web(serve, port=80):
    """A web server that calls `serve(connection, request)`; it records the address, the port and the request of each client."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    asked = []

    def converse(connection, peer):
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096) or b"\r\n\r\n"
            asked.append((peer[0].removeprefix("::ffff:"), peer[1], request.decode()))
            serve(connection, request)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=converse, args=listener.accept(), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def saying(*parts):
    """A `serve` that sends these bytes; a number among them is a pause in seconds."""

    def serve(connection, _):
        for part in parts:
            if isinstance(part, bytes):
                connection.sendall(part)
            else:
                time.sleep(part)

    return serve


def saying_and_resetting(*parts):
    def serve(connection, request):
        saying(*parts)(connection, request)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return serve


def page(body, status="200 OK", fields=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def moved(target):
    return page(b"elsewhere", "302 Found", f"Location: {target}\r\n")


def dns_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def record(name, kind, content):
    return dns_name(name) + struct.pack("!HHIH", kind, 1, 60, len(content)) + content


def address(name, text):
    family, kind = (socket.AF_INET6, AAAA) if ":" in text else (socket.AF_INET, A)
    return record(name, kind, socket.inet_pton(family, text))


def answer(query, records=(), flags=0):
    return query[:2] + struct.pack("!HHHHH", 0x8180 | flags, 1, len(records), 0, 0) + query[12:] + b"".join(records)


@contextlib.contextmanager
def answering(server, respond):
    """Calls `respond(datagram, client)` for each datagram that the socket `server` receives."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                datagram, client = server.recvfrom(1500)
                if not datagram:
                    return
                respond(datagram, client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # raises ENOTCONN, and ends the wait all the same
            server.shutdown(socket.SHUT_RDWR)
        thread.join()
        server.close()


@contextlib.contextmanager
def dns(respond, host=OWN):
    """A DNS server: `respond(query, name, kind)` returns its answers, any number of them. It records the queries."""
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((host, 53))
    asked = []

    def reply(query, client):
        name, position = [], 12
        while query[position]:
            end = position + 1 + query[position]
            name.append(query[position + 1 : end].decode())
            position = end
        (kind,) = struct.unpack("!H", query[position + 1 : position + 3])
        asked.append((".".join(name), kind))
        for one in respond(query, *asked[-1]):
            server.sendto(one, client)

    with answering(server, reply):
        yield asked


def knowing(*names):
    """A `respond` with the addresses of these names: `name address...`."""
    known = {}
    for name, *addresses in map(str.split, names):
        known[name] = {kind: [address(name, text) for text in addresses if (":" in text) == (kind == AAAA)] for kind in (A, AAAA)}

    def respond(query, name, kind):
        return [answer(query, known[name][kind]) if name in known else answer(query, flags=NO_SUCH_NAME)]

    return respond


def silent(*_):
    return []


@contextlib.contextmanager
def dhcp(*dns_servers):
    """A DHCP server with one lease, 192.168.69.77, and these DNS servers in it."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"tap0")
    server.bind(("", 67))
    own, lease = socket.inet_aton(OWN), socket.inet_aton("192.168.69.77")

    def reply(query, _):
        is_discovery = query[query.index(b"\x35\x01", 240) + 2] == 1
        options = [(53, b"\x02" if is_discovery else b"\x05"), (54, own), (51, struct.pack("!I", 3600)), (1, b"\xff\xff\xff\0")]
        if dns_servers:
            options.append((6, b"".join(map(socket.inet_aton, dns_servers))))
        head = b"\x02" + query[1:12] + bytes(4) + lease + own + query[24:240]
        options = b"".join(bytes([code, len(value)]) + value for code, value in options)
        server.sendto(head + options + b"\xff", ("255.255.255.255", 68))

    with answering(server, reply):
        yield
