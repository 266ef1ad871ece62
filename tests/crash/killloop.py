#!/usr/bin/env python3
"""Kills each program of the running chain at random, again and again, while messages are pumped in: by SMTP from outside, by IMAP's APPEND,
and to another host. At the end every acknowledged message must be there, whole; duplicates are counted (RFC 1047's window allows them).

  killloop.py [--seconds N] [--senders N] [--seed N]

Exit status 0: nothing was lost. 77: the programs are not built.
"""
import argparse
import collections
import imaplib
import os
import random
import smtplib
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from chain import BUILD, SKIPPED, Chain, wait_until  # noqa: E402
from sink import Sink  # noqa: E402
from victim import Victim  # noqa: E402


def program(chain, name, *arguments):
    return Victim(" ".join([name, *arguments]), [os.path.join(chain["BIN_DIR"], name), *arguments, "-c", chain["CONFIG"]],
                  os.path.join(chain.directory, "killloop.log"))


class Pump:
    """Threads that send numbered messages and note those that were acknowledged."""

    def __init__(self, chain, sink_domain):
        self.chain, self.sink_domain = chain, sink_domain
        self.lock = threading.Lock()
        self.acknowledged = []  # (kind, token)
        self.refused = 0
        self.number = 0
        self.stopping = threading.Event()

    def token(self, kind):
        with self.lock:
            self.number += 1
            return f"{kind}-{self.number:06d}-{random.getrandbits(32):08x}"

    def taken(self, kind, token):
        with self.lock:
            self.acknowledged.append((kind, token))

    def content(self, token, octets):
        """The token stands at both ends: a message cut short shows."""
        filler = "".join(f"{i:05d} {token}\r\n" for i in range(octets // 40))
        return f"From: a@elsewhere.example\r\nSubject: {token}\r\n\r\n{filler}end {token}\r\n".encode()

    def failed(self):
        with self.lock:
            self.refused += 1
        time.sleep(0.02)

    def smtp(self, chance):
        size = chance.choice((200, 4000, 60000, 400000))
        with smtplib.SMTP(self.chain["MAIL_HOST"], self.chain.port("SMTP"), timeout=10) as s:
            for _ in range(chance.randrange(1, 8)):
                kind = chance.choice(("user1", "user1", "both"))
                recipients = [self.chain.address(1)] + ([self.chain.address(2)] if kind == "both" else [])
                token = self.token(kind)
                s.sendmail("a@elsewhere.example", recipients, self.content(token, size))
                self.taken(kind, token)

    def remote(self):
        with smtplib.SMTP_SSL(self.chain["MAIL_HOST"], self.chain.port("SUBMISSIONS"), timeout=10, context=self.chain.tls()) as s:
            s.login(self.chain["USER1"], self.chain["PASS1"])
            token = self.token("remote")
            s.sendmail(self.chain.address(1), ["x@" + self.sink_domain], self.content(token, 2000).replace(b"a@elsewhere.example", self.chain.address(1).encode()))
            self.taken("remote", token)

    def append(self, chance):
        c = imaplib.IMAP4_SSL(self.chain["MAIL_HOST"], self.chain.port("IMAPS"), ssl_context=self.chain.tls(), timeout=10)
        try:
            c.login(self.chain["USER2"], self.chain["PASS2"])
            for _ in range(chance.randrange(1, 6)):
                token = self.token("append")
                answer = c.append("INBOX", None, None, self.content(token, chance.choice((200, 4000, 100000))))
                if answer[0] == "OK":
                    self.taken("append", token)
        finally:
            c.shutdown()

    def run(self, kind, seed):
        chance = random.Random(seed)
        while not self.stopping.is_set():
            try:
                if kind == "append":
                    self.append(chance)
                elif kind == "remote":
                    self.remote()
                else:
                    self.smtp(chance)
            except (OSError, smtplib.SMTPException, imaplib.IMAP4.error, ValueError, EOFError):
                self.failed()


def found_in(chain, user, whole):
    """How often each token is in a mailbox; tokens of messages that are not whole go to `whole`'s complaints."""
    counts = collections.Counter()
    for message in chain.messages(user):
        token = message["Subject"] or "(none)"
        counts[token] += 1
        payload = message.get_payload()
        if isinstance(payload, str) and not payload.rstrip().endswith("end " + token) and not message.is_multipart():
            whole.add(token)
    return counts


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--senders", type=int, default=4)
    options.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    chosen = options.parse_args()
    for name in ("mta", "mda", "pop3d", "imapd", "mua"):
        if not os.access(os.path.join(BUILD, name, name), os.X_OK):
            print(f"SKIPPED: killloop: {BUILD}/{name}/{name} is not built")
            return SKIPPED
    random.seed(chosen.seed)
    chance = random.Random(chosen.seed)
    sink = Sink()
    chain = Chain(routes=[f"far.example={sink.address}"],
                  extra='[relay]\nretry_first = "1s"\nretry_most = "2s"\nprivate_targets = true\n')
    programs = []
    try:
        chain.stop()  # its directory stays; the programs are started one by one from here
        programs = [program(chain, "mta", "serve"), program(chain, "mta", "relay"), program(chain, "mda", "--daemon"),
                    program(chain, "imapd"), program(chain, "pop3d")]
        pump = Pump(chain, "far.example")
        kinds = ["smtp"] * chosen.senders + ["append", "remote"]
        threads = [threading.Thread(target=pump.run, args=(kind, chosen.seed + i), daemon=True) for i, kind in enumerate(kinds)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + chosen.seconds
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.1, 0.5))
            chance.choice(programs).kill()
        pump.stopping.set()
        for thread in threads:
            thread.join(15)
        time.sleep(0.5)
        for victim in programs:
            victim.keep()

        cut = set()

        def missing():
            for victim in programs:
                victim.keep()
            one, two = found_in(chain, 1, cut), found_in(chain, 2, cut)
            remote = collections.Counter(c.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for _, _, c in list(sink.messages))
            lost = []
            for kind, token in pump.acknowledged:
                places = {"user1": [one], "both": [one, two], "append": [two], "remote": [remote]}[kind]
                lost += [token for place in places if place[token] == 0]
            twice = collections.Counter()
            for place in (one, two, remote):
                for token, n in place.items():
                    twice[token.split("-")[0]] += n - 1
            return lost, +twice

        try:
            wait_until(lambda: not missing()[0], "every acknowledged message", 60)
        except AssertionError:
            pass
        time.sleep(1)
        lost, duplicates = missing()
        kinds = collections.Counter(kind for kind, _ in pump.acknowledged)
        print(f"killloop: seed {chosen.seed}: {sum(p.kills for p in programs)} kills, {len(pump.acknowledged)} acknowledged "
              f"({', '.join(f'{n} {k}' for k, n in sorted(kinds.items()))}), {pump.refused} sessions broken, "
              f"{len(lost)} lost, {len(cut)} cut short, {sum(duplicates.values())} duplicates {dict(duplicates) or ''}")
        for victim in programs:
            print(f"  {victim}")
        if lost or cut or not pump.acknowledged:
            print("lost:", lost[:20], "cut:", sorted(cut)[:20])
            with open(os.path.join(chain.directory, "killloop.log"), errors="replace") as f:
                print(f.read()[-3000:])
            return 1
        return 0
    finally:
        for victim in programs:
            victim.stop()
        sink.close()
        if os.environ.get("RELAIS_KEEP"):
            print("kept:", chain.directory)
        else:
            chain.remove()


if __name__ == "__main__":
    sys.exit(main())
