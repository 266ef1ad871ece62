#!/usr/bin/python3
"""Roundcube (Debian's package, PHP's built-in server) in headless Chromium against a running chain: log in, send, read, search, move,
delete. Screenshots are kept as test output.

  roundcube.py --env DIR/env [--out DIR] [--ports BASE]

DIR/env is what `./try --serve` writes. Exit status 0: every step worked; 77: a package is missing (said in one line).
"""
import argparse
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    print("SKIPPED: roundcube: python3-selenium is not installed")
    sys.exit(77)

PUBLIC = "/var/lib/roundcube/public_html"
CONFIG = """<?php
$config['db_dsnw'] = 'sqlite:///%(dir)s/roundcube.db?mode=0600';
$config['imap_host'] = 'tls://%(host)s:%(imap)s';
$config['smtp_host'] = 'tls://%(host)s:%(submission)s';
$config['imap_conn_options'] = ['ssl' => ['verify_peer' => true, 'verify_peer_name' => true, 'cafile' => '%(ca)s']];
$config['smtp_conn_options'] = ['ssl' => ['verify_peer' => true, 'verify_peer_name' => true, 'cafile' => '%(ca)s']];
$config['smtp_user'] = '%%u';
$config['smtp_pass'] = '%%p';
$config['mail_domain'] = '%(domain)s';
$config['des_key'] = 'relais-e2e-roundcube-key';
$config['log_dir'] = '%(dir)s/';
$config['temp_dir'] = '%(dir)s/';
$config['plugins'] = [];
$config['skin'] = 'elastic';
$config['language'] = 'en_US';
$config['htmleditor'] = 0;
$config['draft_autosave'] = 0;
$config['login_rate_limit'] = 0;
$config['create_default_folders'] = true;
$config['refresh_interval'] = 60;
"""


def settings(path):
    values = {}
    for line in open(path):
        name, _, value = line.strip().partition("=")
        values[name] = value.strip("'\"")
    return values


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Page:
    """One browser window; each step waits for what it needs and leaves a screenshot."""

    def __init__(self, driver, out):
        self.driver, self.out, self.step = driver, out, 0

    def shot(self, name):
        self.step += 1
        self.driver.save_screenshot(str(self.out / ("%02d-%s.png" % (self.step, name))))
        print("ok: " + name, flush=True)

    def wait(self, what, seconds=20):
        return WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda d: what())

    def find(self, selector):
        return self.wait(lambda: next((e for e in self.driver.find_elements(By.CSS_SELECTOR, selector)), None))

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def idle(self):
        """Roundcube is ready: no request of its own under way."""
        self.wait(lambda: self.script("return !!(window.rcmail && !rcmail.busy && document.readyState == 'complete')"))

    def open(self, url):
        self.driver.get(url)
        self.idle()

    def subjects(self):
        return [e.text for e in self.driver.find_elements(By.CSS_SELECTOR, "#messagelist tbody tr:not([style*='display: none']) .subject a")]


def tour(page, url, env):
    me, domain = env["USER1"], env["DOMAIN"]
    page.open(url)
    page.find("#rcmloginuser").send_keys(me)
    page.find("#rcmloginpwd").send_keys(env["PASS1"])
    page.find("#rcmloginsubmit").click()
    page.find("#messagelist")
    page.idle()
    page.shot("log-in")

    subject = "Grüße aus Roundcube 日本語 %d" % os.getpid()
    page.open(url + "/?_task=mail&_action=compose")
    page.find("ul.recipient-input input").send_keys("%s@%s," % (me, domain))
    page.script("document.querySelector('#compose-subject').value = arguments[0]", subject)
    page.script("document.querySelector('#composebody').value = arguments[0]", "Erste Zeile: é 日本語\n.\nnach dem Punkt, needleword")
    page.shot("compose")
    page.find("button.send").click()
    page.wait(lambda: "_action=compose" not in page.driver.current_url, 30)
    page.shot("send")

    def listed(mailbox):
        page.open(url + "/?_task=mail&_mbox=" + mailbox)
        time.sleep(0.2)
        return subject in page.subjects()

    page.wait(lambda: listed("INBOX"), 30)
    page.shot("list")
    newest = "return Object.keys(rcmail.env.messages).map(Number).sort((a, b) => b - a)[0]"
    uid = page.script(newest)
    page.open(url + "/?_task=mail&_mbox=INBOX&_action=show&_uid=" + str(uid))
    text = page.find("#messagebody").text
    assert "é 日本語" in text and "nach dem Punkt" in text, text
    page.shot("read")

    page.open(url + "/?_task=mail&_mbox=INBOX&_search=1")
    page.script("document.querySelector('#mailsearchform').value = arguments[0]; rcmail.command('search')", "Roundcube 日本語")
    page.wait(lambda: page.script("return !rcmail.busy") and subject in page.subjects())
    page.shot("search")

    page.open(url + "/?_task=mail&_mbox=INBOX")
    page.script("rcmail.message_list.select(arguments[0]); rcmail.move_messages('Drafts')", str(uid))
    page.wait(lambda: page.script("return !rcmail.busy"))
    page.wait(lambda: listed("Drafts"), 20)
    page.shot("move")

    uid = page.script(newest)
    page.script("rcmail.message_list.select(arguments[0]); rcmail.command('delete')", str(uid))
    page.wait(lambda: listed("Trash"), 20)
    page.shot("delete")
    page.wait(lambda: listed("Sent"), 20)
    page.shot("sent-copy")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", required=True)
    parser.add_argument("--out", default="")
    arguments = parser.parse_args()
    for needed in (PUBLIC, "/usr/bin/php", "/usr/bin/chromium", "/usr/bin/chromedriver"):
        if not os.path.exists(needed):
            print("SKIPPED: roundcube: %s is not installed" % needed)
            return 77
    env = settings(arguments.env)
    work = pathlib.Path(tempfile.mkdtemp(prefix="relais-roundcube-"))
    out = pathlib.Path(arguments.out or work / "screenshots")
    out.mkdir(parents=True, exist_ok=True)
    (work / "config.inc.php").write_text(CONFIG % {"dir": work, "host": env["MAIL_HOST"], "imap": env["IMAP_PORT"],
                                                   "submission": env["SUBMISSION_PORT"], "ca": env["CA_FILE"], "domain": env["DOMAIN"]})
    for name in ("defaults.inc.php", "mimetypes.php"):
        shutil.copy("/etc/roundcube/" + name, work / name)
    subprocess.run(["sqlite3", str(work / "roundcube.db")], stdin=open("/usr/share/roundcube/SQL/sqlite.initial.sql"), check=True)
    port = free_port()
    # Several workers: Roundcube's page asks for more before it has answered.
    php = subprocess.Popen(["/usr/bin/php", "-S", "127.0.0.1:%d" % port, "-t", PUBLIC], cwd=PUBLIC, stdout=open(work / "php.log", "w"),
                           stderr=subprocess.STDOUT, env=dict(os.environ, ROUNDCUBE_CONFIG_DIR=str(work), PHP_CLI_SERVER_WORKERS="4"))
    driver = None
    try:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                     "--disable-component-update", "--disable-sync", "--window-size=1280,900", "--user-data-dir=%s/chromium" % work):
            options.add_argument(flag)
        driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        page = Page(driver, out)
        try:
            tour(page, "http://127.0.0.1:%d" % port, env)
        except Exception as error:
            page.driver.save_screenshot(str(out / "failed.png"))
            print("FAILED after step %d: %s: %s" % (page.step, type(error).__name__, error))
            for log in ("errors.log", "errors", "php.log"):
                if (work / log).exists():
                    print("--- " + log + "\n" + (work / log).read_text()[-3000:])
            print("screenshots: %s" % out)
            return 1
    finally:
        if driver:
            driver.quit()
        php.terminate()
        php.wait()
    if not arguments.out:
        shutil.rmtree(work, ignore_errors=True)
    return 0


sys.exit(main())
