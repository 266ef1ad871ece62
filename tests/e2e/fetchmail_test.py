"""fetchmail over POP3 and IMAP, with mda as its delivery agent."""
from chain import has, need, run, wait_until


def setup():
    need("fetchmail")


def fetch(chain, protocol, port, ssl, keep="", code=0, server=""):
    tls = "ssl" if ssl else 'sslproto "TLS1.2+"'
    rc = chain.write("fetchmailrc", f"""set no bouncemail
poll {chain['MAIL_HOST']} service {chain[port + '_PORT']} proto {protocol} {server}
  user "{chain['USER1']}" there with password "{chain['PASS1']}" {tls} sslcertck sslcertfile "{chain['CA_FILE']}" {keep}
  mda "cat >> {chain.client_directory}/fetched"
""", 0o700)
    return chain.run(["fetchmail", "-f", rc, "-v", "--pidfile", chain.client_directory + "/fetchmail.pid", "-i",
                      f"{chain.client_directory}/fetchids-{protocol}"], code=code)


def fetched(chain):
    try:
        with open(chain.client_directory + "/fetched", errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def test_pop3_starttls_keep_then_again(chain):
    chain.send("fetch one")
    fetch(chain, "pop3", "POP3", False, "keep", server="uidl")
    has(fetched(chain), "Subject: fetch one", "\n..dots")
    count = fetched(chain).count("Subject: fetch one")
    fetch(chain, "pop3", "POP3", False, "keep", code=1, server="uidl")  # 1: no new mail
    assert fetched(chain).count("Subject: fetch one") == count, "the unique ids changed"


def test_pop3s_and_delete(chain):
    chain.send("fetch two")
    fetch(chain, "pop3", "POP3S", True, "fetchall")
    has(fetched(chain), "Subject: fetch two")
    wait_until(lambda: not chain.messages(1), "an empty mailbox")


def test_imap_starttls_and_implicit(chain):
    chain.send("fetch three")
    fetch(chain, "imap", "IMAP", False, "keep")
    has(fetched(chain), "Subject: fetch three")
    chain.send("fetch four")
    fetch(chain, "imap", "IMAPS", True, "fetchall")
    has(fetched(chain), "Subject: fetch four")
    wait_until(lambda: not chain.messages(1), "an empty mailbox")


run(globals())
