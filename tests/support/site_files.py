"""An MTA with a spool of its own, alone in a directory: for tests that kill it, and for measurements."""
import os
import subprocess

CONFIG = """
[host]
name = "mail.{domain}"
domains = ["{domain}"]
[log]
target = "file:{dir}/log"
{run}[spool]
directory = "{dir}/spool"
[mail]
root = "{dir}/mail/%n"
[users]
passwd_file = "{dir}/users"
[smtp]
relay_networks = ["127.0.0.0/8"]
{listen}[relay]
private_targets = true
{relay}"""


def write_site(directory, domain, port=None, relay="", users=()):
    """Writes directory/relais.toml (its path is what comes back), the users' file (password: pass) and the mail root, and gives all of it
    to nobody where we are root, for no program works as root. Without a port the MTA is one for inetd; `relay`: more lines of [relay]."""
    os.makedirs(os.path.join(directory, "mail"), exist_ok=True)
    root = os.geteuid() == 0
    path = os.path.join(directory, "relais.toml")
    with open(path, "w") as f:
        f.write(CONFIG.format(domain=domain, dir=directory, relay=relay, listen=f'listen = ["127.0.0.1:{port}"]\n' if port else "",
                              run='[run]\nuser = "nobody"\ngroup = "nogroup"\n' if root else ""))
    with open(os.path.join(directory, "users"), "w") as f:
        f.writelines(user + ":{PLAIN}pass::::::\n" for user in users)
    if root:
        subprocess.run(["chown", "-R", "nobody:nogroup", directory], check=True)
    return path
