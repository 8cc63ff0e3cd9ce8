"""`greet-tap fetch` over a TAP device. A part of tests/system/tap, which runs it."""

import functools
import http.server
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from support import tap_servers
from support.namespace import ip
from support.programs import GREET_TAP
from support.tap_servers import (
    A, AAAA, CNAME, OWN, OWN6, address, answer, dhcp, dns, dns_name, knowing, moved, page, record, saying, saying_and_resetting,
    silent, web,
)  # fmt: skip

DNS = "--dns", OWN
NOBODY = "192.168.69.50"
TIMEOUT = 120
# Seconds; less than the timeout of greet-tap (30 s), and longer than a run that does not wait for the timeout.
SOON = 15

# Exit statuses; `man greet-tap-fetch` lists them all.
RESOLVE, CONNECT, PROTOCOL, TLS = 6, 7, 8, 35

HAHA = page(b"haha")
MEBIBYTE = random.Random(7).randbytes(1 << 20)


class Fetched:
    """The result of a download: the output, and the files afterwards. `during` is called with the running process."""

    def __init__(self, *arguments, during=lambda process: None):
        with tempfile.TemporaryDirectory() as folder:
            command = [GREET_TAP, "fetch", *arguments]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder) as process:
                try:
                    during(process)
                    self.output, errors = process.communicate(timeout=TIMEOUT)
                finally:
                    process.kill()
            self.status, self.errors = process.returncode, errors.decode()
            self.files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Fetch(unittest.TestCase):
    def saves(self, body, *arguments):
        """Fetches, and asserts that `body` was saved as `page`."""
        fetched = Fetched(*arguments)
        self.assertEqual((fetched.status, list(fetched.files)), (0, ["page"]), fetched.errors)
        self.assertTrue(fetched.files["page"] == body, f"{len(fetched.files['page'])} bytes that are another page")
        return fetched

    def fails(self, said, *arguments, status=1, **during):
        """Fetches, and asserts that it fails with one line that contains `said` and saves no file."""
        fetched = Fetched(*arguments, **during)
        self.assertEqual((fetched.status, fetched.files), (status, {}), fetched.errors)
        self.assertEqual(len(fetched.errors.splitlines()), 1, fetched.errors)
        self.assertIn(said, fetched.errors)

    def test_a_file_from_pythons_web_server_is_saved_unchanged_over_both_families(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "page").write_bytes(MEBIBYTE)
            handler = functools.partial(QuietFiles, directory=folder)
            for host, family, shown in (OWN, socket.AF_INET, OWN), (OWN6, socket.AF_INET6, f"[{OWN6}]"):
                kind = type("Server", (http.server.ThreadingHTTPServer,), {"address_family": family})
                with kind((host, 8000), handler) as server:
                    threading.Thread(target=server.serve_forever, daemon=True).start()
                    fetched = self.saves(MEBIBYTE, f"http://{shown}:8000/page")
                    server.shutdown()
                self.assertTrue(fetched.output.startswith(b"HTTP/1.0 200 OK\r\n"), fetched.output)
                self.assertIn("1048576 bytes saved as page", fetched.errors)

    def test_a_chunked_body_and_a_body_ended_by_the_connection_are_saved(self):
        chunks = b"".join(b"%x\r\n%s\r\n" % (size, b"a" * size) for size in (1, 4000, 70000, 2)) + b"0\r\n\r\n"
        with web(saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0.05, chunks)):
            self.saves(b"a" * 74003, f"http://{OWN}/page")
        with web(saying(b"HTTP/1.1 200 OK\r\n\r\n", MEBIBYTE, 0.05, b"haha")):
            self.saves(MEBIBYTE + b"haha", f"http://{OWN}/page")

    def test_a_host_name_is_resolved_and_an_address_family_selected(self):
        with web(saying(HAHA)) as asked, dns(knowing(f"both.test {OWN} {OWN6}")) as names:
            # Without -4 or -6 IPv6 is tried first, and used if it is connected within 250 ms.
            both = ["fdaa::1", "192.168.69.1"]
            for options, peers in ([], both), (["-6"], both[:1]), (["-4"], both[1:]):
                self.saves(b"haha", *DNS, *options, "http://both.test/page")
                host, _, request = asked.pop()
                self.assertIn(host, peers)
                self.assertIn("\r\nHost: both.test\r\n", request)
        self.assertEqual(set(names), {("both.test", A), ("both.test", AAAA)})

    def test_after_an_address_that_does_not_answer_the_next_is_tried(self):
        names = knowing(f"one.test {NOBODY} {OWN}", f"two.test 10.0.0.1 fdbb::1 {OWN}", f"three.test {NOBODY} fdaa::50")
        with web(saying(HAHA)), dns(names):
            self.saves(b"haha", *DNS, "--timeout", "2s", "http://one.test/page")
            begin = time.monotonic()
            self.saves(b"haha", *DNS, "http://two.test/page")
            self.assertLess(time.monotonic() - begin, SOON)
            for said in f"{NOBODY}:80 did not answer", "[fdaa::50]:80 did not answer":
                self.fails(said, *DNS, "--timeout", "1s", "http://three.test/page", status=CONNECT)
        with dns(knowing(f"one.test {OWN} {OWN6}")):
            self.fails(f"{OWN6}]:80 refused the connection, {OWN}:80 refused the connection", *DNS, "http://one.test/page", status=CONNECT)

    def test_a_silent_address_does_not_delay_the_next(self):
        # Without a timeout the wait ends only because another address is tried at the same time.
        with web(saying(HAHA)) as asked, dns(knowing(f"name.test {NOBODY} 192.168.69.51 fdaa::50 {OWN}")):
            self.saves(b"haha", *DNS, "--timeout", "none", "http://name.test/page")
        self.assertEqual(len(asked), 1)

    def test_the_maximum_time_includes_connecting(self):
        self.fails("took longer than 1s: raise --max-time", "--timeout", "none", "--max-time", "1s", f"http://{NOBODY}/page")
        with dns(silent):
            self.fails("took longer than 1s: raise --max-time", *DNS, "--timeout", "none", "--max-time", "1s", "http://name.test/page")
        self.fails("took longer than 1s: raise --max-time", "--dhcp", "--max-time", "1s", f"http://{OWN}/page")

    def test_sigusr1_prints_the_counters_during_a_download(self):
        is_asked, is_reported = threading.Event(), threading.Event()

        def serve(connection, _):
            is_asked.set()
            is_reported.wait(SOON)
            connection.sendall(HAHA)

        def report(process):
            is_asked.wait(SOON)
            process.send_signal(signal.SIGUSR1)
            self.reported = process.stderr.readline()
            is_reported.set()

        with web(serve):
            fetched = Fetched(f"http://{OWN}/page", during=report)
        self.assertEqual((fetched.status, fetched.files), (0, {"page": b"haha"}), fetched.errors)
        self.assertEqual(self.reported, b"connections refused: 0\n")

    def test_each_reason_for_a_failed_lookup_has_its_own_message(self):
        names = knowing(f"four.test {OWN}", f"six.test {OWN6}", "none.test")
        with dns(names):
            self.fails(f"`no.test` is not found: {OWN} knows no address of it", *DNS, "http://no.test/page", status=RESOLVE)
            self.fails("`none.test` is not found", *DNS, "http://none.test/page", status=RESOLVE)
            self.fails("`four.test` has no IPv6 address: leave out -6", *DNS, "-6", "http://four.test/page", status=RESOLVE)
            self.fails("`six.test` has no IPv4 address: leave out -4", *DNS, "-4", "http://six.test/page", status=RESOLVE)
            self.fails("each part between dots 1 to 63", *DNS, "http://a..test/page", status=RESOLVE)
            self.fails("each part between dots 1 to 63", *DNS, f"http://{'a' * 64}.test/page", status=RESOLVE)
            self.fails("at most 253 bytes", *DNS, f"http://{'.'.join(130 * ['a'])}/page", status=RESOLVE)
        self.fails("--dns", "http://no.test/page", status=RESOLVE)
        self.fails("10.0.0.1 is unreachable", "--dns", "10.0.0.1", "http://no.test/page", status=RESOLVE)
        self.fails(f"`{OWN6}` has no IPv4 address", "-4", f"http://[{OWN6}]/page", status=RESOLVE)
        with dns(silent):
            begin = time.monotonic()
            self.fails(f"no answer from {OWN} within 1.5s", *DNS, "--timeout", "1.5", "http://no.test/page", status=RESOLVE)
            self.assertLess(time.monotonic() - begin, SOON)

    def test_forged_dns_answers_are_ignored_and_the_correct_answer_is_used(self):
        def lying(query, name, kind):
            right = answer(query, [address(name, OWN)] if kind == A else [])
            wrong = answer(query, [address(name, NOBODY)])
            other = query[:2] + wrong[2:12] + dns_name("other.test") + query[-4:] + wrong[len(query) :]
            return [
                bytes([query[0] ^ 1]) + wrong[1:],  # the id of another query
                wrong[:2] + b"\x01" + wrong[3:],  # the flags of a query
                other, query, wrong[:13], wrong[: len(query) + 7], b"\0", bytes(512),
                query[:12] + b"\xc0\x0c" + query[-4:],  # a compression pointer to itself
                right,
            ]  # fmt: skip

        with web(saying(HAHA)), dns(lying):
            self.saves(b"haha", *DNS, "--timeout", "5s", "http://lies.test/page")

    def test_cname_records_are_followed_except_in_a_loop(self):
        def aliases(query, name, kind):
            if name == "circle.test":
                return [answer(query, [record(name, CNAME, dns_name("b")), record("b", CNAME, dns_name(name))])]
            chain = [name, "a.test", "b.test", "c.test"]
            records = [record(one, CNAME, dns_name(other)) for one, other in zip(chain, chain[1:])]
            return [answer(query, records + [address("c.test", OWN if kind == A else OWN6)])]

        with web(saying(HAHA)), dns(aliases):
            self.saves(b"haha", *DNS, "http://alias.test/page")
            self.fails("is not found", *DNS, "--timeout", "2s", "http://circle.test/page", status=RESOLVE)

    def test_if_one_dns_server_fails_the_next_is_queried(self):
        failures = {
            "silent": silent,
            "it fails": lambda query, *_: [answer(query, flags=tap_servers.SERVER_FAILURE)],
            "it does not know": lambda query, *_: [answer(query, flags=tap_servers.NO_SUCH_NAME)],
            "too long for it": lambda query, *_: [answer(query, flags=tap_servers.TRUNCATED)],
        }
        with web(saying(HAHA)), dns(knowing(f"name.test {OWN}"), OWN6):
            for what, failure in failures.items():
                with self.subTest(what), dns(failure):
                    self.saves(b"haha", *DNS, "--dns", OWN6, "http://name.test/page")
            self.saves(b"haha", "--dns", "10.0.0.1", "--dns", OWN6, "http://name.test/page")

    def test_a_silent_dns_server_delays_the_next_by_less_than_a_short_timeout(self):
        with web(saying(HAHA)), dns(silent) as first, dns(knowing(f"name.test {OWN}"), OWN6):
            # 1 s until the second server is asked; less than the 5 s that a server has for its answer.
            self.saves(b"haha", *DNS, "--dns", OWN6, "--timeout", "4s", "http://name.test/page")
        self.assertIn(("name.test", A), first)
        with dns(silent), dns(silent, OWN6):
            # A shorter timeout is divided among the servers, so that both are asked.
            self.fails(f"no answer from {OWN} or {OWN6} within 1s", *DNS, "--dns", OWN6, "--timeout", "1s", "http://name.test/page", status=RESOLVE)

    def test_a_late_answer_is_used_even_after_the_next_dns_server_was_asked(self):
        answered, next_was_asked = set(), threading.Event()

        def late(query, name, kind):
            if kind in answered:
                return []  # a retransmission: only the first query gets an answer
            answered.add(kind)
            next_was_asked.wait(SOON)
            return knowing(f"name.test {OWN}")(query, name, kind)

        def asked(*_):
            next_was_asked.set()
            return []

        with web(saying(HAHA)), dns(late), dns(asked, OWN6):
            self.saves(b"haha", *DNS, "--dns", OWN6, "--timeout", "20s", "http://name.test/page")
        self.assertTrue(next_was_asked.is_set())

    def test_a_truncated_dns_answer_is_reported(self):
        def truncated(query, name, kind):
            records = [address(name, OWN)] if name == "some.test" and kind == A else []
            return [answer(query, records, flags=tap_servers.TRUNCATED)]

        with web(saying(HAHA)), dns(truncated):
            self.fails(f"the answer of {OWN} is truncated and has no address", *DNS, "http://long.test/page", status=RESOLVE)
            fetched = self.saves(b"haha", *DNS, "http://some.test/page")
            self.assertEqual(fetched.errors.count("is truncated: addresses may be missing"), 1, fetched.errors)

    def test_a_dns_answer_in_ipv4_fragments_is_received(self):
        def long(query, name, kind):
            return [answer(query, 40 * [address(name, OWN)] if kind == A else [])]  # some 1,000 bytes

        route = "192.168.69.1/32", "dev", "tap0"
        ip("route", "add", *route, "mtu", "lock", "576")
        try:
            with web(saying(HAHA)), dns(long):
                self.saves(b"haha", *DNS, "http://long.test/page")
        finally:
            ip("route", "delete", *route)

    def test_dns_answers_are_waited_for_until_the_timeout(self):
        def slow(query, name, kind):
            time.sleep(1.2)
            return knowing(f"slow.test {OWN} {OWN6}")(query, name, kind)

        with web(saying(HAHA)), dns(slow):
            self.fails(f"no answer from {OWN} within 1s", *DNS, "--timeout", "1s", "http://slow.test/page", status=RESOLVE)
            self.saves(b"haha", *DNS, "--timeout", "10s", "http://slow.test/page")

        def one_sided(query, name, kind):
            return knowing(f"one.test {OWN}")(query, name, kind) if kind == A else []

        with web(saying(HAHA)), dns(one_sided):
            begin = time.monotonic()
            self.saves(b"haha", *DNS, "http://one.test/page")
            self.assertLess(time.monotonic() - begin, SOON)

    def test_without_the_dns_option_the_dns_servers_of_dhcp_are_used(self):
        with web(saying(HAHA)) as asked, dns(knowing(f"name.test {OWN}")):
            with dhcp(OWN):
                self.saves(b"haha", "--dhcp", "http://name.test/page")
            self.assertEqual(asked[0][0], "192.168.69.77")
            with dhcp():
                self.fails("DHCP gave no DNS server", "--dhcp", "http://name.test/page", status=RESOLVE)
            self.fails("DHCP gave no DNS server", "--dhcp", "--timeout", "1s", "http://name.test/page", status=RESOLVE)

    def test_each_redirect_is_followed_over_a_new_connection(self):
        def serve(connection, request):
            if b"Host: one.test\r\n" in request:
                connection.sendall(moved("http://two.test:81/page"))
            elif b"GET /page" in request:
                connection.sendall(moved("/last"))
            else:
                connection.sendall(HAHA)

        with web(serve) as first, web(serve, 81) as second, dns(knowing(f"one.test {OWN}", f"two.test {OWN6}")):
            fetched = self.saves(b"haha", *DNS, "-L", "http://one.test/page")
            self.assertEqual((len(first), len({port for _, port, _ in first + second})), (1, 3))
            self.assertEqual(fetched.output.count(b"HTTP/1.1 "), 3)
            self.assertEqual(Fetched(*DNS, "http://one.test/page").status, 1)

    def test_https_is_refused_also_as_the_target_of_a_redirect(self):
        self.fails("https://name.test/page: greet-tap has no TLS", "https://name.test/page", status=TLS)
        with web(saying(moved("https://name.test/page"))):
            self.fails("https://name.test/page: greet-tap has no TLS", "-L", f"http://{OWN}/page", status=TLS)

    def test_an_incomplete_body_is_not_saved_and_the_bytes_received_are_reported(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
        with web(saying(head, bytes(1234))):
            self.fails("received 1234 of 5000 bytes", f"http://{OWN}/page")
        with web(saying(head, bytes(1234), 5)):
            self.fails("no byte arrived for 2s; 3766 bytes of the body are missing", "--timeout", "2s", f"http://{OWN}/page")
        with web(saying_and_resetting(head, bytes(1234), 0.1)):
            self.fails("connection reset): check the server, and try again or use --retry; received 1234 of 5000", f"http://{OWN}/page")
        with web(saying(b"HTTP/1.1 200 OK\r\n\r\n", *256 * [MEBIBYTE])):
            self.fails("longer than 1000000 bytes", "--max-size", "1000000", f"http://{OWN}/page")
        with web(saying(*256 * [b"a" * 65536])):
            self.fails("is not a web server; it sent `aaaa", f"http://{OWN}/page", status=PROTOCOL)

    def test_bytes_received_before_a_reset_are_counted(self):
        with web(saying_and_resetting(HAHA)):
            for _ in range(20):
                self.saves(b"haha", f"http://{OWN}/page")

    def test_a_reader_of_standard_output_can_be_slower_than_the_timeout(self):
        def read_late(process):
            time.sleep(2.5)

        with web(saying(page(MEBIBYTE))):
            fetched = Fetched("--timeout", "1.5s", "-o", "-", f"http://{OWN}/page", during=read_late)
        self.assertEqual((fetched.status, fetched.files), (0, {}), fetched.errors)
        self.assertTrue(fetched.output == MEBIBYTE)

    def test_a_signal_ends_it_in_every_phase(self):
        def has_head(process):
            process.stdout.readline()

        def interrupted(said, *arguments, when=lambda process: time.sleep(0.5)):
            def interrupt(process):
                when(process)
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(SOON), 130)

            self.fails(said, *arguments, status=130, during=interrupt)

        interrupted("stopped by a signal\n", f"http://{NOBODY}/page")
        interrupted("stopped by a signal\n", "--dhcp", "http://name.test/page")
        with dns(silent):
            interrupted("stopped by a signal\n", *DNS, "http://name.test/page")
        with web(saying(3)):
            interrupted("stopped by a signal\n", f"http://{OWN}/page")
        with web(saying(page(MEBIBYTE)[:1000], 3)):
            interrupted("of 1048576 bytes", f"http://{OWN}/page", when=has_head)
        with web(saying(b"HTTP/1.1 200 OK\r\n\r\n", *10_000 * [MEBIBYTE])):
            interrupted("; received ", f"http://{OWN}/page", when=has_head)

    def test_with_impairments_every_byte_is_correct(self):
        wire = "--loss 5% --duplicate 5% --reorder 5% --corrupt 1% --latency 1ms --jitter 1ms --seed 7"
        with web(saying(page(MEBIBYTE))), dns(knowing(f"name.test {OWN}")):
            fetched = self.saves(MEBIBYTE, *DNS, "--loss", "5%", "--seed", "7", "--stats", "http://name.test/page")
            self.assertRegex(fetched.errors, "received: .* lost [1-9]")
            self.saves(MEBIBYTE, *DNS, *wire.split(), "http://name.test/page")
