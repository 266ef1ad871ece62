"""Debian's Dovecot as the LMTP server behind a route of ours: each recipient with the word it gave, content as it was, a server that is away."""
import email
import email.policy
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile

import packages
from chain import equal, free_base, has, kill, need, run, wait_until

DIRECTORY = None
NAMESPACE = None
PORT = 0
SERVER = None


def setup():
    global DIRECTORY, NAMESPACE, PORT
    need("dpkg", "apt-get", "unshare")
    root = packages.unpacked("dovecot-lmtpd", "dovecot-lmtpd", dependencies=True)
    DIRECTORY = tempfile.mkdtemp(prefix="relais-lmtp-", dir="/tmp")
    os.chmod(DIRECTORY, 0o755)
    os.mkdir(DIRECTORY + "/mail")
    shutil.chown(DIRECTORY + "/mail", "nobody", "nogroup")
    NAMESPACE = packages.Namespace(root, DIRECTORY, ["dovecot", "dovenull"])
    PORT = free_base(1)
    with open(DIRECTORY + "/users", "w") as f:
        f.write("ann:{PLAIN}x::::::\nbob:{PLAIN}x::::::\n")
    NAMESPACE.write("relais-dovecot.conf", f"""
protocols = lmtp
ssl = no
log_path = {DIRECTORY}/dovecot.log
mail_location = maildir:{DIRECTORY}/mail/%n
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
first_valid_gid = 1
auth_username_format = %n
passdb {{
  driver = passwd-file
  args = {DIRECTORY}/users
}}
userdb {{
  driver = passwd-file
  args = {DIRECTORY}/users
  default_fields = uid=nobody gid=nogroup home={DIRECTORY}/mail/%n
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {PORT}
  }}
}}
""")
    start()
    return {"extra": f'[relay]\nretry_first = "1s"\nretry_most = "1s"\n[relay.routes]\n"dove.example" = "lmtp:127.0.0.1:{PORT}"\n'}


def start():
    global SERVER
    SERVER = subprocess.Popen(NAMESPACE.command("/usr/sbin/dovecot", "-F", "-c", "/etc/relais-dovecot.conf"), stdin=subprocess.DEVNULL,
                              stdout=open(DIRECTORY + "/start.log", "ab"), stderr=subprocess.STDOUT)

    def listens():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", PORT)) == 0
    wait_until(listens, "Dovecot's LMTP port: " + log(), 20)


def stop():
    SERVER.send_signal(signal.SIGTERM)
    SERVER.wait(15)


def log():
    return "".join(open(f"{DIRECTORY}/{name}", errors="replace").read() for name in ("start.log", "dovecot.log") if os.path.exists(f"{DIRECTORY}/{name}"))


def teardown():
    if SERVER:
        kill(SERVER)
    if DIRECTORY:
        shutil.rmtree(DIRECTORY, ignore_errors=True)


def submit(chain, recipients, subject, body="Gr\u00fc\u00dfe.\n.\n..dots\nend\n"):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        s.sendmail(chain.address(1), recipients, (f"From: {chain.address(1)}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
                   "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body.replace("\n", "\r\n")).encode(),
                   mail_options=["BODY=8BITMIME"])


def delivered(user, subject):
    def look():
        folder = f"{DIRECTORY}/mail/{user}/new"
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            with open(f"{folder}/{name}", "rb") as f:
                message = email.message_from_binary_file(f, policy=email.policy.default)
            if message["Subject"] == subject:
                return message
        return None
    return wait_until(look, f"'{subject}' in {user}'s Maildir: " + log())


def test_each_recipient_has_its_own_word(chain):
    submit(chain, ["ann@dove.example", "nobody-here@dove.example", "bob@dove.example"], "three")
    for user in ("ann", "bob"):
        got = delivered(user, "three")
        equal(got.get_content(), "Gr\u00fc\u00dfe.\n.\n..dots\nend\n")
        equal(got["Return-Path"], f"<{chain.address(1)}>")
    report = wait_until(lambda: next((m.as_string() for m in chain.messages(1) if m.get_content_type() == "multipart/report"), None), "the bounce")
    has(report, "Final-Recipient: rfc822; nobody-here@dove.example", "Status: 5.1.1", "Subject: three")
    equal("ann@dove.example" in report, False)


def test_large_message(chain):
    body = ("x" * 76 + "\n") * 40000
    submit(chain, ["ann@dove.example"], "large", body)
    equal(delivered("ann", "large").get_content(), body)


def test_waits_while_the_server_is_away(chain):
    stop()
    submit(chain, ["bob@dove.example"], "waits")
    wait_until(lambda: "dove" in subprocess.run([chain["BIN_DIR"] + "/mta", "-c", chain["CONFIG"], "queue", "list"], capture_output=True, text=True).stdout,
               "the message in the queue")
    start()
    delivered("bob", "waits")


run(globals())
