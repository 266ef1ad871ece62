"""Relaying by MX, with a name server on loopback: BIND or unbound, whichever is there."""
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile

from chain import Skip, equal, free_base, has, kill, run, wait_until
from sink import Sink

DIRECTORY = None
SERVER = None
SINK = None
FALLBACK = None

RECORDS = """far.example. 60 IN MX 10 mx1.far.example.
far.example. 60 IN MX 20 mx2.far.example.
mx1.far.example. 60 IN A 127.0.0.2
mx2.far.example. 60 IN A 127.0.0.3
plain.example. 60 IN A 127.0.0.3
null.example. 60 IN MX 0 .
alias.example. 60 IN CNAME far.example.
text.example. 60 IN MX 5 127.0.0.3.
"""


def named(directory, port):
    zones = {}
    for line in RECORDS.splitlines():
        name = line.split()[0].rstrip(".")
        zone = ".".join(name.split(".")[-2:])
        zones.setdefault(zone, []).append(line)
    conf = f"""options {{ directory "{directory}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; pid-file none;
  session-keyfile none; managed-keys-directory "{directory}"; dnssec-validation no; minimal-responses yes; }};
controls {{ }};
logging {{ category default {{ null; }}; }};
"""
    for zone, lines in zones.items():
        with open(f"{directory}/{zone}", "w") as f:
            f.write(f"{zone}. 60 IN SOA ns.{zone}. root.{zone}. 1 60 60 60 60\n{zone}. 60 IN NS ns.{zone}.\nns.{zone}. 60 IN A 127.0.0.1\n")
            f.write("\n".join(lines) + "\n" if zone != "alias.example" else "")
        conf += f'zone "{zone}" {{ type primary; file "{zone}"; }};\n'
    with open(f"{directory}/a.far.example.extra", "w") as f:
        f.write("")
    with open(f"{directory}/far.example", "a") as f:
        f.write("www.far.example. 60 IN CNAME far.example.\n")
    conf += f'zone "nosuch.example" {{ type primary; file "nosuch.example"; }};\n'
    with open(f"{directory}/nosuch.example", "w") as f:
        f.write("nosuch.example. 60 IN SOA ns.nosuch.example. root.nosuch.example. 1 60 60 60 60\nnosuch.example. 60 IN NS ns.nosuch.example.\n"
                "ns.nosuch.example. 60 IN A 127.0.0.1\n")
    with open(f"{directory}/named.conf", "w") as f:
        f.write(conf)
    return [shutil.which("named", path="/usr/sbin:" + os.environ["PATH"]), "-f", "-c", f"{directory}/named.conf", "-n", "1"]


def unbound(directory, port):
    zones = sorted({".".join(line.split()[0].rstrip(".").split(".")[-2:]) for line in RECORDS.splitlines()} | {"nosuch.example"})
    data = "".join(f"  local-data: '{line}'\n" for line in (RECORDS + "www.far.example. 60 IN CNAME far.example.\n").splitlines())
    with open(f"{directory}/unbound.conf", "w") as f:
        f.write(f"""server:
  interface: 127.0.0.1@{port}
  do-ip6: no
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  logfile: "{directory}/unbound.log"
  do-not-query-localhost: yes
  module-config: "iterator"
""" + "".join(f"  local-zone: {zone}. static\n" for zone in zones) + data + "remote-control:\n  control-enable: no\n")
    return [shutil.which("unbound", path="/usr/sbin:" + os.environ["PATH"]), "-d", "-p", "-c", f"{directory}/unbound.conf"]


def dns_answers(port):
    """True once the server answers a question for far.example's MX."""
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03far\x07example\x00\x00\x0f\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        try:
            s.sendto(question, ("127.0.0.1", port))
            return s.recv(512)[6:8] == b"\x00\x02"
        except OSError:
            return False


def setup():
    global DIRECTORY, SERVER, SINK, FALLBACK
    path = "/usr/sbin:" + os.environ["PATH"]
    make = named if shutil.which("named", path=path) else unbound if shutil.which("unbound", path=path) else None
    if os.environ.get("RELAIS_DNS") == "unbound":
        make = unbound
    if make is None:
        raise Skip("neither named nor unbound is installed")
    DIRECTORY = tempfile.mkdtemp(prefix="relais-dns-", dir="/tmp")
    port = free_base(2)
    SERVER = subprocess.Popen(make(DIRECTORY, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: dns_answers(port), f"{make.__name__} on port {port}", 15)
    SINK = Sink("127.0.0.3", 0)
    return {"extra": f'[dns]\nservers = ["127.0.0.1:{port}"]\ntimeout = "1s"\n[relay]\nport = {SINK.port}\nprivate_targets = true\nipv6 = false\n'
                     'connect_timeout = "3s"\nretry_first = "1s"\n'}


def teardown():
    if SERVER:
        kill(SERVER)
    if DIRECTORY:
        shutil.rmtree(DIRECTORY, ignore_errors=True)


def submit(chain, recipient, subject):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        s.sendmail(chain.address(1), [recipient], f"From: {chain.address(1)}\r\nTo: {recipient}\r\nSubject: {subject}\r\n\r\nbody\r\n")


def arrives(subject):
    return wait_until(lambda: SINK.find(f"Subject: {subject}\r\n".encode()), f"'{subject}' at the sink")[0]


def bounces(chain, recipient, code):
    def bounce():
        for m in chain.messages(1):
            if m.get_content_type() == "multipart/report" and recipient in m.as_string():
                return m
        return None
    found = wait_until(bounce, f"the bounce for {recipient}", 30)
    has(found.as_string(), "message/delivery-status", code)


def test_second_mx_where_the_first_is_down(chain):
    submit(chain, "a@far.example", "by mx")
    sender, recipients, _ = arrives("by mx")
    has(recipients[0].lower(), "<a@far.example>")


def test_address_without_mx(chain):
    submit(chain, "a@plain.example", "implicit mx")
    arrives("implicit mx")


def test_cname(chain):
    submit(chain, "a@www.far.example", "through cname")
    arrives("through cname")


def test_null_mx_bounces(chain):
    submit(chain, "a@null.example", "null mx")
    bounces(chain, "a@null.example", "5.1.10")


def test_no_such_domain_bounces(chain):
    submit(chain, "a@host.nosuch.example", "no domain")
    bounces(chain, "a@host.nosuch.example", "5.1.2")


def test_one_bounce_and_nothing_more(chain):
    equal(sum(1 for m in chain.messages(1) if m.get_content_type() == "multipart/report"), 2)


run(globals())
