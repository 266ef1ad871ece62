"""Postfix as a peer, both ways, and mda behind it. Runs Debian's Postfix from its package unpacked beside the build, as root, with a queue
and a configuration of its own; nothing is installed."""
import glob
import os
import shutil
import smtplib
import subprocess
import tempfile
from email.message import EmailMessage

import packages
from chain import Skip, free_base, has, run, wait_until

PORT = free_base(2)
DIRECTORY = None
POSTFIX = None


def setup():
    global DIRECTORY, POSTFIX
    if os.geteuid() != 0:
        raise Skip("Postfix starts as root only")
    POSTFIX = packages.unpacked("postfix", "postfix")
    DIRECTORY = tempfile.mkdtemp(prefix="relais-postfix-", dir="/tmp")
    os.chmod(DIRECTORY, 0o755)
    return {"routes": [f"peer.example=127.0.0.1:{PORT}"]}


def postfix(*arguments, check=True):
    environment = {**os.environ, "LD_LIBRARY_PATH": POSTFIX + "/usr/lib/postfix"}
    return subprocess.run([POSTFIX + "/usr/sbin/postfix", "-c", DIRECTORY + "/etc", *arguments], env=environment, check=check, capture_output=True)


def teardown():
    if DIRECTORY:
        if os.path.exists(DIRECTORY + "/etc/main.cf"):
            postfix("stop", check=False)
        shutil.rmtree(DIRECTORY, ignore_errors=True)


def start(chain):
    """The base system's users `games` and `operator` stand in for `postfix` and `postdrop`."""
    for name in ("etc", "queue", "data", "mail"):
        os.makedirs(f"{DIRECTORY}/{name}", exist_ok=True)
    shutil.chown(DIRECTORY + "/data", "games")
    shutil.chown(DIRECTORY + "/mail", "nobody")
    libraries = POSTFIX + "/usr/lib/postfix"
    with open(DIRECTORY + "/etc/main.cf", "w") as f:
        f.write(f"""compatibility_level = 3.6
myhostname = mx.peer.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mail_owner = games
setgid_group = operator
queue_directory = {DIRECTORY}/queue
data_directory = {DIRECTORY}/data
daemon_directory = {libraries}/sbin
command_directory = {POSTFIX}/usr/sbin
shlib_directory = {libraries}
meta_directory = {POSTFIX}/etc/postfix
sendmail_path = {POSTFIX}/usr/sbin/sendmail
maillog_file = {DIRECTORY}/log
maillog_file_prefixes = {DIRECTORY}
import_environment = LD_LIBRARY_PATH={libraries} MAIL_CONFIG MAIL_LOGTAG TZ LANG=C
export_environment = LD_LIBRARY_PATH={libraries} TZ LANG=C
alias_maps =
alias_database =
smtputf8_enable = yes
virtual_mailbox_domains = peer.example
virtual_mailbox_base = {DIRECTORY}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
transport_maps = inline:{{ {{ mda.example = relais-mda: }}, {{ {chain['DOMAIN']} = smtp:[127.0.0.1]:{chain['SMTP_PORT']} }} }}
relay_domains = mda.example
smtp_tls_security_level = encrypt
smtp_dns_support_level = disabled
smtp_host_lookup = native
relais-mda_destination_recipient_limit = 1
""")
    with open(POSTFIX + "/usr/share/postfix/master.cf.dist") as f:
        lines = [line for line in f if not line.startswith(("#", "smtp      inet"))]
    with open(DIRECTORY + "/etc/master.cf", "w") as f:
        f.write(f"127.0.0.1:{PORT} inet n - n - - smtpd\n")
        for line in lines:
            words = line.split()
            if len(words) > 7 and words[1] in ("unix", "fifo", "unix-dgram") and not line[0].isspace():
                words[4] = "n"  # no chroot: the libraries are elsewhere
            f.write(" ".join(words) + "\n" if not line[0].isspace() else "  " + " ".join(words) + "\n")
        f.write(f"relais-mda unix - n n - - pipe\n  flags=DRhu user=nobody argv={chain['BIN_DIR']}/mda -c {chain['CONFIG']} -d ${{user}} -f ${{sender}}\n")
    postfix("start")


def log():
    try:
        with open(DIRECTORY + "/log", errors="replace") as f:
            return f.read()[-4000:]
    except FileNotFoundError:
        return ""


def message(subject, sender, recipient, text="grüße\n.\nend\n"):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = sender, recipient, subject
    m.set_content(text, cte="8bit")
    return m


def at_peer(subject):
    for path in glob.glob(DIRECTORY + "/mail/all/new/*"):
        with open(path, errors="replace") as f:
            text = f.read()
        if f"Subject: {subject}" in text:
            return text
    return None


def test_postfix_sends_to_us(chain):
    start(chain)
    with smtplib.SMTP("127.0.0.1", PORT, timeout=20) as s:
        s.send_message(message("from postfix", "a@peer.example", chain.address(1)))
        s.send_message(message("from postfix with dsn", "a@peer.example", chain.address(1)), mail_options=["RET=FULL", "ENVID=e1"],
                       rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;x@peer.example"])
        s.send_message(message("unknown here", "a@peer.example", "no-such@" + chain["DOMAIN"]))
    try:
        has(chain.body(chain.delivered("from postfix")), "grüße\n.\nend\n")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log()}")
    chain.delivered("from postfix with dsn")
    # Refused at RCPT: the bounce is Postfix's, to its own sender.
    wait_until(lambda: at_peer("Undelivered Mail Returned to Sender"), "Postfix's bounce\n" + log())


def test_postfix_sends_smtputf8(chain):
    with smtplib.SMTP("127.0.0.1", PORT, timeout=20) as s:
        s.send_message(message("日本語 utf8", "jörg@peer.example", chain.address(1)), mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    chain.delivered("日本語 utf8")


def test_we_send_to_postfix(chain):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        s.send_message(message("to postfix", chain.address(1), "b@peer.example, c@peer.example"))
    text = wait_until(lambda: at_peer("to postfix"), "our message at Postfix")
    has(text, "\n.\nend\n", "Received: from mail." + chain["DOMAIN"])


def test_mda_behind_postfix(chain):
    with smtplib.SMTP("127.0.0.1", PORT, timeout=20) as s:
        s.send_message(message("behind postfix", "a@peer.example", "user2@mda.example"))
    try:
        got = chain.delivered("behind postfix", 2)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log()}")
    has(got["Return-Path"], "a@peer.example")
    has(chain.body(got), "grüße\n.\nend\n")


run(globals())
