"""A receiving SMTP server for tests, in this process; it behaves as a test tells it to."""
import socket
import threading


class Sink:
    """Accepts every message. `script(verb, line)` may give another reply than the usual one for a command, as octets; None: the usual."""

    def __init__(self, address="127.0.0.1", port=0, script=None, extensions=("8BITMIME", "SMTPUTF8", "PIPELINING", "SIZE 100000000", "DSN")):
        self.messages = []  # (reverse-path line, [forward-path lines], content octets)
        self.lines = []
        self.script = script or (lambda verb, line: None)
        self.extensions = extensions
        self.lock = threading.Lock()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(64)
        self.address = "%s:%d" % self.socket.getsockname()
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.socket.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        try:
            with connection, connection.makefile("rb") as lines:
                self.dialogue(connection, lines)
        except OSError:
            pass

    def dialogue(self, connection, lines):
        sender, recipients = None, []
        connection.sendall(self.script("CONNECT", "") or b"220 sink.example ESMTP\r\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r\n")
            verb = text.split(" ")[0].split(":")[0].upper()
            with self.lock:
                self.lines.append(text)
            reply = self.script(verb, text)
            if verb == "EHLO":
                words = ["sink.example", *self.extensions]
                usual = "".join(f"250{'-' if i + 1 < len(words) else ' '}{w}\r\n" for i, w in enumerate(words)).encode()
            elif verb == "MAIL":
                sender, recipients, usual = text, [], b"250 2.1.0 ok\r\n"
            elif verb == "RCPT":
                usual = b"250 2.1.5 ok\r\n"
                if reply is None:
                    recipients.append(text)
            elif verb == "DATA" and reply is None:
                connection.sendall(b"354 go on\r\n")
                content = b""
                for part in lines:
                    if part == b".\r\n":
                        break
                    content += part[1:] if part.startswith(b".") else part
                else:
                    return
                reply = self.script("DOT", "")
                usual = b"250 2.0.0 taken\r\n"
                if reply is None:
                    with self.lock:
                        self.messages.append((sender, recipients, content))
            else:
                usual = b"221 2.0.0 bye\r\n" if verb == "QUIT" else b"250 2.0.0 ok\r\n"
            connection.sendall(usual if reply is None else reply)
            if verb == "QUIT":
                return

    def find(self, octets):
        with self.lock:
            return [m for m in self.messages if octets in m[2]]
