"""Roundcube in headless Chromium; the screenshots are left in RELAIS_BUILD/roundcube-screenshots."""
import os
import subprocess

from chain import BUILD, SOURCE, Skip, has, need, run


def setup():
    need("php", "chromium", "chromedriver", "sqlite3")


def test_log_in_send_read_search_move_delete(chain):
    result = subprocess.run([os.path.join(SOURCE, "tests", "e2e", "roundcube.py"), "--env", os.path.join(chain.directory, "env"), "--out",
                             os.path.join(BUILD, "roundcube-screenshots")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode == 77:
        raise Skip(result.stdout.strip())
    has(result.stdout, "ok: sent-copy")


run(globals())
