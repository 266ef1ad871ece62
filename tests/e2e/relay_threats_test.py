"""Servers that misbehave towards our relay: nothing is taken for delivered without the 250 to the dot, nothing is lost, each try ends."""
import select
import smtplib
import socket
import ssl
import struct
import subprocess
import tempfile
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


def reset(connection):
    """A TCP reset in the place of a reply."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RD)
    connection.close()
    raise OSError("reset")


def slowly(reply, pause=0.4):
    def send(connection):
        for octet in reply:
            connection.sendall(bytes([octet]))
            time.sleep(pause)
    return send


def endless(line):
    def send(connection):
        for _ in range(2000):
            connection.sendall(line * 1000)
        raise OSError("took it all")
    return send


def silence(connection):
    time.sleep(6)
    raise OSError("nothing was said")


EARLY = []  # what came before the reply to EHLO under TLS was sent


def late_ehlo():
    """Under TLS the reply to EHLO comes late: a client that took the injected one for it has sent MAIL by then."""
    state = {"n": 0}

    def script(verb, line):
        if verb != "EHLO":
            return None
        state["n"] += 1
        if state["n"] != 2:
            return None

        def send(connection):
            if select.select([connection], [], [], 0.5)[0]:
                EARLY.append(connection.recv(1000))
            connection.sendall(b"250-sink.example\r\n250 8BITMIME\r\n")
        return send
    return script


STAGES = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "DOT")


def at(stage, what):
    return once(lambda verb, line: what if verb == stage else None)


def server_context():
    """A certificate that nobody knows: good enough for a relay that does not ask."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=sink.example", "-keyout", folder + "/key", "-out", folder + "/crt"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder + "/crt", folder + "/key")
        return context


def setup():
    for stage in STAGES:
        SINKS["reset-" + stage.lower()] = Sink(script=at(stage, reset))
    SINKS["slow"] = Sink(script=at("EHLO", slowly(b"250 sink.example ESMTP\r\n")))
    SINKS["slow-dot"] = Sink(script=at("DOT", slowly(b"250 2.0.0 never finished")))
    SINKS["endless-ehlo"] = Sink(script=at("EHLO", endless(b"250-X-MORE\r\n")))
    SINKS["endless-dot"] = Sink(script=at("DOT", endless(b"250-more\r\n")))
    SINKS["half-open"] = Sink(script=at("CONNECT", silence))
    SINKS["injected"] = Sink(script=late_ehlo(), tls=server_context(), before_tls=b"250 injected.example\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n")
    SINKS["endless"] = Sink(script=once(lambda verb, line: b"220-" + b"x" * 100000 + b"\r\n" * 1 + b"220 y\r\n" if verb == "CONNECT" else None))
    SINKS["early"] = Sink(script=once(lambda verb, line: b"250 ok\r\n250 2.0.0 already taken\r\n354 go\r\n" if verb == "RCPT" else None))
    SINKS["refused-dot"] = Sink(script=first_dot())
    SINKS["garbage"] = Sink(script=once(lambda verb, line: b"\xff\xfe garbage \0\r\n" if verb == "EHLO" else None))
    SINKS["not-ready"] = Sink(script=once(lambda verb, line: b"421 4.3.2 busy\r\n" if verb == "CONNECT" else None))
    SINKS["never"] = Sink(script=lambda verb, line: b"550 5.1.1 no such user; echo ; rm -rf /\r\n" if verb == "RCPT" else None)
    SINKS["plain"] = Sink(extensions=())
    return {"routes": [f"{name}.example={sink.address}" for name, sink in SINKS.items()],
            "extra": '[relay]\nretry_first = "1s"\nretry_most = "1s"\nprivate_targets = true\ncommand_timeout = "2s"\ndata_timeout = "2s"\n'}


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


def test_resets_slowness_and_endless_replies_are_temporary(chain):
    names = [f"reset-{stage.lower()}" for stage in STAGES] + ["slow", "slow-dot", "endless-ehlo", "endless-dot", "half-open"]
    for name in names:
        submit(chain, f"x@{name}.example", f"to {name}", ["BODY=8BITMIME"])
    for name in names:
        taken(name, f"to {name}")
    time.sleep(0.5)
    for name in names:
        equal(len(SINKS[name].find(f"Subject: to {name}\r\n".encode())), 1, name)


def test_replies_injected_before_starttls_are_dropped(chain):
    submit(chain, "x@injected.example", "to injected", ["BODY=8BITMIME"])
    taken("injected", "to injected")
    equal(EARLY, [])


def test_refused_recipient_bounces_once(chain):
    submit(chain, "x@never.example", "to never")
    wait_until(lambda: any("x@never.example" in m.as_string() for m in chain.messages(1) if m.get_content_type() == "multipart/report"), "the bounce")
    time.sleep(2)
    bounces = [m for m in chain.messages(1) if m.get_content_type() == "multipart/report" and "never.example" in m.as_string()]
    equal(len(bounces), 1)
    has(bounces[0].as_string(), "5.1.1", "message/delivery-status", "no such user")


def test_eight_bit_to_a_server_without_extensions(chain):
    """Converted (RFC 6152): never sent as raw 8-bit text to a server that did not say 8BITMIME."""
    submit(chain, "x@plain.example", "to plain", ["BODY=8BITMIME"])
    sender, _, content = taken("plain", "to plain")[0]
    equal(max(content) < 128 and "BODY" not in sender, True)
    has(content.decode(), "quoted-printable", "=C3=A9")


run(globals())
