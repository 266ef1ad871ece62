#!/usr/bin/env python3
"""mta queue as operators use it, beside a running mta and without one; and ETRN. A destination that refuses connections keeps the mail.

usage: queue_test.py MTA [unittest arguments]
"""
import json
import os
import re
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import serve_test  # noqa: E402
from sink import Sink  # noqa: E402


def closed_port():
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class QueueTest(unittest.TestCase):
    """Each test has its own mta (both children): four domains lead to a dead port, one to a sink."""

    def setUp(self):
        self.dead = closed_port()
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        routes = "".join(f'"{name}.example" = "127.0.0.1:{self.dead}"\n' for name in ("one", "two", "three", "four"))
        self.server = serve_test.Server(
            '[smtp]\nrelay_networks = ["127.0.0.0/8"]\netrn = true\n'
            '[relay]\nprivate_targets = true\nretry_first = "1h"\nretry_most = "1h"\n'
            f'[relay.routes]\n{routes}"alive.example" = "{self.sink.address}"\n', command=())
        self.addCleanup(self.server.stop)

    def start(self):
        self.server.start()
        self.wait(lambda: "program=mta-relay" in self.server.log() or self.server.log().count("event=ready") >= 2)
        return self

    def stop_daemon(self):
        self.server.process.terminate()
        self.assertEqual(self.server.process.wait(20), 0)

    def wait(self, condition, seconds=15):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, self.server.log())
            time.sleep(0.02)

    def talk(self):
        talk = serve_test.Talk(self.server.smtp)
        self.addCleanup(talk.close)
        talk.reply()
        talk.say("EHLO client.example")
        return talk

    def send(self, sender, *recipients, subject="x"):
        reply = self.talk().transaction(sender, recipients, f"Subject: {subject}\r\n\r\nhello\r\n")[-1]
        self.assertRegex(reply, "^250 ")
        name = reply.split()[-1]
        self.wait(lambda: os.path.exists(f"{self.server.directory}/spool/queue/{name}"))  # a moment after the 250
        return name

    def send_local(self, recipient):
        reply = self.talk().transaction("s@client.example", [recipient], "Subject: x\r\n\r\nhello\r\n")[-1]
        self.assertRegex(reply, "^250 ")
        name = reply.split()[-1]
        self.wait(lambda: os.path.exists(f"{self.server.directory}/spool/local/{name}"))
        return name

    def send_four(self):
        """One message to each dead domain; returns when the destination has been found dead."""
        ids = [self.send(f"s{i}@client.example", f"u@{name}.example") for i, name in enumerate(("one", "two", "three", "four"))]
        self.wait(lambda: "event=destination-deferred" in self.server.log())
        return ids

    def queue(self, *words, code=0, command="queue"):
        arguments = [self.server.arguments[0], command, *words, *self.server.arguments[1:]]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        self.assertEqual(done.stderr if code == 0 else "", "")
        return done.stdout

    def listed(self, *words):
        return {entry["id"]: entry for entry in json.loads(self.queue("list", "--json", *words))}

    def sink_subjects(self):
        return sorted(c.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for _, _, c in list(self.sink.messages))

    def test_list_and_selection(self):
        self.start()
        ids = self.send_four()
        text = self.queue("list")
        for one in ids:
            self.assertIn(one, text)
        self.assertIn("-- 4 messages", text)
        self.assertIn("<s2@client.example>", text)
        entries = self.listed()
        self.assertEqual(list(entries), ids)  # oldest first
        self.assertEqual(entries[ids[1]]["sender"], "s1@client.example")
        self.assertEqual(entries[ids[1]]["recipients"][0]["address"], "u@two.example")
        self.assertEqual(list(self.listed("--sender", "s0@*")), ids[:1])
        self.assertEqual(list(self.listed("--sender", "*@client.example")), ids)
        self.assertEqual(list(self.listed("--recipient", "*two*")), ids[1:2])
        self.assertEqual(list(self.listed("--domain", "THREE.example")), ids[2:3])
        self.assertEqual(list(self.listed("--older", "1h")), [])
        self.assertEqual(list(self.listed("--younger", "1h")), ids)
        self.assertEqual(list(self.listed("--state", "held")), [])
        self.assertEqual(list(self.listed(ids[3], "--domain", "one.example")), [])
        self.queue("list", "--state", "asleep", code=64)
        self.queue("list", "not-an-id", code=64)
        self.queue("list", "--older", "soon", code=64)
        self.queue("delete", code=64)  # nothing selected, and not --all

    def test_list_says_what_a_route_that_cannot_be_reached_answered(self):
        self.start()
        ids = self.send_four()
        self.wait(lambda: set(self.listed("--state", "deferred")) == set(ids))
        self.assertIn("Connection refused", self.queue("list", ids[1]))
        self.assertRegex(self.queue("list", ids[1]), "next in [0-9]+[mh]")
        entry = self.listed(ids[2])[ids[2]]
        self.assertIn("Connection refused", entry["reason"])
        self.assertGreater(entry["next_attempt"], time.time())
        self.assertIn("Connection refused", self.queue(ids[0], command="trace").split("in spool/")[1])
        self.stop_daemon()  # nobody waits now, and what was said last is still worth knowing
        self.assertIn("Connection refused", self.queue("list", ids[1]))
        self.assertEqual(self.listed(ids[2])[ids[2]]["next_attempt"], 0)

    def test_list_has_local_mail_that_waits(self):
        self.start()
        one = self.send_local("ann@example.test")
        local = os.path.join(self.server.directory, "spool", "local")
        self.assertEqual(self.queue("list"), "Mail queue is empty\n")  # nothing has tried it yet
        with open(os.path.join(local, one + ".log"), "w") as log:
            log.write(f"{int(time.time())} 0 - 4.2.2 452 4.2.2 mailbox full\n")
        self.assertIn("mailbox full", self.queue("list"))
        self.assertEqual(self.listed()[one]["state"], "local")
        self.queue("", command="trace", code=64)

    def test_what_matches_nothing_is_told(self):
        self.start()
        ids = self.send_four()
        self.assertEqual(self.queue("list", "--older", "1h"), "No message of the queue is such a one\n")
        self.assertEqual(self.queue("delete", "--domain", "nobody.example"), "0 deleted\n")
        for option in ("--sender", "--recipient", "--domain", "--older", "--state"):  # a script's empty variable
            self.queue("delete", option, "", code=64)
        self.assertEqual(self.queue("delete", ids[0], "65SJBF0760M66DSB", code=67), "1 deleted\n")
        self.queue("hold", ids[1])
        for command in ("hold", "retry"):
            self.queue(command, ids[1], code=67)
        self.queue("release", ids[1])
        self.queue("release", ids[1], code=67)

    def test_move_asks_where_to(self):
        self.start()
        ids = self.send_four()
        for address in ("", "u", "u@two words", "<u@alive.example>"):
            self.queue("move", ids[0], "--to", address, code=64)
        self.queue("move", ids[0], "--to", "nobody@example.test", code=67)  # would come back at once
        self.assertEqual(sorted(self.listed()), sorted(ids))

    def test_show(self):
        self.start()
        one = self.send("s@client.example", "u@one.example", subject="look at me")
        text = self.queue("show", one)
        self.assertIn("Subject: look at me", text)
        self.assertIn("Envelope:", text)
        self.assertIn("u@one.example", text)
        self.assertNotIn("hello", text)  # the body is nobody's business
        self.assertEqual(json.loads(self.queue("show", "--json", one))[0]["id"], one)
        self.queue("show", "65SJBF0760M66DSB", code=67)

    def test_hold_release(self):
        self.start()
        ids = self.send_four()
        self.assertEqual(self.queue("hold", "--domain", "one.example"), "1 held\n")
        self.assertEqual(self.listed("--state", "held")[ids[0]]["box"], "hold")
        self.queue("flush")
        time.sleep(0.3)
        self.assertEqual(list(self.listed("--state", "held")), ids[:1])
        self.assertEqual(self.queue("release", "--all"), "1 released\n")
        self.assertEqual(len(self.server.box("queue")), 4)
        self.assertEqual(len(self.server.box("hold")), 0)

    def test_move(self):
        self.start()
        ids = self.send_four()
        self.assertEqual(self.queue("move", ids[0], ids[2], "--to", "elsewhere@alive.example"), "2 moved\n")
        self.wait(lambda: len(self.sink.messages) == 2)
        self.assertIn("elsewhere@alive.example", self.sink.messages[0][1][0])
        self.assertEqual(list(self.listed()), [ids[1], ids[3]])

    def test_delete(self):
        self.start()
        ids = self.send_four()
        self.queue("hold", ids[3])
        self.assertEqual(self.queue("delete", "--sender", "s0@client.example"), "1 deleted\n")
        self.assertEqual(self.queue("delete", ids[3]), "1 deleted\n")
        self.assertEqual(list(self.listed()), ids[1:3])
        self.stop_daemon()
        self.assertEqual(self.queue("delete", "--all"), "2 deleted\n")
        self.server.start()  # what was deleted does not come back from a journal
        time.sleep(0.3)
        self.assertEqual(self.queue("list"), "Mail queue is empty\n")
        self.assertIn("event=deleted id=" + ids[0], self.server.log())

    def revive(self):
        """The dead host begins to take mail."""
        alive = Sink(port=self.dead)
        self.addCleanup(alive.close)
        return alive

    def test_retry_by_id(self):
        self.start()
        ids = self.send_four()
        alive = self.revive()
        self.assertEqual(self.queue("retry", "--all"), "4 to be tried now\n")
        self.queue("flush", f"127.0.0.1:{self.dead}")
        self.wait(lambda: len(alive.messages) == 4)
        self.wait(lambda: self.listed() == {})
        self.assertEqual(len(ids), 4)

    def test_flush(self):
        self.start()
        self.send_four()
        alive = self.revive()
        self.assertEqual(self.queue("flush", "two.example"), "")  # a domain: its route's destination is meant
        self.wait(lambda: len(alive.messages) == 4)

    def test_flush_all(self):
        self.start()
        self.send_four()
        alive = self.revive()
        self.assertEqual(self.queue("flush"), "")
        self.wait(lambda: len(alive.messages) == 4)

    def test_without_a_daemon(self):
        self.start()
        ids = self.send_four()
        self.stop_daemon()
        self.assertEqual(list(self.listed()), ids)
        self.queue("hold", ids[0])
        self.queue("release", ids[0])
        self.queue("retry", ids[1])
        self.assertIn("does not run", self.queue("flush"))
        self.assertEqual(json.loads(self.queue("retry", "--json", ids[1])), {"selected": 1, "changed": 1})
        self.queue("move", ids[3], "--to", "last@alive.example")
        alive = self.revive()
        self.server.start()
        self.wait(lambda: len(alive.messages) == 3 and len(self.sink.messages) == 1)
        self.wait(lambda: self.listed() == {})

    def test_flush_of_a_destination_without_a_daemon(self):
        self.start()
        ids = self.send_four()
        self.stop_daemon()
        queue = os.path.join(self.server.directory, "spool", "queue")
        later = b"retry %013d" % (time.time() + 7200)

        def put_off():
            for name in ids:
                with open(os.path.join(queue, name), "rb+") as file:
                    text = re.sub(rb"retry \d{13}", later, file.read(), count=1)
                    file.seek(0)
                    file.write(text)

        def due():
            return [name for name, entry in self.listed().items() if entry["next_attempt"] == 0]

        for destination, expected in (("two.example", ids[1:2]), ("@two.example", ids[1:2]), ("@example", ids), ("wo.example", []),
                                      ("@wo.example", []), (f"127.0.0.1:{self.dead}", ids), ("", ids)):
            put_off()
            self.assertEqual(due(), [])
            answer = self.queue("flush", "--json", *([destination] if destination else []))
            self.assertEqual(json.loads(answer), {"relay_runs": False})
            self.assertEqual(due(), expected, destination)

    def test_many_changes_while_mail_flows(self):
        self.start()
        dead = [self.send("s@client.example", "u@one.example") for _ in range(30)]
        talk = self.talk()
        for i in range(40):
            talk.transaction("t@client.example", ["v@alive.example"], f"Subject: n{i:02}\r\n\r\n")
            if i % 4 == 0:
                self.queue("hold", "--domain", "one.example")
                self.queue("release", "--all")
        self.wait(lambda: len(self.sink.messages) == 40)
        self.assertEqual(self.sink_subjects(), [f"n{i:02}" for i in range(40)])  # each once
        self.assertEqual(sorted(self.listed()), sorted(dead))

    def test_etrn(self):
        self.start()
        self.send_four()
        alive = self.revive()
        talk = self.talk()
        self.assertRegex(talk.say("ETRN"), "^501 ")
        self.assertRegex(talk.say("ETRN two words"), "^501 ")
        self.assertRegex(talk.say("ETRN nobody.example"), "^250 ")
        self.assertEqual(len(alive.messages), 0)
        self.assertRegex(talk.say("ETRN two.example"), "^250 2.0.0 ")
        self.wait(lambda: len(alive.messages) == 4)
        self.stop_daemon()

    def test_etrn_without_a_relay(self):
        self.server.arguments.insert(1, "serve")
        self.server.start()
        self.assertRegex(self.talk().say("ETRN two.example"), "^458 ")

    def test_trace_and_explain(self):
        self.start()
        one = self.send("s@client.example", "u@one.example")
        self.assertIn("u@one.example", self.queue(one, command="trace"))
        self.assertIn(f"127.0.0.1:{self.dead}", self.queue("u@one.example", command="explain"))


if __name__ == "__main__":
    serve_test.MTA = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
