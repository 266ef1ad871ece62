"""Mail filters (milter protocol): what they are told at each stage, what each answer does, and what happens without an answer."""
import os
import shutil
import smtplib
import sqlite3
import struct
import tempfile
import time

from chain import equal, has, run, wait_until
from milter import Milter, packet, texts
from wire import Wire

DIRECTORY = None
FILTERS = {}
ON = {}  # stage → what the first filter answers in this test


def setup():
    global DIRECTORY
    DIRECTORY = tempfile.mkdtemp(prefix="relais-milter-", dir="/tmp")
    os.chmod(DIRECTORY, 0o755)
    FILTERS["first"] = Milter(lambda stage, data: ON[stage](data) if stage in ON else None, where=DIRECTORY + "/first")
    # Answers to nothing but the end of the message, and wants the blank behind the colon.
    FILTERS["second"] = Milter(lambda stage, data: packet(b"h", texts("X-Second", " seen")) + packet(b"c") if stage == "eom" else False,
                               steps=0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x40000 | 0x80000 | 0x100000)
    with open(DIRECTORY + "/virtual", "w") as f:
        f.write("box@virt.example user2@example.test\nwatched@virt.example user2@example.test\n")
    with open(DIRECTORY + "/bcc", "w") as f:
        f.write("watched@virt.example user1@example.test\n")
    with open(DIRECTORY + "/canonical", "w") as f:
        f.write("old@example.test user2@example.test\nloud@elsewhere.example quiet@elsewhere.example\n")
    with sqlite3.connect(DIRECTORY + "/maps.db") as db:
        db.execute("CREATE TABLE map (name TEXT, value TEXT)")
        db.execute("INSERT INTO map VALUES ('torn@virt.example', '<<>')")
    os.chmod(DIRECTORY + "/maps.db", 0o644)
    return {"extra": f'[rewrite]\nvirtual_maps = ["{DIRECTORY}/virtual", "sqlite:{DIRECTORY}/maps.db SELECT value FROM map WHERE name = :key"]\ncanonical_maps = ["{DIRECTORY}/canonical"]\nrecipient_bcc_maps = ["{DIRECTORY}/bcc"]\n'
                     f'[policy]\nmilters = ["{FILTERS["first"].address}", "{FILTERS["second"].address}  accept"]\n'
                     'milter_timeout = "1500ms"\nmilter_message_timeout = "1500ms"\nmilter_connect_timeout = "1500ms"\n'
                     '[spool]\njournal_message = "64kB"\n'}


def teardown():
    for one in FILTERS.values():
        one.close()
    if DIRECTORY:
        shutil.rmtree(DIRECTORY, ignore_errors=True)


def answers(**stages):
    ON.clear()
    ON.update({stage: (lambda octets: lambda data: octets)(octets) for stage, octets in stages.items()})
    for one in FILTERS.values():
        one.heard.clear()


def smtp(chain):
    w = Wire(chain, "SMTP")
    equal(w.reply()[0], 220)
    equal(w.ask("EHLO client.example"), 250)
    return w


def message(chain, w, subject, to=(1,), body="body\r\n", code=250, header=""):
    equal(w.ask("MAIL FROM:<a@elsewhere.example> SIZE=100"), 250)
    for user in to:
        equal(w.ask(f"RCPT TO:<{chain.address(user)}>"), 250)
    equal(w.ask("DATA"), 354)
    w.put(f"Subject: {subject}\r\n{header}To: x\r\n\r\n{body}.\r\n")
    got = w.reply()
    equal(got[0], code, got)
    return got[1][0]


def relais_log(chain):
    path = chain.directory + "/log/relais.log"
    with open(path if os.path.exists(path) else chain.directory + "/data/log/relais.log", errors="replace") as f:
        return f.read()


def test_each_stage_is_told(chain):
    answers()
    with smtp(chain) as w:
        message(chain, w, "told", header="X-Folded: one\r\n\ttwo\r\n")
        equal(w.ask("QUIT"), 221)
    got = chain.delivered("told")
    equal(got["X-Second"], "seen")
    first = FILTERS["first"]
    wait_until(lambda: "quit" in first.stages(), "the filter's end")
    equal(first.stages(), ["negotiate", "connect", "helo", "mail", "rcpt", "data", "header", "header", "header", "eoh", "body", "eom", "quit"])
    has(first.data("connect")[0].decode("latin-1"), "4")
    assert first.data("connect")[0].endswith(b"127.0.0.1\0")
    equal(first.data("helo"), [b"client.example\0"])
    equal(first.data("mail"), [b"<a@elsewhere.example>\0SIZE=100\0"])
    equal(first.data("rcpt"), [texts(f"<{chain.address(1)}>")])
    equal(first.data("header"), [b"Subject\0told\0", b"X-Folded\0one\n\ttwo\0", b"To\0x\0"])
    equal(FILTERS["second"].data("header")[0], b"Subject\0 told\0")
    equal(first.data("body"), [b"body\r\n"])
    macros = dict(zip(*[iter(b"".join(d[1:] for d in first.data("macros")).decode().split("\0")[:-1])] * 2))
    equal(macros["j"], "mail." + chain["DOMAIN"])
    equal(macros["{mail_addr}"], "a@elsewhere.example")
    equal(macros["{rcpt_addr}"], chain.address(1))
    has(got["Received"], macros["i"])


def test_all_changes(chain):
    index = lambda n: struct.pack(">I", n)
    answers(eom=packet(b"p") + packet(b"h", texts("X-Added", "folded\n and\nforged: no")) + packet(b"i", index(0) + texts("X-Top", "top")) +
            packet(b"i", index(2) + texts("X-Next", "next")) + packet(b"m", index(1) + texts("Subject", "all changed")) +
            packet(b"m", index(1) + texts("To", "")) + packet(b"b", b"new body\r\n") + packet(b"b", b"goes on\r\n") +
            packet(b"+", texts(f"<{chain.address(2)}>")) + packet(b"-", texts(f"<{chain.address(1)}>")) +
            packet(b"e", texts("<changed@elsewhere.example>")) + packet(b"+", texts("<no-such@" + chain["DOMAIN"] + ">")) + packet(b"c"))
    with smtp(chain) as w:
        message(chain, w, "as it was")
    got = chain.delivered("all changed", 2)
    names = [name for name in got.keys() if name not in ("Return-Path", "Delivered-To")]
    equal(names, ["X-Top", "Received", "X-Next", "Subject", "X-Added", "X-Second"])
    has(got["X-Added"], "folded", "forged: no")
    equal(chain.body(got), "new body\ngoes on\n")
    equal(got["Return-Path"], "<changed@elsewhere.example>")
    equal([chain.find("all changed", 1), chain.find("as it was", 1), chain.find("as it was", 2)], [None, None, None])
    has(relais_log(chain), "filter_change_ignored")
    # The second filter saw what the first had made of it.
    has(b"".join(FILTERS["second"].data("header")).decode(), "Subject\0 all changed\0", "X-Top")
    equal(FILTERS["second"].data("body"), [b"new body\r\ngoes on\r\n"])


def test_added_recipients_go_through_maps_and_aliases(chain):
    for n, added in enumerate(("old@example.test", "box@virt.example")):
        answers(eom=packet(b"+", texts(f"<{added}>")) + packet(b"-", texts(f"<{chain.address(1)}>")) + packet(b"e", texts("<loud@elsewhere.example>")) + packet(b"c"))
        with smtp(chain) as w:
            message(chain, w, f"mapped {n}")
        equal(chain.delivered(f"mapped {n}", 2)["Return-Path"], "<quiet@elsewhere.example>")


def test_added_recipients_have_their_copies(chain):
    answers(eom=packet(b"+", texts("<watched@virt.example>")) + packet(b"-", texts(f"<{chain.address(1)}>")) + packet(b"c"))
    with smtp(chain) as w:
        message(chain, w, "watched")
    chain.delivered("watched", 2)
    chain.delivered("watched", 1)


def test_added_recipient_that_cannot_be_looked_up(chain):
    """Nobody is lost for an entry that makes no sense: the client comes again."""
    answers(eom=packet(b"+", texts("<torn@virt.example>")) + packet(b"c"))
    with smtp(chain) as w:
        message(chain, w, "later", code=451)
        answers()
        message(chain, w, "after it")
    chain.delivered("after it")
    equal(chain.find("later"), None)


def test_refusals_at_each_stage(chain):
    refusal = packet(b"y", texts("554 5.7.0 100%% spam"))
    answers(connect=packet(b"r"))
    with Wire(chain, "SMTP") as w:
        equal(w.reply()[0], 554)
    answers(connect=packet(b"t"))
    with Wire(chain, "SMTP") as w:
        equal(w.reply()[0], 421)
    answers(helo=refusal)
    with Wire(chain, "SMTP") as w:
        w.reply()
        equal(w.ask("EHLO client.example"), 554)
    with smtp_after(chain, mail=refusal) as w:
        equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 554)
        answers()
        message(chain, w, "after a refused sender")
    with smtp_after(chain, rcpt=packet(b"t")) as w:
        equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
        equal(w.ask(f"RCPT TO:<{chain.address(1)}>"), 451)
        answers()
        equal(w.ask(f"RCPT TO:<{chain.address(1)}>"), 250)
        equal(w.ask("RSET"), 250)
        wait_until(lambda: "abort" in FILTERS["first"].stages(), "the abort")
    for stage in ("header", "eoh", "body", "eom"):
        with smtp_after(chain, **{stage: refusal}) as w:
            has(message(chain, w, "refused", code=554), "100% spam")
            answers()
            message(chain, w, "after " + stage)
            chain.delivered("after " + stage)
    with smtp_after(chain, data=packet(b"r")) as w:
        equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
        equal(w.ask(f"RCPT TO:<{chain.address(1)}>"), 250)
        equal(w.ask("DATA"), 550)
        equal(w.ask("NOOP"), 250)
    equal(chain.find("refused"), None)


def smtp_after(chain, **stages):
    answers(**stages)
    return smtp(chain)


def test_accept_and_discard(chain):
    with smtp_after(chain, mail=packet(b"a")) as w:
        message(chain, w, "accepted early")
        message(chain, w, "accepted again")
    chain.delivered("accepted again")
    equal(FILTERS["first"].stages().count("mail"), 2)
    equal("rcpt" in FILTERS["first"].stages(), False)
    with smtp_after(chain, connect=packet(b"a")) as w:
        message(chain, w, "accepted at once")
    equal("mail" in FILTERS["first"].stages(), False)
    for stage in ("rcpt", "eom"):
        with smtp_after(chain, **{stage: packet(b"d")}) as w:
            message(chain, w, "discarded")
            answers()
            message(chain, w, "kept after " + stage)
        chain.delivered("kept after " + stage)
    equal(chain.find("discarded"), None)


def test_quarantine_holds(chain):
    with smtp_after(chain, eom=packet(b"q", texts("looks odd")) + packet(b"c")) as w:
        has(message(chain, w, "held back", to=(1, 2)), "queued as")
    held = wait_until(lambda: os.listdir(chain["SPOOL_DIR"] + "/hold"), "the held message")
    has(relais_log(chain), "quarantined", "looks odd")
    chain.run([chain["BIN_DIR"] + "/mta", "-c", chain["CONFIG"], "queue", "release", held[0].split(".")[0]])
    for user in (1, 2):
        chain.delivered("held back", user)


def test_large_messages_pass_whole(chain):
    """More than the filter's pieces, more than stays in memory; and a filter that has seen enough."""
    body = "".join(f"{i:07d} {'x' * 60}\r\n" for i in range(8000))
    with smtp_after(chain, body=packet(b"s")) as w:
        message(chain, w, "large", body=body)
    equal(chain.delivered("large").get_payload().replace("\n", "\r\n"), body)
    equal(len(FILTERS["first"].data("body")), 1)
    equal(b"".join(FILTERS["second"].data("body")).decode(), body)
    with smtp_after(chain, eom=packet(b"b", body[:65000].encode()) + packet(b"b", body[65000:].encode()) + packet(b"c")) as w:
        message(chain, w, "replaced by large")
    equal(chain.delivered("replaced by large").get_payload().replace("\n", "\r\n"), body)


def test_submission_is_completed_before_the_filters(chain):
    answers()
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        s.sendmail(chain.address(1), [chain.address(2)], f"From: {chain.address(1)}\r\nSubject: submitted\r\n\r\nx\r\n")
    chain.delivered("submitted", 2)
    names = [d.split(b"\0")[0] for d in FILTERS["first"].data("header")]
    equal(sorted(names), [b"Date", b"From", b"Message-ID", b"Subject"])
    has(b"".join(FILTERS["first"].data("macros")).decode(), "{auth_authen}\0" + chain["USER1"], "{auth_type}\0", "{tls_version}\0TLS")


def test_no_answer(chain):
    """Silence, an end and nonsense: the first filter's failure action is tempfail, the second's accept."""
    for trouble in (False, b"\0\0\0\0", packet(b"z"), packet(b"h", texts("X-Early", "x"))):
        for stage in ("mail", "eom") if trouble is False else ("mail",):
            with smtp_after(chain, **{stage: trouble}) as w:
                if stage == "mail":
                    equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 451)
                    answers()
                    message(chain, w, "once more")  # connected to anew
                else:
                    message(chain, w, "no answer", code=451)
                equal(w.ask("NOOP"), 250)
    second = FILTERS["second"]
    answers()
    script, second.script = second.script, lambda stage, data: False
    try:
        with smtp(chain) as w:
            message(chain, w, "second is silent")
        equal(chain.delivered("second is silent")["X-Second"], None)
    finally:
        second.script = script
    equal(chain.find("no answer"), None)


def test_filters_that_are_not_there(chain):
    path = FILTERS["first"].address[5:]
    os.rename(path, path + ".away")
    try:
        with smtp_after(chain) as w:
            equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 451)
            os.rename(path + ".away", path)
            message(chain, w, "there again")
        chain.delivered("there again")
        equal(FILTERS["first"].data("helo"), [b"client.example\0"])
    finally:
        if os.path.exists(path + ".away"):
            os.rename(path + ".away", path)


def test_a_client_that_goes_away(chain):
    for stage in ("connect", "mail", "eom"):
        answers(**{stage: False})
        w = Wire(chain, "SMTP")
        if stage != "connect":
            w.reply()
            w.put(f"EHLO a\r\nMAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<{chain.address(1)}>\r\nDATA\r\n")
            time.sleep(0.1)
            w.put("Subject: gone\r\n\r\n.\r\n")
            time.sleep(0.05)
        w.close()
    answers()
    with smtp(chain) as w:
        message(chain, w, "still there")
    chain.delivered("still there")


run(globals())
