#!/usr/bin/env python3
"""Messages through serve -> local -> mda, and through serve -> relay -> a second MTA's serve -> mda, while all five processes are killed
(kill -9) at random every second or so. In the end each acknowledged message must have arrived, whole; locally exactly once, at the second
MTA at least once (a relay killed between the other side's 250 and its own note of it sends again: RFC 1047).

  neverlose.py [--messages N] [--senders N] [--every SECONDS] [--seed N] [--build DIR]

Exit status 0: nothing was lost. 77: the programs are not built.
"""
import argparse
import collections
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

for folder in ("e2e", "support"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))
from chain import BUILD, SKIPPED, free_base  # noqa: E402
from site_files import write_site  # noqa: E402
from victim import Victim  # noqa: E402


class Host:
    """An MTA with a spool and a user of its own."""

    def __init__(self, directory, domain, port, routes=""):
        self.directory, self.domain, self.port = os.path.join(directory, domain), domain, port
        self.config = write_site(self.directory, domain, port, 'retry_first = "1s"\nretry_most = "2s"\n' + routes, users=["user"])
        self.read = set()
        self.counts = collections.Counter()
        self.cut = set()

    def program(self, build, name, *arguments):
        return Victim(f"{self.domain}: {' '.join([name, *arguments])}", [os.path.join(build, name, name), *arguments, "-c", self.config],
                      os.path.join(self.directory, "output"))

    def look(self):
        """Reads what is new in the mailbox: how often each token is there, and which messages are not whole."""
        for sub in ("new", "cur"):
            folder = os.path.join(self.directory, "mail", "user", sub)
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                key = name.split(":")[0]
                if key in self.read:
                    continue
                try:
                    with open(os.path.join(folder, name), "rb") as f:
                        text = f.read()
                except FileNotFoundError:
                    continue
                self.read.add(key)
                token = text.split(b"Subject: ", 1)[-1].split(b"\n", 1)[0].strip().decode(errors="replace")
                self.counts[token] += 1
                sent = len(text) + text.count(b"\n")  # with CRLF
                if text.rstrip().rsplit(b"\n", 1)[-1] != b"end " + token.encode() or sent < int(token.split("-")[2]):
                    self.cut.add(token)
        return self.counts

    def spooled(self):
        return sum(len(files) for box in ("queue", "local") for _, _, files in os.walk(os.path.join(self.directory, "spool", box)))


class Senders:
    """Threads that send numbered messages until enough were acknowledged."""

    def __init__(self, host, domains, wanted, seed):
        self.host, self.domains, self.wanted, self.seed = host, domains, wanted, seed
        self.lock = threading.Lock()
        self.number = self.broken = 0
        self.acknowledged = []  # (domain, token)

    def enough(self):
        return len(self.acknowledged) >= self.wanted

    def session(self, chance):
        with socket.create_connection(("127.0.0.1", self.host.port), timeout=10) as s, s.makefile("rb") as replies:
            def expect(code):
                line = replies.readline()
                while line[3:4] == b"-":
                    line = replies.readline()
                if not line.startswith(code):
                    raise OSError(f"{line!r} instead of {code!r}")
            expect(b"220")
            s.sendall(b"EHLO sender.example\r\n")
            expect(b"250")
            for _ in range(chance.randrange(1, 200)):
                if self.enough():
                    return
                domain = chance.choice(self.domains)
                size = chance.choice((200, 1000, 1000, 4000, 4000, 30000)) if chance.random() > 0.002 else 600000
                with self.lock:
                    self.number += 1
                    token = f"{self.number:07d}-{chance.getrandbits(32):08x}-{size}"
                filler = f"{token} the quick brown fox jumps over the lazy dog\r\n"
                s.sendall(f"MAIL FROM:<s@sender.example>\r\nRCPT TO:<user@{domain}>\r\nDATA\r\n".encode())
                for code in (b"250", b"250", b"354"):
                    expect(code)
                s.sendall(f"From: s@sender.example\r\nSubject: {token}\r\n\r\n{filler * (size // len(filler) + 1)}end {token}\r\n.\r\n".encode())
                expect(b"250")
                with self.lock:
                    self.acknowledged.append((domain, token))

    def run(self, number):
        chance = random.Random(self.seed + number)
        while not self.enough():
            try:
                self.session(chance)
            except OSError:
                with self.lock:
                    self.broken += 1
                time.sleep(0.02)


def missing(senders, hosts):
    for host in hosts.values():
        host.look()
    return [token for domain, token in senders.acknowledged if hosts[domain].counts[token] == 0]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=100000)
    options.add_argument("--senders", type=int, default=6)
    options.add_argument("--every", type=float, default=1.0)
    options.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options.add_argument("--build", default=BUILD)
    chosen = options.parse_args()
    for program in ("mta", "mda"):
        if not os.access(os.path.join(chosen.build, program, program), os.X_OK):
            print(f"SKIPPED: neverlose: {chosen.build}/{program}/{program} is not built")
            return SKIPPED
    directory = tempfile.mkdtemp(prefix="relais-neverlose-", dir="/tmp")
    os.chmod(directory, 0o755)
    base = free_base(2)
    second = Host(directory, "second.test", base + 1)
    first = Host(directory, "first.test", base, f'[relay.routes]\n"second.test" = "127.0.0.1:{base + 1}"\n')
    hosts = {host.domain: host for host in (first, second)}
    victims = [first.program(chosen.build, "mta", "serve"), first.program(chosen.build, "mta", "relay"),
               first.program(chosen.build, "mda", "--daemon"), second.program(chosen.build, "mta", "serve"),
               second.program(chosen.build, "mda", "--daemon")]
    failed = True
    try:
        chance = random.Random(chosen.seed)
        senders = Senders(first, list(hosts), chosen.messages, chosen.seed)
        threads = [threading.Thread(target=senders.run, args=(i,), daemon=True) for i in range(chosen.senders)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while not senders.enough():
            time.sleep(chance.uniform(0.2, 1.8) * chosen.every)
            chance.choice(victims).kill()
            if time.monotonic() - began > 60 + chosen.messages / 50:
                raise AssertionError(f"only {len(senders.acknowledged)} messages were taken")
        for thread in threads:
            thread.join(15)
        sent = time.monotonic() - began
        end = time.monotonic() + 60 + chosen.messages / 500
        for _ in range(5):  # and while the rest is delivered
            time.sleep(chance.uniform(0.2, 1.0))
            chance.choice(victims).kill()
        while (missing(senders, hosts) or any(host.spooled() for host in hosts.values())) and time.monotonic() < end:
            for victim in victims:
                victim.keep()
            time.sleep(0.3)
        lost = missing(senders, hosts)
        twice = {name: sum(n - 1 for n in host.counts.values()) for name, host in hosts.items()}
        cut = first.cut | second.cut
        print(f"neverlose: seed {chosen.seed}: {len(senders.acknowledged)} acknowledged in {sent:.0f} s "
              f"({sum(1 for d, _ in senders.acknowledged if d == 'second.test')} for the second MTA), {sum(v.kills for v in victims)} kills, "
              f"{senders.broken} sessions broken; {len(lost)} lost, {len(cut)} cut short, duplicates {twice}")
        for victim in victims:
            print(f"  {victim}")
        failed = bool(lost or cut or twice["first.test"])
        if failed:
            print("lost:", lost[:20], "cut:", sorted(cut)[:20], "kept:", directory)
    finally:
        for victim in victims:
            victim.stop()
        if not failed:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
