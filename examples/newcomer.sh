#!/usr/bin/env bash
# newcomer.sh [REPOSITORY]: types what docs/getting-started.md says, from `git clone` on, with a cargo
# that has downloaded nothing yet, and prints how long each step took. REPOSITORY is what `git clone`
# takes; this one unless given. Wants git, Rust, a C compiler, cmake, curl and python3. PROFILE=release
# builds that one. Nothing is left behind.
set -euo pipefail
repository=${1:-$(dirname "$(realpath "$0")")/..}
profile=${PROFILE:-debug}
home=$(mktemp -d)
plane=
clean_up() {
  if [ -n "$plane" ]; then
    kill -TERM "$plane" 2>/dev/null || true
    wait "$plane" || true
  fi
  rm -rf "$home"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
fail() {
  printf 'NOT AS PROMISED: %s\n' "$*" >&2
  tail -n 20 "$home"/log >&2 || true
  exit 1
}

# What a newcomer has: Rust, and nothing that it has fetched or built before.
export CARGO_HOME=$home/cargo
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR
# fprs finds its plane by the directory, as it does for newcomers.
for name in $(compgen -e FPRS_ || true); do unset "$name"; done

commands=0
began=$(date +%s%3N)
step() { # what it was, since when
  local now
  now=$(date +%s%3N)
  printf '%8.1f s  %s\n' "$(((now - $2) / 100))e-1" "$1"
}
typed() {
  local since
  since=$(date +%s%3N)
  commands=$((commands + 1))
  "$@" >"$home/log" 2>&1 || fail "$*"
  step "$*" "$since"
}
sofar() {
  printf '%8.1f s  %s after %d commands\n' "$((($(date +%s%3N) - began) / 100))e-1" "$1" "$commands"
}
# Asks until that status comes, for at most 20 seconds.
asked() {
  local wanted=$1 end answer
  shift
  commands=$((commands + 1))
  end=$(($(date +%s) + 20))
  until answer=$(curl -is --max-time 20 "$@") && [[ $answer == "HTTP/1.1 $wanted "* ]]; do
    [ "$(date +%s)" -lt "$end" ] || fail "curl $*: $answer"
    sleep 0.1
  done
}

typed git clone --quiet "$repository" "$home/fprs"
cd "$home/fprs"
commands=$((commands + 1)) # cd
release=()
[ "$profile" = debug ] || release=(--release)
typed cargo build --quiet --locked -p fprs "${release[@]}"
commands=$((commands + 1)) # export PATH
export PATH="$PWD/target/$profile:$PATH"

commands=$((commands + 1)) # fprs up, in another terminal
fprs up --ready-file "$home/ready" >"$home/log" 2>&1 &
plane=$!
until [ -s "$home/ready" ]; do
  kill -0 "$plane" 2>/dev/null || fail "fprs up ended"
  sleep 0.05
done
typed fprs deploy examples/hello/fprs.toml
asked 200 http://hello.region.localhost:8080/
sofar "first answered request"

# The files of the guide, as they stand there; typing them isn't counted.
for file in my_server.py fprs.toml; do
  awk -v file="# $file" '$0 == file { found = 1 } /^```/ { found = 0 } found' docs/getting-started.md >"$file"
done
typed fprs deploy fprs.toml
token=$(fprs token create --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
commands=$((commands + 1))
asked 200 -H "Authorization: Bearer $token" http://mine.region.localhost:8080/
sofar "first answer of one's own server"
