#!/usr/bin/env bash
# curl: every kind of request; says heads (without what is of one hop) and bodies.
set -euo pipefail
address=$1 authority=$2 version=$3
dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
# With an edge behind the address, the certificate is the authority's.
if [ -n "${CA-}" ]; then
    base=https://$authority to=(--cacert "$CA" --connect-to "$authority:443:$address")
else
    base=http://$address to=()
fi
head -c 1000000 /dev/zero | tr '\0' 'x' >"$dir/body"

ask() {
    local path=$1
    shift
    echo "== $path"
    "$TOOL" -sS --max-time 20 "$version" -H "Host: $authority" -A curl \
        "${to[@]}" -D "$dir/head" -o "$dir/answer" "$@" "$base$path"
    # curl asks for 100 (Continue) in HTTP/1.1 only.
    # The version and the phrase of the status line differ, as do the fields of a connection.
    tr -d '\r' <"$dir/head" | sed -E 's|^HTTP/[0-9.]+ ([0-9]+).*|\1|; s|^([^:]+):|\L\1:|' \
        | grep -vE '^(date|connection|keep-alive|transfer-encoding|x-request-id):|^100$|^$' | sort -s -t: -k1,1
    # With --head, what curl puts out is the head again.
    if [ "${1-}" != --head ] && [ -s "$dir/answer" ]; then sha256sum <"$dir/answer"; fi
    rm -f "$dir/answer"
}

ask /hello
ask /hello --head
ask '/fields?a=1&b=%2F%20&&c' -X PUT -H 'x-many: 1' -H 'x-many: 2'
ask /status/204
ask /status/304
ask /status/404
ask /digest --data-binary "@$dir/body"
# A body of unknown length: chunked in HTTP/1.1.
ask /digest -X POST -T - <"$dir/body"
ask /echo -X POST -T - <"$dir/body"
ask /download
ask /events -N
