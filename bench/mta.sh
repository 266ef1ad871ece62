#!/usr/bin/env bash
# bench/mta.sh [SECTION...]: mta and mda beside Postfix, and LMTP beside Dovecot; interleaved, medians. As root, on a quiet machine;
# about ten minutes for all sections: deliver relay lmtp idle backlog growth limits
# Environment: LAB=DIR (default /var/tmp/relais-lab), ROUNDS=3, SCALE=0.5, PEERS="postfix dovecot", BUILD=DIR (a finished release build),
# TESTS=c1-4k,... (of deliver; see mtabench.py)
set -u
. "$(dirname "$0")/lab.sh"
trap lab_stop EXIT
peers=${PEERS:-postfix dovecot}
sections=${*:-deliver relay lmtp idle backlog growth limits}
for name in $sections; do
  case $name in deliver|relay|lmtp|idle|backlog|growth|limits) ;; *) echo "mta.sh: no section $name: $(sed -n 3p "$0")" >&2; exit 64 ;; esac
done
out=$LAB/mta-$(date +%Y%m%d-%H%M%S).jsonl
section() { printf '\n## %s\n' "$*"; }
has_peer() { case " $peers " in *" $1 "*) return 0 ;; esac; return 1; }
mtabench() { "$here/mtabench.py" --bin "$bin" --rounds "$rounds" --scale "$scale" --out "$out" "$@"; }
pss() { "$here/memof.py" "$@" | sed -E 's/.*"pss": ([0-9]+).*/\1/'; }  # kB

deliver() {
  section "accepted durably and in the Maildir"
  local beside=()
  has_peer postfix && beside+=(--peer "postfix:22025:$LAB/r-postfix/var/vmail")
  mtabench "${beside[@]}" --peer "relais:$relais_base:$LAB/relais/mail" --tests "${TESTS:-c1-4k,c10-4k,c100-4k,c10-100k,c10-4k-1perconn,c10-4k-r10}"
}
relay() {
  section "relayed to a sink"
  local beside=()
  has_peer postfix && beside+=(--peer postfix:22025:22990)
  mtabench --mode relay "${beside[@]}" --peer "relais:$relais_base:23990" --tests relay-c10-4k,relay-c10-4k-r10
}
lmtp() {
  section "LMTP into the store"
  local conns round kind
  for conns in 1 10; do
    for round in $(seq "$rounds"); do
      if has_peer dovecot; then
        for kind in user sdu mxu; do echo "dovecot $kind $("$bin/smtpload" --lmtp 1 --port 22324 --conns $conns --msgs 1000 --users 10 --to "$kind%d")"; done
      fi
      echo "relais $("$bin/smtpload" --lmtp 1 --port $((relais_base + 24)) --conns $conns --msgs 4000 --users 10 --to 'user%d@test.local')"
    done
  done | sed -E 's/^([a-z ]+)\{.*"conns":([0-9]+).*"failed":([0-9]+).*"msgs_per_s":([0-9.]+).*"final_p50_ms":([0-9.]+).*/\1 conns \2: \4\/s, p50 \5 ms, failed \3/'
}
idle_of() { # NAME PORT CONNECTIONS MEMOF-OPTIONS...
  local name=$1 port=$2 count=$3 before after holder; shift 3
  before=$(pss "$@")
  "$bin/smtpload" --port "$port" --idle 1 --conns "$count" --hold-s 6 >/dev/null & holder=$!
  sleep 4
  after=$(pss "$@")
  wait $holder
  echo "$name: $(((after - before) * 1024 / count)) octets a connection, of $count"
}
idle() {
  section "idle SMTP connections"
  has_peer postfix && idle_of postfix 22025 90 --root "$LAB/r-postfix"
  idle_of relais $relais_base 1000 --names mta
}
# The reply to the dot of a first message, from the start on; NAME PORT START...
first_250() {
  local name=$1 port=$2 began answer; shift 2
  began=${EPOCHREALTIME/[.,]/}
  "$@" >/dev/null 2>&1
  until answer=$("$bin/smtpload" --port "$port" --conns 1 --msgs 1 --to 'x%d@dead.test' 2>/dev/null) && [[ $answer == *'"ok":1,'* ]]; do sleep 0.005; done
  echo "$name: first 250 $(((${EPOCHREALTIME/[.,]/} - began) / 1000)) ms after the start"
}
backlog() {
  section "20,000 messages held for a dead destination"
  if has_peer postfix; then
    "$bin/smtpload" --port 22025 --conns 20 --msgs 20000 --users 1000 --to 'x%d@dead.test' --max-s 60 |
      sed -E 's/.*"ok":([0-9]+).*"msgs_per_s":([0-9.]+).*/postfix: \1 accepted, \2\/s/'
    echo "postfix: $(pss --root "$LAB/r-postfix") kB"
    PEERS=postfix bash "$here/peers/peers.sh" stop
    first_250 postfix 22025 env PEERS=postfix bash "$here/peers/peers.sh" start
    chroot "$LAB/r-postfix" postsuper -d ALL >/dev/null 2>&1
  fi
  "$here/backlog.py" --build "$build" --bin "$bin" --messages 20000 --load 0 2>/dev/null
}
growth() {
  section "new mail beside 500,000 messages queued"
  "$here/backlog.py" --build "$build" --bin "$bin" --messages 500000 2>/dev/null
}
limits() {
  section "what this machine can do"
  "$bin/physlimit" --dir "$LAB/pl" 2>/dev/null | head -20
}

lab_build
case " $sections " in *" deliver "*|*" relay "*|*" lmtp "*|*" idle "*|*" backlog "*) lab_peers $peers ;; esac
case " $sections " in *" deliver "*|*" relay "*|*" lmtp "*|*" idle "*) lab_relais ;; esac
for name in $sections; do $name; done
[ ! -e "$out" ] || printf '\nrows: %s\n' "$out"
