#!/usr/bin/env bash
# curl: one upload of so many zeros; says what the program got.
set -euo pipefail
address=$1 authority=$2 version=$3 size=$4
if [ -n "${CA-}" ]; then
    base=https://$authority to=(--cacert "$CA" --connect-to "$authority:443:$address")
else
    base=http://$address to=()
fi
head -c "$size" /dev/zero \
    | "$TOOL" -sS "$version" -H "Host: $authority" "${to[@]}" -X POST -T - "$base/digest"
