"""Started by others: openbsd-inetd gives descriptor 0, systemd-socket-activate a listening socket or, with --inetd, descriptor 0."""
import imaplib
import os
import poplib
import shutil
import smtplib
import socket

from chain import Skip, equal, free_base, has, kill, need, run, wait_until


def alone(chain):
    """Only mda goes on: the spool has one `mta serve` at a time, and here it is the one that is started by somebody else."""
    if chain.process:
        chain.stop()
        as_root = {"user": "root", "group": "root"} if os.geteuid() == 0 else {}
        chain.mda = chain.spawn([program(chain, "mda"), "-c", chain["CONFIG"], "--daemon"], **as_root)


def program(chain, name):
    return os.path.join(chain["BIN_DIR"], name)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
        return True
    except OSError:
        return False


def whole_dialogues(chain, base, subject):
    """SMTP on base, POP3 on base + 1, POP3S on base + 2, IMAP on base + 3, IMAPS on base + 4."""
    with smtplib.SMTP("127.0.0.1", base, timeout=20) as s:
        s.starttls(context=chain.tls())
        s.sendmail("a@elsewhere.example", [chain.address(1)], f"Subject: {subject}\r\n\r\nbody\r\n")
    chain.delivered(subject)
    p = poplib.POP3("localhost", base + 1, timeout=20)
    p.stls(chain.tls())
    p.user(chain["USER1"]), p.pass_(chain["PASS1"])
    assert p.stat()[0] > 0
    has(b"\n".join(p.retr(p.stat()[0])[1]).decode(), f"Subject: {subject}")
    p.quit()
    p = poplib.POP3_SSL("localhost", base + 2, context=chain.tls(), timeout=20)
    p.user(chain["USER1"]), p.pass_(chain["PASS1"])
    p.quit()
    c = imaplib.IMAP4("localhost", base + 3, timeout=20)
    c.starttls(chain.tls())
    c.login(chain["USER1"], chain["PASS1"])
    equal(c.select("INBOX")[0], "OK")
    c.logout()
    c = imaplib.IMAP4_SSL("localhost", base + 4, ssl_context=chain.tls(), timeout=20)
    c.login(chain["USER1"], chain["PASS1"])
    c.logout()


def test_openbsd_inetd(chain):
    inetd = shutil.which("inetd", path="/usr/sbin:/sbin:" + os.environ["PATH"])
    if inetd is None:
        raise Skip("inetd is not installed")
    if os.geteuid() != 0:
        raise Skip("inetd wants root")
    alone(chain)
    base = free_base()
    lines = [(base, "mta", "serve --inetd"), (base + 1, "pop3d", "--inetd"), (base + 2, "pop3d", "--inetd=pop3s"),
             (base + 3, "imapd", "--inetd"), (base + 4, "imapd", "--inetd=imaps")]
    text = "".join(f"127.0.0.1:{port} stream tcp nowait root {program(chain, name)} {name} {options} -c {chain['CONFIG']}\n"
                   if name != "mta" else
                   f"127.0.0.1:{port} stream tcp nowait root {program(chain, name)} {name} serve -c {chain['CONFIG']} --inetd\n"
                   for port, name, options in lines)
    conf = os.path.join(chain.directory, "inetd.conf")
    with open(conf, "w") as f:
        f.write(text)
    process = chain.spawn([inetd, "-i", conf], user=None, group=None, extra_groups=None) if os.geteuid() != 0 else \
        chain.spawn([inetd, "-i", conf], user="root", group="root")
    try:
        wait_until(lambda: all(answers(port) for port, _, _ in lines), "inetd's ports")
        whole_dialogues(chain, base, "through inetd")
    finally:
        kill(process)


def activate(chain, port, name, *command, inetd=False):
    return chain.spawn(["systemd-socket-activate", "-l", f"127.0.0.1:{port}", f"--fdname={name}", *(["--inetd", "-a"] if inetd else []), *command],
                       user="root" if os.geteuid() == 0 else None, group="root" if os.geteuid() == 0 else None)


def test_systemd_sockets(chain):
    need("systemd-socket-activate")
    alone(chain)
    base = free_base()
    config = ["-c", chain["CONFIG"]]
    services = [("smtp", "mta", ["serve"]), ("pop3", "pop3d", []), ("pop3s", "pop3d", []), ("imap", "imapd", []), ("imaps", "imapd", [])]
    processes = [activate(chain, base + i, name, program(chain, which), *more, *config) for i, (name, which, more) in enumerate(services)]
    try:
        for i in range(len(services)):
            wait_until(lambda: answers(base + i), f"port {base + i}")
        whole_dialogues(chain, base, "through LISTEN_FDS")
    finally:
        for process in processes:
            kill(process)


def test_systemd_sockets_need_no_address(chain):
    """As after `systemctl enable relais-imap.socket` with a configuration that names no address: the socket's name is enough."""
    need("systemd-socket-activate")
    alone(chain)
    base = free_base()
    bare = chain.write("bare.toml", "[smtp]\nlisten = []\nsubmission = []\nsubmissions = []\n[imap]\nlisten = []\ntls_listen = []\n"
                       f"[pop3]\nlisten = []\ntls_listen = []\n[lmtp]\nlisten = []\n[spool]\ndirectory = '{chain.folder('bare')}/spool'\n", 0o644)
    config = ["-c", chain["CONFIG"], "--overlay", bare]
    services = [("submission", "mta", ["serve"], "220 "), ("pop3", "pop3d", [], "+OK"), ("imap", "imapd", [], "* OK"), ("lmtp", "mda", ["--daemon"], "220 ")]
    processes = [activate(chain, base + i, name, program(chain, which), *more, *config) for i, (name, which, more, _) in enumerate(services)]

    def greeting(port):
        try:
            with socket.create_connection(("127.0.0.1", port), 20) as s:
                return s.recv(4).decode()
        except OSError:
            return ""

    try:
        for i, (name, _, _, hello) in enumerate(services):
            wait_until(lambda: greeting(base + i).startswith(hello.rstrip()), f"the greeting of {name}")
    finally:
        for process in processes:
            kill(process)


def test_systemd_inetd_mode(chain):
    need("systemd-socket-activate")
    alone(chain)
    base = free_base()
    process = activate(chain, base, "pop3", program(chain, "pop3d"), "-c", chain["CONFIG"], inetd=True)
    try:
        wait_until(lambda: answers(base), "the port")
        p = poplib.POP3("localhost", base, timeout=20)
        p.stls(chain.tls())
        p.user(chain["USER1"]), p.pass_(chain["PASS1"])
        p.quit()
    finally:
        kill(process)


run(globals())
