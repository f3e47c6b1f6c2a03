"""The child process: composes a trial's configuration, runs the task, reports back.

Runs as a program. Only what finds the other modules is imported before ``sys.path`` is set.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

GRACE = 15.0


def main() -> None:
    """Serve trials until the pipe closes."""
    import signals  # beside this program, whose folder is on the path

    connection, lifeline = Connection(int(sys.argv[1])), int(sys.argv[2])
    signals.handle()
    # one module by its right name: what trials defer, the handler must know of
    sys.modules["optuna_workers.workers.signals"] = sys.modules.pop("signals")
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    try:
        _prepare(connection.recv())
        from optuna_workers.workers import job

        job.serve(connection)
    except (EOFError, KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        pass
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # libraries' threads must not keep a process without a master


def _prepare(data: dict[str, Any]) -> None:
    """Take over the parent's ``sys.path``, arguments and folder."""
    from multiprocessing import spawn

    spawn.prepare(data)


def _die_with_parent(lifeline: int) -> None:
    """Wait for the other end to close; then end as after Ctrl-C, or hard if that takes long."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
