"""isync's mbsync: a two-way synchronisation of all folders, twice."""
import glob
import os
import shutil

from chain import equal, has, mbsync_configuration, need, run, wait_until


def setup():
    need("mbsync")


def configure(chain, port="IMAP", ssl="STARTTLS"):
    chain.folder("mbsync")
    return chain.write("mbsyncrc", mbsync_configuration(f"""Host {chain['MAIL_HOST']}
Port {chain[port + '_PORT']}
User {chain['USER1']}
Pass {chain['PASS1']}
SSLType {ssl}
CertificateFile {chain['CA_FILE']}
SystemCertificates no
""", f"{chain.client_directory}/mbsync"))


def near(chain, folder="INBOX"):
    return glob.glob(f"{chain.client_directory}/mbsync/{folder}/new/*") + glob.glob(f"{chain.client_directory}/mbsync/{folder}/cur/*")


def test_both_ways(chain):
    for i in range(30):
        chain.send(f"sync {i}")
    rc = configure(chain)
    chain.run(["mbsync", "-c", rc, "-a"])
    equal(len(near(chain)), 30)
    # Here: one flagged, one deleted, one new in a new folder. There: nothing is new.
    files = sorted(near(chain))
    def moved(path, flags):
        base = os.path.basename(path).split(":2,")[0]
        os.rename(path, f"{chain.client_directory}/mbsync/INBOX/cur/{base}:2,{flags}")
    moved(files[0], "FS")
    moved(files[1], "ST")
    chain.write("mbsync/Neu/cur/1.here:2,S", "Subject: new here\n\nbody\n")
    chain.folder("mbsync/Neu/new"), chain.folder("mbsync/Neu/tmp"), chain.folder("mbsync/Neu/cur"), chain.folder("mbsync/Neu")
    chain.run(["mbsync", "-c", rc, "-a"])
    equal(len(near(chain)), 29)
    wait_until(lambda: len(chain.messages(1)) == 29, "the deletion on the server")
    wait_until(lambda: chain.find("new here", 1, ".Neu"), "the new message on the server")
    wait_until(lambda: any(":2," in n and "F" in n.split(":2,")[1] for n in os.listdir(chain["MAILDIR1"] + "/cur")), "the flag on the server")
    # Nothing changes any more, over implicit TLS too.
    rc = configure(chain, "IMAPS", "IMAPS")
    before = sorted(os.path.basename(f) for f in near(chain))
    chain.run(["mbsync", "-c", rc, "-a"])
    equal(sorted(os.path.basename(f) for f in near(chain)), before)


run(globals())
