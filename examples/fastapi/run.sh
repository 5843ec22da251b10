#!/usr/bin/env bash
# Starts the app on $PORT in a virtual environment of its own, made at the first start.
set -euo pipefail
cd "$(dirname "$0")"
venv=.venv

# One replica installs, the others wait for it. The mark is written last: half an install is none.
exec 9>.venv.lock
flock 9
if ! cmp -s requirements.txt "$venv/installed"; then
  python3 -m venv "$venv" || {
    echo "fastapi example: can't make a virtual environment; on Debian: apt-get install python3-venv" >&2
    exit 1
  }
  "$venv/bin/pip" install --quiet --retries 1 --timeout 15 --requirement requirements.txt || {
    echo "fastapi example: skipped, pip can't install fastapi and uvicorn: is PyPI in reach?" >&2
    exit 1
  }
  cp requirements.txt "$venv/installed"
fi
exec 9>&-

exec "$venv/bin/uvicorn" app:app --host 127.0.0.1 --port "${PORT:?is given by fprs}"
