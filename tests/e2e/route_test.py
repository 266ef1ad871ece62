"""The transport table and address rewriting, seen from outside: maps change while the daemons run."""
import base64
import email
import email.policy
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import time

from chain import BUILD, equal, has, run, wait_until
from sink import Sink

MAPS = tempfile.mkdtemp(prefix="relais-maps-", dir="/tmp")
SINKS = {}


class LmtpSink(Sink):
    """On a Unix socket; one reply per recipient behind the dot."""

    def __init__(self, path):
        self.path, self.counted = path, 0
        super().__init__(script=self.reply, path=path)

    def reply(self, verb, line):
        if verb == "LHLO":
            self.counted = 0
            return b"250-lmtp.example\r\n250-8BITMIME\r\n250 PIPELINING\r\n"
        if verb == "RCPT":
            self.counted += 1
            self.rcpt = getattr(self, "rcpt", []) + [line]
        if verb == "DOT":
            return b"250 2.0.0 ok\r\n" + b"552 5.2.2 full\r\n" * (self.counted - 1)
        return None


class TlsSink(Sink):
    """TLS from the first octet, and a log-in."""

    def __init__(self, certificate, key):
        super().__init__(script=self.reply, extensions=("AUTH PLAIN", "8BITMIME"))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.logins = []

    def reply(self, verb, line):
        if verb != "AUTH":
            return None
        self.logins.append(base64.b64decode(line.split(" ")[2]))
        return b"235 2.7.0 ok\r\n"

    def talk(self, connection):
        try:
            with self.context.wrap_socket(connection, server_side=True) as tls:
                super().talk(tls)
        except (OSError, ssl.SSLError):
            pass


def put(name, text):
    """A map, changed as relais.toml(5) says: a new file into its place."""
    path = os.path.join(MAPS, name)
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)
    return path


def add_route(line):
    path = os.path.join(MAPS, "transport")
    with open(path) as f:
        put("transport", f.read() + line + "\n")
    time.sleep(2.2)  # a change is seen within a second, by serve and by relay


def setup():
    os.chmod(MAPS, 0o777)
    SINKS["plain"] = Sink(extensions=())
    SINKS["full"] = Sink()
    put("transport", f"plain.example {SINKS['plain'].address}\nbcc.example {SINKS['full'].address}\n"
                     "gone.example error:5.1.6 moved away\nvoid.example discard:\n")
    put("virtual", "virt.example domain\ninfo@virt.example user2@example.test\n@virt.example user1@example.test\n"
                   "given.name@example.test user1@example.test\n")
    put("canonical", "user1@example.test given.name@example.test\n")
    put("bcc", "x@bcc.example user2@example.test\n")
    program = put("program", "#!/bin/sh\nn=$(cat \"$0.$1.count\" 2>/dev/null || echo 0)\necho $((n + 1)) > \"$0.$1.count\"\n"
                             "cat > \"$0.$1.out\"\n[ \"$1\" = later ] && [ $n = 0 ] && exit 75\n"
                             "[ \"$1\" = nobody ] && { echo not known here; exit 67; }\nexit 0\n")
    os.chmod(program, 0o755)
    return {"extra": f'[relay]\nretry_first = "1s"\nretry_most = "1s"\nroute_maps = ["{MAPS}/transport"]\n'
                     f'[relay.routes]\n"prog.example" = "pipe: {program} %n %r"\n'
                     f'[mda]\nretry_first = "1s"\nretry_most = "1s"\n'
                     f'[smtp]\nrelay_domains = ["in.example"]\n'
                     f'[rewrite]\nvirtual_maps = ["{MAPS}/virtual"]\ncanonical_maps = ["{MAPS}/canonical"]\n'
                     f'recipient_bcc_maps = ["{MAPS}/bcc"]\n'}


def teardown():
    for sink in SINKS.values():
        sink.close()
    shutil.rmtree(MAPS, ignore_errors=True)


def submit(chain, recipient, subject, text="Grüße aus der weiten Ferne\n", options=("BODY=8BITMIME",), rcpt_options=()):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        recipients = [recipient] if isinstance(recipient, str) else recipient
        s.sendmail(chain.address(1), recipients,
                   (f"From: One <{chain.address(1)}>\r\nTo: {', '.join(recipients)}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                    + text.replace("\n", "\r\n")).encode(), mail_options=list(options), rcpt_options=list(rcpt_options))


def taken(sink, subject, seconds=25):
    return wait_until(lambda: sink.find(f"Subject: {subject}\r\n".encode()), f"'{subject}' at the sink", seconds)[0]


def bounce(chain, needle, user=1):
    return wait_until(lambda: next((m.as_string() for m in chain.messages(user)
                                    if m.get_content_type() == "multipart/report" and needle in m.as_string()), None),
                      f"a bounce with {needle}")


def mta(chain, *arguments, code=0):
    result = subprocess.run([os.path.join(BUILD, "mta", "mta"), "-c", chain["CONFIG"], *arguments], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=30)
    equal(result.returncode, code, result.stdout.decode(errors="replace"))
    return result.stdout.decode(errors="replace")


def data(chain, *names):
    return os.path.join(os.path.dirname(os.path.dirname(chain["CONFIG"])), *names)


def log_about(chain, word):
    with open(data(chain, "log", "relais.log"), errors="replace") as f:
        return "".join(line for line in f if word in line)


def test_eight_bit_for_an_old_host(chain):
    submit(chain, "x@plain.example", "eight bit")
    sender, _, content = taken(SINKS["plain"], "eight bit")
    equal("BODY" in sender, False, sender)
    equal(max(content) < 128, True, "octets above 127 were sent")
    message = email.message_from_bytes(content, policy=email.policy.default)
    equal(message["Content-Transfer-Encoding"], "quoted-printable")
    equal(message.get_content().replace("\r\n", "\n"), "Grüße aus der weiten Ferne\n")


def test_canonical_sender_in_envelope_and_header(chain):
    submit(chain, "y@plain.example", "canonical")
    sender, _, content = taken(SINKS["plain"], "canonical")
    has(sender, "<given.name@example.test>")
    has(content.decode(), "From: One <given.name@example.test>")


def test_virtual_domain(chain):
    for name, user in (("info", 2), ("whoever", 1)):
        with smtplib.SMTP(chain["MAIL_HOST"], chain.port("SMTP"), timeout=20) as s:
            s.sendmail("a@elsewhere.example", [f"{name}@virt.example"], f"Subject: virtual {name}\r\n\r\nx\r\n")
        chain.delivered(f"virtual {name}", user)


def test_copy_for_a_third(chain):
    submit(chain, "x@bcc.example", "with copy", options=("BODY=8BITMIME", "RET=HDRS", "ENVID=e1"), rcpt_options=("NOTIFY=FAILURE,DELAY",))
    sender, recipients, content = taken(SINKS["full"], "with copy")
    has(sender, "RET=HDRS", "ENVID=e1")
    equal(len(recipients), 1, str(recipients))
    has(recipients[0], "NOTIFY=FAILURE,DELAY")
    chain.delivered("with copy", 2)


def test_refused_and_thrown_away(chain):
    try:
        submit(chain, "x@gone.example", "gone")
        raise AssertionError("taken")
    except smtplib.SMTPRecipientsRefused as refused:
        code, text = refused.recipients["x@gone.example"]
        equal(code, 550)
        has(text.decode(), "5.1.6 moved away")
    submit(chain, "x@void.example", "void")
    wait_until(lambda: "delivered" in log_about(chain, "x@void.example"), "the log line")


def test_program_and_its_exit_codes(chain):
    submit(chain, ["ok@prog.example", "later@prog.example", "nobody@prog.example"], "to a program")
    out = os.path.join(MAPS, "program.ok.out")
    wait_until(lambda: os.path.exists(out) and os.path.getsize(out) > 0, "the program's output")
    with open(out) as f:
        has(f.read(), "Subject: to a program\n", "Delivered-To: ok@prog.example\n")
    count = os.path.join(MAPS, "program.later.count")
    wait_until(lambda: os.path.exists(count) and open(count).read().strip() == "2", "the second try after exit code 75")
    has(bounce(chain, "nobody@prog.example"), "5.1.1", "not known here")


def test_map_is_read_again_and_the_source_address_used(chain):
    sink = SINKS["source"] = Sink()
    peers = []
    talk = sink.talk
    sink.talk = lambda connection: (peers.append(connection.getpeername()[0]), talk(connection))
    add_route(f"source.example smtp:{sink.address} source=127.0.0.2")
    submit(chain, "x@source.example", "from elsewhere")
    taken(sink, "from elsewhere")
    equal(peers, ["127.0.0.2"])


def test_lmtp_socket_and_relay_domain(chain):
    path = os.path.join(MAPS, "lmtp")
    sink = SINKS["lmtp"] = LmtpSink(path)
    add_route(f"in.example lmtp:unix:{path}")
    with smtplib.SMTP(chain["MAIL_HOST"], chain.port("SMTP"), timeout=20) as s:
        s.sendmail(chain.address(2), ["a@in.example", "b@in.example"], "Subject: by lmtp\r\n\r\nx\r\n")
    wait_until(lambda: len(getattr(sink, "rcpt", [])) == 2, "the recipients")
    has(bounce(chain, "b@in.example", 2), "5.2.2")


def test_smart_host_with_log_in_over_tls(chain):
    sink = SINKS["tls"] = TlsSink(data(chain, "tls", "server.pem"), data(chain, "tls", "server.key"))
    password = put("password", "secret words\n")
    add_route(f"smart.example smtp:{sink.address} tls=implicit auth=me password_file={password}")
    submit(chain, "x@smart.example", "logged in")
    taken(sink, "logged in")
    equal(sink.logins[0], b"\0me\0secret words")


def test_broken_map_changes_nothing(chain):
    with open(os.path.join(MAPS, "transport")) as f:
        good = f.read()
    put("transport", good.replace("discard:", "discard:") + "bad.example smtp:host:port\n")
    time.sleep(2.2)
    submit(chain, "x@bcc.example", "while broken")
    taken(SINKS["full"], "while broken")
    text = mta(chain, "--check", code=78)
    has(text, os.path.join(MAPS, "transport") + ":", '"bad.example" needs "host:port"')
    put("transport", good)
    has(mta(chain, "--check"), "ok")


def test_explain_says_the_rules(chain):
    has(mta(chain, "explain", "info@virt.example"), "virtual: ", "info@virt.example -> user2@example.test", "mailbox of user user2")
    text = mta(chain, "explain", "--from", chain.address(1), "x@plain.example")
    has(text, "rule: route: ", "/transport: plain.example", SINKS["plain"].address, "the sender becomes given.name@example.test",
        "taken from users and smtp.relay_networks only")
    has(mta(chain, "explain", "x@bcc.example"), "a copy goes to user2@example.test")
    has(mta(chain, "explain", "ok@prog.example"), "[relay.routes]: prog.example", "given to the program ")
    has(mta(chain, "explain", "x@gone.example", code=67), "refused: 550 5.1.6 moved away", "gone.example")


if __name__ == "__main__":
    run(globals())
