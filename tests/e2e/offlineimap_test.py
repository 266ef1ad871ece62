"""offlineimap3: synchronises a Maildir with the account, both ways."""
import glob
import os

from chain import equal, need, run, wait_until


def setup():
    need("offlineimap")


def configure(chain):
    chain.folder("oi")
    return chain.write("offlineimaprc", f"""[general]
accounts = a
ui = quiet
metadata = {chain.client_directory}/oi/meta
[Account a]
localrepository = here
remoterepository = there
[Repository here]
type = Maildir
localfolders = {chain.client_directory}/oi/mail
[Repository there]
type = IMAP
remotehost = {chain['MAIL_HOST']}
remoteport = {chain['IMAPS_PORT']}
remoteuser = {chain['USER1']}
remotepass = {chain['PASS1']}
ssl = yes
starttls = no
sslcacertfile = {chain['CA_FILE']}
auth_mechanisms = PLAIN
""")


def here(chain, folder="INBOX"):
    return glob.glob(f"{chain.client_directory}/oi/mail/{folder}/new/*") + glob.glob(f"{chain.client_directory}/oi/mail/{folder}/cur/*")


def test_both_ways(chain):
    for i in range(10):
        chain.send(f"offline {i}")
    rc = configure(chain)
    chain.run(["offlineimap", "-c", rc, "-o"], seconds=90)
    equal(len(here(chain)), 10)
    first, second = sorted(here(chain))[:2]
    base = os.path.basename(first).split(":2,")[0]
    cur = f"{chain.client_directory}/oi/mail/INBOX/cur"
    os.rename(first, f"{cur}/{base}:2,FS")
    os.remove(second)
    chain.write(f"{cur}/1000.1.here:2,S", "Subject: offline new\n\nbody\n")
    chain.send("offline late")
    chain.run(["offlineimap", "-c", rc, "-o"], seconds=90)
    equal(len(here(chain)), 11)
    wait_until(lambda: chain.find("offline new"), "the new message on the server")
    wait_until(lambda: len(chain.messages(1)) == 11, "the deletion on the server")
    chain.run(["offlineimap", "-c", rc, "-o"], seconds=90)
    equal(len(here(chain)), 11)


run(globals())
