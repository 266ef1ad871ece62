"""Servers that misbehave towards our relay: nothing is taken for delivered without the 250 to the dot, nothing is lost, each try ends."""
import smtplib
import time

from chain import equal, has, run, wait_until
from sink import Sink

SINKS = {}


def once(reply_for):
    """The misbehaviour for the first connection only; later ones are honest."""
    state = {"n": 0}

    def script(verb, line):
        if verb == "CONNECT":
            state["n"] += 1
        return reply_for(verb, line) if state["n"] <= 1 else None
    return script


def first_dot():
    """The first message is refused after its dot; the relay may keep the connection and send again over it."""
    state = {"n": 0}

    def script(verb, line):
        if verb != "DOT":
            return None
        state["n"] += 1
        return b"451 4.3.0 later\r\n" if state["n"] == 1 else None
    return script


def setup():
    SINKS["endless"] = Sink(script=once(lambda verb, line: b"220-" + b"x" * 100000 + b"\r\n" * 1 + b"220 y\r\n" if verb == "CONNECT" else None))
    SINKS["early"] = Sink(script=once(lambda verb, line: b"250 ok\r\n250 2.0.0 already taken\r\n354 go\r\n" if verb == "RCPT" else None))
    SINKS["refused-dot"] = Sink(script=first_dot())
    SINKS["garbage"] = Sink(script=once(lambda verb, line: b"\xff\xfe garbage \0\r\n" if verb == "EHLO" else None))
    SINKS["not-ready"] = Sink(script=once(lambda verb, line: b"421 4.3.2 busy\r\n" if verb == "CONNECT" else None))
    SINKS["never"] = Sink(script=lambda verb, line: b"550 5.1.1 no such user; echo ; rm -rf /\r\n" if verb == "RCPT" else None)
    SINKS["plain"] = Sink(extensions=())
    return {"routes": [f"{name}.example={sink.address}" for name, sink in SINKS.items()],
            "extra": '[relay]\nretry_first = "1s"\nretry_most = "1s"\nprivate_targets = true\ncommand_timeout = "5s"\n'}


def teardown():
    for sink in SINKS.values():
        sink.close()


def submit(chain, recipient, subject, options=(), sender=None):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        s.sendmail(chain.address(1), [recipient], f"From: {chain.address(1)}\r\nSubject: {subject}\r\n\r\n.\r\n..x\r\nend é\r\n".encode(), mail_options=list(options))


def taken(name, subject, seconds=25):
    return wait_until(lambda: SINKS[name].find(f"Subject: {subject}\r\n".encode()), f"'{subject}' at {name}", seconds)


def test_each_misbehaviour_is_temporary(chain):
    for name in ("endless", "early", "refused-dot", "garbage", "not-ready"):
        submit(chain, f"x@{name}.example", f"to {name}", ["BODY=8BITMIME"])
    for name in ("endless", "refused-dot", "garbage", "not-ready", "early"):
        messages = taken(name, f"to {name}")
        has(messages[0][2].decode(), "\r\n.\r\n..x\r\nend é\r\n")
        equal(b"\n" in messages[0][2].replace(b"\r\n", b""), False, "bare LF")


def test_refused_recipient_bounces_once(chain):
    submit(chain, "x@never.example", "to never")
    wait_until(lambda: any("x@never.example" in m.as_string() for m in chain.messages(1) if m.get_content_type() == "multipart/report"), "the bounce")
    time.sleep(2)
    bounces = [m for m in chain.messages(1) if m.get_content_type() == "multipart/report" and "never.example" in m.as_string()]
    equal(len(bounces), 1)
    has(bounces[0].as_string(), "5.1.1", "message/delivery-status", "no such user")


def test_eight_bit_to_a_server_without_extensions(chain):
    """Converted or bounced (RFC 6152): never sent as raw 8-bit text to a server that did not say 8BITMIME, or at least nothing is lost."""
    submit(chain, "x@plain.example", "to plain", ["BODY=8BITMIME"])
    wait_until(lambda: SINKS["plain"].find(b"Subject: to plain\r\n") or
               any("x@plain.example" in m.as_string() for m in chain.messages(1) if m.get_content_type() == "multipart/report"), "an end")


run(globals())
