"""What every peer's tests share: mail both ways between the chain and a server that takes all mail for peer.example into one Maildir."""
import glob
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
from email.message import EmailMessage

from chain import equal, free_base, has, kill, wait_until


def message(subject, sender, recipient, text="grüße\n.\nend\n"):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = sender, recipient, subject
    m.set_content(text, cte="8bit")
    return m


class Peer:
    """A server in the foreground, in a directory of its own; `mail` is the Maildir of all that it takes."""

    def __init__(self, name):
        self.port = self.client_port = free_base(2)
        self.directory = tempfile.mkdtemp(prefix=f"relais-{name}-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.mail = self.directory + "/mail"
        self.process = None
        self.output = None

    def start(self, command):
        self.output = open(self.directory + "/output", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)
        wait_until(self.greets, "the peer's greeting", 15)

    def greets(self):
        if self.process.poll() is not None:
            raise AssertionError("the peer has ended: " + self.log())
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                return s.recv(100).startswith(b"220")
        except OSError:
            return False

    def log(self):
        text = ""
        for path in [self.directory + "/output", *glob.glob(self.directory + "/spool/log*")]:
            if os.path.isfile(path):
                with open(path, errors="replace") as f:
                    text += f.read()[-4000:]
        return text

    def stop(self):
        if self.process:
            kill(self.process)
        if self.output:
            self.output.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def at_peer(self, subject, seconds=20):
        def find():
            for path in glob.glob(self.mail + "/new/*"):
                with open(path, errors="replace") as f:
                    text = f.read()
                if f"Subject: {subject}" in text:
                    return text
            return None
        return self.wait(find, f"'{subject}' at the peer", seconds)

    def wait(self, condition, what, seconds=20):
        """wait_until(), with the peer's log where it fails."""
        try:
            return wait_until(condition, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}")

    def send(self, m, mail_options=(), rcpt_options=(), recipients=None):
        """Hands a message to the peer, as its own client."""
        with smtplib.SMTP("127.0.0.1", self.client_port, timeout=20) as s:
            s.ehlo("client.example")
            s.send_message(m, to_addrs=recipients, mail_options=list(mail_options), rcpt_options=list(rcpt_options))

    def delivered(self, chain, subject, user=1):
        try:
            return chain.delivered(subject, user)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}")


def submit(chain, m, options=(), rcpt_options=(), user=1):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER%d" % user], chain["PASS%d" % user])
        s.send_message(m, mail_options=list(options), rcpt_options=list(rcpt_options))


def report(chain, about, user=1, seconds=20):
    """The report (bounce or success) in the user's mailbox that speaks of an address."""
    def find():
        for m in chain.messages(user):
            text = m.as_string()
            if "delivery-status" in text and about in text:
                return text
        return None
    return wait_until(find, f"a report about {about}", seconds)


# --- both ways, the same with every peer ---

def peer_sends_to_us(chain, peer):
    peer.send(message("from the peer", "a@peer.example", chain.address(1)))
    got = peer.delivered(chain, "from the peer")
    has(chain.body(got), "grüße\n.\nend\n")
    has(got["Received"], "ESMTPS", "TLSv1.")


def peer_bounces_what_we_refuse(chain, peer):
    """Refused at RCPT: the bounce is the peer's, to its own sender."""
    peer.send(message("unknown here", "b@peer.example", "no-such@" + chain["DOMAIN"]))
    has(peer_report(peer, "no-such@" + chain["DOMAIN"]), "5.1.1")


def peer_report(peer, about):
    """The report in the peer's mailbox that speaks of an address."""
    def find():
        for path in glob.glob(peer.mail + "/new/*"):
            with open(path, errors="replace") as f:
                text = f.read()
            if about in text and ("multipart/report" in text or "Subject: Delivery status notification" in text):  # the latter: OpenSMTPD
                return text
        return None
    return peer.wait(find, f"the peer's report about {about}")


def peer_sends_many(chain, peer):
    """Several messages and recipients; the peer may reuse its connection."""
    for i in range(5):
        peer.send(message(f"many {i}", "a@peer.example", f"{chain.address(1)}, {chain.address(2)}"))
    for i in range(5):
        peer.delivered(chain, f"many {i}", 1)
        peer.delivered(chain, f"many {i}", 2)


def we_send_to_peer(chain, peer):
    submit(chain, message("to the peer", chain.address(1), "b@peer.example, c@peer.example"))
    text = peer.at_peer("to the peer")
    has(text, "grüße\n.\nend\n", f"by mail.{chain['DOMAIN']} (Relais) with ESMTPSA")


def we_bounce_what_the_peer_refuses(chain, peer, code="5."):
    submit(chain, message("refused there", chain.address(1), "refused@peer.example"))
    has(report(chain, "refused@peer.example"), "message/delivery-status", "Action: failed", "Status: " + code)


def we_heed_the_peers_size(chain, peer):
    """More than the peer's limit: a bounce at once, whether SIZE was offered or the message refused."""
    submit(chain, message("larger than theirs", chain.address(1), "large@peer.example", ("x" * 70 + "\n") * 4000))
    has(report(chain, "large@peer.example"), "Action: failed", "Status: 5.3.4")
    equal(any("larger than theirs" in open(path, errors="replace").read(3000) for path in glob.glob(peer.mail + "/new/*")), False)


def peer_meets_our_size(chain, peer, most):
    peer.send(message("larger than ours", "large@peer.example", chain.address(1), ("y" * 70 + "\n") * (most // 71 + 100)))
    has(peer_report(peer, "larger than ours").lower(), "5.3.4")
