"""Exim as a peer, both ways: STARTTLS, DSN, 8BITMIME, SMTPUTF8, CHUNKING, size limits. Debian's package, unpacked and run in a mount
namespace of its own."""
import os

import packages
import peer as shared
from chain import has, run

PEER = None
MOST = 400000


def setup():
    global PEER
    root = packages.unpacked("exim", "exim4-daemon-light", "exim4-base")
    PEER = shared.Peer("exim")
    PEER.client_port = PEER.port + 1  # where a message may be larger
    PEER.namespace = packages.Namespace(root, PEER.directory, ["Debian-exim"])
    return {"routes": [f"peer.example=127.0.0.1:{PEER.port}"], "extra": f'[smtp]\nmessage_octets = {MOST}\n[relay]\ntls = "required"\n'}


def teardown():
    if PEER:
        PEER.stop()


def start(chain):
    tls = os.path.dirname(chain["CA_FILE"])
    for name in ("spool", "mail"):
        os.makedirs(f"{PEER.directory}/{name}", exist_ok=True)
        os.chown(f"{PEER.directory}/{name}", 900, 900)
    with open(tls + "/server.pem") as certificate, open(tls + "/server.key") as key:
        with open(PEER.directory + "/server.pem", "w") as f:
            f.write(certificate.read() + key.read())
    os.chown(PEER.directory + "/server.pem", 900, 900)
    PEER.namespace.write("exim4/exim4.conf", f"""
primary_hostname = mx.peer.example
spool_directory = {PEER.directory}/spool
log_file_path = {PEER.directory}/spool/log-%s
keep_environment =
daemon_smtp_ports = {PEER.port} : {PEER.client_port}
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = {PEER.directory}/server.pem
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
message_size_limit = ${{if eq{{$received_port}}{{{PEER.port}}}{{200K}}{{1M}}}}
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept
host_lookup =
disable_ipv6
log_selector = +smtp_protocol_error +tls_cipher
begin acl
check_rcpt:
  deny local_parts = refused
       message = no such mailbox
  accept
begin routers
ours:
  driver = manualroute
  domains = {chain['DOMAIN']}
  route_list = * "127.0.0.1::{chain['SMTP_PORT']}" byname
  self = send
  transport = smtp
theirs:
  driver = accept
  transport = store
begin transports
smtp:
  driver = smtp
  hosts_require_tls = *
  tls_verify_certificates = {chain['CA_FILE']}
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  hosts_try_chunking = ${{if match{{$sender_address}}{{^chunks}}{{*}}{{}}}}
store:
  driver = appendfile
  maildir_format
  directory = {PEER.mail}
  user = Debian-exim
begin retry
* * F,1h,5s
""")
    # -bdf: in the foreground; deliveries begin at once.
    PEER.start(PEER.namespace.command("exim4", "-bdf", "-q1h"))


def test_exim_sends_to_us(chain):
    start(chain)
    shared.peer_sends_to_us(chain, PEER)


def test_exim_sends_many(chain):
    shared.peer_sends_many(chain, PEER)


def test_exim_sends_by_bdat(chain):
    PEER.send(shared.message("in chunks", "chunks@peer.example", chain.address(1)))
    has(chain.body(PEER.delivered(chain, "in chunks")), "grüße\n.\nend\n")


def test_exim_bounces_what_we_refuse(chain):
    shared.peer_bounces_what_we_refuse(chain, PEER)


def test_exim_passes_dsn_parameters_on(chain):
    """We deliver, so we report the success that was asked for at Exim."""
    PEER.send(shared.message("success wanted", "dsn@peer.example", chain.address(1)), ["RET=HDRS", "ENVID=envelope-7"],
              ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;orig@peer.example"])
    PEER.delivered(chain, "success wanted")
    text = shared.peer_report(PEER, "envelope-7")
    has(text, "Action: delivered", "orig@peer.example")


def test_exim_meets_our_size_limit(chain):
    shared.peer_meets_our_size(chain, PEER, MOST)


def test_exim_sends_smtputf8(chain):
    PEER.send(shared.message("日本語 utf8", "jörg@peer.example", chain.address(1)))
    PEER.delivered(chain, "日本語 utf8")


def test_we_send_to_exim(chain):
    shared.we_send_to_peer(chain, PEER)


def test_we_send_smtputf8_to_exim(chain):
    shared.submit(chain, shared.message("to utf8", chain.address(1), "jürgen@peer.example"))
    has(PEER.at_peer("to utf8"), "jürgen@peer.example")


def test_we_ask_exim_for_dsn(chain):
    shared.submit(chain, shared.message("relay dsn", chain.address(1), "dsn2@peer.example"), ["RET=HDRS", "ENVID=envelope-8"], ["NOTIFY=SUCCESS"])
    PEER.at_peer("relay dsn")
    has(shared.report(chain, "envelope-8"), "dsn2@peer.example")


def test_we_bounce_what_exim_refuses(chain):
    shared.we_bounce_what_the_peer_refuses(chain, PEER)


def test_we_heed_exims_size_limit(chain):
    shared.we_heed_the_peers_size(chain, PEER)


run(globals())
