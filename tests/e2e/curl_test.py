"""curl: SMTP, IMAP and POP3 by URL."""
import os

from chain import equal, has, need, run, wait_until


def setup():
    need("curl")


def curl(chain, scheme, port, path, *options, user=1, code=0, data=None):
    url = f"{scheme}://{chain['MAIL_HOST']}:{chain[port + '_PORT']}/{path}"
    tls = [] if scheme.endswith("s") else ["--ssl-reqd"]
    return chain.run(["curl", "-sS", "--cacert", chain["CA_FILE"], *tls, "-u", f"{chain['USER%d' % user]}:{chain['PASS%d' % user]}", url, *options],
                     code=code, data=data)


def send(chain, scheme, port, subject, body):
    path = chain.write("curl.eml", f"From: {chain.address(1)}\nTo: {chain.address(2)}\nSubject: {subject}\n\n{body}".replace("\n", "\r\n"))
    return curl(chain, scheme, port, "client.example", "--mail-from", chain.address(1), "--mail-rcpt", chain.address(2), "-T", path)


def test_smtp(chain):
    send(chain, "smtp", "SUBMISSION", "curl starttls", "one\n.\ntwo\n")
    equal(chain.body(chain.delivered("curl starttls", 2)), "one\n.\ntwo\n")
    send(chain, "smtps", "SUBMISSIONS", "curl smtps", "x\n")
    chain.delivered("curl smtps", 2)


def test_smtp_bare_line_feeds_are_never_cut(chain):
    """A file with LF and a lone dot: Postfix 3.7 cut it there (clients.md). Refused or whole, never short."""
    path = chain.write("bare.eml", f"From: {chain.address(1)}\nTo: {chain.address(2)}\nSubject: bare\n\nbefore\n.\nafter\n")
    curl(chain, "smtp", "SUBMISSION", "client.example", "--mail-from", chain.address(1), "--mail-rcpt", chain.address(2), "-T", path, code=None)
    found = chain.find("bare", 2)
    if found is not None:
        has(chain.body(found), "after")


def test_imap(chain):
    chain.send("curl imap")
    for scheme, port in (("imaps", "IMAPS"), ("imap", "IMAP")):
        has(curl(chain, scheme, port, ""), "INBOX")
        has(curl(chain, scheme, port, "INBOX", "-X", "EXAMINE INBOX"), "UIDVALIDITY")
    found = curl(chain, "imaps", "IMAPS", "INBOX?SUBJECT%20curl")
    number = found.split()[-1]
    has(curl(chain, "imaps", "IMAPS", f"INBOX;MAILINDEX={number}"), "Subject: curl imap", "End é.")
    has(curl(chain, "imaps", "IMAPS", f"INBOX;MAILINDEX={number};SECTION=HEADER.FIELDS%20(SUBJECT)"), "Subject: curl imap")
    curl(chain, "imaps", "IMAPS", "", "-X", "CREATE curled")
    curl(chain, "imaps", "IMAPS", "INBOX", "-X", f"STORE {number} +FLAGS \\Flagged")
    curl(chain, "imaps", "IMAPS", "INBOX", "-X", f"COPY {number} curled")
    path = chain.write("append.eml", "Subject: appended by curl\r\n\r\nbody\r\n")
    curl(chain, "imaps", "IMAPS", "curled", "-T", path)
    wait_until(lambda: len(chain.messages(1, ".curled")) == 2, "two messages in 'curled'")
    curl(chain, "imaps", "IMAPS", "", "-X", "DELETE curled")


def test_pop3(chain):
    chain.send("curl pop", to=2)
    for scheme, port in (("pop3s", "POP3S"), ("pop3", "POP3")):
        listing = curl(chain, scheme, port, "", user=2)
        number = listing.strip().splitlines()[-1].split()[0]
        has(curl(chain, scheme, port, "", "-X", "UIDL", user=2), number + " ")
        has(curl(chain, scheme, port, number, user=2), "Subject: curl pop", "\n..dots", "End é.")
        has(curl(chain, scheme, port, "", "-X", f"TOP {number} 0", user=2), "Subject: curl pop")
    curl(chain, "pop3s", "POP3S", number, "-X", "DELE", "-l", user=2)
    wait_until(lambda: chain.find("curl pop", 2) is None, "the removal by DELE")


def test_wrong_password(chain):
    for scheme, port in (("smtps", "SUBMISSIONS"), ("imaps", "IMAPS"), ("pop3s", "POP3S")):
        url = f"{scheme}://{chain['MAIL_HOST']}:{chain[port + '_PORT']}/"
        text = chain.run(["curl", "-sS", "--cacert", chain["CA_FILE"], "-u", f"{chain['USER1']}:wrong", url], code=67)
        has(text, "denied")


run(globals())
