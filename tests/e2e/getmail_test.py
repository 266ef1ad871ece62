"""getmail6 over POP3S and IMAPS into a Maildir."""
import glob

from chain import equal, has, need, run, wait_until


def setup():
    need("getmail")


def fetch(chain, kind, port, more=""):
    folder = chain.folder("got")
    for sub in ("cur", "new", "tmp"):
        chain.folder("got/" + sub)
    chain.folder("getmail")
    chain.write(f"getmail/rc-{kind}", f"""[retriever]
type = {kind}
server = {chain['MAIL_HOST']}
port = {chain[port + '_PORT']}
username = {chain['USER1']}
password = {chain['PASS1']}
ca_certs = {chain['CA_FILE']}
{more}
[destination]
type = Maildir
path = {folder}/
[options]
delete = true
""")
    return chain.run(["getmail", "--getmaildir", chain.client_directory + "/getmail", "--rcfile", f"rc-{kind}"])


def texts(chain):
    return [open(p, errors="replace").read() for p in glob.glob(chain.client_directory + "/got/new/*")]


def test_pop3(chain):
    for i in range(5):
        chain.send(f"get {i}")
    fetch(chain, "SimplePOP3SSLRetriever", "POP3S")
    equal(len(texts(chain)), 5)
    has("".join(texts(chain)), "Subject: get 4", "\n..dots\n")
    wait_until(lambda: not chain.messages(1), "an empty mailbox")


def test_imap(chain):
    chain.send("get by imap")
    fetch(chain, "SimpleIMAPSSLRetriever", "IMAPS", 'mailboxes = ("INBOX",)')
    has("".join(texts(chain)), "Subject: get by imap")
    wait_until(lambda: not chain.messages(1), "an empty mailbox")


run(globals())
