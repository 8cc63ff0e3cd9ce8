"""Runs a script of the tutorial, unchanged, at another address: at_port.py [HOST:]PORT SCRIPT.

The tutorial's scripts own port 9999 of this machine. Here bind and connect go to PORT instead, and to HOST. If that is an IPv6
address, in brackets, the script's socket is one for IPv6.
"""

import runpy
import socket
import sys


class Socket(socket.socket):
    def __init__(self, family, *arguments, **options):
        super().__init__(socket.AF_INET6 if ":" in HOST else family, *arguments, **options)

    def bind(self, address):
        super().bind((HOST or address[0], PORT))

    def connect(self, address):
        super().connect((HOST or address[0], PORT))


HOST, _, port = sys.argv[1].rpartition(":")
HOST, PORT = HOST.strip("[]"), int(port)
SCRIPT = sys.argv[2]
socket.socket = Socket
sys.argv = [SCRIPT]
runpy.run_path(SCRIPT, run_name="__main__")
