"""DANE (RFC 7672): where DNSSEC says which certificate a host has, no message goes there without it; where it says nothing, mail goes as ever."""
from authority import Authority
from chain import equal, has, run
from nameserver import AUTHENTIC, NameServer, answer, record
from outgoing import kept, sent, submit
from sink import Sink

AUTHORITY = SERVER = None
SINKS = {}
# domain → (its MX, each with its sink; the TLSA records of each)
HOSTS = {
    "right": ("127.0.0.3", lambda: [(3, 1, 1, AUTHORITY.keys["one"])]),
    "wrong": ("127.0.0.3", lambda: [(3, 1, 1, AUTHORITY.keys["two"])]),
    "several": ("127.0.0.3", lambda: [(3, 1, 1, AUTHORITY.keys["two"]), (3, 1, 1, AUTHORITY.keys["one"])]),
    "clear": ("127.0.0.4", lambda: [(3, 1, 1, AUTHORITY.keys["one"])]),
    "forged": ("127.0.0.3", lambda: [(3, 1, 1, AUTHORITY.keys["two"])]),  # its MX is not authentic
    "loose": ("127.0.0.3", lambda: [(3, 1, 1, AUTHORITY.keys["two"])]),  # its address is not
    "unsigned": ("127.0.0.3", lambda: [(3, 1, 1, AUTHORITY.keys["two"])]),  # nor its TLSA
    "hidden": ("127.0.0.3", lambda: None),
    "none": ("127.0.0.4", lambda: []),
    "pkix": ("127.0.0.3", lambda: [(1, 1, 1, AUTHORITY.keys["two"])]),
    "anchor": ("127.0.0.5", lambda: [(2, 1, 1, AUTHORITY.keys["ca"])]),
    "named": ("127.0.0.5", lambda: [(2, 1, 1, AUTHORITY.keys["ca"])]),  # the same, under a name that its certificate does not have
    "second": ("127.0.0.3", lambda: [(3, 1, 1, AUTHORITY.keys["two"])]),  # and a second MX, which is right
    "optional": ("127.0.0.3", lambda: [(3, 1, 1, AUTHORITY.keys["two"])]),
}


def script(name, kind, question, tcp):
    labels = name.split(".")
    if labels[-1] != "example" or labels[-2] not in HOSTS:
        return None
    domain = labels[-2]
    flags = 0 if (domain, kind) in (("forged", "MX"), ("loose", "A"), ("unsigned", "TLSA")) else AUTHENTIC
    address, records = HOSTS[domain]
    if kind == "MX" and len(labels) == 2:
        more = [record(name, "MX", "20 mx.right.example")] if domain == "second" else []
        return [answer(question, [record(name, "MX", f"10 mx.{name}"), *more], flags=flags)]
    if kind == "A" and labels[0] == "mx":
        return [answer(question, [record(name, "A", address)], flags=flags)]
    if kind == "TLSA" and labels[0] == f"_{SINKS['one'].port}":
        said = records()
        return [answer(question, code=2)] if said is None else [answer(question, [record(name, "TLSA", one) for one in said], flags=flags)]
    return [answer(question, flags=flags)]


def setup():
    global AUTHORITY, SERVER
    AUTHORITY = Authority("relais-dane-")
    certificate = AUTHORITY.certificate
    SINKS["one"] = Sink("127.0.0.3", 0, tls=certificate("one", "other.example"))
    certificate("two", "two.example")
    certificate("ca", "ca.example")
    SINKS["clear"] = Sink("127.0.0.4", SINKS["one"].port)
    SINKS["leaf"] = Sink("127.0.0.5", SINKS["one"].port, tls=certificate("leaf", "mx.anchor.example", issuer="ca"))
    SERVER = NameServer(script)
    return {"extra": f'[dns]\nservers = ["127.0.0.1:{SERVER.port}"]\ntimeout = "2s"\n[relay]\nport = {SINKS["one"].port}\nprivate_targets = true\n'
                     'ipv6 = false\nretry_first = "1h"\n'}


def teardown():
    for one in (SERVER, *SINKS.values(), AUTHORITY):
        if one:
            one.close()


def test_what_the_records_say_holds(chain):
    submit(chain, "right", "several", "anchor", "second")
    for name in ("right", "several", "anchor", "second"):
        has(sent(chain, name), " verified by DANE")
    has(sent(chain, "second"), "host=mx.right.example")


def test_no_message_goes_where_it_does_not(chain):
    submit(chain, "wrong", "clear", "hidden", "named")
    has(kept(chain, SINKS.values(), "wrong"), "TLS with mx.wrong.example failed")
    has(kept(chain, SINKS.values(), "clear"), "TLS is required, and mx.clear.example does not offer it")
    has(kept(chain, SINKS.values(), "hidden"), "451 4.4.3")
    has(kept(chain, SINKS.values(), "named"), "TLS with mx.named.example failed")


def test_what_is_not_authentic_changes_nothing(chain):
    submit(chain, "forged", "loose", "unsigned", "none", "pkix")
    for name in ("forged", "loose", "unsigned", "pkix"):
        has(sent(chain, name), " unverified")
    has(sent(chain, "none"), 'tls=""')
    for name in ("forged", "loose"):
        equal([asked for asked in SERVER.asked if asked[1] == "TLSA" and name in asked[0]], [])


def test_a_message_may_do_without(chain):
    submit(chain, "optional", header="TLS-Required: No\r\n")
    has(sent(chain, "optional"), " unverified")


def test_explain_tells_of_it(chain):
    said = chain.run([chain["BIN_DIR"] + "/mta", "-c", chain["CONFIG"], "explain", "x@right.example"])
    has(said, "TLS required by DANE: 1 TLSA at mx.right.example")


run(globals())
