"""Dovecot and Relais serve one Maildir in turns, and at the same time: a client sees the same UIDs, flags, keywords, names and
subscriptions. Debian's Dovecot runs from its package unpacked beside the build, laid over /usr in a mount namespace of its own."""
import glob
import imaplib
import os
import subprocess
import sys

import packages
import store
from chain import Skip, equal, mbsync_configuration, need, run
from store import good, message, same

IMAP = "/usr/lib/dovecot/imap"
ROOT = None  # of the unpacked package; none where Dovecot is installed


def setup():
    global ROOT
    if not os.path.exists(IMAP):
        ROOT = packages.unpacked("dovecot", "dovecot-imapd", dependencies=True)


class Site(store.Site):
    def __init__(self):
        super().__init__()
        self.ours = self.preauth("ours", self.configure("relais"))
        conf = self.write("dovecot.conf", f"""
mail_location = maildir:{self.maildir}
ssl = no
base_dir = {self.directory}/run
log_path = {self.directory}/dovecot.log
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 0
namespace inbox {{
  inbox = yes
  separator = .
}}
""")
        command = ["env", "USER=nobody", "HOME=" + self.directory, IMAP, "-c", conf]
        if ROOT:
            try:
                command = packages.Namespace(ROOT, self.directory).command(*command)
            except Skip:
                self.remove()
                raise
        # Through pipes: on a socket, which mbsync gives it, it thinks that inetd started it.
        self.theirs = self.script("theirs", f"""
import os, subprocess, threading
imap = subprocess.Popen({command!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open("{self.directory}/dovecot.err", "ab"))
def feed():
    while octets := os.read(0, 65536):
        os.write(imap.stdin.fileno(), octets)
    imap.stdin.close()
threading.Thread(target=feed, daemon=True).start()
while octets := os.read(imap.stdout.fileno(), 65536):
    os.write(1, octets)
os._exit(imap.wait())""", sys.executable)

    def session(self, command):
        return imaplib.IMAP4_stream(command)

    def account(self, command):
        session = self.session(command)
        found = store.account(session)
        session.logout()
        return found


def work(session, name):
    """A client's session: new messages, flags and keywords, a copy, an expunge, names and subscriptions."""
    for i in range(3):
        good(session.append("INBOX", r"(\Seen $Forwarded)" if i == 0 else None, None, message(f"{name} {i}")))
    good(session.create(f"Box{name}"))
    good(session.create(f"Box{name}.Gr&APYA3w-e"))
    good(session.subscribe(f"Box{name}.Gr&APYA3w-e"))
    good(session.select("INBOX"))
    uids = good(session.uid("SEARCH", "ALL"))[0].split()
    good(session.uid("STORE", uids[-1], "+FLAGS", rf"(\Flagged Key{name})"))
    good(session.uid("STORE", uids[0], "+FLAGS", rf"(\Answered Key{name})"))
    good(session.uid("COPY", b",".join(uids[-2:]), f"Box{name}"))
    good(session.uid("STORE", uids[len(uids) // 2], "+FLAGS", r"(\Deleted)"))
    good(session.expunge())
    good(session.unselect())


def delivered(site, subject):
    path = f"{site.maildir}/new/1700000000.M{abs(hash(subject)) % 1000000}P1.{subject.replace(' ', '-')}"
    with open(path, "wb") as f:
        f.write(message(subject).replace(b"\r\n", b"\n"))
    site.own(path)


def test_in_turns(site):
    for turn in range(6):
        one, other = (site.theirs, site.ours) if turn % 2 == 0 else (site.ours, site.theirs)
        session = site.session(one)
        work(session, f"t{turn}")
        before = store.account(session)
        session.logout()
        same(site.account(other), before, f"turn {turn}")
        delivered(site, f"new {turn}")
        after = site.account(other if turn % 3 == 0 else one)
        equal(len(after["mailboxes"][b"INBOX"]["messages"]), len(before["mailboxes"][b"INBOX"]["messages"]) + 1)
        same(site.account(one if turn % 3 == 0 else other), after, f"delivered in turn {turn}")


def test_unsubscribe_rename_delete(site):
    for turn, (one, other) in enumerate([(site.theirs, site.ours), (site.ours, site.theirs)]):
        session = site.session(one)
        good(session.create(f"Old{turn}.Sub"))
        good(session.append(f"Old{turn}.Sub", r"(\Draft Rare)", None, message(f"draft {turn}")))
        good(session.subscribe(f"Old{turn}.Sub"))
        good(session.rename(f"Old{turn}.Sub", f"Young{turn}"))
        good(session.unsubscribe(f"Old{turn}.Sub"))
        good(session.subscribe(f"Young{turn}"))
        good(session.create(f"Gone{turn}"))
        good(session.delete(f"Gone{turn}"))
        before = store.account(session)
        session.logout()
        same(site.account(other), before, f"turn {turn}")


def test_at_the_same_time(site):
    ours, theirs = site.session(site.ours), site.session(site.theirs)
    for session in (ours, theirs):
        good(session.select("INBOX"))
    given = {}
    for i in range(30):
        for name, session in (("relais", ours), ("dovecot", theirs)):
            subject = f"{name} at once {i}"
            good(session.append("INBOX", None, None, message(subject)))
            uid = int(session.response("APPENDUID")[1][0].split()[1])
            assert uid not in given, f"UID {uid} given twice"
            given[uid] = subject
            if i % 3 == 0:
                good(session.uid("STORE", str(uid), "+FLAGS", rf"(\Seen {name}{i % 5})"))
    for session in (ours, theirs):
        good(session.unselect())
        session.logout()
    found, expected = site.account(site.ours), site.account(site.theirs)
    same(found, expected)
    messages = found["mailboxes"][b"INBOX"]["messages"]
    for uid, subject in given.items():
        equal(messages[uid][1], b"Subject: " + subject.encode())


def test_mbsync(site):
    """A client's copy, made with one server, is not changed by the other one."""
    need("mbsync")
    near = f"{site.directory}/near"
    os.makedirs(near, exist_ok=True)

    def synchronise(command):
        config = site.write("mbsyncrc", mbsync_configuration(f"Tunnel {command}\n", near))
        done = subprocess.run(["mbsync", "-c", config, "-a"], capture_output=True, text=True, timeout=60)
        equal(done.returncode, 0, done.stdout + done.stderr)
        return {os.path.relpath(path, near) for path in glob.glob(near + "/**/[cn][ue][rw]/*", recursive=True)}
    first = synchronise(site.theirs)
    assert len(first) > 20, first
    equal(synchronise(site.ours), first)
    session = site.session(site.ours)
    good(session.append("INBOX", r"(\Seen)", None, message("for mbsync")))
    session.logout()
    second = synchronise(site.ours)
    equal(len(second), len(first) + 1)
    equal(synchronise(site.theirs), second)


run(globals(), make=Site, programs=("imapd",))
