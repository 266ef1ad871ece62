"""What will be thrown at imapd: hostile names, hostile messages, slow and many clients. Time and memory stay bounded, others are served."""
import os
import resource
import select
import socket
import threading
import time

from alone import Client, run

EXTRA = 'append_octets = "128MB"\nerrors = 100000\n[limits]\nconnections = 3000\nconnections_per_address = 3000\n'

NAMES = ["../x", "a/../../x", "/etc/passwd", "~root/x", "..", ".", "a..b", ".a", "a.", "x" * 2000, "a" + ".b" * 1000, "%2e%2e", "a\\\\b", "",
         "&xyz", "&AGE-", "&AAA-", "&AC4ALg-", "&AC8-etc", "&2AA-", "&", "&-&-&", "a&b", "INBOX..x", "INBOX.../x", "relais-account", "cur", "new/x",
         "dovecot-acl", "user", "user.", "user..", "user.../x", "user.^.x", "user.^^/^^.x", "user.ann^^.x", "user.bob.../x", "user.bob.cur",
         "user./etc.x", "user.nobody.x", "a\x07b", "a\x7fb"]


def files(directory):
    return sorted(os.path.join(where, name) for where, folders, names in os.walk(directory) for name in folders + names)


def test_names_stay_inside(server):
    with Client(server, user=server.OTHER), Client(server) as c:
        before = [f for f in files(server.directory) if not f.startswith(server.maildir() + "/")]
        for name in NAMES:
            quoted = '"' + name + '"'
            literal = "{%d+}\r\n%s" % (len(name), name)
            for command in (f"CREATE {quoted}", f"CREATE {literal}", f"SELECT {quoted}", f"RENAME INBOX {quoted}", f"SUBSCRIBE {quoted}",
                            f"STATUS {quoted} (MESSAGES)", f"SETACL {quoted} bob lr", f"SETMETADATA {quoted} (/shared/comment x)",
                            f"COPY 1 {quoted}", f"DELETE {quoted}", f"APPEND {quoted} {{4+}}\r\na: b"):
                lines = c.ask(command)
                assert lines and lines[-1].split()[1] in (b"OK", b"NO", b"BAD"), (command, lines)
        # A NUL is no part of any name, however it comes.
        for command in (b'CREATE "a\0b"', b"CREATE {3+}\r\na\0b", b"CREATE ~{3+}\r\na\0b"):
            lines = c.ask(command)
            assert not lines or lines[-1].split()[1] in (b"NO", b"BAD"), lines
            if not lines:
                c.close()
                c.__init__(server)
        after = [f for f in files(server.directory) if not f.startswith(server.maildir() + "/")]
        # The list of who shares with whom is written beside the accounts; nothing else is.
        assert [f for f in after if f not in before and os.path.basename(f) != "shared"] == []
        for folder in os.listdir(server.maildir()):
            assert folder not in (".", "..") and "/" not in folder and len(folder) < 256


def test_nested_parts(server):
    depth = 10000
    message = b"Subject: nested\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n" + b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (i, i + 1) for i in range(depth)) + b"\r\n"
    forwarded = b"Subject: inside\r\n\r\nMIME-Version: 1.0\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\n"
    wide = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * depth + b"--b--\r\n"
    with Client(server) as c:
        for text in (message, forwarded, wide):
            assert b"OK" in c.append(text)[-1]
        c.ask("SELECT INBOX")
        begin = time.monotonic()
        for command in ("FETCH 1:* (BODYSTRUCTURE BODY ENVELOPE)", "FETCH 1:* (BODY.PEEK[1.1.1.1.1] BODY.PEEK[" + ".".join(["1"] * 900) + "])",
                        "SEARCH TEXT nothing", "FETCH 1:* (PREVIEW BINARY.SIZE[1])", "SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"):
            lines = c.ask(command)
            assert lines and lines[-1].split()[1] in (b"OK", b"NO", b"BAD"), (command, lines[-1:])
        assert time.monotonic() - begin < 20
    assert server.memory() < 400 << 20


def test_huge_header(server):
    """100 MB of header: appended, looked at and searched within bounded memory."""
    field = b"X-Filler: " + b"a" * 60 + b"\r\n"
    message = b"From: a@example.org\r\n" + field * (100_000_000 // len(field)) + b"Subject: behind it\r\n\r\nbody\r\n"
    with Client(server, seconds=100) as c:
        begin = time.monotonic()
        assert b"OK" in c.append(message)[-1]
        c.ask("SELECT INBOX")
        lines = c.ask("FETCH 1 (ENVELOPE BODYSTRUCTURE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)])")
        assert lines[-1].startswith(b"a OK"), lines[-1:]
        assert b"%d" % len(message) in b"".join(lines)
        assert c.ask("SEARCH SUBJECT zebra")[-1].startswith(b"a OK")
        assert time.monotonic() - begin < 60
    assert server.memory() < 700 << 20


def test_nul_in_a_message(server):
    """A literal holds no NUL (RFC 9051 section 4.3): BODY[] shows 0x80, BINARY the octet."""
    with Client(server) as c:
        message = b"Subject: a\0b\r\nContent-Transfer-Encoding: binary\r\n\r\nx\0y"
        assert b"BAD" in c.append(message)[-1]
        c.put(b"a APPEND INBOX ~{%d+}\r\n%s\r\n" % (len(message), message))
        assert b"OK" in c.until()[-1]
        c.ask("SELECT INBOX")
        lines = c.ask("FETCH 1 (ENVELOPE BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT])")
        assert lines[-1].startswith(b"a OK") and b"\0" not in b"".join(lines), lines
        assert b"x\x80y" in b"".join(lines)
        text = b"".join(c.ask("FETCH 1 (BINARY.PEEK[1])"))
        assert b"~{3}\r\nx\0y" in text, text


def test_a_client_that_never_reads(server):
    big = b"Subject: big\r\n\r\n" + b"x" * 1_000_000 + b"\r\n"
    with Client(server) as c:
        for _ in range(20):
            assert b"OK" in c.append(big)[-1]
        before = server.memory()
        stuck = [Client(server) for _ in range(10)]
        for s in stuck:
            s.ask("SELECT INBOX")
            for _ in range(50):
                s.put("b FETCH 1:* BODY.PEEK[]\r\n")
        time.sleep(1)
        begin = time.monotonic()
        assert c.ask("SELECT INBOX")[-1].startswith(b"a OK")
        assert c.ask("FETCH 1:* (FLAGS)")[-1].startswith(b"a OK")
        assert time.monotonic() - begin < 5
        # 10 GB were asked for.
        assert server.memory() - before < 100 << 20, (before, server.memory())
        for s in stuck:
            s.close()


def test_thousands_of_folders(server):
    """LIST of all of them in pieces: clients that do not read hold neither memory nor the others."""
    count = 4000
    with Client(server) as c:
        for i in range(count):
            os.makedirs(f"{server.maildir()}/.many{i // 100}.folder{i}/cur")
        assert len(c.ask('LIST "" many*')) == count + count // 100 + 1
        before = server.memory()
        stuck = [Client(server) for _ in range(20)]
        for s in stuck:
            for _ in range(40):
                s.put('b LIST "" *\r\n')
        begin = time.monotonic()
        assert c.ask("SELECT INBOX")[-1].startswith(b"a OK")
        assert len(c.ask('LIST "" many7.*')) == 101
        assert time.monotonic() - begin < 10
        # All that the 800 commands say would be more than 130 MB.
        assert server.memory() - before < 100 << 20, (before, server.memory())
        assert c.ask("CREATE many7.new")[-1].startswith(b"a OK")
        assert len(c.ask('LIST "" many7.*')) == 102
        for s in stuck:
            s.close()


def test_slow_octets(server):
    """One octet now and then from many: others are served at once."""
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
    stop = threading.Event()

    def drip():
        while not stop.is_set():
            for s in slow:
                try:
                    s.sendall(b"a")
                except OSError:
                    pass
            stop.wait(0.2)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        begin = time.monotonic()
        for _ in range(20):
            with Client(server) as c:
                c.ask("SELECT INBOX")
        assert time.monotonic() - begin < 10
    finally:
        stop.set()
        thread.join()
        for s in slow:
            s.close()


def test_a_thousand_clients_on_one_mailbox(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server.stop()
    server.start()  # with as many descriptors as it may have
    with Client(server) as c:
        c.ask("SELECT INBOX")
        before = server.memory()
        idle = []
        try:
            for _ in range(1000):
                i = Client(server)
                i.put("b SELECT INBOX\r\nc IDLE\r\n")
                idle.append(i)
            for i in idle:
                while not i.file.readline().startswith(b"+ "):
                    pass
            each = (server.memory() - before) // 1000
            assert each < 100 << 10, f"{each} octets a session"
            begin = time.monotonic()
            assert c.append(b"Subject: news\r\n\r\nx\r\n")[-1].startswith(b"a OK")
            waiting = {i.socket for i in idle}
            while waiting:
                ready, _, _ = select.select(list(waiting)[:1000], [], [], 15)
                assert ready, f"{len(waiting)} of 1000 heard nothing"
                waiting -= set(ready)
            assert time.monotonic() - begin < 10
        finally:
            for i in idle:
                i.close()


def test_literals_and_sets(server):
    with Client(server) as c:
        c.ask("SELECT INBOX")
        for command in ("CREATE {4294967296}", "CREATE {99999999999999999999}", "CREATE {-1}", "SEARCH " + "(" * 60000, "FETCH " + "1:*," * 15000 + "1 FLAGS",
                        "SEARCH NOT " + "NOT " * 10000 + "ALL", "t" * 5000, "\x80\xff\xfe", "APPEND INBOX {1000000000000}", "FETCH 4294967295:1 FLAGS",
                        "UIDBATCHES 4294967295 4294967295:4294967295", "LANGUAGE " + "x " * 30000, "COMPARATOR " + "*" * 60000):
            lines = c.ask(command.encode("latin-1"))
            if not lines:
                c.close()
                c.__init__(server)
                c.ask("SELECT INBOX")
                continue
            assert lines[-1].split()[1] in (b"NO", b"BAD", b"OK"), (command[:60], lines[-1])
        assert c.ask("NOOP")[-1].startswith(b"a OK")
    assert server.memory() < 200 << 20


def test_a_command_that_lasts_says_so(server):
    """INPROGRESS (RFC 9585): another program holds the lock of the UID list, so APPEND has to wait."""
    with Client(server, seconds=60) as c:
        assert c.append(b"Subject: a\r\n\r\n")[-1].startswith(b"a OK")
        lock = os.path.join(server.maildir(), "dovecot-uidlist.lock")
        with open(lock, "w") as f:
            f.write(f"{os.getpid()}:{socket.gethostname()}")
        c.put("b APPEND INBOX {14+}\r\nSubject: b\r\n\r\n\r\n")
        try:
            line = c.file.readline()
        finally:
            os.unlink(lock)
        assert line == b'* OK [INPROGRESS ("b" NIL NIL)] Still working\r\n', line
        assert c.until(b"b")[-1].startswith(b"b OK")


run(globals())
