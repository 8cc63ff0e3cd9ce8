"""A server under test, as a program that prints where it listens: a mix-in for test cases."""

import subprocess

from . import programs
from .programs import CONFORMANCE, CONVERSATION, GREET, TUTORIAL, next_line


class Server:
    """Tests of every server, and how its program is run."""

    def start(self, *command, **options):
        """Runs the program until the end of the test; returns the address in its first line."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = next_line(process)
        self.assertRegex(line, r"^listening on .*:\d+$")
        return line.split()[-1]

    def conforms(self, address, capacity):
        """The conformance table, the tutorial's client, and `greet check`."""
        self.passes_the_table(address, "auto", capacity)
        result = programs.run("python3", TUTORIAL / "at_port.py", address, TUTORIAL / "client.py")
        self.assertEqual(result.stdout.splitlines(), CONVERSATION, result.stderr)
        self.passes_the_check(address)

    def echoes(self, address, capacity):
        """The conformance table of the echo service, and `greet check`."""
        self.passes_the_table(address, "echo", capacity)
        self.passes_the_check(address)

    def passes_the_table(self, address, framing, capacity):
        result = programs.run(CONFORMANCE, address, framing, str(capacity))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def passes_the_check(self, address):
        result = programs.run(GREET, "check", address, "--timeout", "20s")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
