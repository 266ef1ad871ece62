#!/usr/bin/env python3
"""mda as other programs see it: pipes with exit codes, LMTP on standard input and sockets, the daemon killed at any time.

usage: mda_test.py MDA [unittest arguments]
"""
import glob
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

MDA = None
USER = "nobody" if os.geteuid() == 0 else ""


class Site:
    def __init__(self, extra="", listen='["127.0.0.1:0"]'):
        self.directory = d = tempfile.mkdtemp(prefix="relais-mda-")
        with open(f"{d}/users", "w") as f:
            f.write(f"ann:{{PLAIN}}x::::{d}/home\nbob:{{PLAIN}}x\nsmall:{{PLAIN}}x::::::userdb_quota_rule=*:bytes=2000\n")
        with open(f"{d}/aliases", "w") as f:
            f.write("staff: ann, bob\nfar: someone@elsewhere.example\n")
        os.mkdir(f"{d}/home")
        os.mkdir(f"{d}/mail")
        self.config = f"{d}/relais.toml"
        with open(self.config, "w") as f:
            f.write(f"""
[run]
user = "{USER}"
[host]
name = "mx.example.test"
domains = ["example.test"]
[log]
target = "file:{d}/log"
[spool]
directory = "{d}/spool"
[mail]
root = "{d}/mail/%n"
[users]
passwd_file = "{d}/users"
aliases_file = "{d}/aliases"
[lmtp]
listen = {listen}
{extra}
""".replace("DIR", d))
        if USER:
            for name in [d] + glob.glob(d + "/*"):
                shutil.chown(name, USER, "nogroup")
        os.chmod(d, 0o755)
        self.process = None

    def log(self):
        try:
            return pathlib.Path(f"{self.directory}/log").read_text()
        except FileNotFoundError:
            return ""

    def pipe(self, *arguments, message=b"Subject: x\n\nbody\n"):
        done = subprocess.run([MDA, "-c", self.config, *arguments], input=message, capture_output=True, timeout=30)
        return done.returncode, done.stderr.decode()

    def start(self, *arguments):
        before = self.log().count("event=ready")
        self.process = subprocess.Popen([MDA, "-c", self.config, *(arguments or ("--daemon",))], stdin=subprocess.DEVNULL)
        for _ in range(1000):
            ready = re.findall(r'event=ready .*?listen="?([^"\n]*)', self.log())
            if len(ready) > before:
                self.ports = [int(word.rsplit(":", 1)[1]) for word in ready[-1].split() if not word.startswith("unix:")]
                return self
            if self.process.poll() is not None:
                raise RuntimeError(f"mda ended with {self.process.returncode}: {self.log()}")
            time.sleep(0.01)
        raise RuntimeError("not ready: " + self.log())

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            return self.process.wait(20)
        return None

    def messages(self, user, folder=""):
        base = os.path.join(self.directory, "mail", user, folder)
        return [pathlib.Path(path).read_bytes().decode() for path in sorted(glob.glob(base + "/new/*") + glob.glob(base + "/cur/*"))]

    def wait(self, user, count):
        for _ in range(1000):
            if len(self.messages(user)) >= count:
                break
            time.sleep(0.01)
        return self.messages(user)

    def close(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.directory)


class Base(unittest.TestCase):
    def site(self, *arguments, **named):
        site = Site(*arguments, **named)
        self.addCleanup(site.close)
        return site


class Pipe(Base):
    def test_exit_codes(self):
        site = self.site("[mda]\nquota_full_bounces = false\n")
        self.assertEqual(site.pipe("-d", "ann", "-f", "s@example.net", "-a", "x"), (0, ""))
        code, text = site.pipe("-d", "nobody-here")
        self.assertEqual(code, 67)
        self.assertIn("5.1.1", text)
        self.assertEqual(site.pipe("-d", "small", message=b"Subject: x\n\n" + b"x" * 3000)[0], 75)
        self.assertEqual(site.pipe("--no-such-option")[0], 64)
        os.rename(f"{site.directory}/users", f"{site.directory}/users.away")
        self.assertEqual(site.pipe("-d", "ann")[0], 75)
        with open(site.config, "a") as f:
            f.write("[nonsense]\n")
        self.assertEqual(site.pipe("-d", "ann")[0], 75)
        self.assertEqual(site.messages("ann"), ["Return-Path: <s@example.net>\nDelivered-To: ann@example.test\nSubject: x\n\nbody\n"])

    def test_as_postfix_calls_it(self):
        # Postfix puts these in front; our own Delivered-To among them is no loop.
        site = self.site()
        message = b"From s@example.net  Sun Nov 22 04:00:00 2026\nReturn-Path: <s@example.net>\nX-Original-To: ann@example.test\nDelivered-To: ann@example.test\nReceived: by mx\nSubject: x\n\n>From here\nFrom there\n"
        self.assertEqual(site.pipe("-d", "ann", "-f", "s@example.net", message=message)[0], 0)
        self.assertEqual(site.messages("ann")[0], "Return-Path: <s@example.net>\nDelivered-To: ann@example.test\nX-Original-To: ann@example.test\nDelivered-To: ann@example.test\nReceived: by mx\nSubject: x\n\n>From here\nFrom there\n")

    def test_mailbox_and_id(self):
        site = self.site()
        for _ in range(2):
            self.assertEqual(site.pipe("-d", "ann", "-m", "Lists", "--id", "abc-1")[0], 0)
        self.assertEqual(len(site.messages("ann", ".Lists")), 1)

    def test_hostile_arguments(self):
        site = self.site()
        self.assertEqual(site.pipe("-d", "../../etc/passwd")[0], 67)
        self.assertEqual(site.pipe("-d", "ann", "-f", "a@b>\nX-Injected: y")[0], 0)
        self.assertEqual(site.pipe("-d", "ann", "-m", "../../../tmp/x")[0], 0)
        self.assertEqual(len(site.messages("ann")), 2)
        self.assertNotIn("\nX-Injected", "".join(site.messages("ann")))
        self.assertFalse(os.path.exists("/tmp/x"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_root_becomes_the_user(self):
        site = self.site()
        with open(f"{site.directory}/users", "a") as f:
            f.write(f"daemon:{{PLAIN}}x:1:1::{site.directory}/daemon::userdb_mail=maildir:~/Maildir\n")
        os.mkdir(f"{site.directory}/daemon")
        os.chown(f"{site.directory}/daemon", 1, 1)
        self.assertEqual(site.pipe("-d", "daemon"), (0, ""))
        (path,) = glob.glob(f"{site.directory}/daemon/Maildir/new/*")
        self.assertEqual(os.stat(path).st_uid, 1)


class Lmtp(Base):
    def test_on_standard_input(self):
        site = self.site()
        ours, theirs = socket.socketpair()
        with ours, subprocess.Popen([MDA, "-c", site.config, "--lmtp"], stdin=theirs, stdout=theirs) as process:
            theirs.close()
            ours.sendall(b"LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<ann+x@example.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<a%b@example.test>\r\nRCPT TO:<small@example.test>\r\nDATA\r\n"
                         b"Subject: x\r\n\r\n..dot\r\n" + b"x" * 900 + b"\r\n" + b"y" * 900 + b"\r\n" + b"z" * 900 + b"\r\n.\r\nQUIT\r\n")
            text = b""
            while chunk := ours.recv(4096):
                text += chunk
            process.wait(10)
        replies = [line for line in text.decode().split("\r\n") if line[3:4] == " "]
        self.assertEqual([line[:9] for line in replies],
                         ["220 mx.ex", "250 SMTPU", "250 2.1.0", "250 2.1.5", "550 5.1.1", "550 5.7.1", "250 2.1.5", "354 End t", "250 2.0.0", "450 4.2.2", "221 2.0.0"])
        self.assertIn("Return-Path: <>\nDelivered-To: ann+x@example.test\nReceived: from me", site.messages("ann")[0])
        self.assertIn("\n\n.dot\n", site.messages("ann")[0])

    def test_sockets_and_aliases(self):
        site = self.site(listen='["127.0.0.1:0", "unix:DIR/lmtp"]').start()
        for host, port in (("127.0.0.1", site.ports[0]), (f"{site.directory}/lmtp", 0)):
            client = smtplib.LMTP(host, port)  # knows of one reply to the dot only: not used any more after it
            self.addCleanup(client.close)
            with self.assertRaises(smtplib.SMTPRecipientsRefused) as refused:
                client.sendmail("s@example.net", ["x@elsewhere.example"], "x")
            self.assertEqual(refused.exception.recipients["x@elsewhere.example"][0], 550)
            self.assertEqual(client.sendmail("s@example.net", ["staff@example.test", "far@example.test"], "Subject: x\r\n\r\nbody\r\n"), {})
        self.assertEqual(len(site.wait("ann", 2)), 2)
        self.assertEqual(len(site.wait("bob", 2)), 2)
        # One file, two names.
        inodes = [os.stat(path).st_nlink for path in glob.glob(f"{site.directory}/mail/*/new/*")]
        self.assertEqual(inodes, [2, 2, 2, 2])
        self.assertEqual(site.stop(), 0)
        self.assertEqual(len(glob.glob(f"{site.directory}/spool/queue/*")), 2)

    def test_what_an_alias_sends_on_may_go_without_tls(self):
        site = self.site().start()
        with smtplib.LMTP("127.0.0.1", site.ports[0]) as client:
            self.assertEqual(client.sendmail("s@example.net", ["far@example.test"], "Subject: x\r\nTLS-Required: no\r\n\r\nbody\r\n"), {})
        with smtplib.LMTP("127.0.0.1", site.ports[0]) as client:
            self.assertEqual(client.sendmail("s@example.net", ["far@example.test"], "Subject: y\r\n\r\nTLS-Required: no\r\n"), {})
        self.assertEqual(site.stop(), 0)
        tagged = {}
        for path in glob.glob(f"{site.directory}/spool/queue/*"):
            text = pathlib.Path(path).read_text()
            tagged[re.search(r"^Subject: (.)", text, re.M)[1]] = " TLS-OPTIONAL" in text.split("\n\n")[0]
        self.assertEqual(tagged, {"x": True, "y": False})

    def test_every_acknowledged_message_survives_kill_9(self):
        site = self.site().start()
        acknowledged, stop = [], threading.Event()

        def load(worker):
            number = 0
            while not stop.is_set():
                number += 1
                name = f"w{worker}n{number}"
                try:
                    with smtplib.LMTP("127.0.0.1", site.ports[0], timeout=5) as client:
                        if client.sendmail("s@example.net", ["ann@example.test", "bob@example.test"], f"Subject: {name}\r\n\r\nbody\r\n") == {}:
                            acknowledged.append(name)
                except (OSError, smtplib.SMTPException):
                    time.sleep(0.02)

        threads = [threading.Thread(target=load, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(6):
            time.sleep(0.25)
            site.stop(signal.SIGKILL)
            site.start()
        stop.set()
        for thread in threads:
            thread.join()
        self.assertGreater(len(acknowledged), 5)
        for _ in range(1000):
            if set(acknowledged) <= set(re.findall(r"^Subject: (\S+)$", "\n".join(site.messages("ann") + site.messages("bob")), re.M)) and not os.listdir(
                    f"{site.directory}/spool/local"):
                break
            time.sleep(0.01)
        for user in ("ann", "bob"):
            found = re.findall(r"^Subject: (\S+)$", "\n".join(site.messages(user)), re.M)
            self.assertEqual(set(acknowledged) - set(found), set())
            self.assertEqual(len(found), len(set(found)), "a message was delivered twice")


class Daemon(Base):
    def test_starts_and_failures(self):
        site = self.site(listen="[]")
        site.start()
        second = subprocess.run([MDA, "-c", site.config, "--daemon"], capture_output=True, timeout=20)
        self.assertNotEqual(second.returncode, 0)
        self.assertEqual(site.stop(), 0)
        with open(site.config, "a") as f:
            f.write("[nonsense]\n")
        failed = subprocess.run([MDA, "-c", site.config, "--daemon"], capture_output=True, timeout=20)
        self.assertEqual(failed.returncode, 78)
        self.assertIn(b"nonsense", failed.stderr)

    def test_once(self):
        site = self.site()
        self.assertEqual(subprocess.run([MDA, "-c", site.config, "--once"], timeout=20).returncode, 0)


    def dropped(self, site):
        """What was sent on: the text of each file in spool/drop."""
        return [pathlib.Path(path).read_bytes().decode() for path in glob.glob(f"{site.directory}/spool/drop/*")]

    def test_what_is_sent_on_keeps_its_parameters(self):
        """A .forward, from a pipe and from a delivery that runs as its user (mda.change_user)."""
        site = self.site(extra="[mda]\nchange_user = true\nforward_files = true\n")
        account = pwd.getpwnam(USER) if USER else pwd.getpwuid(os.geteuid())
        home = f"{site.directory}/home"
        with open(f"{site.directory}/users", "a") as f:
            f.write(f"carl:{{PLAIN}}x:{account.pw_uid}:{account.pw_gid}::{home}\n")
        with open(f"{home}/.forward", "w") as f:
            f.write("carl@elsewhere.example\n")
        os.chmod(f"{home}/.forward", 0o644)
        shutil.chown(f"{home}/.forward", account.pw_uid)
        site.start()
        self.assertEqual(site.pipe("-d", "carl", "-f", "a@b.example", "--requiretls", "--smtputf8")[1], "")
        [envelope] = self.dropped(site)
        self.assertRegex(envelope, r"\nfrom <?a@b\.example>?.* SMTPUTF8.* REQUIRETLS")
        with smtplib.LMTP("127.0.0.1", site.ports[0], timeout=20) as lmtp:
            lmtp.sendmail("c@d.example", ["carl@example.test"], "Subject: x\r\n\r\nx\r\n", ["SMTPUTF8"])
        for _ in range(1000):
            found = [text for text in self.dropped(site) if "c@d.example" in text]
            if found:
                break
            time.sleep(0.01)
        self.assertRegex(found[0], r"\nfrom <?c@d\.example>?.* SMTPUTF8")
        self.assertNotIn("REQUIRETLS", found[0])


class Mailbox(Base):
    def command(self, site, *arguments):
        done = subprocess.run([MDA, "-c", site.config, "mailbox", *arguments], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def source(self, site, name, text):
        path = f"{site.directory}/{name}"
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def subjects(self, site, user, folder=""):
        return sorted(re.findall(r"^Subject: (.*)$", "\n".join(site.messages(user, folder)), re.M))

    def mbox(self, count, padding=0):
        return "".join(f"From a@example.net Fri Nov 21 09:55:06 1997\nStatus: RO\nSubject: m{i:04}\n\n>From x\n{'y' * padding}\n\n" for i in range(count))

    def test_import_and_export(self):
        site = self.site()
        mbox = self.source(site, "mbox", self.mbox(20, 100))
        self.assertEqual(self.command(site, "import", "-d", "ann", mbox), (0, "imported 20 messages\n"))
        self.assertEqual(self.command(site, "import", "-d", "ann", mbox), (0, "imported 0 messages, 20 were there already\n"))
        out = f"{site.directory}/home/out"
        self.assertEqual(self.command(site, "export", "-d", "ann", out), (0, "exported 20 messages\n"))
        self.assertEqual(self.command(site, "import", "-d", "bob", "-m", "Back", out)[0], 0)
        self.assertEqual(self.subjects(site, "bob", ".Back"), self.subjects(site, "ann"))
        self.assertEqual(self.command(site, "export", "--format", "maildir", "-d", "ann", f"{site.directory}/home/md"), (0, "exported 20 messages\n"))
        self.assertTrue(all(":2,S" in name for name in os.listdir(f"{site.directory}/home/md/cur")))
        # A whole account, with its folders and subscriptions.
        account = f"{site.directory}/mail/bob"
        with open(account + "/subscriptions", "w") as f:
            f.write("V\t2\n\nBack\n")
        self.assertEqual(self.command(site, "import", "-d", "small", account)[0], 75)  # more than its quota
        self.assertEqual([name for _, _, names in os.walk(f"{site.directory}/mail/small") for name in names if "relais-import" in name], [])
        self.assertEqual(self.command(site, "import", "-d", "ann", account)[0], 0)
        self.assertEqual(self.subjects(site, "ann", ".Back"), self.subjects(site, "ann"))
        self.assertIn("Back", pathlib.Path(f"{site.directory}/mail/ann/subscriptions").read_text())
        self.assertEqual(self.command(site, "check", "-d", "ann"), (0, "INBOX: 20 messages, 0 problems\nBack: 20 messages, 0 problems\n"))
        # The UIDs came along; the next run has nothing to do.
        lists = [pathlib.Path(f"{site.directory}/mail/{user}/.Back/dovecot-uidlist").read_text().split("\n") for user in ("bob", "ann")]
        self.assertEqual(lists[0][0].split()[1], lists[1][0].split()[1])  # UIDVALIDITY
        self.assertEqual(lists[0][1:], lists[1][1:])
        self.assertEqual(self.command(site, "import", "-d", "ann", account), (0, "imported 0 messages, 20 were there already\n"))
        os.makedirs(f"{site.directory}/home/dbox/mailboxes/INBOX/dbox-Mails")
        code, text = self.command(site, "import", "-d", "ann", f"{site.directory}/home/dbox")
        self.assertEqual(code, 65)
        self.assertIn("doveadm backup", text)

    def test_mistakes(self):
        site = self.site()
        self.assertEqual(self.command(site)[0], 64)
        self.assertEqual(self.command(site, "import", "-d", "ann")[0], 64)
        self.assertEqual(self.command(site, "import", "--format", "tar", "-d", "ann", "x")[0], 64)
        code, text = self.command(site, "import", "-d", "nobody-here", "x")
        self.assertEqual(code, 67)
        self.assertIn("--user", text)
        code, text = self.command(site, "import", "-d", "ann", f"{site.directory}/missing")
        self.assertEqual(code, 69)
        self.assertIn("missing", text)
        code, text = self.command(site, "import", "-d", "ann", self.source(site, "text", "Subject: x\n\nno mbox\n"))
        self.assertEqual(code, 65)
        self.assertIn("From_", text)
        self.assertEqual(self.command(site, "check", "-d", "ann", "No.Such")[0], 69)
        self.assertEqual(site.messages("ann"), [])

    def test_check_and_repair(self):
        site = self.site()
        self.command(site, "import", "-d", "ann", self.source(site, "mbox", self.mbox(5)))
        self.assertEqual(self.command(site, "reindex", "-d", "ann"), (0, "INBOX: 5 messages\n"))
        with open(glob.glob(f"{site.directory}/mail/ann/cur/*")[0], "a") as f:
            f.write("more\n")
        code, text = self.command(site, "check", "-d", "ann", "INBOX")
        self.assertEqual(code, 1)
        self.assertIn("size differs", text)
        self.assertEqual(self.command(site, "repair", "-d", "ann")[0], 0)
        self.assertEqual(self.command(site, "check", "-d", "ann")[0], 0)
        self.assertEqual(len(site.messages("ann")), 5)

    def test_killed_import(self):
        """Killed at any time, an import that is started again brings each message once."""
        site = self.site()
        mbox = self.source(site, "mbox", self.mbox(600, 2000))
        expected = [f"m{i:04}" for i in range(600)]
        kills = 0
        for round in range(12):
            process = subprocess.Popen([MDA, "-c", site.config, "mailbox", "import", "-d", "ann", mbox], stdout=subprocess.DEVNULL)
            time.sleep(0.03 + 0.02 * round)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if round % 4 else signal.SIGTERM)
                kills += 1
            self.assertIn(process.wait(20), (0, 75, -signal.SIGTERM, -signal.SIGKILL))
            found = self.subjects(site, "ann")
            self.assertEqual(len(found), len(set(found)), "a message came twice")
        self.assertGreater(kills, 0)
        self.assertEqual(self.command(site, "import", "-d", "ann", mbox)[0], 0)
        self.assertEqual(self.subjects(site, "ann"), expected)
        self.assertEqual(self.command(site, "check", "-d", "ann"), (0, "INBOX: 600 messages, 0 problems\n"))

    def test_killed_export(self):
        site = self.site()
        self.command(site, "import", "-d", "ann", self.source(site, "mbox", self.mbox(200, 2000)))
        out = f"{site.directory}/home/out"
        self.command(site, "export", "-d", "ann", out)
        before = pathlib.Path(out).read_bytes()
        for round in range(8):
            process = subprocess.Popen([MDA, "-c", site.config, "mailbox", "export", "-d", "ann", out], stdout=subprocess.DEVNULL)
            time.sleep(0.01 * round)
            process.kill()
            process.wait(20)
            self.assertEqual(pathlib.Path(out).read_bytes(), before)


if __name__ == "__main__":
    MDA = sys.argv.pop(1)
    unittest.main(verbosity=0)
