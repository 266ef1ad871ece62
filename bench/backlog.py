#!/usr/bin/env python3
"""What a backlog costs: the memory of mta, the start, and new mail beside it.

  backlog.py --build BUILD --bin BENCH [--messages 20000,500000,1000000] [--domains 1] [--load 4000] [--dir DIR]

For each number of messages (0 is measured first, for comparison): mkspool fills spool/queue with mail for a destination that nobody
answers; mta starts; then
  first 250   at a restart: from exec to the reply to the final dot of a first message
  read        until relay has read the whole queue
  memory      Pss of all processes of mta less that with an empty queue, per message (the peak, and when all is read)
  new mail    messages a second through serve -> relay -> a sink (smtpload, smtpsinkd), while the queue is read and afterwards
  flush       from `mta queue flush` until the dead destination has been tried again
Prints a table. BENCH has smtpload, smtpsinkd and mkspool (README.md says how to build them).
"""
import argparse
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "support"))
from site_files import write_site  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Mta:
    def __init__(self, options, directory):
        self.options, self.directory, self.port, self.sink = options, directory, free_port(), free_port()
        # One destination: a route to nobody. Many: a name server that does not answer.
        dead = '"*" = "127.0.0.1:1"\n' if options.domains == 1 else '[dns]\nservers = ["127.0.0.1:1"]\ntimeout = "100ms"\ntries = 1\n'
        self.config = write_site(directory, "bench.example", self.port, f'[relay.routes]\n"relay.test" = "127.0.0.1:{self.sink}"\n{dead}')
        open(directory + "/log", "w").close()

    def start(self):
        if os.geteuid() == 0:
            subprocess.run(["chown", "nobody", self.directory, *(os.path.join(self.directory, n) for n in os.listdir(self.directory))], check=True)
        self.log_at = os.path.getsize(self.directory + "/log")
        self.began = time.monotonic()
        self.process = subprocess.Popen([self.options.build + "/mta/mta", "-c", self.config], stdin=subprocess.DEVNULL)

    def first_250(self):
        while True:
            try:
                s = socket.create_connection(("127.0.0.1", self.port))
                break
            except OSError:
                assert self.process.poll() is None, "mta has ended: " + self.log()
                time.sleep(0.0005)
        with s, s.makefile("rb") as replies:
            s.sendall(b"HELO x\r\nMAIL FROM:<a@bench.example>\r\nRCPT TO:<first@elsewhere.test>\r\nDATA\r\n")
            lines = [replies.readline() for _ in range(5)]
            assert lines[-1].startswith(b"354"), lines
            s.sendall(b"Subject: first\r\n\r\nx\r\n.\r\n")
            line = replies.readline()
            assert line.startswith(b"250"), line
        return time.monotonic() - self.began

    def log(self):
        with open(self.directory + "/log", errors="replace") as f:
            f.seek(self.log_at)
            return f.read()

    def memory(self):
        """kB: all processes of mta, what they share counted once (Pss)."""
        total = 0
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        for pid in [str(self.process.pid), *children]:
            try:
                with open(f"/proc/{pid}/smaps_rollup") as f:
                    total += int(re.search(r"(?m)^Pss:\s+(\d+)", f.read()).group(1))
            except (OSError, AttributeError):
                pass
        return total

    def load(self, messages):
        """Messages a second, end to end."""
        bench = self.options.bin
        sink = subprocess.Popen([bench + "/smtpsinkd", "--port", str(self.sink), "--count", str(messages), "--max-s", "90"],
                                stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)
        t0 = time.monotonic()
        subprocess.run([bench + "/smtpload", "--port", str(self.port), "--conns", "10", "--msgs", str(messages), "--size", "4096", "--users", "100",
                        "--per-conn", "100", "--to", "r%d@relay.test", "--max-s", "90"], stdout=subprocess.DEVNULL, check=True)
        found = json.loads(sink.communicate()[0])
        return found["rcpts"] / (found["last"] - t0) if found.get("rcpts") else 0

    def queue(self, *words):
        t0 = time.monotonic()
        out = subprocess.run([self.options.build + "/mta/mta", "queue", *words, "-c", self.config], capture_output=True, text=True).stdout
        return time.monotonic() - t0, out

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def measure(options, directory, messages):
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    mta = Mta(options, directory)
    row = {"messages": messages}
    if messages and not os.path.isdir(directory + "/spool/queue"):
        made = subprocess.run([options.bin + "/mkspool", "--spool", directory + "/spool", "--messages", str(messages), "--domains", str(options.domains),
                               "--senders", "100", *(("--owner", str(pwd.getpwnam("nobody").pw_uid)) if os.geteuid() == 0 else ())],
                              capture_output=True, text=True, check=True)
        print("  made:", made.stdout.strip(), file=sys.stderr)
        if os.geteuid() == 0:
            for root in [directory + "/spool", *(directory + "/spool/" + n for n in os.listdir(directory + "/spool"))]:
                shutil.chown(root, "nobody")
    mta.start()
    try:
        mta.first_250()
    finally:
        mta.stop()  # its journal is made now: what follows is a restart
    mta.start()
    try:
        row["first_250_ms"] = round(mta.first_250() * 1000, 1)
        peak, during = 0, []
        if messages:
            while "event=queue-read" not in mta.log():
                peak = max(peak, mta.memory())
                if options.load and time.monotonic() - mta.began < 300:
                    during.append(mta.load(options.load // 4))
                else:
                    time.sleep(0.05)
                if time.monotonic() - mta.began > 400:
                    raise RuntimeError("the queue is not read: " + mta.log()[-1000:])
            row["read_s"] = round(time.monotonic() - mta.began, 2)
            row["during_per_s"] = round(max(during)) if during else 0
        time.sleep(1)
        row["memory_kb"], row["peak_kb"] = mta.memory(), max(peak, mta.memory())
        if options.load:
            rates = sorted(mta.load(options.load) for _ in range(3))
            row["new_mail_per_s"] = round(rates[1])
        if messages:
            tries = mta.log().count("event=destination-deferred")
            took, _ = mta.queue("flush")
            t0 = time.monotonic()
            while mta.log().count("event=destination-deferred") == tries and time.monotonic() - t0 < 60:
                time.sleep(0.02)
            row["flush_s"] = round(took + time.monotonic() - t0, 2)
        row["memory_end_kb"] = mta.memory()
    finally:
        mta.stop()
    return row


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--build", required=True)
    options.add_argument("--bin", required=True)
    options.add_argument("--messages", default="20000,500000,1000000")
    options.add_argument("--domains", type=int, default=1, help="destinations; the memory of many is that of each, too")
    options.add_argument("--load", type=int, default=4000, help="messages of each load; 0: none")
    options.add_argument("--dir", help="keeps the spools here between runs")
    chosen = options.parse_args()
    base = chosen.dir or tempfile.mkdtemp(prefix="relais-backlog-", dir="/var/tmp")
    os.chmod(base, 0o755)
    rows = []
    try:
        for messages in [0, *(int(n) for n in chosen.messages.split(",") if n)]:
            rows.append(measure(chosen, os.path.join(base, str(messages)), messages))
            print("  ", json.dumps(rows[-1]), file=sys.stderr)
    finally:
        if not chosen.dir:
            shutil.rmtree(base, ignore_errors=True)
    empty = rows[0]
    print("%10s %12s %8s %10s %12s %12s %10s %10s %8s" %
          ("messages", "first 250 ms", "read s", "memory MB", "octets each", "peak each", "during/s", "new mail/s", "flush s"))
    for row in rows:
        n = row["messages"]
        each = [round((row[k] - empty[e]) * 1024 / n) if n else 0 for k, e in (("memory_kb", "memory_kb"), ("peak_kb", "memory_kb"))]
        print("%10d %12s %8s %10.1f %12d %12d %10s %10s %8s" %
              (n, row["first_250_ms"], row.get("read_s", ""), row["memory_kb"] / 1024, *each, row.get("during_per_s", ""), row.get("new_mail_per_s", ""),
               row.get("flush_s", "")))


if __name__ == "__main__":
    main()
