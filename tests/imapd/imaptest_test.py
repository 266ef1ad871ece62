"""Dovecot's scripted IMAP server tests (vectors/imap/imaptest) against imapd."""
import os
import re
import subprocess
import sys

from alone import SOURCE, Skip, run


# What a script asks for and imapd does otherwise.
DIFFERENT = {
    "append-binary": "its message has bare line feeds, which a Maildir does not keep apart from CR LF",
    "search-addresses": "wants FROM to find an address without the comments that stand in it; here FROM looks at the decoded text of the field",
}


def test_scripts(server):
    scripts = os.path.join(os.environ.get("RELAIS_SHARED", os.path.join(os.path.dirname(SOURCE), "shared")), "vectors/imap/imaptest")
    if not os.path.isdir(scripts):
        raise Skip(f"{scripts} is not there")
    done = subprocess.run([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "imaptest.py"), "127.0.0.1",
                           str(server.port), server.USER, server.PASSWORD, scripts], capture_output=True, text=True, timeout=150)
    summary = re.search(r"^(\d+) passed, \d+ failed \((.*)\), .*$", done.stdout, re.M)
    assert summary, done.stdout + done.stderr
    assert sorted(summary.group(2).split()) == sorted(DIFFERENT), done.stdout
    assert int(summary.group(1)) >= 25, done.stdout
    print(summary.group())


run(globals())
