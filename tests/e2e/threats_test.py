"""What will be thrown at it: the rows of the threats that the whole chain meets, one function each or more."""
import os
import socket
import ssl
import statistics
import time

from chain import Skip, equal, has, run, wait_until
from wire import Wire


def setup():
    # The first guesses cost nothing and later ones more and more: without that, what is compared is the check alone.
    return {"extra": '[auth]\nfailure_delay = "0s"\nlockout_failures = 1000\n'}


def smtp(chain, port="SMTP", tls=False):
    w = Wire(chain, port, tls)
    equal(w.reply()[0], 220)
    equal(w.ask("EHLO client.example"), 250)
    return w


def transaction(chain, w, to=1):
    equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
    equal(w.ask(f"RCPT TO:<{chain.address(to)}>"), 250)
    equal(w.ask("DATA"), 354)


# --- on the wire: SMTP smuggling ---

ENDS = [b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n"]


def test_smuggled_ends_of_data(chain):
    """No other octets than CR LF . CR LF end the data; what holds bare line ends is refused, and nothing behind it becomes a message."""
    inside = f"MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<{chain.address(2)}>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n".encode()
    for end in ENDS:
        with smtp(chain) as w:
            transaction(chain, w)
            w.put(b"Subject: outer\r\n\r\nfirst" + end + inside)
            code = w.reply()[0]
            assert code in (521, 550, 554) or 500 <= code < 600, (end, code)
            # Commands that were text are now commands, or the connection is closed; no second message was taken by the first 250.
    time.sleep(0.5)
    equal(chain.find("outer"), None)
    for message in chain.messages(2):
        if message["Subject"] == "smuggled":
            # With a refused outer message the rest is read as commands of this same client, which it could have sent anyway.
            assert "outer" not in str(message), "smuggled"


def test_end_of_data_split_over_packets(chain):
    with smtp(chain) as w:
        w.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transaction(chain, w)
        for octet in b"Subject: split\r\n\r\n..x\r\n..\r\n.\r\n":
            w.put(bytes([octet]))
            time.sleep(0.002)
        equal(w.reply()[0], 250)
    equal(chain.body(chain.delivered("split")), ".x\n.\n")


# --- STARTTLS ---

def test_commands_injected_before_starttls(chain):
    with Wire(chain, "SMTP") as w:
        w.reply()
        w.ask("EHLO a")
        w.put("STARTTLS\r\nMAIL FROM:<injected@elsewhere.example>\r\n")
        equal(w.reply()[0], 220)
        w.start_tls()
        w.put("NOOP\r\n")
        equal(w.reply()[0], 250, "the injected command is forgotten")
        # The session starts anew: no EHLO has been said.
        assert w.ask("MAIL FROM:<a@elsewhere.example>") in (250, 503)
    with Wire(chain, "IMAP") as w:
        w.line()
        w.put("a STARTTLS\r\nb LOGOUT\r\n")
        has(w.until("a")[-1], "a OK")
        w.start_tls()
        lines = w.tagged("NOOP", "c")
        has(lines[-1], "c OK")
        assert not any(line.startswith("b ") for line in lines)
    with Wire(chain, "POP3") as w:
        w.line()
        w.put("STLS\r\nQUIT\r\n")
        has(w.line(), "+OK")
        w.start_tls()
        w.put("CAPA\r\n")
        has(w.line(), "+OK Capability")


def test_no_old_tls(chain):
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            context.minimum_version = context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
        except (ssl.SSLError, ValueError):
            continue
        for port in ("SUBMISSIONS", "IMAPS", "POP3S"):
            try:
                with socket.create_connection((chain["MAIL_HOST"], chain.port(port)), 10) as s, context.wrap_socket(s):
                    raise AssertionError(f"{version.name} was taken on {port}")
            except (ssl.SSLError, ConnectionResetError):
                pass


def test_message_cut_short_under_tls_is_not_taken(chain):
    w = Wire(chain, "SUBMISSIONS", tls=True)
    w.reply(), w.ask("EHLO a")
    import base64
    equal(w.ask("AUTH PLAIN " + base64.b64encode(f"\0{chain['USER1']}\0{chain['PASS1']}".encode()).decode()), 235)
    equal(w.ask(f"MAIL FROM:<{chain.address(1)}>"), 250)
    equal(w.ask(f"RCPT TO:<{chain.address(2)}>"), 250)
    equal(w.ask("DATA"), 354)
    w.put(f"From: {chain.address(1)}\r\nSubject: cut short\r\n\r\nhalf a line")
    w.socket.shutdown(socket.SHUT_RDWR)
    w.close()
    time.sleep(0.5)
    equal(chain.find("cut short", 2), None)


# --- order ---

def test_early_talk(chain):
    """A client that talks before the banner: its commands are refused or wait; the replies stay in order."""
    with Wire(chain, "SMTP") as w:
        w.put("EHLO early\r\nNOOP\r\n")
        code = w.reply()[0]
        assert code in (220, 554, 521), code


def test_replies_keep_their_order(chain):
    with smtp(chain) as w:
        w.put(f"MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<no-such@{chain['DOMAIN']}>\r\nRCPT TO:<{chain.address(1)}>\r\nNOOP\r\nVRFY x\r\nDATA\r\n")
        codes = [w.reply()[0] for _ in range(6)]
        equal(codes[:4], [250, 550, 250, 250])
        equal(codes[5], 354)
        w.put("Subject: in order\r\n\r\n\r\n.\r\nQUIT\r\n")
        equal([w.reply()[0], w.reply()[0]], [250, 221])
    chain.delivered("in order")


# --- AUTH ---

def test_auth_in_wrong_places(chain):
    with smtp(chain, "SUBMISSION") as w:
        assert w.ask("AUTH PLAIN AGEAYg==") in (538, 530, 503, 504, 502), "AUTH in clear text"
    with smtp(chain, "SUBMISSIONS", tls=True) as w:
        equal(w.ask("AUTH PLAIN not*base64"), 501)
        equal(w.ask("AUTH NO-SUCH"), 504)
        equal(w.ask("AUTH PLAIN"), 334)
        equal(w.ask("*"), 501)
        equal(w.ask("AUTH PLAIN"), 334)
        w.put("A" * 20000 + "\r\n")
        assert w.reply()[0] in (500, 501, 535)
        import base64
        right = base64.b64encode(f"\0{chain['USER1']}\0{chain['PASS1']}".encode()).decode()
        equal(w.ask("AUTH PLAIN " + right), 235)
        equal(w.ask("AUTH PLAIN " + right), 503)
        equal(w.ask(f"MAIL FROM:<{chain.address(1)}>"), 250)
        equal(w.ask("AUTH PLAIN " + right), 503)


def test_guessing_tells_nothing(chain):
    """The same text and about the same time for an unknown user and a wrong password, in each protocol."""
    def pop3(user):
        with Wire(chain, "POP3S", tls=True) as w:
            w.line()
            w.put(f"USER {user}\r\n")
            w.line()
            begin = time.monotonic()
            w.put("PASS wrong\r\n")
            return w.line(), time.monotonic() - begin

    def imap(user):
        with Wire(chain, "IMAPS", tls=True) as w:
            w.line()
            begin = time.monotonic()
            return w.tagged(f"LOGIN {user} wrong")[-1], time.monotonic() - begin

    for protocol in (pop3, imap):
        known, unknown = [protocol(chain["USER2"]) for _ in range(3)], [protocol("no-such-user") for _ in range(3)]
        equal(known[0][0], unknown[0][0])
        difference = abs(statistics.median(t for _, t in known) - statistics.median(t for _, t in unknown))
        assert difference < 0.3, (protocol.__name__, known, unknown)


# --- open relay ---

def test_no_open_relay_in_any_form(chain):
    domain, port = chain["DOMAIN"], "SMTP"
    forms = ["<x@far.example>", "<x%far.example@{d}>", "<@{d}:x@far.example>", "<@{d},@other.example:x@far.example>", "<far.example!x@{d}>",
             '<"x@far.example"@{d}>', '<"x@far.example">', "<x@[192.0.2.1]>", "<x@[127.0.0.1]>", "<x@far.example.>", "<x@>",
             "<x@far.example@{d}>", "<x@[IPv6:::ffff:192.0.2.1]>", "<x%far.example>", "<\"x%far.example\"@{d}>", "<x@ｅxample.com>"]
    with smtp(chain, port) as w:
        for form in forms:
            equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
            code = w.ask("RCPT TO:" + form.format(d=domain))
            assert 500 <= code < 600, (form, code)
            equal(w.ask("RSET"), 250)
        # The same when the sender pretends to be local, and when it is null.
        for sender in (chain.address(1), ""):
            equal(w.ask(f"MAIL FROM:<{sender}>"), 250)
            assert 500 <= w.ask("RCPT TO:<x@far.example>") < 600
            w.ask("RSET")
        # A trailing dot and capitals are the same domain; mail for it is ours.
        equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
        equal(w.ask(f"RCPT TO:<{chain['USER1']}@{domain.upper()}>"), 250)


# --- sizes ---

def test_overlong_lines_and_commands(chain):
    with smtp(chain) as w:
        w.put("NOOP " + "x" * 100000 + "\r\nNOOP\r\n")
        assert 500 <= w.reply()[0] < 600
        equal(w.reply()[0], 250)
    with smtp(chain) as w:
        transaction(chain, w)
        w.put("Subject: long line\r\n\r\n" + "y" * 5000 + "\r\n.\r\n")
        assert w.reply()[0] in (250, 500, 550, 552, 554)
        equal(w.ask("NOOP"), 250)
    with Wire(chain, "POP3S", tls=True) as w:
        w.line()
        w.put("X" * 1000000 + "\r\nCAPA\r\n")  # an overlong line over TLS took down a shared log-in process once
        has(w.line(), "-ERR")
        has(w.line(), "+OK")
    with Wire(chain, "IMAPS", tls=True) as w:
        w.line()
        try:
            w.put("a " + "X" * 1000000 + "\r\n")
            w.line()
        except OSError:
            pass


def test_size_lies(chain):
    with smtp(chain) as w:
        assert w.ask("MAIL FROM:<a@elsewhere.example> SIZE=99999999999") in (552, 501)
        assert w.ask("MAIL FROM:<a@elsewhere.example> SIZE=18446744073709551616") in (552, 501)
        equal(w.ask("MAIL FROM:<a@elsewhere.example> SIZE=-1"), 501)
        equal(w.ask("MAIL FROM:<a@elsewhere.example> SIZE=1"), 250)
        equal(w.ask(f"RCPT TO:<{chain.address(1)}>"), 250)
        equal(w.ask("DATA"), 354)
        w.put("Subject: size lie\r\n\r\n" + "z" * 100 + "\r\n.\r\n")
        assert w.reply()[0] in (250, 552)
        equal(w.ask("RSET"), 250)


def test_bdat_sizes(chain):
    with smtp(chain) as w:
        equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
        equal(w.ask(f"RCPT TO:<{chain.address(1)}>"), 250)
        assert w.ask("BDAT 99999999999999999999") in (501, 552, 503)
    with smtp(chain) as w:
        equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
        equal(w.ask(f"RCPT TO:<{chain.address(1)}>"), 250)
        w.put(b"BDAT 21\r\nSubject: bdat\r\n\r\nab\r\n")
        equal(w.reply()[0], 250)
        equal(w.ask("DATA"), 503)
        w.put(b"BDAT 0 LAST\r\n")
        code = w.reply()[0]
        assert code in (250, 503, 554), code
        assert w.ask("BDAT 0 LAST") in (503, 554)
        equal(w.ask("RSET"), 250)


def test_many_recipients(chain):
    with smtp(chain) as w:
        equal(w.ask("MAIL FROM:<a@elsewhere.example>"), 250)
        w.put("".join(f"RCPT TO:<{chain['USER1']}+{i}@{chain['DOMAIN']}>\r\n" for i in range(1200)))
        codes = [w.reply()[0] for _ in range(1200)]
        equal(codes[0], 250)
        assert 452 in codes, set(codes)
        equal(w.ask("RSET"), 250)


def test_imap_literals_and_nesting(chain):
    with Wire(chain, "IMAPS", tls=True) as w:
        w.line()
        w.put("a LOGIN {4294967295}\r\n")
        line = w.line()
        assert line is None or not line.startswith("+"), line
    with Wire(chain, "IMAPS", tls=True) as w:
        w.line()
        has(w.tagged(f"LOGIN {chain['USER1']} {chain['PASS1']}")[-1], "a OK")
        has(w.tagged("SELECT INBOX", "b")[-1], "b OK")
        for command in ("SEARCH " + "(" * 20000, "SEARCH " + "NOT " * 5000 + "ALL", "FETCH 1:*," + ",".join(["1:*"] * 500) + " FLAGS",
                        "FETCH 0 FLAGS", "SELECT a\0b", "STORE 1 +FLAGS (\\Recent)", "UID"):
            lines = w.tagged(command, "c")
            if not lines or not lines[-1].startswith("c "):
                break  # out of step: it closed, as it may
            assert lines[-1].split()[1] in ("BAD", "NO", "OK"), lines[-1]
    with Wire(chain, "IMAPS", tls=True) as w:  # others go on
        w.line()
        has(w.tagged("CAPABILITY")[-1], "a OK")


def test_imap_names_stay_inside(chain):
    with Wire(chain, "IMAPS", tls=True) as w:
        w.line()
        has(w.tagged(f"LOGIN {chain['USER1']} {chain['PASS1']}")[-1], "a OK")
        for name in ("../x", "a/../../x", "/etc/passwd", "~root/x", "..", ".", "a..b", "&AAA-", "x" * 2000, "%2e%2e", "&xyz", "a\\\\b"):
            lines = w.tagged(f'CREATE "{name}"', "b")
            assert lines and lines[-1].startswith("b "), (name, lines)
        w.tagged("LOGOUT", "c")
    account = chain["MAILDIR1"]
    outside = set(os.listdir(os.path.dirname(account))) - {chain["USER1"], chain["USER2"]}
    equal(outside, set(), "beside the accounts")


# --- slowness and floods ---

def others_are_served(chain, subject):
    begin = time.monotonic()
    chain.send(subject)
    assert time.monotonic() - begin < 15


def test_idle_connections_do_not_hinder_others(chain):
    idle = [socket.create_connection((chain["MAIL_HOST"], chain.port(p))) for p in ("SMTP", "IMAP", "POP3") for _ in range(60)]
    try:
        for s in idle:
            s.sendall(b"E")
        others_are_served(chain, "beside the idle")
    finally:
        for s in idle:
            s.close()


def test_a_reader_that_never_reads(chain):
    """Many answers asked for and none read: output is bounded, others go on."""
    for _ in range(5):
        chain.send("filler", body="x" * 70 + "\n" + ("y" * 70 + "\n") * 20000)
    stuck = []
    try:
        for _ in range(4):
            w = Wire(chain, "POP3S", tls=True)
            w.line()
            w.put(f"USER {chain['USER1']}\r\nPASS {chain['PASS1']}\r\n")
            w.line(), w.line()
            w.put("RETR 1\r\n" * 200)
            stuck.append(w)
        others_are_served(chain, "beside the stuck")
    finally:
        for w in stuck:
            w.close()


# --- in the message ---

def test_mail_loops(chain):
    with smtp(chain) as w:
        transaction(chain, w)
        w.put("".join(f"Received: from a by b{i}; Mon, 1 Jan 2024 00:00:00 +0000\r\n" for i in range(200)) + "Subject: loop\r\n\r\n\r\n.\r\n")
        code = w.reply()[0]
        assert code in (554, 550), code
    equal(chain.find("loop"), None)


def test_huge_header_and_many_fields(chain):
    for header in ("X: " + "a" * 70 + "\r\n") * 50000, "X-" + "b" * 900 + ": y\r\n" * 1:
        with smtp(chain) as w:
            transaction(chain, w)
            w.put(header + "Subject: huge\r\n\r\n\r\n.\r\n")
            assert w.reply()[0] in (250, 552, 554, 550)
            equal(w.ask("NOOP"), 250)


def test_nested_mime_is_served(chain):
    depth = 2000
    body = "".join(f"--b{i}\r\nContent-Type: multipart/mixed; boundary=b{i + 1}\r\n\r\n" for i in range(depth))
    with smtp(chain) as w:
        transaction(chain, w)
        w.put("Subject: nested\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n" + body + "\r\n.\r\n")
        code = w.reply()[0]
        assert code in (250, 550, 552, 554), code
    if code != 250:
        return
    with Wire(chain, "IMAPS", tls=True, seconds=20) as w:
        w.line()
        w.tagged(f"LOGIN {chain['USER1']} {chain['PASS1']}")
        w.tagged("SELECT INBOX", "b")
        uids = wait_until(lambda: [line for line in w.tagged("UID SEARCH SUBJECT nested", "c") if line.startswith("* SEARCH")][0].split()[2:],
                          "the nested message")
        begin = time.monotonic()
        lines = w.tagged(f"UID FETCH {uids[-1]} (BODYSTRUCTURE ENVELOPE)", "d")
        has(lines[-1], "d OK")
        assert time.monotonic() - begin < 5


def test_log_lines_cannot_be_forged(chain):
    with Wire(chain, "POP3S", tls=True) as w:
        w.line()
        w.put("USER x event=forged\x1b[31m \"y\"\r\nPASS z\r\n")
        w.line(), w.line()
    with smtp(chain) as w:
        w.ask("MAIL FROM:<\"a event=forged \\\"\"@elsewhere.example>")
        w.ask("RCPT TO:<\"x event=forged\"@far.example>")
    for place in (chain.directory + "/log/relais.log", chain.directory + "/data/log/relais.log"):
        if os.path.exists(place):
            with open(place, errors="replace") as f:
                for line in f:
                    assert "\x1b" not in line, line
                    assert " event=forged" not in line.replace('"', '" ').split('" ')[0] or 'event=forged' not in line.split('"')[0], line


def test_no_secret_in_the_log(chain):
    for place in (chain.directory + "/log/relais.log", chain.directory + "/data/log/relais.log"):
        if os.path.exists(place):
            with open(place, errors="replace") as f:
                text = f.read()
            assert chain["PASS1"] not in text and chain["PASS2"] not in text


# --- on the host ---

def test_drop_takes_only_honest_files(chain):
    """Symbolic links, hard links, FIFOs and foreign files in spool/drop are set aside, and the relay goes on."""
    drop = os.path.join(chain["SPOOL_DIR"], "drop")
    if not os.path.isdir(drop):
        raise Skip("there is no spool/drop")
    if os.geteuid() != 0:
        raise Skip("needs root to make them")
    os.symlink("/etc/passwd", drop + "/link")
    os.mkfifo(drop + "/fifo")
    os.mkdir(drop + "/folder")
    with open(drop + "/noise", "wb") as f:
        f.write(os.urandom(5000))
    with open(chain.directory + "/outside", "w") as f:
        f.write("secret")
    try:
        os.link(chain.directory + "/outside", drop + "/hard")
    except OSError:
        pass
    time.sleep(0.5)
    # The way through drop still works.
    chain.run([chain["BIN_DIR"] + "/sendmail", "-f", chain.address(1), chain.address(2)], data="Subject: dropped\n\nbody\n",
              env={"RELAIS_CONFIG": chain["CONFIG"]}, code=None)
    assert all("root:x:0" not in str(m) and "secret" not in str(m) for u in (1, 2) for m in chain.messages(u))
    for name in ("link", "fifo", "folder", "noise", "hard"):
        path = os.path.join(drop, name)
        if os.path.islink(path) or os.path.exists(path):
            os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def test_spool_and_mail_are_nobody_elses(chain):
    import stat
    for directory in (chain["SPOOL_DIR"], chain["MAIL_ROOT"]):
        for root, folders, files in os.walk(directory):
            for name in files:
                try:
                    mode = os.lstat(os.path.join(root, name)).st_mode
                except FileNotFoundError:
                    continue
                assert not mode & (stat.S_IROTH | stat.S_IWOTH), os.path.join(root, name)


def test_programs_do_not_run_as_root(chain):
    if os.geteuid() != 0:
        raise Skip("not root")
    import subprocess
    names = {"mta", "mda", "imapd", "pop3d"}
    seen = set()
    for line in subprocess.run(["ps", "-eo", "uid=,comm=,args="], capture_output=True, text=True).stdout.splitlines():
        uid, name, arguments = line.split(None, 2)
        if name in names and chain.directory in arguments or (name in names and chain["CONFIG"] in arguments):
            seen.add((name, uid))
    for name in ("imapd", "pop3d"):
        assert any(n == name and uid != "0" for n, uid in seen), seen
        assert not any(n == name and uid == "0" for n, uid in seen), seen


run(globals())
