"""Debian's rspamd (its proxy worker as a milter) and OpenDKIM as mail filters of serve, one behind the other. The packages are unpacked,
nothing is installed; both keep to themselves, without DNS."""
import base64
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile

import packages
from chain import equal, free_base, has, kill, run, wait_until

DIRECTORY = None
STARTED = []
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def rspamd():
    root = packages.unpacked("rspamd", "rspamd", "libluajit-5.1-2", "libluajit-5.1-common", "libhyperscan5", "libpcre2-8-0", "libsodium23",
                             "libunwind8")
    directory = DIRECTORY + "/rspamd"
    os.mkdir(directory)
    namespace = packages.Namespace(root, directory, ["_rspamd"])
    namespace.write("rspamd/tld", "com\norg\nexample\ntest\n")
    namespace.write("rspamd/rspamd.conf", f"""
options {{
  tempdir = "{directory}"; control_socket = "{directory}/control"; cache_file = "{directory}/cache"; hs_cache_dir = "{directory}";
  url_tld = "/etc/rspamd/tld"; filters = ""; disable_hyperscan = true;
  dns {{ timeout = 0.1s; retransmits = 1; nameserver = ["127.0.0.1:1"]; }}
}}
lang_detection {{ languages = "/etc/rspamd"; }}
logging {{ type = "console"; level = "info"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
actions {{ reject = 15; add_header = 6; greylist = 4; }}
worker "rspamd_proxy" {{
  bind_socket = "{directory}/milter mode=0666"; milter = yes; count = 1; timeout = 10s;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
modules {{ path = "/usr/share/rspamd/plugins/milter_headers.lua"; }}
milter_headers {{ use = ["x-spamd-result"]; extended_spam_headers = true; skip_local = false; skip_authenticated = false; }}
""")
    spawn("rspamd", namespace.command("rspamd", "-f", "-i", "-c", "/etc/rspamd/rspamd.conf"))
    wait_until(lambda: os.path.exists(directory + "/milter"), "rspamd's socket", 30)
    return f"unix:{directory}/milter"


def opendkim():
    root = packages.unpacked("opendkim", "opendkim", "libopendkim11", "libmilter1.0.1", "libopendbx1", "libmemcached11", "libhashkit2", "libvbr2",
                             "librbl1")
    directory = DIRECTORY + "/opendkim"
    os.mkdir(directory)
    subprocess.run(["openssl", "genrsa", "-out", directory + "/key", "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", directory + "/key", "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    with open(directory + "/public", "w") as f:
        f.write(f"s1._domainkey.example.test v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}\n")
    with open(directory + "/outside", "w") as f:
        f.write("192.0.2.77\n")
    port = free_base(1)
    with open(directory + "/conf", "w") as f:
        f.write(f"""Socket inet:{port}@127.0.0.1
Mode sv
Domain example.test
Selector s1
KeyFile {directory}/key
TestPublicKeys {directory}/public
InternalHosts {directory}/outside
Canonicalization simple/simple
AlwaysAddARHeader yes
AuthservID mail.example.test
Syslog no
Background no
RequireSafeKeys no
TemporaryDirectory {directory}
""")
    spawn("opendkim", [root + "/usr/sbin/opendkim", "-f", "-x", directory + "/conf"], env=packages.libraries(root))

    def listens():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    wait_until(listens, "OpenDKIM's socket\n" + log("opendkim"), 15)
    return f"127.0.0.1:{port}"


def spawn(name, command, **more):
    output = open(f"{DIRECTORY}/{name}.log", "wb")
    STARTED.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **more))
    output.close()


def log(name):
    with open(f"{DIRECTORY}/{name}.log", errors="replace") as f:
        return f.read()[-4000:]


def setup():
    global DIRECTORY
    DIRECTORY = tempfile.mkdtemp(prefix="relais-filters-", dir="/tmp")
    os.chmod(DIRECTORY, 0o755)
    return {"extra": f'[policy]\nmilters = ["{rspamd()}", "{opendkim()} tempfail"]\n'}


def teardown():
    for process in STARTED:
        kill(process)
    if DIRECTORY:
        shutil.rmtree(DIRECTORY, ignore_errors=True)


def raw(chain, subject, user=2):
    """The octets of a delivered message as they were on the wire."""
    chain.delivered(subject, user)
    for sub in ("new", "cur"):
        folder = os.path.join(chain["MAILDIR%d" % user], sub)
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as f:
                octets = f.read()
            if f"Subject: {subject}\n".encode() in octets:
                return octets.replace(b"\n", b"\r\n")
    raise AssertionError(subject)


def from_outside(chain, octets, to=1):
    with smtplib.SMTP(chain["MAIL_HOST"], chain.port("SMTP"), timeout=20) as s:
        s.sendmail("ann@elsewhere.example", [chain.address(to)], octets, mail_options=["BODY=8BITMIME"])


def text(subject, body="Grüße.\r\n.\r\n..dots\r\n\r\nend \t\r\n"):
    return (f"From: ann@elsewhere.example\r\nTo: bob@example.test\r\nSubject: {subject}\r\nDate: Sun, 22 Nov 2026 06:00:00 +0000\r\n"
            f"Message-ID: <{subject.replace(' ', '.')}@elsewhere.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: 8bit\r\n\r\n{body}").encode()


def test_rspamd_adds_its_headers(chain):
    from_outside(chain, text("clean"))
    got = chain.delivered("clean")
    has(got["X-Spamd-Result"], "default: False")
    equal(chain.body(got), "Grüße.\n.\n..dots\n\nend \t\n")
    has(got["X-Rspamd-Action"], "no action")
    has(got["Received"], got["X-Rspamd-Queue-Id"])


def test_rspamd_refuses_spam(chain):
    try:
        from_outside(chain, text("gtube", GTUBE + "\r\n"))
    except smtplib.SMTPDataError as refused:
        equal(refused.smtp_code, 554)
        has(refused.smtp_error.decode().lower(), "gtube")
    else:
        raise AssertionError("GTUBE was taken\n" + log("rspamd"))
    equal(chain.find("gtube"), None)


def test_opendkim_signs_what_users_send_and_verifies_it(chain):
    """simple/simple: one octet changed by us on the way would break the signature."""
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        s.sendmail(chain.address(1), [chain.address(2)],
                   f"From: {chain.address(1)}\r\nTo: {chain.address(2)}\r\nSubject: signed\r\nX-Odd:   folded\r\n\t and  spaced \r\n\r\n"
                   "body \r\n\r\n..\r\nend\r\n\r\n\r\n".encode())
    signed = raw(chain, "signed")
    has(signed.decode(), "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=example.test; s=s1;", "Message-ID: ")
    from_outside(chain, signed)
    has(chain.delivered("signed", 1)["Authentication-Results"], "dkim=pass")
    from_outside(chain, signed.replace(b"Subject: signed", b"Subject: forged").replace(b"\r\nend\r\n", b"\r\nEnd\r\n"))
    has(chain.delivered("forged", 1)["Authentication-Results"], "dkim=fail")


def test_a_large_message_passes_both(chain):
    body = "".join(f"{i} {'z' * 70}\r\n" for i in range(12000))
    from_outside(chain, text("large", body))
    equal(chain.delivered("large").get_payload().replace("\n", "\r\n"), body)


def test_several_messages_over_one_connection(chain):
    with smtplib.SMTP(chain["MAIL_HOST"], chain.port("SMTP"), timeout=20) as s:
        for i in range(5):
            s.sendmail("ann@elsewhere.example", [chain.address(1)], text(f"series {i}"), mail_options=["BODY=8BITMIME"])
    for i in range(5):
        has(chain.delivered(f"series {i}")["X-Spamd-Result"], "default: False")


def test_without_opendkim_mail_waits(chain):
    STARTED[1].terminate()
    STARTED[1].wait(5)
    try:
        from_outside(chain, text("waits"))
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as refused:
        equal(refused.smtp_code, 451)
    else:
        raise AssertionError("taken without the filter")


run(globals())
