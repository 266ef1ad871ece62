#!/bin/sh
# A folder of libmailcore may include those above it in DESIGN's list, never those below; only net/ meets libevent, c-ares and TLS headers;
# protocol cores include neither files nor sockets.
cd "$(dirname "$0")/../libmailcore" || exit 2
failed=0
allow() { # allow LAYER "LAYERS IT MAY INCLUDE"
  layer=$1
  permitted="$layer $2"
  for include in $(grep -rhoE '^#include "[a-z0-9]+/' "$layer" --include='*.h' --include='*.cpp' 2>/dev/null | sed 's/.*"//; s,/,,' | sort -u); do
    case " $permitted " in *" $include "*) ;; *) echo "layers: $layer includes $include/"; failed=1 ;; esac
  done
}
allow base ""
allow config "base"
allow message "base"
allow smtp "base message sasl"
allow imap "base message sasl"
allow pop3 "base message sasl"
allow milter "base message smtp"
allow sasl "base"
allow net "base config"
allow directory "base config sasl message"
allow spool "base config smtp message"
allow store "base config message"
allow route "base config directory message"
forbid() { # forbid LAYERS PATTERN WHY
  for layer in $1; do
    found=$(grep -rnE "$2" "$layer" --include='*.h' --include='*.cpp' 2>/dev/null)
    [ -z "$found" ] || { printf '%s\n' "$found" "layers: $layer: $3"; failed=1; }
  done
}
forbid "base config message smtp imap pop3 milter sasl directory spool store route" '#include <(event2/|ares|openssl/ssl)' "only net/ meets libevent, c-ares and TLS headers"
forbid "message smtp imap pop3 milter sasl" '#include <(sys/socket|fcntl|unistd|thread|fstream|filesystem)' "a protocol core knows no sockets, files or threads"
[ $failed = 0 ] && echo "layers: ok"
exit $failed
