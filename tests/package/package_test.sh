#!/usr/bin/env bash
# package_test.sh BUILD: makes the Debian packages of a finished build, installs them on a throwaway overlay of this system, uses them as
# shipped, and removes and purges them: nothing may be left behind. Needs root and overlayfs; else it says so and is skipped.
set -u
build=$(realpath "$1")
skip() { echo "SKIPPED: package: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "installing a package needs root"
for tool in dpkg dpkg-deb dpkg-shlibdeps adduser cpack unshare; do command -v $tool >/dev/null || skip "$tool is missing"; done
if [ "${2:-}" != inside ]; then
  unshare -m true 2>/dev/null || skip "no mount namespaces here"
  exec unshare -m "$0" "$build" inside
fi

work=$(mktemp -d)
trap 'umount -l "$work" 2>/dev/null; rmdir "$work"' EXIT
mount -t tmpfs none "$work" && mkdir "$work"/{upper,work,root,deb} || skip "no tmpfs here"
root=$work/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root" 2>/dev/null || skip "no overlayfs here"
mount -t tmpfs none "$root/run" && mount --bind /dev "$root/dev" && mount -t proc proc "$root/proc" || exit 1
fail() { echo "package: $*" >&2; exit 1; }
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }

(cd "$build" && cpack -G DEB -B "$work/deb" >"$work/cpack.log" 2>&1) || { cat "$work/cpack.log"; fail "cpack failed"; }
mkdir -p "$root/deb" && cp "$work"/deb/*.deb "$root/deb/"
# A system of its own may have a package that ours takes the place of; that is apt's to solve, here it is removed first.
inside dpkg --purge --force-depends relais-sendmail relais postfix exim4-daemon-light opensmtpd >/dev/null 2>&1
files() { (cd "$root" && find etc lib usr var -xdev \( -path var/lib/dpkg -o -path var/cache -o -path var/log -o -path var/lib/systemd -o -name '__pycache__' \) -prune -o -print | sort); }
accounts() { inside getent passwd relais; }
if accounts >/dev/null; then inside userdel relais >/dev/null 2>&1 || skip "this system has a user relais that cannot be taken away here"; fi
files >"$work/before"

inside dpkg -i $(cd "$root" && ls deb/relais_*.deb | sed 's,^,/,') >"$work/log" 2>&1 || { cat "$work/log"; fail "relais does not install"; }
[ -L "$root/usr/sbin/sendmail" ] && fail "relais alone takes /usr/sbin/sendmail"
accounts >/dev/null || fail "no user relais"
[ "$(inside stat -c %a:%U /var/spool/relais/drop)" = 3733:relais ] || fail "spool/drop has the wrong mode"
for program in mta mda imapd pop3d mua; do inside $program --version >/dev/null || fail "$program does not run"; done
for program in mta mda imapd pop3d; do
  inside $program --check >"$work/log" 2>&1 || { cat "$work/log"; fail "$program --check refuses the shipped configuration"; }
done
printf 'hello\n' | inside mail -s test nobody@example.test || fail "mail does not take a message"
[ "$(ls "$root/var/spool/relais/drop" | wc -l)" = 1 ] || fail "mail has not dropped its message into the spool"
rm "$root"/var/spool/relais/drop/*

inside dpkg -i $(cd "$root" && ls deb/relais-sendmail*.deb | sed 's,^,/,') >"$work/log" 2>&1 || { cat "$work/log"; fail "relais-sendmail does not install"; }
printf 'Subject: test\n\nhello\n' | inside sendmail nobody@example.test || fail "sendmail does not take a message"
[ "$(ls "$root/var/spool/relais/drop" | wc -l)" = 1 ] || fail "sendmail has not dropped its message into the spool"

inside dpkg --purge relais-sendmail >"$work/log" 2>&1 || { cat "$work/log"; fail "relais-sendmail does not go"; }
inside dpkg --remove relais >"$work/log" 2>&1 || { cat "$work/log"; fail "relais does not go"; }
[ -e "$root/usr/bin/mail" ] && [ "$(inside readlink -f /usr/bin/mail)" = /usr/bin/mua ] && fail "a dangling mail is left"
[ "$(ls "$root/var/spool/relais/drop" | wc -l)" = 1 ] || fail "removing the package has deleted queued mail"
[ -e "$root/etc/relais/relais.toml" ] || fail "removing the package has deleted its configuration"
rm "$root"/var/spool/relais/drop/*
inside dpkg --purge relais >"$work/log" 2>&1 || { cat "$work/log"; fail "relais cannot be purged"; }
files >"$work/after"
diff "$work/before" "$work/after" | grep '^>' && fail "these files are left behind"
accounts && fail "the user relais is left behind"
echo "package: installed, used, removed and purged: nothing left"
