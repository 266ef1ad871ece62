"""Clients of serve that are slow, half there or gone: each ends in its time, nothing half is kept, the others keep their speed."""
import os
import socket
import struct
import threading
import time

from chain import equal, has, run, wait_until
from wire import Wire


def setup():
    return {"extra": '[smtp]\ncommand_timeout = "2s"\ndata_timeout = "2s"\n[limits]\nconnections_per_address = 300\n'}


def smtp(chain):
    w = Wire(chain, "SMTP")
    equal(w.reply()[0], 220)
    equal(w.ask("EHLO client.example"), 250)
    return w


def transaction(chain, w):
    equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
    equal(w.ask(f"RCPT TO:<{chain.address(1)}>"), 250)
    equal(w.ask("DATA"), 354)


def reset(w):
    w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    w.close()


def nothing_is_left(chain):
    """No half message in any box of the spool."""
    def empty():
        return not any(os.listdir(f"{chain['SPOOL_DIR']}/{box}") for box in ("tmp", "queue", "local", "hold", "corrupt"))
    wait_until(empty, "an empty spool")


def test_slow_loris(chain):
    """One octet now and then, never a whole line: the time limit is the command's, not the octet's."""
    waiting = [smtp(chain) for _ in range(20)]
    begin = time.monotonic()
    over = []

    def watch(w):
        over.append((w.reply()[0], w.line(), time.monotonic() - begin))
    threads = [threading.Thread(target=watch, args=(w,)) for w in waiting]
    for thread in threads:
        thread.start()
    while len(over) < len(waiting) and time.monotonic() - begin < 9:
        for w in waiting:
            try:
                w.put("N")
            except OSError:
                pass
        time.sleep(0.2)
    for thread in threads:
        thread.join(5)
    equal([code for code, _, _ in over], [421] * len(waiting))
    assert all(1 < seconds < 8 for _, _, seconds in over), over


def test_half_open(chain):
    """Connected, and silent at each stage."""
    half = []
    for commands in ("", "EHLO a\r\n", f"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<{chain.address(1)}>\r\n",
                     f"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<{chain.address(1)}>\r\nDATA\r\n"):
        w = Wire(chain, "SMTP")
        half.append(w)
        w.reply()
        w.put(commands)
        for _ in range(commands.count("\r\n")):
            last = w.reply()[0]
        if commands.endswith("DATA\r\n"):
            equal(last, 354)
            w.put("Subject: half\r\n\r\nfirst line\r\n")
    for w in half:
        equal((w.reply()[0], w.line()), (421, None))
        w.close()
    nothing_is_left(chain)
    equal(chain.find("half"), None)


def test_resets_and_ends_at_every_stage(chain):
    text = b"Subject: cut off\r\n\r\nline\r\n"
    stages = [b"", b"EH", b"EHLO a\r\n", b"MAIL FROM:<>\r\n", f"RCPT TO:<{chain.address(1)}>\r\n".encode(), b"DATA\r\n", text[:10], text[10:], b".\r"]
    for leave in (reset, Wire.close):
        for count in range(len(stages) + 1):
            w = Wire(chain, "SMTP")
            w.reply()
            for stage in stages[:count]:
                w.put(stage)
                if stage.endswith(b"\r\n") and stages.index(stage) < 6 and stage:
                    w.reply()
            leave(w)
    nothing_is_left(chain)
    chain.send("after the resets")
    equal(chain.find("cut off"), None)


def test_reset_behind_the_final_dot(chain):
    """The message may have been taken, then whole, and once; what the client does not hear it may send again (RFC 1047)."""
    w = smtp(chain)
    transaction(chain, w)
    w.put(b"Subject: gone before the 250\r\n\r\nwhole\r\n.\r\n")
    reset(w)
    chain.send("behind the reset")
    found = [m for m in chain.messages(1) if m["Subject"] == "gone before the 250"]
    assert len(found) <= 1 and all(chain.body(m) == "whole\n" for m in found), found


def test_answers_that_are_never_read(chain):
    """Output is bounded: the server stops reading the commands, and then ends the session."""
    with smtp(chain) as w:
        w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        w.socket.settimeout(0.5)
        sent = 0
        try:
            for _ in range(400):
                w.put("HELP\r\n" * 10000)
                sent += 60000
        except (socket.timeout, OSError):
            pass
        assert sent < 20_000_000, sent
        begin = time.monotonic()
        chain.send("beside the one that never reads")
        assert time.monotonic() - begin < 5


def test_early_talk_is_bounded(chain):
    """Octets before the greeting: refused, and no more of them are held than a little."""
    with Wire(chain, "SMTP") as w:
        try:
            w.put("EHLO early\r\n" + "NOOP\r\n" * 50000)
        except OSError:
            pass
        assert w.reply()[0] in (0, 220, 554)


def test_a_flood_of_connections(chain):
    """More than one address may have: the rest is turned away or waits, and those that are there go on."""
    there = smtp(chain)
    flood = []
    try:
        for _ in range(500):
            s = socket.socket()
            s.settimeout(0.2)
            try:
                s.connect((chain["MAIL_HOST"], chain.port("SMTP")))
            except OSError:
                s.close()
                break
            flood.append(s)
        equal(there.ask("NOOP"), 250)
    finally:
        for s in flood:
            s.close()
    time.sleep(0.3)
    chain.send("after the flood")


run(globals())
