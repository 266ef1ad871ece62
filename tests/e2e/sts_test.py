"""MTA-STS (RFC 8461) and REQUIRETLS (RFC 8689): mail goes to the hosts that a domain names, by TLS with their certificates, or it does not go."""
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from authority import Authority
from chain import equal, has, run, wait_until
from nameserver import AUTHENTIC, NameServer, answer, record
from outgoing import kept, logged, sent, submit
from sink import Sink

AUTHORITY = SERVER = POLICIES = None
SINKS = {}
ID = {}  # domain → the id in its TXT record, where it is not "1"
ASKED = []  # policy hosts that were asked for their policy
PATH = "/.well-known/mta-sts.txt"
TRUE, PLAIN, OTHER, PROMISING = "127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14"  # sinks: right certificate, no TLS, wrong one, REQUIRETLS


def policy(mode, *hosts, age=86400):
    return f"version: STSv1\r\nmode: {mode}\r\n" + "".join(f"mx: {host}\r\n" for host in hosts) + f"max_age: {age}\r\n"


# domain → (its MX with their addresses, its policy or None)
DOMAINS = {
    "good": ([("mx.good.example", TRUE)], policy("enforce", "mx.good.example")),
    "wild": ([("mx.wild.example", TRUE)], policy("enforce", "*.wild.example")),
    "clear": ([("mx.clear.example", PLAIN)], policy("enforce", "mx.clear.example")),
    "bad": ([("mx.bad.example", OTHER)], policy("enforce", "mx.bad.example")),
    "alien": ([("mx.alien.example", TRUE)], policy("enforce", "*.elsewhere.example")),
    "second": ([("mx.alien.example", TRUE), ("mx.second.example", TRUE)], policy("enforce", "mx.second.example")),
    "testing": ([("mx.testing.example", PLAIN)], policy("testing", "mx.testing.example")),
    "none": ([("mx.none.example", PLAIN)], policy("none")),
    "redirect": ([("mx.redirect.example", PLAIN)], "301"),
    "html": ([("mx.html.example", PLAIN)], "html"),
    "huge": ([("mx.huge.example", PLAIN)], policy("enforce", *["x" * 50 + ".example"] * 2000)),
    "broken": ([("mx.broken.example", PLAIN)], "version: STSv1\nmode: enforce\nmax_age: 1\n"),
    "cnonly": ([("mx.cnonly.example", PLAIN)], policy("enforce", "mx.other.example")),  # its policy host has a Common Name only
    "optional": ([("mx.optional.example", PLAIN)], policy("enforce", "mx.optional.example")),
    "daneright": ([("mx.daneright.example", OTHER)], policy("enforce", "mx.other.example")),
    "danewrong": ([("mx.danewrong.example", TRUE)], policy("enforce", "mx.danewrong.example")),
    "signed": ([("mx.signed.example", PROMISING)], None),
    "twoways": ([("mx.oneway.example", TRUE), ("mx.twoways.example", PROMISING)], policy("enforce", "mx.oneway.example", "mx.twoways.example")),
    "silent": ([("mx.silent.example", TRUE)], policy("enforce", "mx.silent.example")),
    "uncertain": ([("mx.uncertain.example", PROMISING)], None),
    "untls": ([("mx.untls.example", PLAIN)], None),
    "down": ([("mx.down.example", "127.0.0.15"), ("mx.silent.example", TRUE)], None),
}
SIGNED = ("daneright", "danewrong", "signed", "untls", "down")
POLICY_HOST = "127.0.0.16"


def script(name, kind, question, tcp):
    labels = name.split(".")
    domain = labels[-2] if len(labels) > 1 else ""
    address = next((a for hosts, _ in DOMAINS.values() for host, a in hosts if host == name), None)
    if domain not in DOMAINS and not address:
        return None
    hosts, text = DOMAINS.get(domain, ([], None))
    flags = AUTHENTIC if domain in SIGNED else 0
    found = []
    if kind == "MX" and len(labels) == 2:
        found = [record(name, "MX", f"{10 * (i + 1)} {host}") for i, (host, _) in enumerate(hosts)]
    elif kind == "A" and labels[0] == "mta-sts":
        found = [record(name, "A", POLICY_HOST)]
    elif kind == "A" and address:
        found = [record(name, "A", address)]
    elif kind == "TXT" and labels[0] == "_mta-sts" and text and ID.get(domain, "1"):
        found = [record(name, "TXT", f"v=STSv1; id={ID.get(domain, '1')};")]
    elif kind == "TLSA" and domain in ("daneright", "danewrong"):
        found = [record(name, "TLSA", (3, 1, 1, AUTHORITY.keys["other"]))]
    return [answer(question, found, flags=flags)]


class PolicyHost(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        host = self.headers["Host"].split(":")[0]
        ASKED.append(host)
        text = DOMAINS.get(host.split(".")[1], (None, None))[1]
        kind = "text/html" if text == "html" else "text/plain; charset=utf-8"
        code = 200 if text and self.path == PATH else 404
        if text == "301":
            code, text = 301, policy("enforce", "mx.other.example")
        octets = (text or "").encode()
        self.send_response(code)
        if code == 301:
            self.send_header("Location", f"https://mta-sts.good.example:{self.server.server_port}{PATH}")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_):
        pass


class PolicyServer(ThreadingHTTPServer):
    daemon_threads = True
    contexts = {}

    def finish_request(self, request, address):  # the handshake in the connection's own thread
        with self.contexts[""].wrap_socket(request, server_side=True) as stream:
            super().finish_request(stream, address)

    def handle_error(self, request, address):
        pass  # the relay does not like the certificate


def setup():
    global AUTHORITY, SERVER, POLICIES
    AUTHORITY = Authority("relais-sts-")
    AUTHORITY.certificate("ca")
    named = [host for hosts, _ in DOMAINS.values() for host, _ in hosts]
    true = AUTHORITY.certificate("true", *named, issuer="ca")
    port = (first := Sink(TRUE, 0, tls=true)).port
    SINKS["true"] = first
    SINKS["plain"] = Sink(PLAIN, port)
    SINKS["other"] = Sink(OTHER, port, tls=AUTHORITY.certificate("other", "other.example", issuer="ca"))
    SINKS["promising"] = Sink(PROMISING, port, tls=true, extensions=("8BITMIME", "REQUIRETLS"))
    POLICIES = PolicyServer((POLICY_HOST, 0), PolicyHost)
    POLICIES.contexts[""] = AUTHORITY.certificate("policies", *[f"mta-sts.{name}.example" for name in DOMAINS if name != "cnonly"], issuer="ca")
    nameless = AUTHORITY.certificate("mta-sts.cnonly.example", issuer="ca")

    def choose(stream, name, context):
        if name == "mta-sts.cnonly.example":
            stream.context = nameless
    POLICIES.contexts[""].sni_callback = choose
    threading.Thread(target=POLICIES.serve_forever, args=(0.1,), daemon=True).start()
    SERVER = NameServer(script)
    return {"extra": f'[dns]\nservers = ["127.0.0.1:{SERVER.port}"]\ntimeout = "2s"\n[tls]\nca_file = "{AUTHORITY.path("ca")}"\n[relay]\nport = {port}\n'
                     f'mta_sts_port = {POLICIES.server_port}\nprivate_targets = true\nipv6 = false\nretry_first = "1h"\n'}


def teardown():
    if POLICIES:
        POLICIES.shutdown()
        POLICIES.server_close()
    for one in (SERVER, *SINKS.values(), AUTHORITY):
        if one:
            one.close()


def cached(chain, name):
    path = os.path.join(os.path.dirname(chain["CONFIG"]), "..", "spool", "mta-sts", name + ".example")
    if not os.path.exists(path):
        return ""
    with open(path) as f:
        return f.read()


def test_mail_goes_to_the_hosts_of_the_policy(chain):
    submit(chain, "good", "wild", "second")
    for name in ("good", "wild", "second"):
        has(sent(chain, name), " verified by MTA-STS")
    has(sent(chain, "second"), "host=mx.second.example")
    has(wait_until(lambda: cached(chain, "good"), "the kept policy"), "id: 1\n", "mode: enforce\n", "mx: mx.good.example\n")


def test_no_message_goes_where_it_must_not(chain):
    submit(chain, "clear", "bad", "alien")
    has(kept(chain, SINKS.values(), "clear"), "451 4.7.4 TLS is required, and mx.clear.example does not offer it")
    has(kept(chain, SINKS.values(), "bad"), "451 4.7.5 TLS with mx.bad.example failed")
    has(kept(chain, SINKS.values(), "alien"), "451 4.7.5 The MTA-STS policy of alien.example names none of its mail exchangers")


def test_what_is_no_policy_changes_nothing(chain):
    names = ("testing", "none", "redirect", "html", "huge", "broken", "cnonly")
    submit(chain, *names)
    for name in names:
        has(sent(chain, name), 'tls=""')
    has(logged(chain, "event=mta-sts-mismatch", "domain=testing.example"), "lacking=TLS")
    for name, why in (("redirect", "301"), ("html", "not text/plain"), ("huge", "a longer body"), ("broken", "no mx"), ("cnonly", "verif")):
        has(logged(chain, "event=mta-sts-failed", f"domain={name}.example"), why)


def test_dane_stands_above_it(chain):
    submit(chain, "daneright", "danewrong")
    has(sent(chain, "daneright"), " verified by DANE")
    has(kept(chain, SINKS.values(), "danewrong"), "TLS with mx.danewrong.example failed")


def test_a_policy_that_was_seen_holds_without_its_record(chain):
    sent(chain, "good")
    asked = ASKED.count("mta-sts.good.example")
    ID["good"] = ""
    DOMAINS["good"] = ([("mx.forged.example", PLAIN)], None)
    chain.stop()
    chain.start()
    submit(chain, "good")
    has(logged(chain, "event=destination-deferred", "destination=good.example "), "names none of its mail exchangers")
    equal([len(sink.find(b"Subject: to good.")) for sink in SINKS.values()], [1, 0, 0, 0])
    equal(ASKED.count("mta-sts.good.example"), asked)


def test_a_new_id_brings_the_new_policy(chain):
    kept(chain, SINKS.values(), "alien")
    DOMAINS["alien"] = (DOMAINS["alien"][0], policy("enforce", "mx.alien.example"))
    ID["alien"] = "2"
    chain.run([chain["BIN_DIR"] + "/mta", "-c", chain["CONFIG"], "queue", "flush", "alien.example"])
    has(sent(chain, "alien"), " verified by MTA-STS")


def test_a_message_may_do_without(chain):
    submit(chain, "optional", header="TLS-Required: No\r\n")
    has(sent(chain, "optional"), 'tls=""')


def test_explain_tells_of_it(chain):
    said = chain.run([chain["BIN_DIR"] + "/mta", "-c", chain["CONFIG"], "explain", "x@wild.example"])
    has(said, "MTA-STS policy, mode enforce: hosts *.wild.example", "TLS required by MTA-STS")


def bounced(chain, name):
    """The text of the bounce of the message to NAME.example."""
    def find():
        for message in chain.messages():
            text = message.as_string()
            if "multipart/report" in text and f"Final-Recipient: rfc822; x@{name}.example" in text:
                return text
        return None
    return wait_until(find, f"the bounce of the message to {name}.example", 25)


def test_requiretls_is_passed_on_where_it_is_promised(chain):
    submit(chain, "signed", "twoways", options=["REQUIRETLS"])
    has(sent(chain, "twoways"), "host=mx.twoways.example")
    sent(chain, "signed")
    for name in ("signed", "twoways"):
        has(SINKS["promising"].find(f"Subject: to {name}.".encode())[0][0], " REQUIRETLS")


def test_requiretls_bounces_where_no_host_promises_it(chain):
    submit(chain, "silent", "uncertain", "untls", options=["REQUIRETLS"])
    has(bounced(chain, "silent"), "Status: 5.7.30", "mx.silent.example does not promise")
    has(bounced(chain, "uncertain"), "Status: 5.7.10", "neither DNSSEC nor MTA-STS")
    has(bounced(chain, "untls"), "Status: 5.7.10", "mx.untls.example does not offer it")
    for sink in SINKS.values():
        for name in ("silent", "uncertain", "untls"):
            equal(sink.find(f"Subject: to {name}.".encode()), [])
    submit(chain, "silent", "untls")  # other mail goes there as ever
    has(sent(chain, "silent"), " verified by MTA-STS")
    sent(chain, "untls")


def test_requiretls_waits_for_a_host_that_is_down(chain):
    submit(chain, "down", options=["REQUIRETLS"])
    has(logged(chain, "event=destination-deferred", "down.example (REQUIRETLS)"), "451 4.4.1", "5.7.30")


run(globals())
