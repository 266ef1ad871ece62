#!/usr/bin/env bash
# restart.sh PIDFILE [PORT COMMAND...]: ends the server that PIDFILE names, then starts COMMAND in its place and waits until it
# answers on PORT. Without a command it only ends it. For rows that need a server which remembers nothing.
set -u
pid_file=$1; shift
if [ -s "$pid_file" ]; then
  pid=$(cat "$pid_file")
  kill "$pid" 2>/dev/null
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  rm -f "$pid_file"
fi
[ $# -gt 0 ] || exit 0
port=$1; shift
setsid "$@" >>"$pid_file.out" 2>&1 </dev/null &
echo $! > "$pid_file"
for _ in $(seq 100); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && exit 0
  sleep 0.05
done
cat "$pid_file.out" >&2
exit 1
