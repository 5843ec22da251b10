#!/usr/bin/env bash
# demo.sh FPRS: what fprs does, shown once on this machine with the two examples beside this file.
# Every step checks what it shows; the first thing that isn't as promised ends it with exit code 1.
set -euo pipefail
fprs_binary=$(realpath "${1:?the fprs binary}")
examples=$(dirname "$(realpath "$0")")
dir=$(mktemp -d)
plane=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() {
  printf '\nNOT AS PROMISED: %s\n' "$*" >&2
  [ ! -s "$dir/log" ] || { echo "--- last lines of the plane's log" >&2 && tail -n 30 "$dir/log" >&2; }
  exit 1
}
now() { date +%s%3N; }
json() { python3 -c "import json, sys; v = json.load(sys.stdin); print($1)"; }
fprs() { "$fprs_binary" "$@" --data-dir "$dir/data"; }

# Requests go to the plane's port whatever the name resolves to here.
request() {
  local server=$1 path=$2
  shift 2
  curl -sS --max-time 60 --connect-to "::$listen" "http://$server.region.localhost:${listen##*:}$path" "$@"
}

# Waits at most so many seconds until a command succeeds.
within() {
  local seconds=$1 end
  end=$(($(now) + seconds * 1000))
  shift
  until "$@"; do
    [ "$(now)" -lt "$end" ] || return 1
    sleep 0.05
  done
}

# How many of a server's replicas are in a state, or in any.
replicas() {
  fprs replicas "$1" --json | json "sum(r['state'] == '${2:-}' or not '${2:-}' for r in v)"
}
has_replicas() { [ "$(replicas "$1" "${3:-}")" -eq "$2" ]; }

stop_plane() {
  [ -n "$plane" ] || return 0
  local pid=$plane
  plane=
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid"
}
clean_up() {
  stop_plane || true
  rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

start() {
  say "A routing plane, in one process, on ports that are free: fprs up"
  "$fprs_binary" up --listen 127.0.0.1:0 --admin 127.0.0.1:0 --data-dir "$dir/data" \
    --ready-file "$dir/ready.json" >"$dir/log" 2>&1 &
  plane=$!
  within 20 test -s "$dir/ready.json" || fail "the plane is not ready after 20 s"
  listen=$(json "v['listen']" <"$dir/ready.json")
  echo "serves on $listen"

  say "Two programs, deployed: fprs deploy examples/{hello,stream}/fprs.toml"
  fprs deploy "$examples/hello/fprs.toml" || fail "hello was not deployed"
  fprs deploy "$examples/stream/fprs.toml" || fail "stream was not deployed"
  has_replicas hello 0 || fail "hello runs although nobody asked for it"
}

# One request: its status, its reason and how soon to come again.
ask_hello() {
  request hello / -o "$dir/body" -D "$dir/head" -w '%{http_code}' || fail "no answer at all"
}

wake() {
  say "Nothing runs yet. The first request to hello starts it"
  local began status
  began=$(now)
  status=$(ask_hello)
  echo "after $(($(now) - began)) ms: $status" \
    "$(grep -iE '^(x-fprs-reason|retry-after):' "$dir/head" | tr -d '\r' | paste -sd' ')"
  [ "$status" = 503 ] || fail "the first answer is $status, not 503"
  grep -qiE '^x-fprs-reason: (starting|no_replica)' "$dir/head" || fail "it gives no reason"
  grep -qi '^retry-after:' "$dir/head" || fail "it doesn't say when to come again"
  until [ "$status" = 200 ]; do
    [ $(($(now) - began)) -lt 2000 ] || fail "still $status after 2 s"
    sleep 0.05
    status=$(ask_hello)
  done
  echo "after $(($(now) - began)) ms: 200 $(grep -o 'Hello[^<]*' "$dir/body")"
}

complete() {
  request stream /v1/chat/completions -N -d "{\"stream\": true, \"max_tokens\": $1}"
}

tokens() {
  say "stream holds its first request until a replica is there; then tokens, each as it is made"
  local began first='' last=0 count=0 line
  began=$(now)
  while read -r line; do
    [[ $line == data:*content* ]] || continue
    last=$(($(now) - began))
    first=${first:-$last}
    count=$((count + 1))
    printf '%5s ms  %s\n' "$last" "$(grep -o '"content": "[^"]*"' <<<"$line")"
  done < <(complete 10)
  [ "$count" = 11 ] || fail "$count pieces came, not the opening and 10 tokens"
  [ $((last - first)) -ge 300 ] || fail "10 tokens 50 ms apart came within $((last - first)) ms"
}

burst() {
  say "8 requests at once, at 2 per replica: the pool grows to its 4"
  local began line shown='' waiting=() n
  began=$(now)
  for n in $(seq 8); do
    complete 160 >"$dir/burst.$n" &
    waiting+=($!)
  done
  while :; do
    line="$(replicas stream ready) ready, $(replicas stream starting) starting"
    [ "$line" = "$shown" ] || printf '%5s ms  %s\n' $(($(now) - began)) "$line"
    shown=$line
    [[ $line != "4 ready"* ]] || break
    [ $(($(now) - began)) -lt 8000 ] || fail "not 4 replicas after 8 s"
    sleep 0.05
  done
  fprs replicas stream
  wait "${waiting[@]}" || fail "a request of the burst failed"
  for n in $(seq 8); do
    [ "$(grep -c '^data:' "$dir/burst.$n")" = 163 ] || fail "request $n of the burst is not whole"
  done
  echo "all 8 streams are whole"
}

back() {
  say "The load is gone. After its 5 s window the pool goes back to zero; hello's after 10 s"
  local began
  began=$(now)
  within 60 has_replicas stream 0 || fail "stream still runs 60 s after its last request"
  echo "stream: 0 replicas after $(($(now) - began)) ms"
  within 60 has_replicas hello 0 || fail "hello still runs 60 s after its last request"
  echo "hello:  0 replicas after $(($(now) - began)) ms"
}

finish() {
  say "SIGTERM: the plane ends what is in flight and goes"
  stop_plane || fail "its exit code is not 0"
  say "Everything was as promised."
}

start
wake
tokens
burst
back
finish
