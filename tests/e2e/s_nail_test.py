"""s-nail: sends by submission, reads over IMAP and POP3."""
from chain import has, need, run


def setup():
    need("s-nail")


def options(chain):
    return ["-:/", "-Sv15-compat", "-Sttycharset=utf-8", "-Ssendcharsets=utf-8", f"-Stls-ca-file={chain['CA_FILE']}", "-Stls-verify=strict",
            "-Stls-ca-no-defaults", "-Snetrc-lookup=no"]


def url(chain, scheme, port, user=1):
    return f"{scheme}://{chain['USER%d' % user]}:{chain['PASS%d' % user]}@{chain['MAIL_HOST']}:{chain[port + '_PORT']}"


def test_send(chain):
    for scheme, port, more in (("smtp", "SUBMISSION", ["-Ssmtp-use-starttls"]), ("smtps", "SUBMISSIONS", [])):
        chain.run(["s-nail", *options(chain), *more, f"-Smta={url(chain, scheme, port)}", "-Ssmtp-auth=plain", f"-r{chain.address(1)}",
                   "-s", f"s-nail {scheme} é", chain.address(2)], data="Hallo é\n.\n..x\n")
        has(chain.body(chain.delivered(f"s-nail {scheme} é", 2)), "Hallo é\n.\n..x\n")


def test_imap(chain):
    chain.send("s-nail reads")
    for scheme, port, more in (("imap", "IMAP", ["-Simap-use-starttls"]), ("imaps", "IMAPS", [])):
        text = chain.run(["s-nail", *options(chain), *more, "-Simap-auth=login", "-R", "-f", url(chain, scheme, port) + "/INBOX"],
                         data='headers\ntype $\nexit\n', code=None)
        has(text, "s-nail reads", "A line.")


def test_pop3(chain):
    chain.send("s-nail pops", to=2)
    for scheme, port, more in (("pop3", "POP3", ["-Spop3-use-starttls"]), ("pop3s", "POP3S", [])):
        text = chain.run(["s-nail", *options(chain), *more, "-R", "-f", url(chain, scheme, port, 2)], data="headers\ntype $\nexit\n", code=None)
        has(text, "s-nail pops", "..dots")


run(globals())
