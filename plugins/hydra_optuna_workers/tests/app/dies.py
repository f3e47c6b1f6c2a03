"""A callback that kills the process that it is in, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heard import Heard


class Dies(Heard):
    """Dies right after it has noted a hook, the first time.

    Args:
        at: The hook, without ``on_``.
    """

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at, self._mark = at, Path(os.environ["STUB_LOG"]).with_name(f"died_at_{at}")

    def _note(self, hook: str, **facts: object) -> None:
        super()._note(hook, **facts)
        if hook == self._at and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def between(step: str) -> None:
    """Make this process die once, when a method has done its work and before it returns.

    Args:
        step: ``<class>.<method>`` of the sweeper's, such as ``Claims.take``.
    """
    from optuna_workers.sampling import trials
    from optuna_workers.storage import slots

    kind, _, method = step.partition(".")
    place = getattr({"Claims": slots, "Book": trials}[kind], kind)
    does: Callable[..., Any] = getattr(place, method)
    mark = Path(os.environ["STUB_LOG"]).with_name(f"died_after_{step}")

    def then_die(*words: Any, **options: Any) -> Any:
        done = does(*words, **options)
        if done is not None and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(place, method, then_die)


class Between(Heard):
    """Makes the process that it is built in die after one of the sweeper's steps, once."""

    def __init__(self, step: str) -> None:
        super().__init__()
        between(step)
