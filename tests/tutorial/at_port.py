"""Runs a script of the tutorial, unchanged, on another port: at_port.py PORT SCRIPT.

The tutorial's scripts own port 9999. So that a test needs no port of its own, bind and connect go to PORT here instead.
"""

import runpy
import socket
import sys


class Socket(socket.socket):
    def bind(self, address):
        super().bind((address[0], PORT))

    def connect(self, address):
        super().connect((address[0], PORT))


PORT = int(sys.argv[1])
SCRIPT = sys.argv[2]
socket.socket = Socket
sys.argv = [SCRIPT]
runpy.run_path(SCRIPT, run_name="__main__")
