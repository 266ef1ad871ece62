"""NOTIFY over real connections: what other programs deliver, and what other sessions do, is told at once, without IDLE."""
import imaplib
import smtplib
import time
from email.message import EmailMessage

from chain import equal, has, run


def connect(chain, user=2):
    s = imaplib.IMAP4_SSL(chain["MAIL_HOST"], chain.port("IMAPS"), ssl_context=chain.tls(), timeout=20)
    s.login(chain["USER%d" % user], chain["PASS%d" % user])
    return s


def command(session, text):
    """Sends a command and returns its untagged answers and the tagged one."""
    session.send(b"x " + text.encode() + b"\r\n")
    lines = []
    while True:
        line = session.readline()
        if line.startswith(b"x "):
            return lines, line.decode()
        lines.append(line.decode())


def deliver(chain, subject):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = chain.address(1), chain.address(2), subject
    m.set_content("x")
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        s.send_message(m)


def test_mail_in_a_mailbox_that_nobody_has_open(chain):
    s = connect(chain)
    lines, done = command(s, "NOTIFY SET STATUS (mailboxes INBOX (MessageNew MessageExpunge))")
    has(done, "x OK")
    has(lines[0], "* STATUS INBOX (MESSAGES 0 UIDNEXT 1 ")
    begin = time.monotonic()
    deliver(chain, "unseen")
    equal(s.readline().decode(), "* STATUS INBOX (MESSAGES 1 UIDNEXT 2)\r\n")
    print(f"told {time.monotonic() - begin:.3f} s after the submission began")


def test_selected_mailbox_and_other_session(chain):
    watching, acting = connect(chain), connect(chain)
    command(watching, "SELECT INBOX")
    lines, done = command(watching, "NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (Subject)]) "
                                    "MessageExpunge FlagChange)) (personal (MailboxName SubscriptionChange))")
    has(done, "x OK")
    deliver(chain, "shown")
    equal(watching.readline().decode(), "* 2 EXISTS\r\n")
    has(watching.readline().decode(), "RECENT")
    has(watching.readline().decode(), "* 2 FETCH (UID 2 BODY[HEADER.FIELDS (Subject)] {18}")
    equal(b"".join(watching.readline() for _ in range(3)).decode(), "Subject: shown\r\n\r\n)\r\n")
    command(acting, "SELECT INBOX")
    command(acting, "STORE 1 +FLAGS.SILENT (\\Deleted)")
    has(watching.readline().decode(), "* 1 FETCH (UID 1 FLAGS (\\Deleted")
    command(acting, "EXPUNGE")
    equal(watching.readline().decode(), "* 1 EXPUNGE\r\n")
    command(acting, "CREATE Made")
    has(watching.readline().decode(), "Made\r\n")
    lines, done = command(watching, "UID SEARCH ALL")
    equal(lines, ["* SEARCH 2\r\n"])


run(globals())
