"""Two imapd, each with an index of its own, on one Maildir, as two hosts over NFS: under load no UID is given twice, no message is missed, and
each sees the other's flags."""
import imaplib
import random
import threading

import store
from chain import equal, run, wait_until
from store import good, message

SESSIONS = 3  # on each host
ROUNDS = 25


class Site(store.Site):
    def __init__(self):
        super().__init__()
        self.ports = [self.daemon(f"host{n}", f"host{n}") for n in (1, 2)]

    def session(self, host):
        session = imaplib.IMAP4("127.0.0.1", self.ports[host])
        session.login("ann", "secret")
        return session


def load(site, host, number, given, failed):
    """A client: appends, flags its own messages, moves and expunges some, and looks at all there is."""
    dice = random.Random(host * 100 + number)
    try:
        session = site.session(host)
        good(session.select("INBOX"))
        for i in range(ROUNDS):
            subject = f"host{host} client{number} mail{i}"
            good(session.append("INBOX", None, None, message(subject)))
            answer = session.response("APPENDUID")[1][0]
            assert answer, f"no APPENDUID for {subject}"
            uid = int(answer.split()[1])
            what = dice.choice(("keep", "keep", "flag", "expunge", "move"))
            if what == "flag":
                good(session.uid("STORE", str(uid), "+FLAGS", rf"(\Flagged host{host})"))
            elif what == "expunge":
                good(session.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)"))
                good(session.uid("EXPUNGE", str(uid)))
            elif what == "move":
                good(session.uid("MOVE", str(uid), "Moved"))
            given.append((uid, subject, what))
            good(session.noop())
        good(session.uid("STORE", "1", "+FLAGS", f"(done{host}{number})"))
        session.logout()
    except Exception as error:
        failed.append(f"host {host} client {number}: {error!r}")


def test_load(site):
    session = site.session(0)
    good(session.create("Moved"))
    good(session.append("INBOX", None, None, message("common")))
    session.logout()
    given, failed = [], []
    threads = [threading.Thread(target=load, args=(site, host, number, given, failed)) for host in range(2) for number in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failed, [])
    uids = [uid for uid, _, _ in given]
    equal(len(uids), len(set(uids)), "UIDs given twice")

    def both():
        found = []
        for host in range(2):
            session = site.session(host)
            found.append([store.contents(session, name) for name in ("INBOX", "Moved")])
            session.logout()
        return found
    wait_until(lambda: both()[0] == both()[1], "both hosts to see the same", 30)
    inbox, moved = both()[0]
    expected = {uid: subject for uid, subject, what in given if what in ("keep", "flag")}
    expected[1] = "common"
    equal({uid: subject for uid, (_, subject) in inbox["messages"].items()},
          {uid: b"Subject: " + subject.encode() for uid, subject in expected.items()})
    equal(sorted(subject for _, subject in moved["messages"].values()),
          sorted(b"Subject: " + subject.encode() for _, subject, what in given if what == "move"))
    for uid, subject, what in given:
        if what == "flag":
            equal(inbox["messages"][uid][0], frozenset({b"\\Flagged", b"host" + subject[4:5].encode()}))
    equal(inbox["messages"][1][0], frozenset(f"done{host}{number}".encode() for host in range(2) for number in range(SESSIONS)))


def test_a_flag_arrives(site):
    one, other = site.session(0), site.session(1)
    for session in (one, other):
        good(session.select("INBOX"))
    good(one.uid("STORE", "1", "+FLAGS", r"(\Answered)"))

    def told():
        good(other.noop())
        return b"\\Answered" in good(other.uid("FETCH", "1", "(FLAGS)"))[0]
    wait_until(told, "the flag on the other host", 10)
    for session in (one, other):
        session.logout()


run(globals(), make=Site, programs=("imapd",))
