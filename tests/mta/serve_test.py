#!/usr/bin/env python3
"""mta serve as its clients see it: a real process on ephemeral loopback ports, raw sockets, smtplib, swaks and curl.

usage: serve_test.py MTA [unittest arguments]
"""
import base64
import datetime
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

MTA = None
HOST = "mail.example.test"


def make_certificate(directory):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{directory}/key.pem", "-out", f"{directory}/cert.pem"],
        check=True, capture_output=True)


class Server:
    """One mta serve in a directory of its own."""

    def __init__(self, extra="", command=("serve",)):
        self.directory = tempfile.mkdtemp(prefix="relais-mta-")
        d = self.directory
        make_certificate(d)
        with open(f"{d}/users", "w") as f:
            f.write("ann:{PLAIN}secret::::::\nbob:{PLAIN}hidden::::::\n")
        with open(f"{d}/aliases", "w") as f:
            f.write("postmaster: ann\nstaff: ann, bob\nfriends: ann, out@elsewhere.example\nannie: ann\n")
        os.chmod(f"{d}/users", 0o600)
        self.config = f"{d}/relais.toml"
        sections = {"smtp": 'listen = ["127.0.0.1:0"]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\n'}
        user = "nobody" if os.geteuid() == 0 else ""
        text = f"""
[run]
user = "{user}"
[host]
name = "{HOST}"
domains = ["example.test"]
[log]
target = "file:{d}/log"
[[tls.certificates]]
certificate = "{d}/cert.pem"
key = "{d}/key.pem"
[tls]
ca_file = "{d}/cert.pem"
[spool]
directory = "{d}/spool"
[mail]
root = "{d}/mail/%d/%n"
[users]
passwd_file = "{d}/users"
aliases_file = "{d}/aliases"
[smtp]
{sections['smtp']}"""
        with open(self.config, "w") as f:
            f.write(text)
        with open(f"{d}/extra.toml", "w") as f:
            f.write(extra)
        if user:
            for name in [d] + [os.path.join(d, file) for file in os.listdir(d)]:
                shutil.chown(name, user)
        self.arguments = [MTA, *command, "-c", self.config, "--overlay", f"{d}/extra.toml"]
        self.process = None

    def start(self):
        earlier = len(self.log())
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL)
        for _ in range(500):
            found = re.findall(r"event=ready .*?listen=\"?([^\"\n]*)", self.log()[earlier:])
            found = [addresses for addresses in found if addresses.strip()]  # relay is ready too, and listens nowhere
            if found:
                self.ports = [int(address.rsplit(":", 1)[1]) for address in found[-1].split()]
                self.smtp, self.submission, self.submissions = self.ports[:3]
                return self
            if self.process.poll() is not None:
                raise RuntimeError(f"mta ended with {self.process.returncode}: {self.log()}")
            time.sleep(0.01)
        raise RuntimeError("mta is not ready: " + self.log())

    def log(self):
        try:
            with open(f"{self.directory}/log", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def box(self, name):
        """All messages of a box, as text with the envelope."""
        end = time.monotonic() + 10  # a message has its name a moment after its 250
        while any(file.startswith("serve.") for file in os.listdir(f"{self.directory}/spool/tmp")) and time.monotonic() < end:
            time.sleep(0.005)
        folder = f"{self.directory}/spool/{name}"
        messages = []
        for root, _, files in os.walk(folder):
            for file in sorted(files):
                if not file.endswith(".log"):
                    with open(os.path.join(root, file), "rb") as f:
                        messages.append(f.read())
        return messages

    def stop(self):
        code = 0
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)
        return code


class Talk:
    """A hand-typed conversation."""

    def __init__(self, port, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        if tls:
            self.start_tls()
        self.file = self.socket.makefile("rb")

    def start_tls(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def reply(self):
        lines = []
        while True:
            line = self.file.readline().decode()
            if not line:
                return "".join(lines) + "<closed>"
            lines.append(line.rstrip("\r\n"))
            if len(line) < 4 or line[3] != "-":
                return "\n".join(lines)

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def say(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def transaction(self, sender, recipients, message="Subject: x\r\n\r\nhello\r\n"):
        replies = [self.say(f"MAIL FROM:<{sender}>")] + [self.say(f"RCPT TO:<{r}>") for r in recipients]
        replies.append(self.say("DATA"))
        if replies[-1].startswith("354"):
            self.send(message + ".\r\n")
            replies.append(self.reply())
        return replies

    def close(self):
        self.socket.close()


class ServeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        assert code == 0, f"mta ended with {code}"

    def talk(self, port=None, hello=True, **options):
        talk = Talk(port or self.server.smtp, **options)
        self.addCleanup(talk.close)
        self.assertRegex(talk.reply(), f"^220 {HOST} ESMTP")
        if hello:
            self.assertRegex(talk.say("EHLO client.example"), "^250-")
        return talk

    def new_message(self, box, before):
        for _ in range(300):
            now = self.server.box(box)
            if len(now) > len(before):
                return [m for m in now if m not in before][0].decode()
            time.sleep(0.01)
        self.fail(f"nothing new in {box}: {self.server.log()}")

    def test_local_mail_is_born_in_local(self):
        before = self.server.box("local")
        talk = self.talk()
        replies = talk.transaction("joe@client.example", ["ann@example.test", "bob+lists@EXAMPLE.test"], "From: joe@client.example\r\n\r\n..x\r\n")
        self.assertRegex(replies[-1], "^250 2.0.0 OK queued as [0-9A-Z]{16}$")
        text = self.new_message("local", before)
        self.assertIn("Received: from client.example ([127.0.0.1])\r\n\tby " + HOST + " (Relais) with ESMTP id ", text)
        self.assertNotIn("\tfor <", text)
        self.assertTrue(text.endswith("From: joe@client.example\r\n\r\n.x\r\n"), text)
        self.assertIn("ann@example.test", text)
        self.assertIn("DETAIL=lists", text)
        self.assertIn("id=" + replies[-1].split()[-1], self.server.log())

    def test_no_open_relay(self):
        talk = self.talk()
        talk.say("MAIL FROM:<joe@client.example>")
        for path in ("<v@elsewhere.example>", "<@example.test:v@elsewhere.example>", "<v%elsewhere.example@example.test>", "<elsewhere.example!v@example.test>",
                     '<"v@elsewhere.example"@example.test>', "<v@[192.0.2.1]>", "<v@elsewhere.example.>", "<v@>", "<v>"):
            self.assertRegex(talk.say("RCPT TO:" + path), "^5", path)
            if talk.say("NOOP").startswith("421"):
                break
        self.assertRegex(self.talk().transaction("", ["nobody@example.test"])[1], "^550 5.1.1 ")

    def test_alias_splits_into_local_and_queue(self):
        before = self.server.box("queue")
        local = self.server.box("local")
        self.assertRegex(self.talk().transaction("joe@client.example", ["friends@example.test", "ann@example.test"])[-1], "^250")
        self.assertIn("out@elsewhere.example", self.new_message("queue", before))
        self.assertIn("ann@example.test", self.new_message("local", local))

    def test_telnet_course(self):
        talk = self.talk(hello=False)
        self.assertEqual(talk.say("HELO moi"), "250 " + HOST)
        self.assertRegex(talk.say("MAIL FROM: joe@client.example"), "^250")
        self.assertRegex(talk.say("RCPT TO: ann@example.test"), "^250")
        self.assertRegex(talk.say("DATA"), "^354")
        self.assertRegex(talk.say("bonjour\r\n."), "^250")
        self.assertRegex(talk.say("VRFY ann"), "^252")
        self.assertRegex(talk.say("EXPN staff"), "^502")
        self.assertRegex(talk.say("HELP"), "^214")
        self.assertRegex(talk.say("QUIT"), "^221")
        self.assertEqual(talk.reply(), "<closed>")

    def test_smuggling(self):
        talk = self.talk()
        replies = talk.transaction("joe@client.example", ["ann@example.test"], "a\r\n\n.\r\nMAIL FROM:<evil@example.test>\r\n")
        self.assertRegex(replies[-1], "^550 5.6.11")
        self.assertRegex(talk.say("NOOP"), "^250")

    def test_submission_needs_auth_and_adds_fields(self):
        before = self.server.box("queue")
        talk = self.talk(self.server.submission)
        self.assertRegex(talk.say("MAIL FROM:<ann@example.test>"), "^530 5.7.0")
        self.assertRegex(talk.say("AUTH PLAIN AGFubgBzZWNyZXQ="), "^538 5.7.11")
        self.assertRegex(talk.say("STARTTLS"), "^220")
        talk.start_tls()
        self.assertRegex(talk.say("EHLO 127.0.0.1"), "AUTH .*PLAIN")
        self.assertRegex(talk.say("AUTH PLAIN AGFubgB3cm9uZw=="), "^535 5.7.8")
        self.assertRegex(talk.say("AUTH PLAIN AGFubgBzZWNyZXQ="), "^235")
        # The latest date that is announced is the latest that is taken.
        announced = re.search(r"FUTURERELEASE 604800 (\S+)", talk.say("EHLO 127.0.0.1")).group(1)
        latest = datetime.datetime.fromisoformat(announced.replace("Z", "+00:00"))
        self.assertAlmostEqual((latest - datetime.datetime.now(datetime.timezone.utc)).total_seconds(), 604800, delta=60)
        self.assertRegex(talk.say(f"MAIL FROM:<ann@example.test> HOLDUNTIL={announced}"), "^250")
        talk.say("RSET")
        self.assertRegex(talk.say(f"MAIL FROM:<ann@example.test> HOLDUNTIL={latest.year + 1}-01-01T00:00:00Z"), "^501 5.5.4 HOLDUNTIL is too far")
        self.assertRegex(talk.say("MAIL FROM:<bob@example.test>"), "^553 5.7.1")
        self.assertRegex(talk.transaction("ann@example.test", ["out@elsewhere.example"], "From: bob@example.test\r\n\r\n")[-1], "^550 5.7.1")
        self.assertRegex(talk.transaction("ann+list@example.test", ["out@elsewhere.example"], "From: Annie <annie@example.test>\r\n\r\nx\r\n")[-1], "^250")
        text = self.new_message("queue", before)
        self.assertIn(" with ESMTPSA id ", text)
        self.assertIn("\r\n\tfor <out@elsewhere.example>;", text)
        self.assertRegex(text, r"\r\nDate: \w+, ")
        self.assertRegex(text, r"\r\nMessage-ID: <[^>]+@" + HOST + ">")
        self.assertRegex(self.server.log(), r"event=login_failed .*address=127\.0\.0\.1")

    def test_scram_by_curl_and_plain_by_swaks(self):
        if shutil.which("curl"):
            done = subprocess.run(["curl", "-sS", "-k", "--url", f"smtps://localhost:{self.server.submissions}", "--user", "bob:hidden", "--mail-from",
                                   "bob@example.test", "--mail-rcpt", "ann@example.test", "-T", "-"], input=b"From: bob@example.test\r\n\r\nhi\r\n", capture_output=True)
            self.assertEqual(done.returncode, 0, done.stderr)
        if shutil.which("swaks"):
            for mechanism in ("PLAIN", "LOGIN"):
                done = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(self.server.submission), "-tls", "--auth", mechanism, "--auth-user",
                                       "bob", "--auth-password", "hidden", "--from", "bob@example.test", "--to", "ann@example.test,bob@example.test"],
                                      capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout)

    def test_smtplib(self):
        context = ssl.create_default_context(cafile=f"{self.server.directory}/cert.pem")
        with smtplib.SMTP("localhost", self.server.submission) as client:
            client.starttls(context=context)
            client.login("ann", "secret")
            client.sendmail("ann@example.test", ["bob@example.test"], "From: ann@example.test\r\nSubject: é\r\n\r\nJosé\r\n".encode(), ["BODY=8BITMIME", "SMTPUTF8"])
        with smtplib.SMTP("127.0.0.1", self.server.smtp) as client:
            with self.assertRaises(smtplib.SMTPRecipientsRefused):
                client.sendmail("x@y.example", ["nobody@example.test"], "x")

    def test_bdat_and_pipelining(self):
        talk = self.talk()
        talk.send("MAIL FROM:<> SIZE=7\r\nRCPT TO:<ann@example.test>\r\nBDAT 4\r\na: bBDAT 3 LAST\r\n\r\n\nNOOP\r\n")
        self.assertRegex(talk.reply(), "^250")
        self.assertRegex(talk.reply(), "^250")
        self.assertRegex(talk.reply(), "^250")
        self.assertRegex(talk.reply(), "^550 5.6.11")
        self.assertRegex(talk.reply(), "^250")
        talk.send("MAIL FROM:<>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n")
        self.assertRegex(talk.reply() + talk.reply() + talk.reply(), "^250.*250.*354")
        talk.send("one\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.test>\r\nBDAT 5 LAST\r\ntwo\r\nQUIT\r\n")
        for expected in ("250 2.0.0 OK queued", "250", "250", "250 2.0.0 OK queued", "221"):
            self.assertTrue(talk.reply().startswith(expected))

    def test_loop_and_large_header(self):
        talk = self.talk()
        loop = "Received: from a by b; Sun, 22 Nov 2026 03:04:05 +0000\r\n" * 60
        self.assertRegex(talk.transaction("", ["ann@example.test"], loop + "\r\nx\r\n")[-1], "^554 5.4.6")
        self.assertRegex(talk.transaction("", ["ann@example.test"], "X: y\r\n" * 200000 + "\r\n")[-1], "^552 5.3.4")
        self.assertRegex(talk.transaction("", ["ann@example.test"])[-1], "^250")

    def test_large_message(self):
        before = self.server.box("local")
        message = "Subject: large\r\n\r\n" + ("x" * 70 + "\r\n") * 50000
        self.assertRegex(self.talk().transaction("joe@client.example", ["ann@example.test"], message)[-1], "^250")
        self.assertTrue(self.new_message("local", before).endswith(message))

    def test_eight_bit_is_noticed_for_the_queue(self):
        before = self.server.box("queue")
        self.talk().transaction("joe@client.example", ["friends@example.test"], "Subject: x\r\n\r\nJosé\r\n")
        self.assertRegex(self.new_message("queue", before), "(?i)8bit")

    def test_tls_required_no_is_noted_for_the_queue(self):
        for field, noted in (("TLS-Required: No", True), ("tls-required:\r\n no", True), ("TLS-Required: Yes", False), ("Subject: TLS-Required: No", False)):
            before = self.server.box("queue")
            self.assertRegex(self.talk().transaction("joe@client.example", ["friends@example.test"], field + "\r\n\r\nhello\r\n")[-1], "^250")
            self.assertEqual("TLS-OPTIONAL" in self.new_message("queue", before).split("\n\n")[0], noted, field)


class SettingsTest(unittest.TestCase):
    def server(self, extra, **options):
        server = Server(extra, **options)
        self.addCleanup(server.stop)
        return server.start()

    def test_trusted_network_may_relay(self):
        server = self.server('[smtp]\nrelay_networks = ["127.0.0.0/8"]\n')
        talk = Talk(server.smtp)
        talk.reply()
        talk.say("HELO x")
        self.assertRegex(talk.transaction("a@b.example", ["out@elsewhere.example"])[-1], "^250")
        self.assertEqual(len(server.box("queue")), 1)

    def test_verify_and_expand(self):
        server = self.server("[smtp]\nverify = true\nexpand = true\n")
        talk = Talk(server.smtp)
        talk.reply()
        self.assertEqual(talk.say("VRFY ann"), "250 2.1.5 <ann@example.test>")
        self.assertRegex(talk.say("VRFY nobody"), "^550 5.1.1")
        self.assertEqual(talk.say("EXPN staff"), "250-2.1.5 <ann@example.test>\n250 2.1.5 <bob@example.test>")
        self.assertRegex(talk.say("EXPN ann"), "^550")

    def test_no_room_is_temporary(self):
        server = self.server('[spool]\nfree_octets = "1000000GB"\n')
        talk = Talk(server.smtp)
        talk.reply()
        talk.say("HELO x")
        self.assertRegex(talk.say("MAIL FROM:<>"), "^452 4.3.1")

    def test_greeting_delay_refuses_early_talkers(self):
        server = self.server('[smtp]\ngreeting_delay = "1s"\n')
        talk = Talk(server.smtp)
        talk.send("HELO x\r\n")
        self.assertRegex(talk.reply(), "^554 5.5.1")
        patient = Talk(server.smtp)
        self.assertRegex(patient.reply(), "^220")

    def test_command_timeout(self):
        server = self.server('[smtp]\ncommand_timeout = "1s"\n')
        talk = Talk(server.smtp)
        talk.reply()
        self.assertEqual(talk.reply(), "421 4.4.2 Timeout")
        self.assertEqual(talk.reply(), "<closed>")

    def test_sigterm_says_421(self):
        server = self.server("")
        talk = Talk(server.smtp)
        talk.reply()
        server.process.send_signal(signal.SIGTERM)
        self.assertRegex(talk.reply(), "^421 4.3.2")
        self.assertEqual(server.process.wait(10), 0)

    def test_kill_9_loses_nothing(self):
        server = self.server("")
        talk = Talk(server.smtp)
        talk.reply()
        talk.say("HELO x")
        ids = {talk.transaction("a@b.example", ["ann@example.test"])[-1].split()[-1] for _ in range(20)}
        server.process.kill()
        server.process.wait()
        server.start()
        self.assertEqual(len(ids), 20)
        names = {name[:16] for _, _, files in os.walk(f"{server.directory}/spool/local") for name in files}
        self.assertEqual(ids, names)

    def test_inetd(self):
        server = Server()
        self.addCleanup(server.stop)
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(server.arguments + ["--inetd"], stdin=theirs, stdout=theirs)
        theirs.close()
        talk = Talk.__new__(Talk)
        talk.socket = ours
        talk.file = ours.makefile("rb")
        self.assertRegex(talk.reply(), "^220")
        talk.say("HELO x")
        self.assertRegex(talk.transaction("a@b.example", ["ann@example.test"])[-1], "^250")
        self.assertRegex(talk.say("QUIT"), "^221")
        ours.close()
        self.assertEqual(process.wait(10), 0)
        self.assertEqual(len(server.box("local")), 1)

    def test_alone_it_runs_both_and_restarts_what_dies(self):
        server = self.server("", command=())
        children = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True).stdout.split()
        self.assertEqual(len(children), 2)
        for _ in range(500):
            if "children=2" in server.log():
                break
            time.sleep(0.02)
        self.assertIn("children=2", server.log())
        victim = [c for c in children if b"serve" in open(f"/proc/{c}/cmdline", "rb").read()][0]
        os.kill(int(victim), signal.SIGKILL)
        for _ in range(500):
            if server.log().count("event=ready") >= 4:
                break
            time.sleep(0.02)
        self.assertIn("event=child_ended child=serve exit=-1 signal=9", server.log())
        after = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True).stdout.split()
        self.assertEqual(len(after), 2)
        self.assertNotIn(victim, after)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(15), 0)
        self.assertEqual([c for c in after if os.path.exists(f"/proc/{c}")], [])

    def test_alone_with_a_wrong_setting_it_ends(self):
        server = Server('[spool]\ndirectory = "/proc/none"\n', command=())
        self.addCleanup(server.stop)
        done = subprocess.run(server.arguments, stdin=subprocess.DEVNULL, timeout=20)
        self.assertIn(done.returncode, (73, 77, 78))

    def test_wrong_configuration_is_named(self):
        server = Server("[smtp]\nlistn = []\n")
        self.addCleanup(server.stop)
        done = subprocess.run([MTA, "--check", *server.arguments[2:]], capture_output=True, text=True)
        self.assertEqual(done.returncode, 78)
        self.assertIn("extra.toml:2", done.stderr)


if __name__ == "__main__":
    MTA = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
