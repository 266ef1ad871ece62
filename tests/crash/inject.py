#!/usr/bin/python3
"""kill -9, and every file-system error, at every file-system call of each program, one at a time (strace's fault injection).

  inject.py --build DIR [--scenario NAME]... [--most N] [--keep]

A scenario runs once untouched while its calls are counted, then once per point: killed at the n-th call of a kind, or with that call
failing (ENOSPC, EIO, EMFILE). After each point the programs start again without faults, and then must hold:
  what was acknowledged is there, exactly once (twice only where RFC 1047 lets it);
  nothing is half: every message found is octet by octet the one that was sent.
Prints how many points were tried. --most N takes N points of each scenario, evenly spread (./check does so). Exit status 77: no strace.
"""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

for folder in ("e2e", "support"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))
from sink import Sink  # noqa: E402
from site_files import write_site  # noqa: E402

ERRORS = {
    "openat": "EMFILE", "write": "ENOSPC", "pwrite64": "ENOSPC", "writev": "ENOSPC", "pwritev": "ENOSPC", "fsync": "EIO", "fdatasync": "EIO",
    "syncfs": "EIO", "rename": "ENOSPC", "renameat": "ENOSPC", "renameat2": "ENOSPC", "link": "EIO", "linkat": "EIO", "unlink": "EIO",
    "unlinkat": "EIO", "mkdir": "ENOSPC", "mkdirat": "ENOSPC", "ftruncate": "EIO", "fallocate": "ENOSPC", "close": "EIO",
}
CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)[( ]")
MARK = "last line of the message"


def message(number, octets=3000):
    body = "".join("line %d of message %d\r\n" % (i, number) for i in range(octets // 30))
    return "From: s@example.net\r\nSubject: crash %d\r\nX-Number: %d\r\n\r\n%s%s %d\r\n" % (number, number, body, MARK, number)


class World:
    """A spool, a mail root and a configuration of their own."""

    def __init__(self, build, sink_port=1):
        self.dir = tempfile.mkdtemp(prefix="relais-inject-")
        self.build = build
        os.mkdir(os.path.join(self.dir, "spool"))
        self.config = write_site(self.dir, "example.test", users=["user1"],
                                 relay='retry_first = "1s"\nretry_most = "1s"\n[relay.routes]\n"example.org" = "127.0.0.1:%d"\n' % sink_port)
        os.chmod(self.dir, 0o755)

    def program(self, name, *arguments):
        return [os.path.join(self.build, name, name), "-c", self.config, *arguments]

    def delivered(self):
        found = []
        for path in glob.glob(self.dir + "/mail/user1/new/*") + glob.glob(self.dir + "/mail/user1/cur/*"):
            found.append(open(path, errors="replace").read())
        return found

    def spooled(self):
        return self.boxes("local", "queue", "drop", "hold")

    def boxes(self, *names):
        found = []
        for box in names:
            for path in glob.glob("%s/spool/%s/**/*" % (self.dir, box), recursive=True):
                if os.path.isfile(path) and not path.endswith(".log"):
                    found.append(open(path, errors="replace", newline="").read())
        return found

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def count(found, number):
    return sum(1 for text in found if "X-Number: %d\n" % number in text.replace("\r\n", "\n"))


def whole(found):
    for text in found:
        text = text.replace("\r\n", "\n")
        match = re.search(r"X-Number: (\d+)\n", text)
        if not match or message(int(match.group(1))).replace("\r\n", "\n").split("\n\n", 1)[1] not in text:
            return False
    return True


def run(command, text=b"", tracer=(), seconds=20):
    """Exit status and output; a run that hangs is killed and counts as status None."""
    process = subprocess.Popen([*tracer, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        out, _ = process.communicate(text, timeout=seconds)
        return process.returncode, out.decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        return None, out.decode(errors="replace")


def dialogue(world, tracer, to, number, command=None, sender="s@example.net"):
    """One SMTP session on a socket of its own, as inetd gives it; the replies."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # TCP, as from inetd: the client has an address
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    process = subprocess.Popen([*tracer, *(command or world.program("mta", "serve", "--inetd"))], stdin=theirs, stdout=theirs,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    theirs.close()
    ours.settimeout(15)
    replies = ""

    def reply(lines=1):
        nonlocal replies
        start = replies
        while len(re.findall(r"(?m)^\d\d\d .*\n", replies[len(start):])) < lines:
            got = ours.recv(65536).decode(errors="replace")
            if not got:
                raise OSError("closed")
            replies += got
    try:
        reply()
        ours.sendall(b"EHLO client.example\r\n")
        reply()
        ours.sendall(b"MAIL FROM:<%s>\r\n" % sender.encode())
        reply()
        ours.sendall(b"RCPT TO:<%s>\r\n" % to.encode())
        reply()
        ours.sendall(b"DATA\r\n")
        reply()
        if not re.search(r"(?m)^354 ", replies):
            raise OSError("no 354")
        ours.sendall(message(number).encode() + b".\r\n")
        reply()
        ours.sendall(b"QUIT\r\n")
        reply()
    except OSError:
        pass
    ours.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    after = replies.split("354 ", 1)
    return len(after) == 2 and re.search(r"(?m)^250 ", after[1]) is not None


class Pipe:
    """mda -d USER < message: exit status 0 means that it is in the mailbox; the caller tries again after 75."""
    name = "mda-pipe"

    def prepare(self, world):
        pass

    def act(self, world, tracer):
        status, _ = run(world.program("mda", "-d", "user1", "-f", "s@example.net", "--id", "one"), message(1).encode(), tracer)
        return [1] if status == 0 else []

    def settle(self, world, acknowledged):
        if not acknowledged:
            status, out = run(world.program("mda", "-d", "user1", "-f", "s@example.net", "--id", "one"), message(1).encode())
            assert status == 0, "the second try failed too: %s %s" % (status, out)

    def found(self, world):
        return world.delivered()

    expected = {1: (1, 1)}  # the same --id: never twice


class Accept:
    """mta serve takes a message for a local user; then mda delivers what is in the spool."""
    name = "serve-accept"

    def prepare(self, world):
        pass

    def act(self, world, tracer):
        return [1] if dialogue(world, tracer, "user1@example.test", 1) else []

    def settle(self, world, acknowledged):
        assert dialogue(world, (), "user1@example.test", 2), "serve does not take mail after the fault"
        for _ in range(3):
            run(world.program("mda", "--once"))

    def found(self, world):
        return world.delivered()

    expected = {1: (0, 1), 2: (1, 1)}


class Deliver:
    """mda delivers three messages from spool/local."""
    name = "mda-spool"

    def prepare(self, world):
        for number in (1, 2, 3):
            assert dialogue(world, (), "user1@example.test", number), "serve did not take the message"

    def act(self, world, tracer):
        run(world.program("mda", "--once"), b"", tracer)
        return [1, 2, 3]  # acknowledged by serve, whatever happens to mda

    def settle(self, world, acknowledged):
        for _ in range(40):
            run(world.program("mda", "--once"))
            if not world.spooled():
                break
            time.sleep(0.3)

    def found(self, world):
        return world.delivered() + world.spooled()

    expected = {1: (1, 1), 2: (1, 1), 3: (1, 1)}


def taking_sink():
    """A host that takes mail for everybody but nobody@."""
    return Sink(extensions=(), script=lambda verb, line: b"550 5.1.1 no such user\r\n" if verb == "RCPT" and "<nobody@" in line else None)


class Relay:
    """mta relay hands two messages on; killed between the other side's 250 and its own note of it, it may send one twice (RFC 1047)."""
    name = "relay"
    sink = True

    def prepare(self, world):
        for number in (1, 2):
            assert dialogue(world, (), "x@example.org", number), "serve did not take the message"
        world.sink.messages.clear()

    def act(self, world, tracer):
        self.until_done(world, tracer, 4 if tracer else 10)
        return [1, 2]

    def settle(self, world, acknowledged):
        self.until_done(world, (), 20)
        assert not world.boxes("queue"), "an undisturbed relay leaves mail in the queue"

    def until_done(self, world, tracer, seconds, waiting=None):
        waiting = waiting or world.spooled
        process = subprocess.Popen([*tracer, *world.program("mta", "relay")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None and waiting():
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def found(self, world):
        return [content.decode(errors="replace") for _, _, content in world.sink.messages] + [t for t in world.spooled()]

    expected = {1: (1, 2), 2: (1, 2)}


class Bounce(Relay):
    """The other side refuses the recipient: the report for a sender of ours is in spool/local, the message gone. Killed between the two,
    mta relay may report twice."""
    name = "bounce"

    def prepare(self, world):
        assert dialogue(world, (), "nobody@example.org", 1, sender="user1@example.test"), "serve did not take the message"

    def act(self, world, tracer):
        self.until_done(world, tracer, 4 if tracer else 10)
        return [1]

    def until_done(self, world, tracer, seconds):
        super().until_done(world, tracer, seconds, lambda: world.boxes("queue"))

    def found(self, world):
        return world.boxes("local", "queue")

    def check(self, world):
        reports = [text for text in world.boxes("local") if "Action: failed" in text]
        return [] if reports and not world.boxes("queue") else ["no report, or the message is still there"]

    expected = {1: (1, 2)}


class Command:
    """One `mta queue` command on two queued messages, without a daemon; then its opposite, without faults."""

    def __init__(self, name, words, undo=(), before=(), expected=(1, 1)):
        self.name, self.words, self.undo, self.before = "queue-" + name, words, undo, before
        self.expected = {1: expected, 2: expected}

    def run_all(self, world, commands):
        for words in commands:
            status, out = run(world.program("mta", "queue", *words))
            assert status == 0, "mta queue %s: %s %s" % (" ".join(words), status, out)

    def prepare(self, world):
        for number in (1, 2):
            assert dialogue(world, (), "x@example.org", number), "serve did not take the message"
        self.run_all(world, self.before)

    def act(self, world, tracer):
        run(world.program("mta", "queue", *self.words), b"", tracer)
        return []

    def settle(self, world, acknowledged):
        self.run_all(world, self.undo)
        for number in (3, 4):  # the next processes recover all journals
            assert dialogue(world, (), "x@example.org", number), "serve does not take mail after the fault"

    def found(self, world):
        return world.boxes("queue", "hold")


SCENARIOS = [
    Pipe(), Accept(), Deliver(), Relay(), Bounce(),
    Command("hold", ["hold", "--all"], undo=[["release", "--all"]]),
    Command("release", ["release", "--all"], before=[["hold", "--all"]], undo=[["hold", "--all"]]),
    Command("retry", ["retry", "--all"]),
    # Deleted, or still there; and what the second, undisturbed command deletes stays away.
    Command("delete", ["delete", "--all"], expected=(0, 1)),
    Command("delete-again", ["delete", "--all"], undo=[["delete", "--all"]], expected=(0, 0)),
    # Killed between the new message and the end of the old one, there are both.
    Command("move", ["move", "--all", "--to", "y@example.org"], expected=(1, 2)),
]


def make_world(build, scenario):
    sink = taking_sink() if getattr(scenario, "sink", False) else None
    world = World(build, sink.port if sink else 1)
    world.sink = sink
    scenario.prepare(world)
    return world


def points(build, scenario):
    """(call, n) for every file-system call after the program first touched its own files."""
    world = make_world(build, scenario)
    log = os.path.join(tempfile.gettempdir(), "relais-inject-%d.log" % os.getpid())
    acknowledged = scenario.act(world, ("strace", "-f", "-qq", "-o", log, "-e", "trace=" + ",".join("?" + c for c in ERRORS)))
    assert acknowledged or isinstance(scenario, Command), scenario.name + ": fails without any fault; log: " + open(world.dir + "/log").read()[-2000:]
    seen, touched, found = {}, False, set()
    for line in open(log, errors="replace"):
        match = CALL.match(line)
        if not match or "resumed>" in line:
            continue
        thread, call = match.groups()
        seen[thread, call] = seen.get((thread, call), 0) + 1
        touched = touched or world.dir in line
        if touched:
            found.add((call, seen[thread, call]))
    os.unlink(log)
    world.remove()
    return sorted(found)


def try_point(build, scenario, call, number, fault):
    world = make_world(build, scenario)
    inject = "%s:%s:when=%d" % (call, fault, number)
    tracer = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + inject)
    acknowledged = scenario.act(world, tracer)
    wrong = []
    try:
        scenario.settle(world, acknowledged)
    except AssertionError as error:
        wrong.append(str(error))
    found = scenario.found(world)
    wrong += scenario.check(world) if hasattr(scenario, "check") else []
    if not whole(found):
        wrong.append("a message is not whole")
    for wanted, (least, most) in scenario.expected.items():
        least = max(least, 1) if wanted in acknowledged else least
        times = count(found, wanted)
        if not least <= times <= most:
            wrong.append("message %d%s found %d times, expected %d to %d" % (wanted, " (acknowledged)" if wanted in acknowledged else "", times, least, most))
    if wrong:
        print("FAILED %s %s: %s (%s)" % (scenario.name, inject, "; ".join(wrong), world.dir), flush=True)
        return False
    world.remove()
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--scenario", action="append", default=[])
    parser.add_argument("--most", type=int, default=0)
    arguments = parser.parse_args()
    if not shutil.which("strace") or subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"]).returncode != 0:
        print("SKIPPED: crash injection: strace is missing or may not trace here")
        return 77
    failed = tried = 0
    for scenario in SCENARIOS:
        if arguments.scenario and scenario.name not in arguments.scenario:
            continue
        todo = [(call, n, fault) for call, n in points(arguments.build, scenario)
                for fault in ("signal=SIGKILL", "error=" + ERRORS[call])]
        if arguments.most and len(todo) > arguments.most:
            todo = [todo[i * len(todo) // arguments.most] for i in range(arguments.most)]
        begin = time.monotonic()
        wrong = sum(not try_point(arguments.build, scenario, *point) for point in todo)
        print("%s: %d points tried, %d wrong, %.0f s" % (scenario.name, len(todo), wrong, time.monotonic() - begin), flush=True)
        tried += len(todo)
        failed += wrong
    print("%d passed, %d failed" % (tried - failed, failed))
    return 1 if failed or not tried else 0


sys.exit(main())
