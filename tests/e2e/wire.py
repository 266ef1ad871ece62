"""A raw connection: exact octets out, lines in."""
import socket


class Wire:
    def __init__(self, chain, port, tls=False, seconds=15.0):
        number = chain.port(port) if isinstance(port, str) else port
        self.socket = socket.create_connection((chain["MAIL_HOST"] if port != "any" else "127.0.0.1", number), seconds)
        self.chain = chain
        self.buffer = b""
        if tls:
            self.start_tls()

    def start_tls(self):
        self.socket = self.chain.tls().wrap_socket(self.socket, server_hostname=self.chain["MAIL_HOST"])

    def put(self, octets):
        self.socket.sendall(octets.encode() if isinstance(octets, str) else octets)

    def line(self):
        """The next line without its end; None where the server has closed."""
        while b"\n" not in self.buffer:
            try:
                octets = self.socket.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                octets = b""
            if not octets:
                return None
            self.buffer += octets
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode(errors="replace")

    def reply(self):
        """One SMTP reply: its code and its lines."""
        lines = []
        while True:
            line = self.line()
            if line is None:
                return 0, lines
            lines.append(line)
            if line[3:4] != "-":
                return int(line[:3]), lines

    def ask(self, command):
        """An SMTP command and the code of its reply."""
        self.put(command + "\r\n")
        return self.reply()[0]

    def tagged(self, command, tag="a"):
        """An IMAP command and its lines up to the tagged one."""
        self.put(f"{tag} {command}\r\n")
        return self.until(tag)

    def until(self, tag="a"):
        lines = []
        while True:
            line = self.line()
            if line is None:
                return lines
            lines.append(line)
            if line.startswith(tag + " "):
                return lines

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
