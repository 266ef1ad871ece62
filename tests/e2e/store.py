"""A Maildir and the programs that serve it, each with a configuration of its own: for tests of what several servers make of one mailbox."""
import imaplib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time

from chain import BUILD, free_base, kill

MAILBOX = re.compile(rb'\((?P<flags>[^)]*)\) (?:"(?P<separator>[^"]*)"|NIL) (?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))')
FETCHED = re.compile(rb"UID (\d+) FLAGS \(([^)]*)\)")


class Site:
    """A user `ann` with an empty Maildir. As root all of it is `nobody`'s."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="relais-e2e-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.maildir = f"{self.directory}/mail/ann"
        self.daemons = []
        for name in ("mail", "mail/ann", "mail/ann/cur", "mail/ann/new", "mail/ann/tmp", "index"):
            os.makedirs(f"{self.directory}/{name}")
            self.own(f"{self.directory}/{name}")
        self.write("users", "ann:{PLAIN}secret\n")

    def own(self, path):
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")

    def write(self, name, text):
        path = f"{self.directory}/{name}"
        with open(path, "w") as f:
            f.write(text)
        self.own(path)
        return path

    def configure(self, name, index=None, port=None):
        """A configuration of ours; `index`: it keeps its index there, not beside the mail."""
        user = "nobody" if os.geteuid() == 0 else ""
        return self.write(name + ".toml", f"""
[run]
user = "{user}"
[host]
name = "{name}.example.test"
domains = ["example.test"]
[log]
target = "file:{self.directory}/{name}.log"
[spool]
directory = "{self.directory}/spool"
[mail]
root = "{self.directory}/mail/%n"
{'index_root = "' + self.directory + '/index/' + index + '"' if index else ''}
[users]
passwd_file = "{self.directory}/users"
[auth]
allow_plaintext = true
[imap]
listen = [{f'"127.0.0.1:{port}"' if port else ''}]
tls_listen = []
""")

    def script(self, name, text, interpreter="/bin/sh"):
        """A file to run: for clients that want one word."""
        path = self.write(name, f"#!{interpreter}\n{text}\n")
        os.chmod(path, 0o755)
        return path

    def preauth(self, name, config):
        """The command of a session of ours that needs no login."""
        return self.script(name, "exec " + shlex.join([f"{BUILD}/imapd/imapd", "-c", config, "--preauth", "ann"]))

    def daemon(self, name, index):
        """imapd with an index of its own; the port it listens on."""
        port = free_base(1)
        process = subprocess.Popen([f"{BUILD}/imapd/imapd", "-c", self.configure(name, index, port)])
        self.daemons.append(process)
        end = time.monotonic() + 20
        while True:
            try:
                imaplib.IMAP4("127.0.0.1", port).logout()
                return port
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self):
        for process in self.daemons:
            kill(process)
        self.daemons = []

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def good(answer):
    """The data of an answer that must be OK."""
    kind, data = answer
    if kind != "OK":
        raise AssertionError(f"{kind} {data}")
    return data


def names(data):
    found = [MAILBOX.match(line) for line in data if line]
    return {m["quoted"] if m["quoted"] is not None else m["plain"] for m in found if b"\\NonExistent" not in m["flags"]}


def contents(session, mailbox):
    """What a client sees of a mailbox: UIDVALIDITY, UIDNEXT, and for each UID flags, keywords and subject."""
    session.select(mailbox)
    out = {"validity": session.response("UIDVALIDITY")[1][0], "next": session.response("UIDNEXT")[1][0], "messages": {}}
    data = good(session.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
    for item in data:
        if isinstance(item, tuple):
            uid, flags = FETCHED.search(item[0]).groups()
            flags = {flag for flag in flags.split() if flag != b"\\Recent"}
            out["messages"][int(uid)] = (frozenset(flags), item[1].strip())
    good(session.unselect()) if "UNSELECT" in session.capabilities else None
    return out


def account(session):
    """All of it: names, subscriptions, and what is in each mailbox."""
    mailboxes = names(good(session.list()))
    return {"subscribed": names(good(session.lsub())), "mailboxes": {name: contents(session, b'"' + name + b'"') for name in mailboxes}}


def same(left, right, what=""):
    """Fails with what differs, not with all of two accounts."""
    def differences(a, b, path):
        if isinstance(a, dict) and isinstance(b, dict):
            for key in sorted(a.keys() | b.keys(), key=str):
                yield from differences(a.get(key), b.get(key), f"{path}/{key}")
        elif a != b:
            yield f"{path}: {a!r} is not {b!r}"
    found = list(differences(left, right, what))
    if found:
        raise AssertionError("\n".join(found))


def message(subject):
    return (f"From: a@example.test\r\nTo: ann@example.test\r\nSubject: {subject}\r\nMessage-ID: <{subject.replace(' ', '.')}@example.test>\r\n\r\n"
            f"Text of {subject}.\r\n").encode()
