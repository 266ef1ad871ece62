#!/usr/bin/env python3
"""Runs Dovecot's scripted IMAP server tests (vectors/imap/imaptest) against a server: imaptest.py HOST PORT USER PASSWORD DIRECTORY [NAME...]

The README beside the scripts says how they are written. Exit status 0 if all pass; scripts for extensions the server lacks are skipped."""
import os, re, socket, sys, time

HOST, PORT, USER, PASSWORD, DIRECTORY = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
VERBOSE = bool(os.environ.get("VERBOSE"))


class Mismatch(Exception):
    pass


def tokens(text):
    """Words, strings (as ('s', octets)) and lists, nested."""
    at, stack = 0, [[]]
    while at < len(text):
        c = text[at:at + 1]
        if c in b" \r\n\t":
            at += 1
        elif c == b"(":
            stack.append([])
            at += 1
        elif c == b")":
            at += 1
            if len(stack) > 1:
                done = stack.pop()
                stack[-1].append(done)
        elif c == b'"':
            end, out = at + 1, b""
            while end < len(text) and text[end:end + 1] != b'"':
                if text[end:end + 1] == b"\\":
                    end += 1
                out += text[end:end + 1]
                end += 1
            stack[-1].append(("s", out))
            at = end + 1
        else:
            literal = re.match(rb"~?\{(\d+)\+?\}\r\n", text[at:])
            if literal:
                at += literal.end()
                stack[-1].append(("s", text[at:at + int(literal.group(1))]))
                at += int(literal.group(1))
                continue
            word = re.match(rb'[^ ()"\r\n\t]+', text[at:]).group()
            stack[-1].append(word)
            at += len(word)
    return stack[0]


class Connection:
    def __init__(self):
        self.socket = socket.create_connection((HOST, PORT), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.count, self.sequence = b"", 0, []
        self.greeting = self.response()

    def line(self):
        while b"\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                raise Mismatch("closed by the server")
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line + b"\n"

    def response(self):
        whole = self.line()
        while True:
            literal = re.search(rb"\{(\d+)\}\r\n$", whole)
            if not literal:
                break
            octets = int(literal.group(1))
            while len(self.buffer) < octets:
                more = self.socket.recv(65536)
                if not more:
                    raise Mismatch("closed in a literal")
                self.buffer += more
            whole += self.buffer[:octets]
            self.buffer = self.buffer[octets:]
            whole += self.line()
        if VERBOSE:
            print("S:", whole)
        return whole

    def send(self, octets):
        if VERBOSE:
            print("C:", octets)
        self.socket.sendall(octets)

    def command(self, text, tag=None):
        self.count += 1
        tag = tag or b"t%d" % self.count
        self.send(tag + b" " + text + b"\r\n")
        return tag

    def finish(self, tag):
        untagged = []
        while True:
            response = self.response()
            if response.startswith(tag + b" "):
                return untagged, response[len(tag) + 1:].rstrip(b"\r\n")
            untagged.append(response)
            if response.startswith(b"+ "):
                self.send(b"DONE\r\n")

    def ok(self, text):
        untagged, status = self.finish(self.command(text))
        if not status.upper().startswith(b"OK"):
            raise Mismatch("%r: %r" % (text[:80], status))
        return untagged, status


class Script:
    def __init__(self, name):
        self.name = name
        lines = open(os.path.join(DIRECTORY, name), "rb").read().split(b"\n")
        self.options = {"connections": b"1", "state": b"selected", "messages": b"all", "capabilities": b""}
        at = 0
        while at < len(lines) and lines[at].strip():
            if not lines[at].startswith(b"#"):
                key, value = lines[at].split(b":", 1)
                self.options[key.decode().strip().lower()] = value.strip()
            at += 1
        self.lines = self.fold(lines[at:])
        mbox = os.path.join(DIRECTORY, name + ".mbox")
        text = b"\n" + open(mbox if os.path.exists(mbox) else os.path.join(DIRECTORY, "default.mbox"), "rb").read()
        self.messages = []
        parts = text.split(b"\nFrom ")[1:]
        for part in [p + b"\n" for p in parts[:-1]] + parts[-1:]:
            envelope, message = part.split(b"\n", 1)
            date = re.search(rb"(\w{3})\s+(\d+) (\d\d:\d\d:\d\d) (\d{4})(?: ([-+]\d{4}))?", envelope)
            date = b'"%02d-%s-%s %s %s" ' % (int(date[2]), date[1], date[4], date[3], date[5] or b"+0000") if date else b""
            self.messages.append((date, message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))

    def fold(self, lines):
        """{{{ ... }}} becomes a literal."""
        out, at = [], 0
        while at < len(lines):
            line = lines[at]
            while line.rstrip().endswith(b"{{{"):
                content = []
                at += 1
                while not lines[at].startswith(b"}}}"):
                    content.append(lines[at])
                    at += 1
                octets = b"\r\n".join(content).replace(b"\r\r\n", b"\r\n")
                line = line.rstrip()[:-3] + b"{%d+}\r\n" % len(octets) + octets + lines[at][3:]
            out.append(line)
            at += 1
        return [l for l in out if l.strip() and not l.startswith(b"#")]


SPECIAL = {b"$!ordered", b"$!unordered", b"$!extra", b"$!noextra"}


class Run:
    def __init__(self, script):
        self.script = script
        self.variables = {"user": USER.encode(), "username": USER.split("@")[0].encode(), "domain": b"", "password": PASSWORD.encode(),
                          "mailbox": b"imaptest", "mailbox_url": b"imap://%s@localhost/imaptest" % USER.encode()}
        self.connections, self.next_message = [], 0
        self.modseqs = {}

    def expand(self, text, sequence):
        def value(match):
            name = (match.group(1) or match.group(2)).decode()
            if name.startswith("case:"):
                return name[5:].encode()
            if name.isdigit():
                return b"%d" % (sequence.index(int(name)) + 1) if int(name) in sequence else match.group()
            found = self.variables.get(name)
            return found if isinstance(found, bytes) else (found[1] if isinstance(found, tuple) else match.group())
        text = text.replace(b"$$", b"\0\1")
        return re.sub(rb"\$(?:\{([^}]*)\}|([A-Za-z0-9_]+))", value, text).replace(b"\0\1", b"$")

    def same(self, wanted, got, sequence, kind=""):
        if isinstance(wanted, list):
            return isinstance(got, list) and self.same_list(wanted, got, sequence, kind)
        if isinstance(wanted, bytes):
            if wanted == b"$":
                return True
            variable = re.fullmatch(rb"\$(?:\{([^}]*)\}|([A-Za-z0-9_]+))", wanted)
            if variable:
                name = (variable.group(1) or variable.group(2)).decode()
                if name.startswith("modseq") and not isinstance(got, list):
                    number = re.fullmatch(rb"\d+", got if isinstance(got, bytes) else got[1])
                    if not number:
                        return False
                    self.modseqs.setdefault(name, int(number.group()))
                    return True
                if not name.isdigit() and not name.startswith("case:") and name not in self.variables:
                    self.variables[name] = got
                    return True
                if name in self.variables and not isinstance(self.variables[name], bytes) and not isinstance(self.variables[name], tuple):
                    return self.variables[name] == got
            wanted = self.expand(wanted, sequence)
        else:
            wanted = self.expand(wanted[1], sequence) if b"$" in wanted[1] else wanted[1]
        if isinstance(got, list):
            return False
        plain = got if isinstance(got, bytes) else got[1]
        inside = re.fullmatch(rb"(.*)\$([A-Za-z_]+)(.*)", wanted, re.S)
        if inside and inside.group(2).decode() not in self.variables and plain.lower().startswith(inside.group(1).lower()):
            end = len(plain) - len(inside.group(3))
            self.variables[inside.group(2).decode()] = plain[len(inside.group(1)):end]
            return True
        if wanted.upper() == b"NIL" and got == b"NIL":
            return True
        return wanted.lower().replace(b"\r\n", b"\n") == plain.lower().replace(b"\r\n", b"\n")

    def same_list(self, wanted, got, sequence, kind):
        unordered, extra, ignore = {"fetch": (2, True, ()), "flags": (1, False, (b"\\recent",)), "list": (1, True, ()), "status": (2, True, ())}.get(
            kind, (0, False, ()))
        banned = []
        while wanted and isinstance(wanted[0], bytes) and wanted[0].startswith(b"$!"):
            word, wanted = wanted[0], wanted[1:]
            name, _, value = word[2:].partition(b"=")
            if name == b"ordered": unordered = 0
            elif name == b"unordered": unordered, extra = int(value or 1), True
            elif name == b"extra": extra = True
            elif name == b"noextra": extra = False
            elif name == b"ignore": ignore = ignore + (value.lower(),)
            elif name == b"ban": banned.append(value.lower())
        if any(isinstance(g, bytes) and g.lower() in banned for g in got):
            return False
        if not unordered:
            return len(wanted) == len(got) and all(self.same_at(w, g, wanted, i, sequence) for i, (w, g) in enumerate(zip(wanted, got)))
        rest = [g for g in got if not (isinstance(g, bytes) and g.lower() in ignore)]
        groups = [rest[i:i + unordered] for i in range(0, len(rest), unordered)] if not (kind == "fetch") else self.pairs(rest)
        wants = [wanted[i:i + unordered] for i in range(0, len(wanted), unordered)] if not (kind == "fetch") else self.pairs(wanted)
        for want in wants:
            for group in groups:
                saved = dict(self.variables)
                if len(want) == len(group) and all(self.same_at(w, g, want, i, sequence) for i, (w, g) in enumerate(zip(want, group))):
                    groups.remove(group)
                    break
                self.variables = saved
            else:
                return False
        return extra or not groups

    @staticmethod
    def pairs(items):
        """FETCH items: a name, perhaps with `[… (…) ]`, and a value."""
        out, group = [], []
        for item in items:
            group.append(item)
            first = group[0]
            open_bracket = isinstance(first, bytes) and b"[" in first and b"]" not in first
            closed = not open_bracket or any(isinstance(g, bytes) and b"]" in g for g in group[1:-1] or ())
            if len(group) > 1 and closed:
                out.append(group)
                group = []
        return out + ([group] if group else [])

    def same_at(self, want, got, wanted, index, sequence):
        before = wanted[index - 1] if index else b""
        kind = "flags" if isinstance(before, bytes) and before.lower() == b"flags" else ""
        return self.same(want, got, sequence, kind)

    def matches(self, line, response, sequence):
        wanted, got = tokens(line), tokens(response.rstrip(b"\r\n") if not response.endswith(b")\r\n") else response)
        saved = dict(self.variables)
        name = next((w.lower() for w in wanted[:3] if isinstance(w, bytes) and w.lower() in (b"fetch", b"list", b"lsub", b"status", b"uidfetch", b"flags")), b"")
        kind = {b"fetch": "fetch", b"uidfetch": "fetch", b"list": "list", b"lsub": "list", b"status": "status", b"flags": "flags"}.get(name, "")
        if len(wanted) > len(got) or (kind and len(wanted) != len(got) and b"list" != name):
            return False
        for want, have in zip(wanted, got):
            if not self.same(want, have, sequence, kind if isinstance(want, list) else ""):
                self.variables = saved
                return False
        if len(wanted) < len(got) and not re.match(rb"\* (OK|NO|BAD|BYE|LIST|ESEARCH)", response, re.I) and wanted[1:2] not in ([b"ok"], [b"no"]):
            self.variables = saved
            return False
        return True

    def setup(self):
        state = self.script.options["state"].decode()
        for _ in range(int(self.script.options["connections"])):
            connection = Connection()
            self.connections.append(connection)
        if state == "nonauth":
            return
        for connection in self.connections:
            connection.ok(b'LOGIN "%s" "%s"' % (USER.encode(), PASSWORD.encode()))
        first = self.connections[0]
        for response in first.ok(b'LIST "" "*"')[0]:
            name = tokens(response)[-1]
            name = name[1] if isinstance(name, tuple) else name
            if name.upper() != b"INBOX":
                first.finish(first.command(b'UNSUBSCRIBE "%s"' % name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')))
                first.finish(first.command(b'DELETE "%s"' % name.replace(b"\\", b"\\\\").replace(b'"', b'\\"')))
        if state == "auth":
            return
        first.ok(b"CREATE imaptest")
        if state == "created":
            return
        wanted = self.script.options["messages"]
        count = len(self.script.messages) if wanted == b"all" else int(wanted)
        for _ in range(count):
            self.append(first, b"")
        if state == "appended":
            return
        for connection in self.connections:
            connection.ok(b"SELECT imaptest")
            connection.sequence = list(range(1, count + 1))

    def append(self, connection, arguments):
        date, message = self.script.messages[self.next_message % len(self.script.messages)]
        self.next_message += 1
        where = arguments.strip() or b"imaptest"
        return connection.ok(b"APPEND %s %s{%d+}\r\n%s" % (where, date, len(message), message))

    def follow(self, connection, untagged):
        for response in untagged:
            number = re.match(rb"\* (\d+) (EXISTS|EXPUNGE)", response, re.I)
            if not number:
                continue
            value = int(number.group(1))
            if number.group(2).upper() == b"EXISTS":
                while len(connection.sequence) < value:
                    connection.highest = max(getattr(connection, "highest", 0), *(connection.sequence or [0])) + 1
                    connection.sequence.append(connection.highest)
            elif value <= len(connection.sequence):
                connection.highest = max(getattr(connection, "highest", 0), *connection.sequence)
                del connection.sequence[value - 1]

    def run(self):
        self.setup()
        groups, many = [], len(self.connections) > 1
        for line in self.script.lines:
            if line.startswith((b"* ", b"! ")) or line.startswith(b"*\t"):
                groups[-1][2].append(line)
                continue
            if line.startswith(b"!if") or line.startswith(b"!else") or line.startswith(b"!endif"):
                continue
            index = 0
            if many:
                number, line = line.split(b" ", 1)
                index = int(number) - 1
            groups.append((index, line, []))
        at = 0
        while at < len(groups):
            index, line, expected = groups[at]
            connection = self.connections[index]
            at += 1
            status, _, command = line.partition(b" ")
            status = status.strip(b'"').lower()
            if status in (b"ok", b"no", b"bad", b""):
                self.execute(connection, status, command, expected, b"")
            elif re.match(rb"tag", status):
                at = self.pipeline(connection, groups, at - 1)
            else:  # COMMAND, untagged …, then `ok [prefix]`
                text = b""
                if at < len(groups) and groups[at][0] == index and groups[at][1].split(b" ")[0].strip(b'"').lower() in (b"ok", b"no", b"bad", b"") and not groups[at][2]:
                    status, _, text = groups[at][1].partition(b" ")
                    at += 1
                else:
                    status = b"ok"
                self.execute(connection, status.strip(b'"').lower(), line, expected, text)

    def execute(self, connection, status, command, expected, prefix):
        sequence = list(connection.sequence)
        if command.lower().strip() == b"append" or (command.lower().startswith(b"append ") and not re.search(rb"\{\d", command)):
            command = self.expand(command, sequence)
            date, message = self.script.messages[self.next_message % len(self.script.messages)]
            self.next_message += 1
            where = command[6:].strip() or b"imaptest"
            text = b"APPEND %s %s{%d+}\r\n%s" % (where, date, len(message), message)
        else:
            text = self.expand(command, sequence)
        tag = connection.command(text)
        self.variables["tag"] = tag
        if b"search return (update" in text.lower() or b"search return (context" in text.lower():
            self.variables["searchtag"] = tag
        untagged, answer = connection.finish(tag)
        shown = text[:100]
        if status and not answer.lower().startswith(status):
            raise Mismatch("%r: %s wanted, but: %r" % (shown, status.decode(), answer))
        if prefix and not self.matches(prefix, answer.split(b" ", 1)[1] if b" " in answer else b"", sequence) and self.expand(prefix, sequence).strip(b"[]").lower() not in answer.lower():
            raise Mismatch("%r: %r wanted, but: %r" % (shown, prefix, answer))
        # Numbers of EXPUNGE count from what was before it.
        self.check(expected, untagged, sequence, connection, shown)
        self.follow(connection, untagged)

    def check(self, expected, untagged, sequence, connection, shown):
        rest = list(untagged)
        for line in expected:
            if line.startswith(b"! "):
                for response in untagged:
                    if self.matches(b"*" + line[1:], response, sequence):
                        raise Mismatch("%r: must not come: %r" % (shown, response))
                continue
            if re.match(rb"\* \S+ expunge", line):
                if any(re.match(rb"\* \d+ EXPUNGE", r) for r in rest):
                    rest.remove(next(r for r in rest if re.match(rb"\* \d+ EXPUNGE", r)))
                    continue
            for response in rest:
                if self.matches(line, response, sequence):
                    break
            else:
                raise Mismatch("%r: wanted %r, but:\n    %s" % (shown, line[:300], "\n    ".join(repr(r[:300]) for r in untagged)))

    def pipeline(self, connection, groups, at):
        expected, waiting, answers = [], [], {}
        while at < len(groups) and groups[at][1].startswith(b"tag"):
            _, line, lines = groups[at]
            tag, _, command = line.partition(b" ")
            expected += lines
            if command.strip().lower() in (b"ok", b"no", b"bad"):
                answers[tag] = command.strip().lower()
                waiting.remove(tag)
                got = {}
                break_at = at
                untagged = []
                # All that was sent is answered, in any order.
                need = [tag] + waiting
                while need:
                    response = connection.response()
                    first = response.split(b" ")[0]
                    if first in need:
                        need.remove(first)
                        got[first] = response.split(b" ")[1].lower()
                    else:
                        untagged.append(response)
                at += 1
                while at < len(groups) and groups[at][1].startswith(b"tag") and groups[at][1].split(b" ")[1].strip().lower() in (b"ok", b"no", b"bad"):
                    tag, _, command = groups[at][1].partition(b" ")
                    answers[tag] = command.strip().lower()
                    expected += groups[at][2]
                    at += 1
                for tag, status in answers.items():
                    if tag in got and got[tag] != status:
                        raise Mismatch("%r: %r" % (tag, got[tag]))
                self.check(expected, untagged, connection.sequence, connection, "pipeline")
                return at
            connection.command(self.expand(command, connection.sequence), tag)
            waiting.append(tag)
            at += 1
        return at


def main():
    names = sys.argv[6:] or sorted(n for n in os.listdir(DIRECTORY) if not n.endswith(".mbox") and not n.startswith("README"))
    probe = Connection()
    capabilities = probe.ok(b'LOGIN "%s" "%s"' % (USER.encode(), PASSWORD.encode()))[1]
    capabilities += b" ".join(probe.ok(b"CAPABILITY")[0])
    known = set(capabilities.upper().replace(b"]", b" ").split())
    passed, failed, skipped = [], [], []
    for name in names:
        script = Script(name)
        missing = [c for c in script.options["capabilities"].upper().split() if c not in known]
        if missing:
            skipped.append(name)
            continue
        run = Run(script)
        try:
            run.run()
            passed.append(name)
        except (Mismatch, OSError) as problem:
            failed.append(name)
            print("%s: %s" % (name, problem))
        for connection in run.connections:
            connection.socket.close()
    print("%d passed, %d failed (%s), %d skipped (%s)" % (len(passed), len(failed), " ".join(failed), len(skipped), " ".join(skipped)))
    return 1 if failed else 0


sys.exit(main())
