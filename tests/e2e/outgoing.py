"""Mail from user 1 to x@NAME.example, for tests of the relay: what the log says became of it."""
import os
import smtplib

from chain import equal, wait_until


def submit(chain, *names, header="", options=()):
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=chain.tls()) as s:
        s.login(chain["USER1"], chain["PASS1"])
        for name in names:
            s.sendmail(chain.address(1), [f"x@{name}.example"], f"{header}From: {chain.address(1)}\r\nSubject: to {name}.\r\n\r\nx\r\n", options)


def log(chain):
    path = chain.directory + "/log/relais.log"
    with open(path if os.path.exists(path) else chain.directory + "/data/log/relais.log", errors="replace") as f:
        return f.read().splitlines()


def logged(chain, *words):
    """The log line that has all these words."""
    line = lambda: next((l for l in log(chain) if all(word in l for word in words)), None)
    return wait_until(line, " ".join(words) + " in the log", 25)


def sent(chain, name):
    """The log line of the message that was sent to NAME.example."""
    return logged(chain, "event=sent", f"to=x@{name}.example")


def kept(chain, sinks, name):
    """What the log says of NAME.example, where no message may go: none of the sinks has it."""
    found = logged(chain, f"event=destination-deferred destination={name}.example ")
    for sink in sinks:
        equal(sink.find(f"Subject: to {name}.".encode()), [])
    return found
