"""Servers from Debian's packages as peers: unpacked beside the build, nothing is installed and no service is started."""
import glob
import os
import shutil
import subprocess
import tempfile

from chain import SOURCE, Skip

NAMESPACE = r"""set -e
root=$1 over=$2; shift 2
mount -t tmpfs tmpfs "$over/writable"
mkdir -p "$over/writable/up" "$over/writable/work"
mkdir -p "$root/usr" "$root/var"
mount -t overlay overlay -o "lowerdir=$root/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$over/etc:/etc" /etc
mount -t overlay overlay -o "lowerdir=$root/var:/var,upperdir=$over/writable/up,workdir=$over/writable/work" /var
mount -t tmpfs tmpfs /run
exec "$@"
"""


def unpacked(name, *packages, dependencies=False):
    """Where the packages are, unpacked: from the cache, or from Debian's archive by apt; with `dependencies` also the packages that they need
    and this system lacks."""
    if shutil.which("dpkg") is None:
        raise Skip("dpkg is not installed")
    cache = os.path.join(SOURCE, "build", "e2e-" + name)
    if os.path.exists(cache + "/.complete"):
        return cache
    os.makedirs(cache, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/partial")
        command = ["download"]
        if dependencies:
            command = ["-y", "-o", "Debug::NoLocking=true", "-o", "Dir::Cache::archives=" + folder, "--download-only", "--no-install-recommends", "install"]
        done = subprocess.run(["apt-get", "-o", "APT::Sandbox::User=root", *command, *packages], cwd=folder, capture_output=True)
        debs = glob.glob(folder + "/*.deb")
        if done.returncode or len(debs) < len(packages) or any(subprocess.run(["dpkg", "-x", deb, cache], capture_output=True).returncode for deb in debs):
            raise Skip(f"Debian's packages {' '.join(packages)} cannot be downloaded here")
    with open(cache + "/.complete", "w"):
        pass
    return cache


def libraries(root):
    return {**os.environ, "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu:{root}/usr/lib"}


class Namespace:
    """The system with an unpacked package and files of a test's own laid over it, for the processes that are started in it."""

    def __init__(self, root, directory, users=()):
        if os.geteuid() != 0:
            raise Skip("a mount namespace needs root")
        self.root, self.over = root, directory + "/over"
        os.makedirs(self.over + "/etc")
        os.mkdir(self.over + "/writable")
        if subprocess.run(self.command("true"), capture_output=True).returncode:
            raise Skip("mount namespaces with overlays are not to be had here")
        for name, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
            with open("/etc/" + name) as f:
                lines = f.read()
            self.write(name, lines + "".join(line.format(user, 900 + i) for i, user in enumerate(users)))

    def write(self, name, text):
        """A file in /etc."""
        path = f"{self.over}/etc/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def command(self, *command):
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", NAMESPACE, "sh", self.root, self.over, *command]
