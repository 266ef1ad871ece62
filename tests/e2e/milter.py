"""A mail filter for tests, in this process: it speaks the milter protocol, version 6, and answers as a test tells it to."""
import struct
import threading

from service import close, listen, listen_unix, serve

COMMANDS = {"O": "negotiate", "D": "macros", "C": "connect", "H": "helo", "M": "mail", "R": "rcpt", "T": "data", "L": "header", "N": "eoh",
            "B": "body", "E": "eom", "A": "abort", "Q": "quit"}


def packet(what, data=b""):
    return struct.pack(">I", len(data) + 1) + what + data


def texts(*all):
    return b"".join(t.encode() + b"\0" for t in all)


class Milter:
    """`script(stage, data)` gives the packets of an answer (octets), None for "go on", False to say nothing at all."""

    def __init__(self, script=None, where=None, actions=0x1ff, steps=0):
        self.script = script or (lambda stage, data: None)
        self.actions, self.steps = actions, steps
        self.heard = []  # (stage, octets)
        self.connections = 0
        self.lock = threading.Lock()
        if where and where.startswith("/"):
            self.socket = listen_unix(where)
            self.address = "unix:" + where
        else:
            self.socket = listen()
            self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        serve(self.socket, self.talk)

    def close(self):
        close(self.socket)

    def talk(self, connection):
        with self.lock:
            self.connections += 1
        with connection.makefile("rb") as stream:
            while True:
                head = stream.read(4)
                if len(head) < 4:
                    return
                octets = stream.read(struct.unpack(">I", head)[0])
                stage, data = COMMANDS.get(chr(octets[0]), "?"), octets[1:]
                self.heard.append((stage, data))
                if stage == "quit":
                    return
                if stage == "negotiate":
                    connection.sendall(packet(b"O", struct.pack(">III", 6, self.actions, self.steps)))
                elif stage not in ("macros", "abort"):
                    answer = self.script(stage, data)
                    if answer is not False:
                        connection.sendall(packet(b"c") if answer is None else answer)

    def stages(self):
        return [stage for stage, _ in self.heard if stage != "macros"]

    def data(self, stage):
        return [data for s, data in self.heard if s == stage]
