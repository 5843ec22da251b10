#!/usr/bin/env bash
# curl: responses before the response, and trailers; says them in their order.
set -euo pipefail
address=$1 authority=$2 version=$3

ask() {
    echo "== $1"
    # The version and the phrase of a status line differ, as do the fields of a connection.
    "$TOOL" -sS --max-time 20 "$version" -H "Host: $authority" -D - "${@:2}" "http://$address$1" \
        | tr -d '\r' | sed -E 's|^HTTP/[0-9.]+ ([0-9]+).*|\1|; s|^([^: ]+):|\L\1:|' \
        | grep -vE '^(date|connection|keep-alive|transfer-encoding):|^$'
}

hints=$(ask /hints)
echo "$hints"
[ "$(grep -c '^103$' <<<"$hints")" = 2 ]
trailers=$(ask /trailers -d body)
echo "$trailers"
grep -q '^x-length: 4$' <<<"$trailers"
