"""swaks: mechanisms, TLS, pipelining, dialogues that go wrong."""
from chain import has, need, run


def setup():
    need("swaks")


def swaks(chain, port, *options, code=0):
    return chain.run(["swaks", "--server", chain["MAIL_HOST"], "--port", chain[port + "_PORT"], "--helo", "client.example", "--timeout", "20",
                      "--tls-verify", "--tls-ca-path", chain["CA_FILE"], *options], code=code)


def account(chain, mechanism):
    return ["--auth", mechanism, "--auth-user", chain["USER1"], "--auth-password", chain["PASS1"], "--from", chain.address(1)]


def test_from_outside(chain):
    text = swaks(chain, "SMTP", "--from", "a@elsewhere.example", "--to", chain.address(1), "--header", "Subject: swaks 25", "--body", "one")
    has(text, "250 ")
    chain.delivered("swaks 25")


def test_starttls_from_outside(chain):
    swaks(chain, "SMTP", "--tls", "--from", "a@elsewhere.example", "--to", chain.address(1), "--header", "Subject: swaks tls")
    chain.delivered("swaks tls")


def test_mechanisms(chain):
    for mechanism in ("PLAIN", "LOGIN"):
        swaks(chain, "SUBMISSION", "--tls", *account(chain, mechanism), "--to", chain.address(2), "--header", f"Subject: swaks {mechanism}")
        chain.delivered(f"swaks {mechanism}", 2)
        swaks(chain, "SUBMISSIONS", "--tls-on-connect", *account(chain, mechanism), "--to", chain.address(2), "--header", f"Subject: swaks s{mechanism}")
        chain.delivered(f"swaks s{mechanism}", 2)


def test_pipelining(chain):
    swaks(chain, "SMTP", "--pipeline", "--from", "a@elsewhere.example", "--to", f"{chain.address(1)},{chain.address(2)}", "--header", "Subject: swaks pipe")
    chain.delivered("swaks pipe", 1)
    chain.delivered("swaks pipe", 2)


def test_attachment_and_utf8(chain):
    path = chain.write("data.bin", "x" * 100000)
    swaks(chain, "SMTP", "--from", "a@elsewhere.example", "--to", chain.address(1), "--header", "Subject: swaks attach", "--attach", "@" + path,
          "--body", "日本語")
    got = chain.delivered("swaks attach")
    has(str(len(next(got.iter_attachments()).get_content())), "100000")


def test_auth_needs_tls(chain):
    text = swaks(chain, "SUBMISSION", *account(chain, "PLAIN"), "--to", chain.address(2), code=None)
    assert "235" not in text, text


def test_submission_needs_auth(chain):
    text = swaks(chain, "SUBMISSION", "--tls", "--from", chain.address(1), "--to", chain.address(2), code=None)
    has(text, "530 ")


def test_unknown_user_is_refused(chain):
    text = swaks(chain, "SMTP", "--from", "a@elsewhere.example", "--to", "no-such@" + chain["DOMAIN"], code=24)
    has(text, "550 5.1.1")


run(globals())
