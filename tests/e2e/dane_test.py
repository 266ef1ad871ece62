"""DANE (RFC 7672): where DNSSEC says which certificate a host has, no message goes there without it; where it says nothing, mail goes as ever."""
import hashlib
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile

from chain import equal, has, run, wait_until
from nameserver import NameServer, answer, record
from sink import Sink

DIRECTORY = SERVER = None
SINKS = {}
AUTHENTIC = 0x0020
KEYS = {}  # name of a certificate → SHA-256 of its public key
# domain → (its MX, each with its sink; the TLSA records of each)
HOSTS = {
    "right": ("127.0.0.3", lambda: [(3, 1, 1, KEYS["one"])]),
    "wrong": ("127.0.0.3", lambda: [(3, 1, 1, KEYS["two"])]),
    "several": ("127.0.0.3", lambda: [(3, 1, 1, KEYS["two"]), (3, 1, 1, KEYS["one"])]),
    "clear": ("127.0.0.4", lambda: [(3, 1, 1, KEYS["one"])]),
    "forged": ("127.0.0.3", lambda: [(3, 1, 1, KEYS["two"])]),  # its MX is not authentic
    "loose": ("127.0.0.3", lambda: [(3, 1, 1, KEYS["two"])]),  # its address is not
    "unsigned": ("127.0.0.3", lambda: [(3, 1, 1, KEYS["two"])]),  # nor its TLSA
    "hidden": ("127.0.0.3", lambda: None),
    "none": ("127.0.0.4", lambda: []),
    "pkix": ("127.0.0.3", lambda: [(1, 1, 1, KEYS["two"])]),
    "anchor": ("127.0.0.5", lambda: [(2, 1, 1, KEYS["ca"])]),
    "named": ("127.0.0.5", lambda: [(2, 1, 1, KEYS["ca"])]),  # the same, under a name that its certificate does not have
    "second": ("127.0.0.3", lambda: [(3, 1, 1, KEYS["two"])]),  # and a second MX, which is right
    "optional": ("127.0.0.3", lambda: [(3, 1, 1, KEYS["two"])]),
}


def tlsa(name, usage, selector, matching, digest):
    plain = record(name, "TXT", "x" * 34)  # a record with room for it
    return plain[:-35 - 10] + b"\0\x34\0\1" + plain[-35 - 6:-35 - 2] + (35).to_bytes(2, "big") + bytes((usage, selector, matching)) + digest


def script(name, kind, question, tcp):
    labels = name.split(".")
    if labels[-1] != "example" or labels[-2] not in HOSTS:
        return None
    domain = labels[-2]
    flags = 0 if (domain, kind) in (("forged", "MX"), ("loose", "A"), ("unsigned", "52")) else AUTHENTIC
    address, records = HOSTS[domain]
    if kind == "MX" and len(labels) == 2:
        more = [record(name, "MX", "20 mx.right.example")] if domain == "second" else []
        return [answer(question, [record(name, "MX", f"10 mx.{name}"), *more], flags=flags)]
    if kind == "A" and labels[0] == "mx":
        return [answer(question, [record(name, "A", address)], flags=flags)]
    if kind == "52" and labels[0] == f"_{SINKS['one'].port}":
        said = records()
        return [answer(question, code=2)] if said is None else [answer(question, [tlsa(name, *one) for one in said], flags=flags)]
    return [answer(question, flags=flags)]


def openssl(*arguments, octets=None):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=DIRECTORY, input=octets).stdout


def certificate(name, alt, issuer=None):
    by = ["-CA", issuer + ".crt", "-CAkey", issuer + ".key"] if issuer else []
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".csr")
    with open(f"{DIRECTORY}/{name}.ext", "w") as f:
        f.write(f"subjectAltName=DNS:{alt}\n" if issuer else f"basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:{alt}\n")
    openssl("x509", "-req", "-in", name + ".csr", *(by or ["-signkey", name + ".key"]), "-set_serial", str(len(KEYS) + 1), "-days", "30", "-extfile",
            name + ".ext", "-out", name + ".crt")
    KEYS[name] = hashlib.sha256(openssl("pkey", "-in", name + ".key", "-pubout", "-outform", "DER")).digest()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with open(f"{DIRECTORY}/{name}.pem", "w") as out:
        for part in (name, issuer) if issuer else (name,):
            with open(f"{DIRECTORY}/{part}.crt") as f:
                out.write(f.read())
    context.load_cert_chain(f"{DIRECTORY}/{name}.pem", f"{DIRECTORY}/{name}.key")
    return context


def setup():
    global DIRECTORY, SERVER
    DIRECTORY = tempfile.mkdtemp(prefix="relais-dane-", dir="/tmp")
    SINKS["one"] = Sink("127.0.0.3", 0, tls=certificate("one", "other.example"))
    certificate("two", "two.example")
    certificate("ca", "ca.example")
    SINKS["clear"] = Sink("127.0.0.4", SINKS["one"].port)
    SINKS["leaf"] = Sink("127.0.0.5", SINKS["one"].port, tls=certificate("leaf", "mx.anchor.example", "ca"))
    SERVER = NameServer(script)
    return {"extra": f'[dns]\nservers = ["127.0.0.1:{SERVER.port}"]\ntimeout = "2s"\n[relay]\nport = {SINKS["one"].port}\nprivate_targets = true\n'
                     'ipv6 = false\nretry_first = "1h"\n'}


def teardown():
    for one in (SERVER, *SINKS.values()):
        if one:
            one.close()
    if DIRECTORY:
        shutil.rmtree(DIRECTORY, ignore_errors=True)


def submit(chain, *names, header=""):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        for name in names:
            s.sendmail(chain.address(1), [f"x@{name}.example"], f"{header}From: {chain.address(1)}\r\nSubject: to {name}.\r\n\r\nx\r\n")


def log(chain):
    path = chain.directory + "/log/relais.log"
    with open(path if os.path.exists(path) else chain.directory + "/data/log/relais.log", errors="replace") as f:
        return f.read().splitlines()


def sent(chain, name):
    """The log line of the message that was sent to NAME.example."""
    line = lambda: next((l for l in log(chain) if "event=sent" in l and f"to=x@{name}.example" in l), None)
    return wait_until(line, f"the message to {name}.example", 25)


def kept(chain, name):
    """What the log says of NAME.example, where no message may go."""
    line = lambda: next((l for l in log(chain) if f"event=destination-deferred destination={name}.example " in l), None)
    found = wait_until(line, f"a failure of {name}.example", 25)
    for sink in SINKS.values():
        equal(sink.find(f"Subject: to {name}.".encode()), [])
    return found


def test_what_the_records_say_holds(chain):
    submit(chain, "right", "several", "anchor", "second")
    for name in ("right", "several", "anchor", "second"):
        has(sent(chain, name), " verified by DANE")
    has(sent(chain, "second"), "host=mx.right.example")


def test_no_message_goes_where_it_does_not(chain):
    submit(chain, "wrong", "clear", "hidden", "named")
    has(kept(chain, "wrong"), "TLS with mx.wrong.example failed")
    has(kept(chain, "clear"), "TLS is required, and mx.clear.example does not offer it")
    has(kept(chain, "hidden"), "451 4.4.3")
    has(kept(chain, "named"), "TLS with mx.named.example failed")


def test_what_is_not_authentic_changes_nothing(chain):
    submit(chain, "forged", "loose", "unsigned", "none", "pkix")
    for name in ("forged", "loose", "unsigned", "pkix"):
        has(sent(chain, name), " unverified")
    has(sent(chain, "none"), 'tls=""')
    for name in ("forged", "loose"):
        equal([asked for asked in SERVER.asked if asked[1] == "52" and name in asked[0]], [])


def test_a_message_may_do_without(chain):
    submit(chain, "optional", header="TLS-Required: No\r\n")
    has(sent(chain, "optional"), " unverified")


def test_explain_tells_of_it(chain):
    said = chain.run([chain["BIN_DIR"] + "/mta", "-c", chain["CONFIG"], "explain", "x@right.example"])
    has(said, "TLS required by DANE: 1 TLSA at mx.right.example")


run(globals())
