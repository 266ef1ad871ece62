#!/usr/bin/env bash
# package_test.sh BUILD: makes the Debian packages of a finished build, installs them on a throwaway overlay of this system, uses them as
# shipped, and removes and purges them: nothing may be left behind. Then it does what README.md says, "Install", on ports 25 to 995 of a
# network of its own. Needs root and overlayfs; else it says so and is skipped.
set -u
build=$(realpath "$1")
skip() { echo "SKIPPED: package: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "installing a package needs root"
for tool in dpkg dpkg-deb dpkg-shlibdeps adduser cpack unshare; do command -v $tool >/dev/null || skip "$tool is missing"; done
if [ "${2:-}" != inside ]; then
  unshare -mn true 2>/dev/null || skip "no mount and network namespaces here"
  exec unshare -mn "$0" "$build" inside
fi

work=$(mktemp -d)
servers=()
stop() { [ ${#servers[@]} = 0 ] || { kill "${servers[@]}" 2>/dev/null; wait "${servers[@]}" 2>/dev/null; servers=(); }; }
trap 'stop; umount -l "$work" 2>/dev/null; rmdir "$work"' EXIT
mount -t tmpfs none "$work" && mkdir "$work"/{upper,work,root,deb} || skip "no tmpfs here"
root=$work/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root" 2>/dev/null || skip "no overlayfs here"
mount -t tmpfs none "$root/run" && mount --bind /dev "$root/dev" && mount -t proc proc "$root/proc" || exit 1
fail() { echo "package: $*" >&2; exit 1; }
enter=(chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive)
inside() { "${enter[@]}" "$@"; }

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
# What is still to be decided is told, and nothing else.
inside imapd --check >"$work/log" 2>&1 && fail "--check does not miss the certificate"
grep -v 'needs a \[\[tls.certificates\]\]' "$work/log" && fail "--check finds more than that in the shipped configuration"
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

# As README.md says, on a host whose name is known by /etc/hosts.
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, struct.pack("16sh", b"lo", 1 | 0x40))' ||
  skip "the packages are well; README.md's steps need a loopback interface in a namespace"
inside dpkg -i $(cd "$root" && ls deb/relais_*.deb | sed 's,^,/,') >"$work/log" 2>&1 || { cat "$work/log"; fail "relais does not install again"; }
echo '127.0.0.1 mail.example.org' >>"$root/etc/hosts"
inside openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=mail.example.org -addext subjectAltName=DNS:mail.example.org \
  -keyout /etc/relais/key.pem -out /etc/relais/certificate.pem >"$work/log" 2>&1 || { cat "$work/log"; fail "no certificate"; }
sed -i -e 's,^#\(\[\[tls.certificates\]\]\),\1,' -e 's,^#certificate = .*,certificate = "/etc/relais/certificate.pem",' \
  -e 's,^#key = .*,key = "/etc/relais/key.pem",' "$root/etc/relais/relais.toml"
echo secret >"$root/tmp/password"
inside sh -c 'printf "%s:%s::::::\n" ann "$(mua password </tmp/password)" >>/etc/relais/users'
for program in mta mda imapd pop3d; do
  inside $program --check >"$work/log" 2>&1 || { cat "$work/log"; fail "$program --check refuses the configuration of README.md"; }
done
for command in mta "mda --daemon" imapd pop3d; do
  # shellcheck disable=SC2086
  "${enter[@]}" $command >>"$work/servers.log" 2>&1 & servers+=($!)  # not by a function: the process is the server itself
done
try_for() { # try_for SECONDS COMMAND...: until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" >"$work/log" 2>&1; do [ $SECONDS -lt $end ] || { cat "$work/log" "$work/servers.log"; return 1; }; sleep 0.1; done
}
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }
for port in 25 587 465 143 993 110 995; do try_for 20 answers $port || fail "nobody answers on port $port"; done
person() { inside setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }
login="--password-file /tmp/password --ca-file /etc/relais/certificate.pem"
echo hello | person mua send -s first ann@example.org || fail "mua send through the spool"
# shellcheck disable=SC2086
echo hello | person mua send $login --via submissions://ann@mail.example.org --from ann@example.org -s second ann@example.org ||
  fail "mua send by submission"
shows() { # shellcheck disable=SC2086
  person mua $login -u "$1://ann@mail.example.org" list >"$work/list" && grep -q first "$work/list" && grep -q second "$work/list"; }
for scheme in imaps imap pop3s pop3; do try_for 20 shows $scheme || fail "the messages are not to be read by $scheme"; done
for server in "${servers[@]:1}" $(pgrep -P "${servers[0]}"); do # mta itself only starts serve and relay again
  [ "$(stat -c %u "/proc/$server")" = "$(inside id -u relais)" ] || fail "$(tr '\0' ' ' <"/proc/$server/cmdline")is not the user relais"
done
stop
echo "package: installed, used, removed and purged: nothing left; and README.md's steps lead to mail that is sent and read"
