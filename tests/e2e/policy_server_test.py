"""Postfix's policy delegation protocol: what each action of a policy server does to a message."""
import os
import socketserver
import threading

from chain import equal, has, run, wait_until
from wire import Wire

ACTIONS = {}  # local part of the sender → action; others: DUNNO
SERVER = None


class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        question = {}
        for line in self.rfile:
            name, separator, value = line.decode().rstrip("\n").partition("=")
            if separator:
                question[name] = value
                continue
            action = ACTIONS.get(question.get("sender", "").partition("@")[0], "DUNNO") if question.get("protocol_state") == "RCPT" else "DUNNO"
            self.wfile.write(f"action={action}\n\n".encode())
            question = {}


def setup():
    global SERVER
    SERVER = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
    SERVER.daemon_threads = True
    threading.Thread(target=SERVER.serve_forever, daemon=True).start()
    return {"extra": f'[policy]\ndelegation = "127.0.0.1:{SERVER.server_address[1]}"\n'}


def teardown():
    if SERVER:
        SERVER.shutdown()
        SERVER.server_close()


def send(chain, name, action, rcpt=250, data=250, to=(1,)):
    """A message from `name`, for which the server says `action` at RCPT."""
    ACTIONS[name] = action
    with Wire(chain, "SMTP") as w:
        equal(w.reply()[0], 220)
        equal(w.ask("EHLO client.example"), 250)
        equal(w.ask(f"MAIL FROM:<{name}@elsewhere.example>"), 250)
        for user in to:
            equal(w.ask(f"RCPT TO:<{chain.address(user)}>"), rcpt)
        if rcpt != 250:
            return
        equal(w.ask("DATA"), 354)
        w.put(f"Subject: {name}\r\n\r\nx\r\n.\r\n")
        equal(w.reply()[0], data)


def relais_log(chain):
    path = chain.directory + "/log/relais.log"
    with open(path if os.path.exists(path) else chain.directory + "/data/log/relais.log", errors="replace") as f:
        return f.read()


def test_yes_and_no(chain):
    send(chain, "yes", "OK")
    chain.delivered("yes")
    send(chain, "no", "REJECT 5.7.0 go away", rcpt=554)
    send(chain, "later", "DEFER_IF_PERMIT busy", rcpt=450)
    send(chain, "code", "550 5.1.1 not here", rcpt=550)


def test_redirect_goes_there_only(chain):
    send(chain, "redirect", "REDIRECT " + chain.address(2))
    chain.delivered("redirect", 2)
    equal(chain.find("redirect", 1), None)
    has(relais_log(chain), "event=redirected")


def test_redirect_to_nowhere_waits(chain):
    send(chain, "nowhere", "REDIRECT no-such@" + chain["DOMAIN"], data=451)
    send(chain, "after-nowhere", "DUNNO")
    chain.delivered("after-nowhere")
    equal(chain.find("nowhere"), None)
    has(relais_log(chain), "event=redirect_failed")


def test_bcc_goes_there_too(chain):
    send(chain, "copied", "BCC " + chain.address(2))
    chain.delivered("copied", 2)
    chain.delivered("copied", 1)
    send(chain, "lost-copy", "BCC no-such@" + chain["DOMAIN"])
    chain.delivered("lost-copy")
    has(relais_log(chain), "event=copy-refused")


def test_prepend_discard_and_hold(chain):
    send(chain, "prepended", "PREPEND X-Policy: seen")
    equal(chain.delivered("prepended")["X-Policy"], "seen")
    send(chain, "discarded", "DISCARD")
    send(chain, "held", "HOLD suspicious")
    wait_until(lambda: "event=quarantined" in relais_log(chain), "the held message in the log")
    send(chain, "filtered", "FILTER smtp:[127.0.0.1]:9")
    chain.delivered("filtered")
    has(relais_log(chain), 'ignored="FILTER smtp:[127.0.0.1]:9"')
    equal([chain.find("discarded"), chain.find("held")], [None, None])


run(globals())
