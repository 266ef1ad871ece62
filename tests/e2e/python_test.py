"""Python's smtplib, imaplib and poplib: every command that clients.md has seen, and some more."""
import imaplib
import poplib
import smtplib
import time
from email.message import EmailMessage

from chain import equal, has, run, wait_until


def message(subject, to, text="Grüße 日本語\n.\n.. dots\n"):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = "user1@example.test", to, subject
    m.set_content(text)
    m.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="naïve.bin")
    return m


def submit(chain, m, **options):
    with smtplib.SMTP(chain["MAIL_HOST"], chain.port("SUBMISSION"), timeout=20) as s:
        s.starttls(context=chain.tls())
        s.login(chain["USER1"], chain["PASS1"])
        return s.send_message(m, **options)


def test_submission_starttls(chain):
    equal(submit(chain, message("by starttls", chain.address(2))), {})
    got = chain.delivered("by starttls", 2)
    has(chain.body(got), "Grüße 日本語\n.\n.. dots\n")
    attachment = next(got.iter_attachments())
    equal(attachment.get_filename(), "naïve.bin")
    equal(attachment.get_content(), bytes(range(256)) * 40)


def test_submissions_implicit_tls_utf8(chain):
    m = message("日本語の件名", chain.address(2))
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        s.send_message(m, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    chain.delivered("日本語の件名", 2)


def test_every_mechanism(chain):
    for mechanism in ("PLAIN", "LOGIN"):
        with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
            s.ehlo()
            s.user, s.password = chain["USER1"], chain["PASS1"]
            for initial in (True, False):
                code, _ = s.auth(mechanism.lower(), getattr(s, "auth_" + mechanism.lower()), initial_response_ok=initial)
                equal(code, 235)
                break


def test_wrong_password(chain):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        try:
            s.login(chain["USER1"], "wrong")
            raise AssertionError("a wrong password was taken")
        except smtplib.SMTPAuthenticationError as error:
            equal(error.smtp_code, 535)


def test_refusals(chain):
    with smtplib.SMTP(chain["MAIL_HOST"], chain.port("SMTP"), timeout=20) as s:
        try:
            s.sendmail("a@elsewhere.example", ["nobody-here@" + chain["DOMAIN"]], "x: y\r\n\r\n")
            raise AssertionError("an unknown user was accepted")
        except smtplib.SMTPRecipientsRefused as error:
            equal(list(error.recipients.values())[0][0], 550)
        try:
            s.sendmail("a@elsewhere.example", ["b@third.example"], "x: y\r\n\r\n")
            raise AssertionError("an open relay")
        except smtplib.SMTPRecipientsRefused as error:
            code = list(error.recipients.values())[0][0]
            assert 500 <= code < 600, code


def test_several_recipients(chain):
    m = message("to both", f"{chain.address(1)}, {chain.address(2)}")
    equal(submit(chain, m), {})
    chain.delivered("to both", 1)
    chain.delivered("to both", 2)


def imap(chain, starttls=False):
    if starttls:
        c = imaplib.IMAP4(chain["MAIL_HOST"], chain.port("IMAP"), timeout=20)
        c.starttls(chain.tls())
    else:
        c = imaplib.IMAP4_SSL(chain["MAIL_HOST"], chain.port("IMAPS"), ssl_context=chain.tls(), timeout=20)
    return c


def ok(response):
    equal(response[0], "OK", str(response))
    return response[1]


def test_imap_whole_life(chain):
    chain.send("imap life")
    c = imap(chain)
    ok(c.login(chain["USER1"], chain["PASS1"]))
    has(str(ok(c.capability())), "IMAP4rev1", "IDLE", "UIDPLUS", "MOVE")
    ok(c.namespace())
    ok(c.create("Projets"))
    ok(c.create('"&AOk- &ZeVnLA-"'))
    ok(c.subscribe("Projets"))
    has(str(ok(c.list('""', "*"))), "INBOX", "Projets", "&AOk- &ZeVnLA-")
    has(str(ok(c.lsub())), "Projets")
    has(str(ok(c.status("INBOX", "(MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)"))[0]), "UIDVALIDITY")
    ok(c.select("INBOX"))
    found = ok(c.uid("SEARCH", None, "SUBJECT", '"imap life"'))[0].split()
    equal(len(found), 1)
    uid = found[0].decode()
    c.literal = "life".encode()
    equal(ok(c.uid("SEARCH", "CHARSET", "UTF-8", "SUBJECT"))[0].split(), found)
    c.literal = "é.".encode()
    equal(uid.encode() in ok(c.uid("SEARCH", "CHARSET", "UTF-8", "BODY"))[0].split(), True, "BODY search in UTF-8")
    data = ok(c.uid("FETCH", uid, "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"))
    has(str(data), "imap life", "INTERNALDATE", "BODYSTRUCTURE")
    whole = ok(c.uid("FETCH", uid, "(RFC822)"))[0][1]
    has(whole.decode(), "\r\n.\r\n..dots\r\nEnd é.\r\n")
    has(ok(c.uid("FETCH", uid, "BODY.PEEK[1]"))[0][1].decode(), "A line.")
    equal(ok(c.uid("FETCH", uid, "BODY.PEEK[1]<2.4>"))[0][1], b"line")
    ok(c.uid("STORE", uid, "+FLAGS", "(\\Answered \\Flagged)"))
    has(str(ok(c.uid("FETCH", uid, "(FLAGS)"))), "\\Answered", "\\Flagged")
    ok(c.uid("COPY", uid, "Projets"))
    ok(c.uid("MOVE", uid, "Projets"))
    ok(c.append("Projets", "\\Seen", imaplib.Time2Internaldate(time.time()), b"Subject: appended\r\n\r\nbody \xc3\xa9\r\n"))
    ok(c.select("Projets"))
    equal(len(ok(c.search(None, "ALL"))[0].split()), 3)
    ok(c.store("1:2", "+FLAGS", "\\Deleted"))
    equal(len(ok(c.expunge())), 2)
    ok(c.close())
    ok(c.rename("Projets", '"Projets 2"'))
    ok(c.unsubscribe("Projets"))
    ok(c.delete('"Projets 2"'))
    ok(c.delete('"&AOk- &ZeVnLA-"'))
    equal(c.logout()[0], "BYE")


def test_imap_starttls_authenticate(chain):
    c = imap(chain, starttls=True)
    ok(c.authenticate("PLAIN", lambda _: f"\0{chain['USER2']}\0{chain['PASS2']}".encode()))
    ok(c.select("INBOX", readonly=True))
    ok(c.noop())
    c.logout()


def test_imap_cram_or_login_in_clear_is_refused(chain):
    c = imaplib.IMAP4(chain["MAIL_HOST"], chain.port("IMAP"), timeout=20)
    has(" ".join(c.capabilities), "LOGINDISABLED")
    try:
        c.login(chain["USER1"], chain["PASS1"])
        raise AssertionError("LOGIN in clear text was taken")
    except imaplib.IMAP4.error:
        pass
    c.logout()


def test_imap_hears_of_new_mail(chain):
    c = imap(chain)
    ok(c.login(chain["USER2"], chain["PASS2"]))
    before = int(ok(c.select("INBOX"))[0])
    tag = c._new_tag().decode()
    c.send(f"{tag} IDLE\r\n".encode())
    has(c.readline().decode(), "+")
    begin = time.monotonic()
    chain.send("while idle", to=2)
    while True:
        line = c.readline().decode()
        if line.startswith(f"* {before + 1} EXISTS"):
            break
        assert time.monotonic() < begin + 10, "IDLE said nothing"
    c.send(b"DONE\r\n")
    while not c.readline().decode().startswith(tag):
        pass
    c.logout()


def pop(chain, user, starttls=False):
    if starttls:
        p = poplib.POP3(chain["MAIL_HOST"], chain.port("POP3"), timeout=20)
        p.stls(chain.tls())
    else:
        p = poplib.POP3_SSL(chain["MAIL_HOST"], chain.port("POP3S"), context=chain.tls(), timeout=20)
    p.user(chain["USER%d" % user])
    p.pass_(chain["PASS%d" % user])
    return p


def test_pop3_whole_life(chain):
    chain.send("pop one", to=2)
    chain.send("pop two", to=2)
    p = pop(chain, 2)
    has(str(p.capa()), "UIDL", "TOP", "SASL", "PIPELINING")
    count, octets = p.stat()
    listed = [int(line.split()[1]) for line in p.list()[1]]
    equal(len(listed), count)
    equal(sum(listed), octets)
    ids = [line.split()[1] for line in p.uidl()[1]]
    equal(len(set(ids)), count)
    equal(p.uidl(count).split()[2], ids[-1])
    found = False
    for number in range(1, count + 1):
        lines = p.retr(number)[1]
        equal(sum(len(line) + 2 for line in lines), listed[number - 1], f"octets of message {number}")
        if b"Subject: pop two" in lines:
            found = True
            equal(lines[-4:], [b"A line.", b".", b"..dots", "End é.".encode()])
            equal(p.top(number, 1)[1][-1], b"A line.")
            last = number
    assert found
    p.dele(last)
    p.rset()
    p.dele(last)
    p.noop()
    p.quit()
    wait_until(lambda: chain.find("pop two", 2) is None, "the removal of 'pop two'")
    p = pop(chain, 2, starttls=True)
    after = [line.split()[1] for line in p.uidl()[1]]
    equal(after, [i for i in ids if i != ids[last - 1]], "unique ids")
    p.quit()


def test_pop3_unfinished_session_removes_nothing(chain):
    chain.send("pop keep", to=2)
    p = pop(chain, 2)
    count = p.stat()[0]
    p.dele(count)
    p.close()
    p = pop(chain, 2)
    equal(p.stat()[0], count)
    p.quit()


def test_pop3_apop(chain):
    p = poplib.POP3(chain["MAIL_HOST"], chain.port("POP3"), timeout=20)
    p.apop(chain["USER1"], chain["PASS1"])
    p.quit()


def test_pop3_clear_and_wrong(chain):
    p = poplib.POP3(chain["MAIL_HOST"], chain.port("POP3"), timeout=20)
    try:
        p.user(chain["USER1"])
        raise AssertionError("USER in clear text was taken")
    except poplib.error_proto as error:
        has(str(error), "-ERR [AUTH]")
    p.quit()
    try:
        p = poplib.POP3_SSL(chain["MAIL_HOST"], chain.port("POP3S"), context=chain.tls(), timeout=20)
        p.user("nobody")
        p.pass_("x")
        raise AssertionError("an unknown user logged in")
    except poplib.error_proto as error:
        has(str(error), "-ERR [AUTH]")


def test_pop3_and_imap_share_the_mailbox(chain):
    chain.send("shared", to=1)
    c = imap(chain)
    ok(c.login(chain["USER1"], chain["PASS1"]))
    ok(c.select("INBOX"))
    uid = ok(c.uid("SEARCH", None, "SUBJECT", "shared"))[0].split()[-1]
    p = pop(chain, 1)
    ids = {line.split()[1] for line in p.uidl()[1]}
    assert any(i.startswith(b"%08x" % int(uid)) for i in ids), "the unique id holds IMAP's UID"
    ok(c.uid("STORE", uid, "+FLAGS", "\\Deleted"))
    ok(c.expunge())
    gone = 0
    for number in range(1, p.stat()[0] + 1):
        try:
            p.retr(number)
        except poplib.error_proto:
            gone += 1
    assert gone <= 1
    p.quit()
    c.logout()


run(globals())
