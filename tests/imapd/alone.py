"""imapd alone on a free loopback port, with two users, for tests that need a socket or a real process but no other program.

Environment: RELAIS_BUILD (a finished build tree). Each test file calls run(globals()), which runs its functions test_*(server)."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("RELAIS_BUILD", os.path.join(SOURCE, "build", "debug"))
SKIPPED = 77


class Skip(Exception):
    """The test cannot run on this machine; the text says why."""


class Server:
    USER, PASSWORD, OTHER = "ann", "secret", "bob"

    def __init__(self, extra=""):
        self.directory = tempfile.mkdtemp(prefix="relais-imapd-", dir="/tmp")
        for name, text in (("users", "ann:{PLAIN}secret::::::\nbob:{PLAIN}secret::::::\n"), ("relais.toml", "")):
            with open(os.path.join(self.directory, name), "w") as f:
                f.write(text)
        self.extra = extra
        if os.geteuid() == 0:  # then imapd becomes somebody else
            self.extra += '\n[run]\nuser = "nobody"\ngroup = "nogroup"\n'
            shutil.chown(self.directory, "nobody", "nogroup")
            shutil.chown(self.directory + "/users", "nobody", "nogroup")
        self.start()

    def start(self):
        for _ in range(20):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            with open(os.path.join(self.directory, "relais.toml"), "w") as f:
                f.write(f'[host]\nname = "imap.example.org"\n[users]\npasswd_file = "{self.directory}/users"\n'
                        f'[mail]\nroot = "{self.directory}/mail/%u"\n[auth]\nallow_plaintext = true\n'
                        f'[imap]\nlisten = ["127.0.0.1:{self.port}"]\nshared_list = "{self.directory}/shared"\n{self.extra}')
            self.log = open(os.path.join(self.directory, "log"), "ab")
            self.process = subprocess.Popen([os.path.join(BUILD, "imapd", "imapd"), "-c", self.directory + "/relais.toml"],
                                            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
            end = time.monotonic() + 20
            while self.process.poll() is None and time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return
                except OSError:
                    time.sleep(0.02)
            self.stop()
        raise RuntimeError("imapd did not start:\n" + self.text())

    def text(self):
        with open(os.path.join(self.directory, "log"), errors="replace") as f:
            return f.read()

    def maildir(self, user="ann"):
        return os.path.join(self.directory, "mail", user)

    def memory(self):
        """Resident octets of the process."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1]) * 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Client:
    """Octets in and out, one command after the other."""

    def __init__(self, server, login=True, seconds=30, user="ann"):
        self.socket = socket.create_connection(("127.0.0.1", server.port), seconds)
        self.file = self.socket.makefile("rb")
        self.greeting = self.file.readline()
        if login:
            assert self.ask(f"LOGIN {user} {server.PASSWORD}")[-1].startswith(b"a OK"), "login"

    def put(self, octets):
        self.socket.sendall(octets if isinstance(octets, bytes) else octets.encode())

    def ask(self, command, tag=b"a"):
        """All lines up to the tagged one; fewer where the server closed."""
        self.put(tag + b" " + (command if isinstance(command, bytes) else command.encode()) + b"\r\n")
        return self.until(tag)

    def until(self, tag=b"a"):
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                return lines
            lines.append(line)
            if line.startswith(tag + b" "):
                return lines

    def append(self, message, mailbox="INBOX", flags=""):
        self.put(f"a APPEND {mailbox} {flags}{{{len(message)}+}}\r\n".encode() + message + b"\r\n")
        return self.until()

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run(names):
    """Runs the functions test_*(server) of a test file, each with a fresh server; `EXTRA` of the file is more configuration."""
    wanted = sys.argv[1:]
    failed = skipped = 0
    tests = [(name, function) for name, function in names.items() if name.startswith("test_") and (not wanted or name in wanted)]
    for name, function in tests:
        server = Server(names.get("EXTRA", ""))
        begin = time.monotonic()
        try:
            function(server)
            print(f"ok    {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Skip as why:
            skipped += 1
            print(f"skip  {name}: {why}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}\n{server.text()[-4000:]}", flush=True)
        finally:
            server.close()
    sys.exit(1 if failed else SKIPPED if skipped == len(tests) else 0)
