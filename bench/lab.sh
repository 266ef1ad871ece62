# Sourced by mta.sh and imap.sh: builds Relais and the load generators, sets up the peers, and starts our chain with the users of the peers
# (user0 to user9@test.local, password "pass", Maildirs LAB/relais/mail/userN).
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(dirname "$here")
export LAB=${LAB:-/var/tmp/relais-lab}
rounds=${ROUNDS:-3} scale=${SCALE:-0.5}
build=${BUILD:-$source_dir/build/release}
bin=$source_dir/build/bench/bench
relais_base=23000

# What is made in DIR gets block groups of its own on ext4: no contender's files lie among those that another one deletes.
own_area() { mkdir -p "$1"; chattr +T "$1" 2>/dev/null || true; }
lab_build() {
  if [ -z "${BUILD:-}" ]; then (cd "$source_dir" && cmake --preset release -DRELAIS_TESTS=OFF && cmake --build build/release -j "$(nproc)") >/dev/null || exit 1; fi
  (cd "$source_dir" && cmake -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DRELAIS_BENCH=ON -DRELAIS_TESTS=OFF &&
    ninja -C build/bench bench/{smtpload,smtpsinkd,mdirwait,imapload,pop3load,physlimit,mkspool}) >/dev/null || exit 1
}
lab_peers() { # lab_peers PEER...: set up once, started each time
  [ "$(id -u)" = 0 ] || { echo "the peers need root (debootstrap, chroot)" >&2; exit 77; }
  local peer
  own_area "$LAB"
  for peer in "$@"; do [ -d "$LAB/r-$peer" ] || PEERS="$*" bash "$here/peers/peers.sh" setup || exit 1; done
  PEERS="$*" bash "$here/peers/peers.sh" start
  started_peers=$*
}
# lab_relais [TOML...]: starts our chain; further lines of settings are added to those of the lab.
lab_relais() {
  mkdir -p "$LAB/relais-users"
  local n
  : > "$LAB/relais-users/users"
  for n in 0 1 2 3 4 5 6 7 8 9 md1k md10k md100k; do
    case $n in [0-9]) name=user$n ;; *) name=$n ;; esac
    echo "$name:{PLAIN}pass::::::" >> "$LAB/relais-users/users"
  done
  chmod 644 "$LAB/relais-users/users"
  cat > "$LAB/relais-users/extra.toml" <<END
[host]
domains = ["test.local"]
[mail]
root = "$LAB/relais/mail/%n"
[users]
passwd_file = "$LAB/relais-users/users"
[auth]
allow_plaintext = true
[lmtp]
listen = ["127.0.0.1:$((relais_base + 24))"]
[limits]
connections = 30000
[smtp]
relay_networks = ["127.0.0.0/8"]
[relay.routes]
"relay.test" = "127.0.0.1:23990"
"dead.test" = "127.0.0.1:23998"
$(printf '%s\n' "$@")
END
  own_area "$LAB"
  area=$LAB/area-$$-$RANDOM  # another place on the disk each time
  mkdir -p "$area"; chmod 755 "$LAB" "$area"; rm -rf "$LAB/relais"; ln -sfn "$area" "$LAB/relais"
  "$source_dir/try" --serve --dir "$LAB/relais" --ports $relais_base --build "$build" --extra "$LAB/relais-users/extra.toml" > "$LAB/relais.out" 2>&1 &
  relais_pid=$!
  local tries=0
  until grep -qx ready "$LAB/relais.out"; do
    sleep 0.1; tries=$((tries + 1))
    if [ $tries -gt 100 ] || ! kill -0 $relais_pid 2>/dev/null; then cat "$LAB/relais.out" >&2; exit 1; fi
  done
  for n in 0 1 2 3 4 5 6 7 8 9; do mkdir -p "$LAB/relais/mail/user$n"/{new,cur,tmp}; done
  [ "$(id -u)" != 0 ] || chown -R "$(stat -c %U "$LAB/relais/mail")" "$LAB/relais/mail"
}
lab_stop() {
  [ -z "${relais_pid:-}" ] || { kill "$relais_pid" 2>/dev/null; wait "$relais_pid" 2>/dev/null; }
  [ -z "${started_peers:-}" ] || PEERS="$started_peers" bash "$here/peers/peers.sh" stop
  rm -rf "$LAB"/area-* "$LAB"/r-*/var/vmail/.seen
}
relais_memory() { "$here/memof.py" --names "$1" | sed 's/^/    relais: /'; }
