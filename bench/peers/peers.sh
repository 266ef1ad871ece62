#!/bin/bash
# Peers for the measurements, each in a root of its own so that they neither
# conflict as packages nor touch the machine.  As root:
#   PEERS="postfix dovecot" limits it to those.
#   LAB=dir peers.sh setup   debootstrap one base, copy it, install each peer, configure
#   LAB=dir peers.sh start|stop [peer...]
#   LAB=dir peers.sh clean   stop, unmount (the roots stay)
# Ports: SMTP postfix 22025, opensmtpd 22125, exim 22225; dovecot IMAP 22343,
# POP3 22310, LMTP 22324; cyrus IMAP 22443, POP3 22410, LMTP 22424; courier IMAP
# 22543, POP3 22510.  Users: see below; the password is "pass".
set -eu
HERE=$(cd "$(dirname "$0")" && pwd); LAB=$(mkdir -p "${LAB:-lab}" && cd "${LAB:-lab}" && pwd); export DEBIAN_FRONTEND=noninteractive
ALL="${PEERS:-postfix opensmtpd exim dovecot cyrus courier}"
MIRROR=${MIRROR:-$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources)}
pids() { local p; for p in $(ls /proc | grep -E '^[0-9]+$'); do case "$(readlink /proc/$p/root 2>/dev/null)/" in "$LAB/r-$1"/*) echo $p;; esac; done; }
setup() {
  cd "$LAB"; [ -d base ] || debootstrap --variant=minbase bookworm base "$MIRROR"
  printf '#!/bin/sh\nexit 101\n' > base/usr/sbin/policy-rc.d; chmod 755 base/usr/sbin/policy-rc.d
  cp /etc/apt/sources.list.d/debian.sources base/etc/apt/sources.list.d/; : > base/etc/apt/sources.list; cp /etc/resolv.conf /etc/hosts base/etc/
  chroot base id vmail >/dev/null 2>&1 || chroot base useradd -u 5000 -m vmail
  local r p; for r in $ALL; do
    [ -d r-$r ] || cp -a base r-$r
    case $r in postfix) p="postfix postfix-lmdb";; opensmtpd) p=opensmtpd;; exim) p=exim4-daemon-light;; dovecot) p="dovecot-imapd dovecot-pop3d dovecot-lmtpd";; cyrus) p="cyrus-imapd cyrus-pop3d sasl2-bin libsasl2-modules";; courier) p="courier-imap courier-pop courier-authdaemon";; esac
    chroot r-$r sh -c "apt-get update -qq && apt-get install -y --no-install-recommends $p" > i-$r.log 2>&1
    for u in 0 1 2 3 4 5 6 7 8 9; do mkdir -p r-$r/var/vmail/user$u/{new,cur,tmp}; done; chown -R 5000:5000 r-$r/var/vmail
  done
  for r in $ALL; do configure_$r; done
}
configure_postfix() {
  local e=r-postfix/etc/postfix; cp "$HERE/postfix-main.cf" $e/main.cf; : > $e/vmap
  for u in 0 1 2 3 4 5 6 7 8 9; do echo "user$u@test.local user$u/" >> $e/vmap; done
  printf 'relay.test smtp:[127.0.0.1]:22990\ndead.test smtp:[127.0.0.1]:22998\n' > $e/transport
  sed -i -E 's/^smtp( +inet .*)$/127.0.0.1:22025\1/; s/^(\S+ +\S+ +\S+ +\S+ +)y/\1n/' $e/master.cf; touch r-postfix/etc/aliases; chroot r-postfix newaliases
}
configure_opensmtpd() {
  cp "$HERE/opensmtpd-smtpd.conf" r-opensmtpd/etc/smtpd.conf; : > r-opensmtpd/etc/smtpd.users; : > r-opensmtpd/etc/smtpd.vmap; echo vm.test > r-opensmtpd/etc/mailname; touch r-opensmtpd/etc/aliases
  for u in 0 1 2 3 4 5 6 7 8 9; do echo "user$u 5000:5000:/var/vmail/user$u" >> r-opensmtpd/etc/smtpd.users; echo "user$u@test.local user$u" >> r-opensmtpd/etc/smtpd.vmap; done
}
configure_exim() {
  cp "$HERE/exim4.conf" r-exim/etc/exim4/exim4.conf; : > r-exim/etc/exim4/users; for u in 0 1 2 3 4 5 6 7 8 9; do echo "user$u: user$u" >> r-exim/etc/exim4/users; done; chroot r-exim chown -R Debian-exim:Debian-exim /var/log/exim4
}
configure_dovecot() {
  # md* Maildir, sd* sdbox, mx* mdbox; user* / sdu* / mxu* the same for appends
  cp "$HERE/dovecot.conf" r-dovecot/etc/dovecot/dovecot.conf; : > r-dovecot/etc/dovecot/users; mkdir -p r-dovecot/srv/mail
  one() { echo "$1:{PLAIN}pass:5000:5000::/srv/mail/$1::userdb_mail=$2:/srv/mail/$1/$3" >> r-dovecot/etc/dovecot/users; }
  for k in 1k 10k 100k; do one md$k maildir Maildir; one sd$k sdbox dbox; one mx$k mdbox dbox; done
  for u in 0 1 2 3 4 5 6 7 8 9; do one user$u maildir Maildir; one sdu$u sdbox dbox; one mxu$u mdbox dbox; done; chown 5000:5000 r-dovecot/srv/mail
}
configure_cyrus() {
  cp "$HERE/cyrus.conf" r-cyrus/etc/cyrus.conf; cp "$HERE/cyrus-imapd.conf" r-cyrus/etc/imapd.conf
  chroot r-cyrus sh -c 'mkdir -p /run/cyrus/socket /run/cyrus/lock /run/cyrus/proc /var/lib/cyrus /var/spool/cyrus/mail; chown -R cyrus:mail /run/cyrus /var/lib/cyrus /var/spool/cyrus; for u in cyrus c1k c10k c100k user0 user1 user2 user3 user4 user5 user6 user7 user8 user9; do echo pass | saslpasswd2 -p -c -u vm.test $u; done; chown cyrus:sasl /etc/sasldb2'
}
configure_courier() {
  local c=r-courier/etc/courier; sed -i 's/^ADDRESS=0/ADDRESS=127.0.0.1/; s/^PORT=143/PORT=22543/; s/^MAXDAEMONS=40/MAXDAEMONS=3000/; s/^MAXPERIP=20/MAXPERIP=3000/' $c/imapd; sed -i 's/^ADDRESS=0/ADDRESS=127.0.0.1/; s/^PORT=110/PORT=22510/; s/^MAXDAEMONS=40/MAXDAEMONS=300/; s/^MAXPERIP=4/MAXPERIP=300/' $c/pop3d; sed -i 's/^authmodulelist="authpam"/authmodulelist="authuserdb"/' $c/authdaemonrc
  chroot r-courier sh -c 'cd /etc/courier; rm -f userdb; touch userdb; chmod 700 userdb; P=$(printf "pass\npass\n" | userdbpw 2>/dev/null); for u in md1k md10k md100k user0 user1 user2; do mkdir -p /srv/mail/$u/Maildir/new /srv/mail/$u/Maildir/cur /srv/mail/$u/Maildir/tmp; printf "%s\tuid=5000|gid=5000|home=/srv/mail/%s|mail=/srv/mail/%s/Maildir|systempw=%s\n" $u $u $u "$P" >> userdb; done; makeuserdb; mkdir -p /run/courier/authdaemon; chown -R courier:courier /run/courier; chown -R 5000:5000 /srv/mail'
}
start() { local r; for r in "$@"; do cd "$LAB"; mountpoint -q r-$r/proc || mount -t proc proc r-$r/proc; mountpoint -q r-$r/dev || mount --bind /dev r-$r/dev
  case $r in postfix) chroot r-postfix postfix start;; opensmtpd) chroot r-opensmtpd smtpd;; exim) chroot r-exim exim4 -bd -q30m;; dovecot) chroot r-dovecot dovecot;; cyrus) chroot r-cyrus cyrmaster -d -C /etc/imapd.conf;; courier) chroot r-courier sh -c "authdaemond start; imapd start; pop3d start";; esac < /dev/null > "start-$r.log" 2>&1; done; }
stop() { local r i; for r in "$@"; do for i in 1 2 3 4 5 6; do [ -z "$(pids $r)" ] && break; kill $([ $i -ge 5 ] && echo -9) $(pids $r) 2>/dev/null || true; sleep 0.5; done; done; }
case ${1:-} in setup) setup;; start) shift; start ${*:-$ALL};; stop) shift; stop ${*:-$ALL};; clean) stop $ALL; for r in $ALL; do umount "$LAB/r-$r/proc" "$LAB/r-$r/dev" 2>/dev/null || true; done;; *) sed -n 2,11p "$0";; esac
