"""DNS that lies, loops, times out, answers nonsense or with 1,000 records: mail is late or bounces, never lost, never sent to the liar."""
import os
import smtplib
import time

from chain import equal, has, run, wait_until
from nameserver import NameServer, answer, parse, record
from sink import Sink

SERVER = SINK = EVIL = None
SEEN = {}  # how often each name was asked for its MX
GOOD = "127.0.0.3"


def good(question, name, kind):
    """The honest reply: mail goes to mx.NAME, which is the sink."""
    if kind == "MX" and not name.startswith("mx."):
        return [answer(question, [record(name, "MX", f"10 mx.{name}")])]
    if kind == "A":
        return [answer(question, [record(name, "A", GOOD)])]
    return [answer(question)]


def evil(question, asked, **lie):
    return answer(question, [record(asked, "MX", "1 evil.example")], **lie)


def script(name, kind, question, tcp):
    domain = ".".join(name.split(".")[-2:])
    if name.startswith("_mta-sts."):
        return None
    if kind == "MX":
        SEEN[name] = SEEN.get(name, 0) + 1
    first = kind == "MX" and SEEN[name] == 1
    if name == "evil.example":
        return [answer(question, [record(name, "A", "127.0.0.4")])] if kind == "A" else [answer(question)]
    if domain == "silent.example" and kind == "MX" and SEEN[name] <= 2:
        return []
    if domain == "servfail.example" and first:
        return [answer(question, code=2)]
    if domain == "refused.example" and first:
        return [answer(question, code=5)]
    if domain == "garbage.example" and first:
        return [question[:2] + b"\x81\x80" + b"\xff" * 40]
    if domain == "pointers.example" and first:  # a name that points to itself
        own = parse(question)[2] + 14  # where its rdata's name begins
        return [answer(question, [b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x3c\x00\x04\x00\x0a\xc0" + bytes([own])])]
    if domain == "short.example" and first:
        return [answer(question, [record(name, "MX", "10 mx.short.example")])[:-5]]
    if domain == "identity.example" and kind == "MX":
        return [evil(question, name, identity=0x1234), *good(question, name, kind)]
    if domain == "question.example" and kind == "MX":
        return [evil(question, name, name="other.example"), *good(question, name, kind)]
    if domain == "extra.example" and kind == "MX":  # the answer is right, and more than was asked for comes with it
        return [answer(question, [record(name, "MX", f"10 mx.{name}"), record("mx.identity.example", "A", "127.0.0.4"), record("far.example", "MX", "1 evil.example")])]
    if domain == "loop.example" and name in ("loop.example", "a.loop.example"):
        other = "a.loop.example" if name == "loop.example" else "loop.example"
        return [answer(question, [record(name, "CNAME", other), record(other, "CNAME", name)])]
    if domain == "chain.example" and not name.startswith("mx."):
        number = int(name.split(".")[0][1:]) if name != domain else 0
        return [answer(question, [record(name, "CNAME", f"c{number + 1}.chain.example")])]
    if domain == "many.example" and name == domain and kind == "MX":
        if not tcp:
            return [answer(question, flags=0x0200)]
        return [answer(question, [record(name, "MX", f"{1000 - i} {'mx' if i == 999 else f'dead{i}'}.many.example") for i in range(1000)])]
    if domain == "crowd.example" and name == domain and kind == "MX":
        if not tcp:
            return [answer(question, flags=0x0200)]
        return [answer(question, [record(name, "MX", f"10 dead{i}.crowd.example") for i in range(1000)])]
    if name.startswith("dead"):
        return [answer(question, [record(name, "A", "127.0.0.9")])] if kind == "A" else [answer(question)]
    if domain == "tous.example" and kind == "MX":
        return [answer(question, [record(name, "MX", "10 mail.example.test")])]
    if name == "mail.example.test" and kind == "A":
        return [answer(question, [record(name, "A", GOOD)])]
    if domain == "text.example" and kind == "MX":
        return [answer(question, [record(name, "MX", "10 127.0.0.4")])]
    if domain in ("silent.example", "servfail.example", "refused.example", "garbage.example", "pointers.example", "short.example",
                  "identity.example", "question.example", "extra.example", "many.example", "case.example"):
        return good(question, name.upper() if domain == "case.example" and kind == "MX" and not name.startswith("mx.") else name, kind)
    return None


def setup():
    global SERVER, SINK, EVIL
    SINK = Sink(GOOD, 0)
    EVIL = Sink("127.0.0.4", SINK.port)
    SERVER = NameServer(script)
    return {"extra": f'[dns]\nservers = ["127.0.0.1:{SERVER.port}"]\ntimeout = "300ms"\n[relay]\nport = {SINK.port}\nprivate_targets = true\n'
                     'ipv6 = false\nconnect_timeout = "1s"\nretry_first = "1s"\nretry_most = "1s"\n'}


def teardown():
    for one in (SERVER, SINK, EVIL):
        if one:
            one.close()


def submit(chain, *domains):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        for domain in domains:
            s.sendmail(chain.address(1), [f"a@{domain}"], f"From: {chain.address(1)}\r\nSubject: to {domain}\r\n\r\nbody\r\n")


def arrive(*domains):
    for domain in domains:
        wait_until(lambda: SINK.find(f"Subject: to {domain}\r\n".encode()), f"the message to {domain}", 25)
    equal(EVIL.messages, [])


def bounces(chain, domain):
    def find():
        return next((m.as_string() for m in chain.messages(1) if m.get_content_type() == "multipart/report" and f"a@{domain}" in m.as_string()), None)
    return wait_until(find, f"the bounce for {domain}", 25)


def test_trouble_and_nonsense_are_temporary(chain):
    domains = ("silent.example", "servfail.example", "refused.example", "garbage.example", "pointers.example", "short.example")
    submit(chain, *domains)
    arrive(*domains)


def test_lies_are_not_believed(chain):
    domains = ("identity.example", "question.example", "extra.example", "case.example")
    submit(chain, *domains)
    arrive(*domains)


def test_a_thousand_records(chain):
    submit(chain, "crowd.example")
    begin = time.monotonic()
    submit(chain, "many.example")
    arrive("many.example")
    assert time.monotonic() - begin < 20
    # Of a thousand hosts that are all dead some are tried, then the message waits.
    time.sleep(0.5)
    tried = {name for name, kind in SERVER.asked if name.endswith(".crowd.example") and name.startswith("dead")}
    assert 0 < len(tried) <= 100, len(tried)
    has(chain.run([chain["BIN_DIR"] + "/mta", "-c", chain["CONFIG"], "queue", "list"]), "a@crowd.example")


def test_loops_bounce(chain):
    submit(chain, "loop.example", "chain.example", "tous.example")
    for domain in ("loop.example", "chain.example", "tous.example"):
        has(bounces(chain, domain), "Status: 5.")
    asked = sum(1 for name, kind in SERVER.asked if name.endswith("chain.example"))
    assert asked < 200, asked


def test_an_address_in_the_place_of_a_name(chain):
    """RFC 5321 section 5.1: an MX that is no name leads nowhere."""
    submit(chain, "text.example")
    has(bounces(chain, "text.example"), "Status: 5.")
    equal(EVIL.messages, [])


run(globals())
