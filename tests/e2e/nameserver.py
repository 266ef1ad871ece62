"""A name server for tests, in this process, on UDP and TCP: it answers as a test tells it to, lies included."""
import socket
import struct
import threading

from service import close, listen, serve

TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "TLSA": 52}
AUTHENTIC = 0x0020  # the AD bit, for answer()


def name_octets(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split(".") if part) + b"\0"


def record(name, kind, data, ttl=60):
    """One resource record; `data` as text, MX with its preference; of TLSA (usage, selector, matching, octets)."""
    if kind == "A":
        octets = socket.inet_aton(data)
    elif kind == "MX":
        preference, exchange = data.split()
        octets = struct.pack(">H", int(preference)) + name_octets(exchange)
    elif kind == "TXT":
        octets = bytes([len(data)]) + data.encode()
    elif kind == "TLSA":
        octets = bytes(data[:3]) + data[3]
    else:
        octets = name_octets(data)
    return name_octets(name) + struct.pack(">HHIH", TYPES[kind], 1, ttl, len(octets)) + octets


def answer(question, records=(), code=0, flags=0, identity=None, name=None):
    """A reply to a question of the wire; identity and name may differ from what was asked: a lie."""
    asked, kind, end = parse(question)
    section = question[12:end] if name is None else name_octets(name) + question[end - 4:end]
    head = struct.pack(">HHHHHH", identity if identity is not None else struct.unpack(">H", question[:2])[0], 0x8180 | flags | code, 1, len(records), 0, 0)
    return head + section + b"".join(records)


def parse(question):
    at, parts = 12, []
    while question[at]:
        parts.append(question[at + 1:at + 1 + question[at]].decode("latin-1"))
        at += 1 + question[at]
    kind = struct.unpack(">H", question[at + 1:at + 3])[0]
    return ".".join(parts).lower(), next((k for k, v in TYPES.items() if v == kind), str(kind)), at + 5


class NameServer:
    """`script(name, kind, question, tcp)` gives the replies, a list of octets; names it says None to do not exist."""

    def __init__(self, script):
        self.script = script
        self.asked = []
        while True:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp = listen(port=self.port)
                break
            except OSError:
                self.udp.close()
        threading.Thread(target=self.serve_udp, daemon=True).start()
        serve(self.tcp, self.talk)

    def close(self):
        self.udp.close()
        close(self.tcp)

    def replies(self, question, tcp):
        try:
            name, kind, _ = parse(question)
        except (IndexError, struct.error):
            return []
        self.asked.append((name, kind))
        said = self.script(name, kind, question, tcp)
        return [answer(question, code=3)] if said is None else said

    def serve_udp(self):
        while True:
            try:
                question, peer = self.udp.recvfrom(4096)
                for reply in self.replies(question, False):
                    self.udp.sendto(reply, peer)
            except OSError:
                return

    def talk(self, connection):
        with connection.makefile("rb") as stream:
            while True:
                length = stream.read(2)
                if len(length) < 2:
                    return
                for reply in self.replies(stream.read(struct.unpack(">H", length)[0]), True):
                    connection.sendall(struct.pack(">H", len(reply)) + reply)
