"""The whole chain for a test: ./try --serve in a directory of its own, and real clients run against it.

A test is a Python file with functions test_*(chain); its last line is `run(globals())`. Each function is one thing that a client does.
Environment: RELAIS_BUILD (a finished build tree). Exit code 77: skipped, with a line that says why.
"""
import email
import email.policy
import os
import pty
import random
import select
import shlex
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("RELAIS_BUILD", os.path.join(SOURCE, "build", "release"))
SKIPPED = 77
TRUNCATED = 4000


class Skip(Exception):
    """The test cannot run on this machine; the text says why."""


def need(*programs):
    """Skips the test where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed")


def free_base(count=8):
    """A run of `count` free ports on loopback, below the range from which the kernel gives ports to clients."""
    for _ in range(200):
        base = random.randrange(10000, 32000 - count)
        sockets = []
        try:
            for port in range(base, base + count):
                s = socket.socket()
                sockets.append(s)
                s.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise RuntimeError("no free ports")


def wait_until(condition, what, seconds=20.0):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class Chain:
    """mta, mda, imapd and pop3d on loopback, with two users. As root the clients run as `nobody`, as the programs do."""

    def __init__(self, routes=(), extra=None):
        self.directory = tempfile.mkdtemp(prefix="relais-e2e-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.routes = routes
        self.extra = extra
        self.process = None
        self.started = []
        self.start()

    def start(self):
        for attempt in range(3):
            command = [os.path.join(SOURCE, "try"), "--serve", "--keep", "--build", BUILD, "--dir", self.directory,
                       "--ports", str(free_base())]
            for route in self.routes:
                command += ["--route", route]
            if self.extra:
                path = os.path.join(self.directory, "extra.toml")
                with open(path, "w") as f:
                    f.write(self.extra)
                command += ["--extra", path]
            self.output = open(os.path.join(self.directory, "try.log"), "ab+")
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.output,
                                            start_new_session=True)
            for line in self.process.stdout:
                if line.strip() == b"ready":
                    self.read_env()
                    return
            self.process.wait()
            if attempt == 2 or b"in use" not in self.text_of("try.log").encode():
                raise RuntimeError("the chain did not start:\n" + self.text_of("try.log"))
            time.sleep(2)  # the servers of the failed attempt let go of the spool

    def text_of(self, name):
        with open(os.path.join(self.directory, name), errors="replace") as f:
            return f.read()

    def read_env(self):
        self.env = {}
        for line in self.text_of("env").splitlines():
            name, _, value = line.partition("=")
            self.env[name] = (shlex.split(value) or [""])[0]
        self.client_directory = os.path.join(self.directory, "client")
        os.makedirs(self.client_directory, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.client_directory, "nobody", "nogroup")

    def __getitem__(self, name):
        return self.env[name]

    def port(self, name):
        return int(self.env[name + "_PORT"])

    def address(self, number):
        return f"{self['USER%d' % number]}@{self['DOMAIN']}"

    def stop(self):
        for process in self.started:
            kill(process)
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.process = None

    def remove(self):
        self.stop()
        data = os.path.realpath(os.path.join(self.directory, "data"))
        if data.startswith("/var/tmp/relais-try."):
            shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- clients ---

    def tls(self):
        """A context that verifies the servers' certificate."""
        context = ssl.create_default_context(cafile=self["CA_FILE"])
        return context

    def as_client(self):
        """For subprocess: the client's own user, home and environment."""
        environment = {"PATH": self["BIN_DIR"] + ":" + os.environ["PATH"], "HOME": self.client_directory, "LANG": "C.UTF-8",
                       "LC_ALL": "C.UTF-8", "TERM": "xterm", "SSL_CERT_FILE": self["CA_FILE"], "TMPDIR": self.client_directory}
        arguments = {"cwd": self.client_directory, "env": environment}
        if os.geteuid() == 0:
            arguments.update(user="nobody", group="nogroup", extra_groups=[])
        return arguments

    def run(self, command, data=None, code=0, seconds=40, env=None):
        """Runs a client to its end; its output as text. Another exit code than `code` (None: any) fails the test."""
        arguments = self.as_client()
        if env:
            arguments["env"] = {**arguments["env"], **env}
        if isinstance(data, str):
            data = data.encode()
        result = subprocess.run(command, input=data if data is not None else b"", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                timeout=seconds, **arguments)
        text = result.stdout.decode(errors="replace")
        if code is not None and result.returncode != code:
            raise AssertionError(f"{shlex.join(command)}: exit code {result.returncode}, not {code}\n{text[-TRUNCATED:]}")
        return text

    def spawn(self, command, **more):
        """A client or server that goes on while the test does other things."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   **{**self.as_client(), **more})
        self.started.append(process)
        return process

    def terminal(self, command, seconds=40, keys=()):
        """Runs a client that wants a terminal to its end; what it showed. `keys`: (text to wait for, what is then typed)."""
        master, slave = pty.openpty()
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, **self.as_client())
        self.started.append(process)
        os.close(slave)
        shown, end, keys = "", time.monotonic() + seconds, list(keys)
        try:
            while time.monotonic() < end:
                if select.select([master], [], [], 0.1)[0]:
                    try:
                        octets = os.read(master, 65536)
                    except OSError:
                        octets = b""
                    if not octets:
                        process.wait(5)
                        return shown
                    shown += octets.decode(errors="replace")
                    if keys and keys[0][0] in shown:
                        os.write(master, keys.pop(0)[1].encode())
                elif process.poll() is not None:
                    return shown
            raise AssertionError(f"{shlex.join(command)} did not end in {seconds} s; it showed:\n{shown[-TRUNCATED:]}")
        finally:
            kill(process)
            os.close(master)

    def write(self, name, content, mode=0o600):
        """A file of the client's, e.g. its configuration; its path."""
        path = os.path.join(self.client_directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(content)
        os.chmod(path, mode)
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")
        return path

    def folder(self, name):
        path = os.path.join(self.client_directory, name)
        os.makedirs(path, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")
        return path

    # --- mail ---

    def send(self, subject, to=1, body="A line.\n.\n..dots\nEnd é.\n", sender="sender@elsewhere.example"):
        """A message for user 1 or 2 by SMTP from outside, delivered when this returns."""
        text = (f"From: {sender}\r\nTo: {self.address(to)}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
                "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body.replace("\n", "\r\n"))
        with smtplib.SMTP(self["MAIL_HOST"], self.port("SMTP"), timeout=20) as smtp:
            smtp.sendmail(sender, [self.address(to)], text.encode(), mail_options=["BODY=8BITMIME"])
        return self.delivered(subject, to)

    def messages(self, user=1, folder=""):
        """All messages of a user's folder, parsed, from the Maildir itself."""
        found = []
        for sub in ("new", "cur"):
            directory = os.path.join(self["MAILDIR%d" % user], folder, sub)
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                try:
                    with open(os.path.join(directory, name), "rb") as f:
                        found.append(email.message_from_binary_file(f, policy=email.policy.default))
                except (FileNotFoundError, RecursionError):
                    pass  # renamed meanwhile, or nested deeper than Python's parser goes
        return found

    def find(self, subject, user=1, folder=""):
        for message in self.messages(user, folder):
            if message["Subject"] == subject:
                return message
        return None

    def delivered(self, subject, user=1, seconds=20):
        return wait_until(lambda: self.find(subject, user), f"the message '{subject}' in the mailbox of user {user}", seconds)

    def body(self, message):
        part = message.get_body(preferencelist=("plain",))
        return part.get_content() if part else ""


def mbsync_configuration(account, near):
    """For isync: all folders both ways between the server that the lines `account` name, and Maildirs below `near`."""
    return f"""IMAPAccount a
{account}
IMAPStore far
Account a

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
"""


def kill(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def equal(left, right, what=""):
    if left != right:
        raise AssertionError(f"{what}: {left!r} is not {right!r}")


def has(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"'{part}' is not in:\n{text[-TRUNCATED:]}")


def run(module, make=None, programs=("mta", "mda", "pop3d", "imapd", "mua"), **chain_arguments):
    """Runs every test_* of a module on one chain; names on the command line select some. `make`: what they run on instead of a Chain, with
    stop(), remove() and a directory; `programs`: what it needs of ours."""
    wanted = sys.argv[1:]
    tests = [(n, f) for n, f in module.items() if n.startswith("test_") and (not wanted or n in wanted)]
    chain, failed, skipped = None, [], []
    try:
        if "setup" in module:
            chain_arguments.update(module["setup"]() or {})
        for program in programs:
            if not os.access(os.path.join(BUILD, program, program), os.X_OK):
                raise Skip(f"{BUILD}/{program}/{program} is not built")
        chain = (make or Chain)(**chain_arguments)
        for name, function in tests:
            begin = time.monotonic()
            try:
                function(chain)
                print(f"ok      {name} {time.monotonic() - begin:.2f} s", flush=True)
            except Skip as reason:
                print(f"SKIPPED: {os.path.basename(sys.argv[0])} {name}: {reason}", flush=True)
                skipped.append(name)
            except Exception:
                print(f"FAILED  {name}", flush=True)
                traceback.print_exc(file=sys.stdout)
                failed.append(name)
    except Skip as reason:
        print(f"SKIPPED: {os.path.basename(sys.argv[0])}: {reason}")
        sys.exit(SKIPPED)
    finally:
        if chain:
            chain.stop()
            if failed:
                log = os.path.join(chain.directory, "log", "relais.log")
                log = log if os.path.exists(log) else os.path.join(chain.directory, "data", "log", "relais.log")
                if os.path.exists(log):
                    with open(log, errors="replace") as f:
                        print("--- the end of relais.log ---\n" + "".join(f.readlines()[-40:]))
            if os.environ.get("RELAIS_KEEP") and failed:
                print("kept:", chain.directory)
            else:
                chain.remove()
        if "teardown" in module:
            module["teardown"]()
    if failed:
        sys.exit(1)
    if len(skipped) == len(tests):
        sys.exit(SKIPPED)
