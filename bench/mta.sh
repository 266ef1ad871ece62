#!/usr/bin/env bash
# bench/mta.sh: mta and mda beside Postfix (and other peers), interleaved, medians. As root, on a quiet machine; about ten minutes.
# Environment: LAB=DIR (default /var/tmp/relais-lab), ROUNDS=3, SCALE=0.5, PEERS="postfix dovecot", BUILD=DIR (a finished release build)
set -u
. "$(dirname "$0")/lab.sh"
trap lab_stop EXIT
peers=${PEERS:-postfix dovecot}
lab_build
lab_peers $peers
lab_relais
out=$LAB/mta-$(date +%Y%m%d-%H%M%S).jsonl
section() { printf '\n## %s\n' "$*"; }
beside=() relay=()
case " $peers " in *" postfix "*) beside+=(--peer "postfix:22025:$LAB/r-postfix/var/vmail"); relay+=(--peer postfix:22025:22990) ;; esac
beside+=(--peer "relais:$relais_base:$LAB/relais/mail"); relay+=(--peer "relais:$relais_base:23990")

section "accepted durably and in the Maildir"
"$here/mtabench.py" --bin "$bin" --rounds "$rounds" --scale "$scale" --out "$out" "${beside[@]}" \
  --tests c1-4k,c10-4k,c100-4k,c10-100k,c10-4k-1perconn,c10-4k-r10
section "relayed to a sink"
"$here/mtabench.py" --bin "$bin" --mode relay --rounds "$rounds" --scale "$scale" --out "$out" "${relay[@]}" --tests relay-c10-4k,relay-c10-4k-r10
section "LMTP into the store"
for conns in 1 10; do
  for round in $(seq "$rounds"); do
    case " $peers " in *" dovecot "*) for kind in user sdu mxu; do echo "dovecot $kind $("$bin/smtpload" --lmtp 1 --port 22324 --conns $conns --msgs 1000 --users 10 --to "$kind%d")"; done ;; esac
    echo "relais $("$bin/smtpload" --lmtp 1 --port $((relais_base + 24)) --conns $conns --msgs 4000 --users 10 --to 'user%d@test.local')"
  done
done | sed -E 's/^([a-z ]+)\{.*"conns":([0-9]+).*"failed":([0-9]+).*"msgs_per_s":([0-9.]+).*"final_p50_ms":([0-9.]+).*/\1 conns \2: \4\/s, p50 \5 ms, failed \3/'
section "1,000 idle SMTP connections"
before=$("$here/memof.py" --names mta | sed -E 's/.*"pss": ([0-9]+).*/\1/')
"$bin/smtpload" --port $relais_base --idle 1 --conns 1000 --hold-s 6 >/dev/null & holder=$!
sleep 4
after=$("$here/memof.py" --names mta | sed -E 's/.*"pss": ([0-9]+).*/\1/')
wait $holder
echo "relais: $(((after - before) * 1024 / 1000)) octets a connection"
section "20,000 messages held for a dead destination"
"$bin/smtpload" --port $relais_base --conns 20 --msgs 20000 --users 1000 --to 'x%d@dead.test' | sed -E 's/.*"ok":([0-9]+).*"msgs_per_s":([0-9.]+).*/relais: \1 accepted, \2\/s/'
sleep 2
relais_memory mta
section "what this machine can do"
"$bin/physlimit" --dir "$LAB/pl" 2>/dev/null | head -20
echo; echo "rows: $out"
