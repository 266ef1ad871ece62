"""mutt and neomutt: sending by submission, reading, flagging, copying and searching over IMAP, reading over POP3, without a person."""
import shutil

from chain import Skip, equal, has, need, run, wait_until


def setup():
    need("mutt")


def configure(chain, program, user=1):
    folder = chain.folder(f"{program}-{user}")
    secret, name = chain["PASS%d" % user], chain["USER%d" % user]
    return chain.write(f"{program}-{user}.rc", f"""set ssl_force_tls=yes ssl_starttls=yes certificate_file={chain['CA_FILE']} ssl_ca_certificates_file={chain['CA_FILE']}
set smtp_url="smtp://{name}@{chain['MAIL_HOST']}:{chain['SUBMISSION_PORT']}" smtp_pass="{secret}"
set imap_user={name} imap_pass="{secret}" pop_user={name} pop_pass="{secret}"
set folder="imap://{chain['MAIL_HOST']}:{chain['IMAP_PORT']}/" spoolfile="=INBOX" record="=Sent" mbox_type=Maildir
set from={chain.address(user)} realname="Über Mutt" use_from=yes hostname=client.example
set header_cache="" tmpdir={folder} sleep_time=0 mail_check=1 timeout=1 beep=no confirmappend=no confirmcreate=no delete=yes
set send_charset="us-ascii:utf-8" copy=yes wait_key=no quit=yes move=no pop_delete=no abort_unmodified=no help=no
""")


def both(function):
    def each(chain):
        ran = False
        for program in ("mutt", "neomutt"):
            if shutil.which(program):
                function(chain, program)
                ran = True
        if not ran:
            raise Skip("neither mutt nor neomutt is installed")
    each.__name__ = function.__name__
    return each


@both
def test_send(chain, program):
    rc = configure(chain, program)
    path = chain.write("notes.txt", "an attachment\n")
    chain.run([program, "-n", "-F", rc, "-s", f"{program} grüßt", "-a", path, "--", chain.address(2)], data="Hallo é 日本語\n.\nEnde\n")
    got = chain.delivered(f"{program} grüßt", 2)
    has(chain.body(got), "Hallo é 日本語\n.\nEnde\n")
    equal(next(got.iter_attachments()).get_filename(), "notes.txt")
    if program == "neomutt":
        return  # it makes no copy over IMAP without a terminal
    # The copy in Sent was made by APPEND to a folder that did not exist.
    wait_until(lambda: chain.find(f"{program} grüßt", 1, ".Sent"), "the copy in Sent")


@both
def test_imap_read_flag_copy_delete(chain, program):
    rc = configure(chain, program)
    chain.send(f"{program} reads", body="the text to be found\n")
    chain.send(f"{program} deletes")
    keys = [f"<limit>~s'{program} reads'<enter>", "<display-message><exit>", "<flag-message>", f"<copy-message>=Copies-{program}<enter>",
            f"<limit>~s'{program} deletes'<enter>", "<delete-message>", "<limit>all<enter>", "<sync-mailbox>", "<quit>"]
    chain.terminal([program, "-n", "-F", rc, "-e", 'push "' + "".join(keys) + '"'])
    wait_until(lambda: chain.find(f"{program} reads", 1, f".Copies-{program}"), "the copy")
    wait_until(lambda: chain.find(f"{program} deletes") is None, "the deletion")


@both
def test_imap_search_in_bodies(chain, program):
    rc = configure(chain, program)
    chain.send(f"{program} searched", body="ein Wort: 日本語\n")
    keys = f"<limit>=b 日本語<enter><limit>=b 日本語 ~s '{program} searched'<enter><copy-message>=Found-{program}<enter><quit>"
    chain.terminal([program, "-n", "-F", rc, "-e", f'push "{keys}"'])
    wait_until(lambda: chain.find(f"{program} searched", 1, f".Found-{program}"), "what the search found")


@both
def test_pop3(chain, program):
    rc = configure(chain, program, user=2)
    chain.send(f"{program} pop", to=2)
    folder = chain.folder(f"{program}-saved")
    keys = f"<limit>~s'{program} pop'<enter><copy-message>{folder}/box<enter><quit>"
    chain.terminal([program, "-n", "-F", rc, "-f", f"pop://{chain['MAIL_HOST']}:{chain['POP3_PORT']}/", "-e", f'push "{keys}"'])
    import glob
    texts = [open(p).read() for p in glob.glob(folder + "/box/*/*")]
    assert any(f"Subject: {program} pop" in t and "\n..dots\n" in t for t in texts), texts


run(globals())
