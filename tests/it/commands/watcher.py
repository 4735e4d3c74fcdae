"""A person who watches: runs a command in a terminal of its own, and presses Ctrl-C when it has drawn so often.

    watcher.py TIMES COMMAND...   prints what the terminal shows, and ends with the command's code
"""

import os
import pty
import sys

times, command = int(sys.argv[1]), sys.argv[2:]
process, terminal = pty.fork()
if process == 0:
    os.execv(command[0], command)
shown, pressed = b"", False
while True:
    try:
        part = os.read(terminal, 1024)
    except OSError:  # The command has ended.
        break
    if not part:
        break
    shown += part
    if shown.count(b"\x1b[H") >= times and not pressed:
        pressed = True
        os.write(terminal, b"\x03")
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
