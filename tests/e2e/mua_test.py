"""mua, and sendmail and mail by their names: sending through the spool and by submission, reading from Maildir, IMAP and POP3."""
import json
import os
import time

from chain import equal, has, run, wait_until
from sink import Sink


def mua(chain, *arguments, **more):
    return chain.run(["mua", *arguments], **more)


def options(chain, scheme, number=1):
    """The options with which a user reads from one of the servers."""
    password = chain.write(f"password{number}", chain["PASS%d" % number] + "\n")
    return ["--ca-file", chain["CA_FILE"], "--password-file", password, "-u",
            f"{scheme}://{chain['USER%d' % number]}@{chain['MAIL_HOST']}:{chain[scheme.upper() + '_PORT']}"]


def through_spool(chain):
    return ["--spool", chain["SPOOL_DIR"]]


def by_submission(chain, number=1, scheme="submissions"):
    password = chain.write(f"password{number}", chain["PASS%d" % number] + "\n")
    return ["--ca-file", chain["CA_FILE"], "--password-file", password, "--from", chain.address(number), "--via",
            f"{scheme}://{chain['USER%d' % number]}@{chain['MAIL_HOST']}:{chain[scheme.upper() + '_PORT']}"]


def test_send_through_the_spool(chain):
    attachment = chain.write("été.txt", "attached é\n")
    mua(chain, "send", *through_spool(chain), "-s", "spool é 日本語", "-a", attachment, chain.address(1), data="Hé\n.\nFrom me\n")
    message = chain.delivered("spool é 日本語")
    has(chain.body(message), "Hé\n.\nFrom me\n")
    part = next(message.iter_attachments())
    equal(part.get_filename(), "été.txt")
    equal(part.get_content(), "attached é\n")


def test_send_by_submission(chain):
    for scheme in ("submissions", "submission"):
        out = mua(chain, "send", "--json", *by_submission(chain, 1, scheme), "-s", f"by {scheme}", chain.address(2), data="body\n")
        equal(json.loads(out)["how"], "submitted")
        chain.delivered(f"by {scheme}", 2)


def test_refused_log_in_and_unknown_user(chain):
    wrong = chain.write("wrong", "wrong\n")
    arguments = by_submission(chain)
    arguments[arguments.index("--password-file") + 1] = wrong
    mua(chain, "send", *arguments, "-s", "no", chain.address(2), data="x\n", code=77)
    mua(chain, "send", *by_submission(chain), "-s", "no", "nobody-here@" + chain["DOMAIN"], data="x\n", code=69)


def test_outbox_while_the_host_is_away(chain):
    outbox = ["--outbox", os.path.join(chain.client_directory, "outbox")]
    away = ["--via", "submission://127.0.0.1:1"]
    has(mua(chain, "send", *outbox, *away, "--from", chain.address(1), "-s", "later", chain.address(2), data="x\n"), "kept")
    mua(chain, "flush", *outbox, *away, code=75)
    ways = by_submission(chain)
    del ways[ways.index("--from"):ways.index("--via")]
    mua(chain, "flush", *outbox, *ways)
    chain.delivered("later", 2)
    equal(json.loads(mua(chain, "flush", "--json", *outbox, *away)), {"sent": 0, "left": 0})


def test_nobody_gets_a_message_twice(chain):
    """Of several recipients those that are put off stay in the outbox, and only those."""
    replies = {"later@": b"450 4.2.0 later\r\n", "gone@": b"550 5.1.1 gone\r\n"}

    def script(verb, line):
        return next((reply for who, reply in replies.items() if verb == "RCPT" and who in line), None)

    sink = Sink(script=script)
    try:
        outbox = ["--outbox", chain.folder("put-off")]
        away, there = (["--via", f"smtp://127.0.0.1:{port}?tls=no"] for port in (1, sink.port))
        send = ["send", *outbox, "--from", chain.address(1), "-s", "put off"]
        people = [f"{who}@sink.example" for who in ("now", "later", "gone")]

        def received():  # DATA goes along with RCPT: this sink takes a message for nobody too
            return [[line.split("<")[1].split("@")[0] for line in recipients] for _, recipients, _ in sink.messages if recipients]

        text = mua(chain, *send, *there, *people, data="x\n", code=69)
        has(text, "550 5.1.1 gone", "450 4.2.0 later", "kept for mua flush")
        equal(received(), [["now"]])
        has(mua(chain, "flush", *outbox, *there, code=75), "450 4.2.0 later")
        equal(received(), [["now"]])
        mua(chain, *send, *away, *people, data="x\n")
        del replies["later@"]
        has(mua(chain, "flush", *outbox, *there, code=69), "550 5.1.1 gone")
        equal(received()[1:], [["later"], ["now", "later"]])
        equal(json.loads(mua(chain, "flush", "--json", *outbox, *there, code=69).splitlines()[-1]), {"sent": 0, "left": 1})
        del replies["gone@"]
        equal(json.loads(mua(chain, "flush", "--json", *outbox, *there)), {"sent": 1, "left": 0})
        equal(received()[3:], [["gone"]])
    finally:
        sink.close()


def test_mistakes_have_their_exit_codes(chain):
    wrong = chain.write("wrong.toml", "bogus = 1\n")
    store = chain.write("store.toml", '[accounts.a]\nstore = "ftp://x"\n')
    has(mua(chain, "list", "--accounts", wrong, code=78), 'wrong.toml:1: unknown key "bogus"')
    has(mua(chain, "list", "--accounts", store, code=78), 'unknown scheme "ftp"')
    mua(chain, "list", "-A", "nobody", code=64)
    mua(chain, "list", "-u", "ftp://x", code=64)
    mua(chain, "send", "--via", "imap://x", chain.address(2), data="x\n", code=78)
    mua(chain, "send", "--via", "ftp://x", chain.address(2), data="x\n", code=64)
    has(mua(chain, "frobnicate", code=64), 'no command "frobnicate"')
    mua(chain, "send", *through_spool(chain), data="x\n", code=64)
    for slip in ("ann bob", "ann@", "ann bob@x.example", "ann@x.example bob@x.example"):
        mua(chain, "send", *through_spool(chain), slip, data="x\n", code=64)
    # What was typed would be lost without a word.
    chain.run(["mail", "-s", "nobody is named"], data="x\n", code=64)
    chain.run(["mail", "-t", "-s", "twice", chain.address(2)], data="To: x\n\nx\n", code=64)


def test_json_on_all_that_prints(chain):
    attachment = chain.write("octets.bin", "\0")
    dry = json.loads(mua(chain, "send", "--json", "--dry-run", *through_spool(chain), "-s", "as json", chain.address(1), data="x\n"))
    has(dry["content"], "Subject: as json\r\n")
    mua(chain, "send", *through_spool(chain), "-s", "as json", "-a", attachment, chain.address(1), data="été\n")
    chain.delivered("as json")
    read = ["--json", *options(chain, "imaps")]
    number = json.loads(mua(chain, "search", "--ids", "--subject", "as json", *read))[0]
    show = lambda *more: json.loads(mua(chain, "show", str(number), *more, *read))
    equal(show("--part", "1"), {"id": number, "part": "1", "content": "été\n"})
    equal(show("--part", "2"), {"id": number, "part": "2", "base64": "AA=="})
    has(show("--raw")["content"], "Subject: as json\r\n")
    has([field["name"] for field in show("--header")["header_fields"]], "Subject")
    has(json.loads(mua(chain, "password", "--json", "--scheme", "PLAIN", data="secret\n"))["password"], "{PLAIN}secret")


def test_what_an_editor_wrote_is_kept(chain):
    """On a terminal: the server refuses, and the text is still there."""
    editor = chain.write("editor", "#!/bin/sh\necho written by hand >\"$1\"\n")
    os.chmod(editor, 0o755)
    state = chain.folder("state")
    arguments = [*by_submission(chain), "--outbox", state + "/outbox", "-s", "x", "nobody-here@" + chain["DOMAIN"]]
    has(chain.terminal(["env", "VISUAL=" + editor, "mua", "send", *arguments]), "550 5.1.1", "is kept in " + state)
    kept = next(name for name in os.listdir(state) if name.startswith("unsent-"))
    equal(open(os.path.join(state, kept)).read(), "written by hand\n")


def test_read_over_imap(chain):
    chain.send("read me", 1)
    for scheme in ("imaps", "imap"):
        read = options(chain, scheme)
        items = json.loads(mua(chain, "list", "--json", "-n", "0", *read))
        item = next(i for i in items if i["subject"] == "read me")
        has(mua(chain, "show", "--peek", str(item["id"]), *read), "Subject: read me", "A line.\n.\n..dots\nEnd é.\n")
    number = str(item["id"])
    mua(chain, "flag", number, "flagged", "+todo", *read)
    item = json.loads(mua(chain, "list", "--json", number, *read))[0]
    has(item["flags"], "flagged", "todo")
    equal(mua(chain, "search", "--ids", "--subject", "READ ME", *read), number + "\n")
    equal(mua(chain, "search", "--ids", "END É", "--with", "flagged", *read), number + "\n")
    mua(chain, "copy", number, "No such folder", *read, code=66)
    mua(chain, "show", "4000000", *read, code=66)
    has(mua(chain, "folders", "--counts", *read), "INBOX")


def test_read_over_pop3(chain):
    chain.send("by pop", 2)
    for scheme in ("pop3s", "pop3"):
        read = options(chain, scheme, 2)
        items = json.loads(mua(chain, "list", "--json", *read))
        number = str(next(i for i in items if i["subject"] == "by pop")["id"])
        has(mua(chain, "show", number, *read), "A line.\n.\n..dots\nEnd é.\n")
    mua(chain, "delete", number, *read)
    wait_until(lambda: chain.find("by pop", 2) is None, "the message to go")


def test_reply_and_forward(chain):
    chain.send("question", 1, sender=chain.address(2))
    read = options(chain, "imaps")
    number = mua(chain, "search", "--ids", "--subject", "question", *read).strip()
    mua(chain, "reply", number, *read, "--from", chain.address(1), "--via", by_submission(chain)[-1], data="answer\n")
    reply = chain.delivered("Re: question", 2)
    has(chain.body(reply), "answer\n", "> A line.\n")
    attachment = chain.write("photo.png", "no picture")
    mua(chain, "forward", number, chain.address(2), *read, "--from", chain.address(1), "--via", by_submission(chain)[-1], "-a", attachment)
    forwarded = chain.delivered("Fwd: question", 2)
    equal([p.get_content_type() for p in forwarded.iter_attachments()], ["message/rfc822", "image/png"])
    has(json.loads(mua(chain, "list", "--json", number, *read))[0]["flags"], "answered")


def test_save_never_leaves_its_folder(chain):
    from email.message import EmailMessage
    import smtplib
    message = EmailMessage()
    message["Subject"] = "save me"
    message["From"] = "a@elsewhere.example"
    message.set_content("x")
    for name in ("../../evil.txt", "twice.txt", "twice.txt"):
        message.add_attachment(b"octets", maintype="application", subtype="octet-stream", filename=name)
    with smtplib.SMTP(chain["MAIL_HOST"], chain.port("SMTP")) as smtp:
        smtp.send_message(message, to_addrs=[chain.address(1)])
    chain.delivered("save me")
    read = options(chain, "imaps")
    number = mua(chain, "search", "--ids", "--subject", "save me", *read).strip()
    folder = chain.folder("saved/inner")
    equal(sorted(mua(chain, "save", number, "-d", folder, *read).split()), ["evil.txt", "twice-1.txt", "twice.txt"])
    equal(sorted(os.listdir(folder)), ["evil.txt", "twice-1.txt", "twice.txt"])


def test_watch_sees_new_mail(chain):
    watcher = chain.spawn(["mua", "watch", "--once", *options(chain, "imaps")])
    time.sleep(1)
    chain.send("news", 1)
    has(watcher.communicate(timeout=20)[0].decode(), "news")


def test_sendmail(chain):
    accounts = chain.write(".config/relais/mua.toml", f"""[accounts.a]
address = "{chain.address(1)}"
submission = "submissions://{chain['USER1']}@{chain['MAIL_HOST']}:{chain['SUBMISSIONS_PORT']}"
password_command = ["echo", "{chain['PASS1']}"]
ca_file = "{chain['CA_FILE']}"
""")
    try:
        chain.run(["sendmail", "-t", "-oi"], data=f"To: {chain.address(2)}\nSubject: by sendmail\n\nbody\n.\nend é\n")
        has(chain.body(chain.delivered("by sendmail", 2)), "body\n.\nend")
        chain.run(["sendmail", chain.address(2)], data="Subject: dot ends\n\nbody\n.\nend\n")
        equal(chain.body(chain.delivered("dot ends", 2)), "body\n")
        has(chain.run(["sendmail", "-bs"], data=f"EHLO x\r\nMAIL FROM:<{chain.address(1)}>\r\nRCPT TO:<{chain.address(2)}>\r\nDATA\r\n"
                      f"From: {chain.address(1)}\r\nSubject: by bs\r\n\r\n.\r\nQUIT\r\n"), "250 2.0.0", "221")
        chain.delivered("by bs", 2)
        chain.run(["sendmail", "-t"], data="Subject: nobody\n\n", code=65)
        chain.run(["sendmail"], data="", code=64)
        chain.run(["mail", "-s", "by mail", "-a", "X-Test: yes", "-c", chain.address(1), chain.address(2)], data="body\n")
        equal(chain.delivered("by mail", 2)["X-Test"], "yes")
        chain.delivered("by mail", 1)
        chain.run(["mail", "-t"], data=f"To: {chain.address(2)}\nSubject: by mail -t\n\nbody\n.\nend\n")
        has(chain.body(chain.delivered("by mail -t", 2)), "body\n.\nend")
        chain.run(["sendmail", "-bp"], code=None)
    finally:
        os.unlink(accounts)


def test_a_wrong_certificate_is_refused(chain):
    arguments = options(chain, "imaps")
    del arguments[0:2]
    text = chain.run(["mua", "list", *arguments], code=77, env={"SSL_CERT_FILE": "/dev/null"})
    has(text, "certificate")


run(globals())
