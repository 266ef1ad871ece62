"""A receiving SMTP server for tests, in this process; it behaves as a test tells it to."""
import threading

from service import close, listen, listen_unix, serve


class Sink:
    """Accepts every message. `script(verb, line)` may give another reply than the usual one for a command, as octets, or as a function that
    does with the connection as it likes; None: the usual. With `tls`, a context, STARTTLS is offered; `before_tls` goes out behind its 220.
    `path`: on a Unix socket."""

    def __init__(self, address="127.0.0.1", port=0, script=None, extensions=("8BITMIME", "SMTPUTF8", "PIPELINING", "SIZE 100000000", "DSN"),
                 tls=None, before_tls=b"", path=None):
        self.tls, self.before_tls = tls, before_tls
        self.messages = []  # (reverse-path line, [forward-path lines], content octets)
        self.lines = []
        self.script = script or (lambda verb, line: None)
        self.extensions = extensions
        self.lock = threading.Lock()
        if path:
            self.socket = listen_unix(path)
        else:
            self.socket = listen(address, port)
            self.address = "%s:%d" % self.socket.getsockname()
            self.port = self.socket.getsockname()[1]
        serve(self.socket, lambda connection: self.talk(connection))  # which a test may replace

    def close(self):
        close(self.socket)

    def talk(self, connection):
        greet = True
        while connection:
            with connection, connection.makefile("rb") as lines:
                connection = self.dialogue(connection, lines, greet)
            greet = False

    def start_tls(self, connection):
        """The connection under TLS: another descriptor, as the old one is closed by whoever held it."""
        connection.sendall(b"220 2.0.0 go\r\n" + self.before_tls)
        return self.tls.wrap_socket(connection.dup(), server_side=True)

    def dialogue(self, connection, lines, greet=True):
        """One connection up to its end, or up to STARTTLS: then what it goes on with."""
        sender, recipients = None, []

        def reply_with(reply, usual):
            reply = usual if reply is None else reply
            if callable(reply):
                reply(connection)
            else:
                connection.sendall(reply)

        if greet:
            reply_with(self.script("CONNECT", ""), b"220 sink.example ESMTP\r\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r\n")
            verb = text.split(" ")[0].split(":")[0].upper()
            with self.lock:
                self.lines.append(text)
            reply = self.script(verb, text)
            usual = b"221 2.0.0 bye\r\n" if verb == "QUIT" else b"250 2.0.0 ok\r\n"
            if verb == "STARTTLS" and self.tls and reply is None:
                return self.start_tls(connection)
            if verb == "EHLO":
                words = ["sink.example", *self.extensions]
                if self.tls and not hasattr(connection, "cipher"):
                    words.append("STARTTLS")
                usual = "".join(f"250{'-' if i + 1 < len(words) else ' '}{w}\r\n" for i, w in enumerate(words)).encode()
            elif verb == "MAIL":
                sender, recipients = text, []
            elif verb == "RCPT" and reply is None:
                recipients.append(text)
            elif verb == "DATA" and reply is None:
                reply_with(None, b"354 go on\r\n")
                content = self.content(connection, lines)
                if content is None:
                    return None
                reply = self.script("DOT", "")
                if reply is None:
                    with self.lock:
                        self.messages.append((sender, recipients, content))
            reply_with(reply, usual)
            if verb == "QUIT":
                break
        return None

    def content(self, connection, lines):
        content = b""
        for part in lines:
            if part == b".\r\n":
                return content
            content += part[1:] if part.startswith(b".") else part
            action = self.script("BODY", part)
            if action is not None:
                action(connection)
        return None

    def find(self, octets):
        with self.lock:
            return [m for m in self.messages if octets in m[2]]
