"""msmtp, with DSN options, as a sendmail for others."""
from chain import has, need, run


def setup():
    need("msmtp")


def configure(chain, port, tls):
    return chain.write(f"msmtprc-{port}", f"""defaults
auth plain
tls on
tls_starttls {tls}
tls_trust_file {chain['CA_FILE']}
account a
host {chain['MAIL_HOST']}
port {chain[port + '_PORT']}
from {chain.address(1)}
user {chain['USER1']}
passwordeval "echo {chain['PASS1']}"
account default : a
""")


def test_starttls_with_dsn(chain):
    rc = configure(chain, "SUBMISSION", "on")
    has(chain.run(["msmtp", "-C", rc, "--serverinfo"]), "PIPELINING", "SIZE", "DSN", "AUTH")
    chain.run(["msmtp", "-C", rc, "-N", "failure,delay", "-R", "hdrs", chain.address(2)], data="Subject: msmtp dsn\n\nbody\n.\nend\n")
    has(chain.body(chain.delivered("msmtp dsn", 2)), "body\n.\nend\n")


def test_implicit_tls_and_t(chain):
    rc = configure(chain, "SUBMISSIONS", "off")
    chain.run(["msmtp", "-C", rc, "-t"], data=f"To: {chain.address(2)}\nSubject: msmtp t\n\nbody\n")
    chain.delivered("msmtp t", 2)


def test_every_mechanism_of_its(chain):
    for mechanism in ("login", "scram-sha-256", "scram-sha-1"):
        rc = configure(chain, "SUBMISSIONS", "off")
        text = chain.run(["msmtp", "-C", rc, f"--auth={mechanism}", chain.address(2)], data=f"Subject: msmtp {mechanism}\n\n", code=None)
        if "not compiled" in text or "not supported" in text and "server" not in text:
            continue
        chain.delivered(f"msmtp {mechanism}", 2)


def test_wrong_password(chain):
    rc = configure(chain, "SUBMISSIONS", "off")
    text = chain.run(["msmtp", "-C", rc, "--passwordeval=echo wrong", chain.address(2)], data="Subject: no\n\n", code=77)
    has(text, "authentication failed")


run(globals())
