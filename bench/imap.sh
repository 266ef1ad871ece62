#!/usr/bin/env bash
# bench/imap.sh [SECTION...]: imapd and pop3d beside Dovecot, interleaved, medians. As root, on a quiet machine; about ten minutes.
# Sections: reads mutations login append idle memory pop3 (all of them unless some are named), large (100,000 messages), million.
# Environment: LAB=DIR (default /var/tmp/relais-lab), ROUNDS=3, BUILD=DIR (a finished release build)
set -u
. "$(dirname "$0")/lab.sh"
sections=${*:-reads mutations login append idle memory pop3}
for name in $sections; do
  case $name in reads|mutations|login|append|idle|memory|pop3|large|million) ;; *) echo "imap.sh: no section $name: $(sed -n 3p "$0")" >&2; exit 64 ;; esac
done
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
owned() { chown -R "$(stat -c %U "$LAB/relais/mail")" "$1"; }
theirs_of() { echo "$LAB/r-dovecot/srv/mail/md$1/Maildir"; }
ours_of() { echo "$LAB/relais/mail/md$1"; }
corpus() { # corpus NAME COUNT OPTIONS: made once, then laid into both servers' Maildirs
  local name=$1 count=$2; shift 2
  [ ! -d "$(ours_of "$name")" ] || return 0
  [ -d "$LAB/c$name" ] || "$here/mkcorpus.py" --out "$LAB/c$name" --count "$count" "$@" >/dev/null
  local theirs ours
  theirs=$(theirs_of "$name") ours=$(ours_of "$name")
  rm -rf "$theirs"; mkdir -p "$(dirname "$theirs")"
  cp -a "$LAB/c$name" "$theirs"; chown -R 5000:5000 "$(dirname "$theirs")"
  cp -a "$LAB/c$name" "$ours"; owned "$ours"
}
load() { "$bin/imapload" --pass pass "$@"; }
operations=select,flags,envelope,bodystructure,headers,body,search-from,search-subject,search-body,search-text,sort-date,sort-subject,thread-refs
reads() { # reads NAME
  local theirs ours
  theirs=$(theirs_of "$1") ours=$(ours_of "$1")
  # Cold: the files that index(5) calls a cache are removed, and the server knows nothing of the mailbox.
  local cold="$here/restart.sh $LAB/imapd.pid; rm -f $ours/relais.index $ours/relais.log* $ours/relais.cache $ours/relais.search; $restart"
  "$here/imapbench.py" --bin "$bin" --rounds "$rounds" --out "$out" --settle 3 --ops "$operations" \
    --peer "dovecot:22343:md$1:rm -f $theirs/dovecot.index* $theirs/dovecot-uidlist" --peer "relais:$port:md$1:$cold"
}
boxes() { # boxes NAME COUNT: the corpus in Dovecot's own formats too, once
  local user
  for user in "sd$1" "mx$1"; do
    load --port 22343 --user "$user" --mode ops --ops select | grep -q '"messages":0,' || continue
    load --port 22343 --user "$user" --mode append --batch 100 --count "$2" --corpus "$LAB/c$1" >/dev/null
  done
}
mutations() { # mutations NAME [PEER...]
  local name=$1; shift
  "$here/imapbench.py" --bin "$bin" --rounds "$rounds" --out "$out" --group 1 --cold 0 \
    --ops store,unstore,copy,delete,expunge,drop,move,moveback --peer "dovecot:22343:md$name" "$@" --peer "relais:$port:md$name"
}
pss() { "$here/memof.py" --pids "$(cat "$LAB/imapd.pid")" | sed -E 's/.*"pss": ([0-9]+).*/\1/'; }
memory() {
  $restart || exit 1
  load --port $port --user 'user%d' --users 10 --mode login --conns 1 --count 10 >/dev/null  # what the first sessions need
  local before after holder
  before=$(pss)
  load --port $port --user 'user%d' --users 10 --mode idle --conns 1000 --notices 1 --hold-s 8 >/dev/null & holder=$!
  sleep 6
  after=$(pss)
  wait $holder
  echo "relais: $(((after - before) * 1024 / 1000)) octets a session"
}
pop3() {
  local round depth
  echo "dovecot stat $("$bin/pop3load" --port 22310 --user md10k --pass pass --mode stat --sessions 300)"
  echo "relais stat $("$bin/pop3load" --port $pop3_port --user md10k --pass pass --mode stat --sessions 300)"
  for depth in 1 20; do
    for round in $(seq "$rounds"); do
      echo "dovecot retr depth $depth $("$bin/pop3load" --port 22310 --user md10k --pass pass --mode retr --pipeline $depth)"
      echo "relais retr depth $depth $("$bin/pop3load" --port $pop3_port --user md10k --pass pass --mode retr --pipeline $depth)"
    done
  done
}
million() { # names alone: hard links to a few messages, of which a file system allows 65,000 each
  local ours
  ours=$(ours_of 1k)
  [ -d "$ours/cur" ] || "$here/mklinks.py" "$ours" 1000000
  owned "$ours"
  $restart || exit 1
  local empty
  empty=$(pss)
  echo "first visit $(load --port $port --user md1k --mode ops --ops select)"
  "$here/restart.sh" "$LAB/imapd.pid"; $restart || exit 1
  echo "index there $(load --port $port --user md1k --mode ops --ops select)"
  echo "again       $(load --port $port --user md1k --mode ops --ops select)"
  echo "memory      $((($(pss) - empty) * 1024 / 1000000)) octets a message"
}

for wanted in $sections; do
  case $wanted in
    reads) section "reads, 10,000 messages, 184 MB"; corpus 10k 10000 --seed 2; reads 10k ;;
    mutations) section "changes, 10,000 messages"; corpus 10k 10000 --seed 2; boxes 10k 10000
      mutations 10k --peer "sdbox:22343:sd10k" --peer "mdbox:22343:mx10k" ;;
    large) section "100,000 small messages"; corpus 100k 100000 --seed 3 --small; reads 100k; mutations 100k ;;
    million) section "1,000,000 messages"; million ;;
    login)
      section "login + SELECT + logout"; corpus 10k 10000 --seed 2
      for round in $(seq "$rounds"); do
        echo "dovecot $(load --port 22343 --user md10k --mode login --conns 8 --count 400)"
        echo "relais $(load --port $port --user md10k --mode login --conns 8 --count 8000)"
      done ;;
    append)
      section "APPEND"
      for conns in 1 8; do
        echo "dovecot sdbox $conns $(load --port 22343 --user sdu0 --mode append --conns $conns --count 1000)"
        echo "relais $conns $(load --port $port --user user0 --mode append --conns $conns --count 4000)"
      done
      echo "dovecot mdbox, batches of 50 $(load --port 22343 --user mxu0 --mode append --batch 50 --count 5000)"
      echo "relais, batches of 50 $(load --port $port --user user1 --mode append --batch 50 --count 5000)" ;;
    idle)
      section "IDLE: notices to 100 and 1,000 sessions on one mailbox"
      for conns in 100 1000; do load --port $port --user user2 --mode idle --conns $conns --notices 10; done ;;
    memory) section "memory of 1,000 idle sessions"; memory ;;
    pop3) section "POP3, 10,000 messages"; corpus 10k 10000 --seed 2; pop3 ;;
    *) echo "imap.sh: no section $wanted" >&2; exit 64 ;;
  esac
done
[ ! -s "$out" ] || { echo; echo "rows: $out"; }
