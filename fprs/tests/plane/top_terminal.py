"""Runs `fprs top` in a terminal of its own: sees it draw, resizes, ends it, and looks at what it leaves.

top_terminal.py END WORD COMMAND…: END is what is typed, or the name of a signal; WORD is waited for.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

PATIENCE = 20
end, word, command = sys.argv[1], sys.argv[2], sys.argv[3:]
ours, theirs = pty.openpty()


def resize(rows, columns):
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


resize(30, 120)
before = termios.tcgetattr(theirs)
child = subprocess.Popen(
    command,
    stdin=theirs,
    stdout=theirs,
    stderr=theirs,
    start_new_session=True,
    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
)
seen = ""


def read():
    global seen
    if select.select([ours], [], [], 0.05)[0]:
        seen += os.read(ours, 65536).decode(errors="replace")


def until(holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"never; seen: {seen[-4000:]!r}")
        read()


def frame():
    """The last one that is whole, without what the terminal obeys."""
    frames = seen.split("\x1b[H")
    text = frames[-2] if len(frames) > 2 else ""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split("\r\n")


until(lambda: any(line.startswith(word) for line in frame()))
wide = frame()
resize(10, 40)
os.killpg(child.pid, signal.SIGWINCH)
until(lambda: 1 < len(frame()) <= 10 and max(map(len, frame())) <= 40)
narrow = frame()
raw = termios.tcgetattr(theirs)
if end.startswith("SIG"):
    child.send_signal(getattr(signal, end))
else:
    os.write(ours, end.encode())
until(lambda: child.poll() is not None)
for _ in range(5):
    read()
after = termios.tcgetattr(theirs)
print(
    json.dumps(
        {
            "wide": wide,
            "narrow": narrow,
            "was_raw": not raw[3] & termios.ICANON,
            "restored": after == before,
            "left": seen.rstrip().endswith("\x1b[?25h\x1b[?1049l"),
            "status": child.returncode,
        }
    )
)
