"""OpenSMTPD as a peer, both ways: STARTTLS, DSN, 8BITMIME, size limits. Debian's package, unpacked and run in a mount namespace of its
own. It knows neither SMTPUTF8 nor CHUNKING, and the one of Debian 12 offers STARTTLS and then fails in the handshake: mail to it goes in
clear (RFC 7435 section 3)."""
import os

import packages
import peer as shared
from chain import has, run

PEER = None


def setup():
    global PEER
    root = packages.unpacked("opensmtpd", "opensmtpd")
    PEER = shared.Peer("opensmtpd")
    PEER.namespace = packages.Namespace(root, PEER.directory, ["opensmtpd", "opensmtpq"])
    return {"routes": [f"peer.example=127.0.0.1:{PEER.port}"]}


def teardown():
    if PEER:
        PEER.stop()


def start(chain):
    tls = os.path.dirname(chain["CA_FILE"])
    os.makedirs(PEER.mail)
    os.chown(PEER.mail, 65534, 65534)
    for name in ("server.pem", "server.key"):
        with open(f"{tls}/{name}") as f:
            PEER.namespace.write("smtpd/" + name, f.read())
        os.chmod(f"{PEER.namespace.over}/etc/smtpd/{name}", 0o600)
    PEER.namespace.write("mailname", "mx.peer.example\n")
    PEER.namespace.write("smtpd.conf", f"""
pki mail cert "/etc/smtpd/server.pem"
pki mail key "/etc/smtpd/server.key"
smtp max-message-size "200K"
queue ttl 1h
bounce warn-interval 1h
listen on 127.0.0.1 port {PEER.port} tls pki mail hostname mx.peer.example
table people {{ "@" = nobody }}
table refused {{ "refused@peer.example" }}
action "ours" relay host "smtp+tls://127.0.0.1:{chain['SMTP_PORT']}" tls no-verify helo mx.peer.example
action "theirs" maildir "{PEER.mail}" virtual <people>
match from any for rcpt-to <refused> reject
match from any for domain "{chain['DOMAIN']}" action "ours"
match from any for domain "peer.example" action "theirs"
""")
    PEER.start(PEER.namespace.command("smtpd", "-d"))


def test_opensmtpd_sends_to_us(chain):
    start(chain)
    shared.peer_sends_to_us(chain, PEER)


def test_opensmtpd_sends_many(chain):
    shared.peer_sends_many(chain, PEER)


def test_opensmtpd_bounces_what_we_refuse(chain):
    shared.peer_bounces_what_we_refuse(chain, PEER)


def test_opensmtpd_passes_dsn_parameters_on(chain):
    PEER.send(shared.message("success wanted", "dsn@peer.example", chain.address(1)), ["RET=HDRS", "ENVID=envelope-7"], ["NOTIFY=SUCCESS"])
    PEER.delivered(chain, "success wanted")


def test_we_send_to_opensmtpd(chain):
    shared.we_send_to_peer(chain, PEER)


def test_we_send_dsn_to_opensmtpd(chain):
    shared.submit(chain, shared.message("relay dsn", chain.address(1), "dsn2@peer.example"), ["RET=HDRS", "ENVID=envelope-8"], ["NOTIFY=SUCCESS"])
    PEER.at_peer("relay dsn")
    has(shared.report(chain, "dsn2@peer.example"), "Action: ")


def test_smtputf8_goes_back_to_its_sender(chain):
    shared.submit(chain, shared.message("no utf8 there", chain.address(1), "jürgen@peer.example"))
    has(shared.report(chain, "no utf8 there"), "Status: 5.6.7")


def test_we_bounce_what_opensmtpd_refuses(chain):
    shared.we_bounce_what_the_peer_refuses(chain, PEER)


def test_we_heed_opensmtpds_size_limit(chain):
    shared.we_heed_the_peers_size(chain, PEER)


run(globals())
