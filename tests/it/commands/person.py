"""A person at a terminal: runs a command in a terminal of its own, and types an answer at each prompt, which ends in `): ` or in
`[y/N] `.

    person.py ANSWER COMMAND...   prints what the terminal shows, and ends with the command's code
"""

import os
import pty
import sys

answer, command = sys.argv[1], sys.argv[2:]
process, terminal = pty.fork()
if process == 0:
    os.execv(command[0], command)
shown = b""
while True:
    try:
        part = os.read(terminal, 1024)
    except OSError:  # The command has ended.
        break
    if not part:
        break
    shown += part
    if shown.endswith((b"): ", b"[y/N] ")):
        os.write(terminal, answer.encode() + b"\n")
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
