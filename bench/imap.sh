#!/usr/bin/env bash
# bench/imap.sh: imapd and pop3d beside Dovecot, interleaved, medians. As root, on a quiet machine; about ten minutes.
# Environment: LAB=DIR (default /var/tmp/relais-lab), ROUNDS=3, BUILD=DIR (a finished release build), LARGE=1 adds 100,000 messages
set -u
. "$(dirname "$0")/lab.sh"
trap '"$here/restart.sh" "$LAB/imapd.pid"; lab_stop' EXIT
lab_build
lab_peers dovecot
lab_relais
pop3_port=$((relais_base + 5))
# An imapd of our own beside that of the chain: it is started anew before each cold row, so that it remembers nothing.
port=$((relais_base + 103))
printf '[imap]\nlisten = ["127.0.0.1:%d"]\ntls_listen = []\n' "$port" > "$LAB/imapd.toml"
restart="$here/restart.sh $LAB/imapd.pid $port $LAB/relais/bin/imapd -c $LAB/relais/etc/relais.toml --overlay $LAB/imapd.toml"
$restart || exit 1
out=$LAB/imap-$(date +%Y%m%d-%H%M%S).jsonl
section() { printf '\n## %s\n' "$*"; }
corpus() { # corpus NAME COUNT OPTIONS: made once, then laid into both servers' Maildirs
  local name=$1 count=$2; shift 2
  [ -d "$LAB/c$name" ] || "$here/mkcorpus.py" --out "$LAB/c$name" --count "$count" "$@" >/dev/null
  local theirs=$LAB/r-dovecot/srv/mail/md$name/Maildir ours=$LAB/relais/mail/md$name
  rm -rf "$theirs" "$ours"; mkdir -p "$(dirname "$theirs")"
  cp -a "$LAB/c$name" "$theirs"; chown -R 5000:5000 "$(dirname "$theirs")"
  cp -a "$LAB/c$name" "$ours"; chown -R "$(stat -c %U "$LAB/relais/mail")" "$ours"
}
mutations=store,unstore,copy,delete,expunge,drop,move,moveback
reads=select,flags,envelope,bodystructure,headers,body,search-from,search-subject,search-body,search-text,sort-date,sort-subject,thread-refs
compare() { # compare NAME
  local name=$1
  local theirs=$LAB/r-dovecot/srv/mail/md$name/Maildir ours=$LAB/relais/mail/md$name
  # Cold: the files that index(5) calls a cache are removed, and the server knows nothing of the mailbox.
  local cold="$here/restart.sh $LAB/imapd.pid; rm -f $ours/relais.index $ours/relais.log* $ours/relais.cache $ours/relais.search; $restart"
  "$here/imapbench.py" --bin "$bin" --rounds "$rounds" --out "$out" --ops "$reads" \
    --peer "dovecot:22343:md$name:rm -f $theirs/dovecot.index* $theirs/dovecot-uidlist" --peer "relais:$port:md$name:$cold"
  "$here/imapbench.py" --bin "$bin" --rounds "$rounds" --out "$out" --group 1 --cold 0 --ops "$mutations" --peer "dovecot:22343:md$name" --peer "relais:$port:md$name"
}
section "10,000 messages, 184 MB"
corpus 10k 10000 --seed 2
compare 10k
if [ -n "${LARGE:-}" ]; then
  section "100,000 small messages"
  corpus 100k 100000 --seed 3 --small
  compare 100k
fi
section "login + SELECT + logout"
for round in $(seq "$rounds"); do
  echo "dovecot $("$bin/imapload" --port 22343 --user md10k --pass pass --mode login --conns 8 --count 400)"
  echo "relais $("$bin/imapload" --port $port --user md10k --pass pass --mode login --conns 8 --count 8000)"
done
section "APPEND"
for conns in 1 8; do
  echo "dovecot sdbox $("$bin/imapload" --port 22343 --user sdu0 --pass pass --mode append --conns $conns --count 1000)"
  echo "relais $("$bin/imapload" --port $port --user user0 --pass pass --mode append --conns $conns --count 4000)"
done
echo "dovecot mdbox, batches of 50 $("$bin/imapload" --port 22343 --user mxu0 --pass pass --mode append --batch 50 --count 5000)"
echo "relais, batches of 50 $("$bin/imapload" --port $port --user user1 --pass pass --mode append --batch 50 --count 5000)"
section "IDLE: notices to 100 and 1,000 sessions on one mailbox"
for conns in 100 1000; do "$bin/imapload" --port $port --user user2 --pass pass --mode idle --conns $conns --notices 10; done
section "memory of 1,000 idle sessions"
before=$("$here/memof.py" --names imapd | sed -E 's/.*"pss": ([0-9]+).*/\1/')
"$bin/imapload" --port $port --user 'user%d' --users 10 --pass pass --mode idle --conns 1000 --notices 1 --hold-s 8 >/dev/null & holder=$!
sleep 6
after=$("$here/memof.py" --names imapd | sed -E 's/.*"pss": ([0-9]+).*/\1/')
wait $holder
echo "relais: $(((after - before) * 1024 / 1000)) octets a session"
section "POP3, 10,000 messages"
for mode in stat retr; do
  for depth in 1 20; do
    [ "$mode" = stat ] && [ $depth = 20 ] && continue
    echo "dovecot $mode depth $depth $("$bin/pop3load" --port 22310 --user md10k --pass pass --mode $mode --pipeline $depth)"
    echo "relais $mode depth $depth $("$bin/pop3load" --port $pop3_port --user md10k --pass pass --mode $mode --pipeline $depth)"
  done
done
echo; echo "rows: $out"
