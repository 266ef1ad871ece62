"""Python's imaplib and what it offers beyond reading mail: ENABLE (it caches the capabilities before login), rights, shared mailboxes, quota."""
import imaplib
import os

from alone import run

EXTRA = 'administrators = ["ann"]\n'


def client(server, user="ann"):
    c = imaplib.IMAP4("127.0.0.1", server.port, timeout=20)
    c.login(user, server.PASSWORD)
    return c


def ok(answer):
    kind, data = answer
    assert kind == "OK", answer
    return data


def test_enable(server):
    c = client(server)
    ok(c.enable("UTF8=ACCEPT"))
    ok(c.create('"Été"'))
    assert any("Été".encode() in line for line in ok(c.list()))
    c.logout()


def test_rights(server):
    ann, bob = client(server), client(server, "bob")
    ok(ann.append("INBOX", r"(\Seen)", None, b"Subject: for both\r\n\r\nx\r\n"))
    ok(ann.create("Team"))
    assert bob.select("user.ann")[0] == "NO"
    ok(ann.setacl("Team", "bob", "lrswi"))
    assert b"bob lrswi" in ok(ann.getacl("Team"))[0]
    assert ok(bob.myrights("user.ann.Team"))[0].endswith(b"lrswi")
    assert b'(("user." "."))' in ok(bob.namespace())[0]
    ok(bob.append("user.ann.Team", None, None, b"Subject: from bob\r\n\r\nx\r\n"))
    ok(ann.select("INBOX"))
    ok(ann.copy("1", "Team"))
    assert ok(bob.select("user.ann.Team"))[0] == b"2"
    assert any(b"user.ann.Team" in line for line in ok(bob.list()))
    ok(ann.deleteacl("Team", "bob"))
    assert bob.status("user.ann.Team", "(MESSAGES)")[0] == "NO"
    # Dovecot reads the same file.
    ok(ann.setacl("Team", "anyone", "lr"))
    with open(os.path.join(server.maildir(), ".Team", "dovecot-acl")) as f:
        assert f.read() == "anyone lr\n"
    with open(os.path.join(server.directory, "shared")) as f:
        assert f.read() == "shared/shared-boxes/anyone/ann\n1\n"
    ann.logout(), bob.logout()


def test_rights_written_by_another_program(server):
    ann, bob = client(server), client(server, "bob")
    with open(os.path.join(server.maildir(), "dovecot-acl"), "w") as f:
        f.write("user=bob :lookup :read\nowner lrwstipekxa\n")
    assert ok(bob.myrights("user.ann"))[0].endswith(b"lr")
    ok(bob.select("user.ann", readonly=True))
    os.unlink(os.path.join(server.maildir(), "dovecot-acl"))
    assert bob.status("user.ann", "(MESSAGES)")[0] == "NO"
    ann.logout(), bob.logout()


def test_quota(server):
    ann, bob = client(server), client(server, "bob")
    ok(ann.setquota("user.bob", "(MESSAGE 1)"))
    ok(bob.append("INBOX", None, None, b"Subject: fits\r\n\r\n"))
    assert bob.append("INBOX", None, None, b"Subject: too many\r\n\r\n")[0] == "NO"
    assert bob.setquota('""', "(MESSAGE 100)")[0] == "NO"
    server.stop()
    server.start()  # it is kept
    bob = client(server, "bob")
    assert b"MESSAGE 1 1" in ok(bob.getquotaroot("INBOX"))[1][0]
    bob.logout()


run(globals())
