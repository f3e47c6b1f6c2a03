"""Where a worker's trials run: in a child process, or in this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from optuna_workers.plan import Plan
from optuna_workers.workers import job
from optuna_workers.workers.process import Child, Died, Reply, Request


class Runner(Protocol):
    """Where trials run."""

    def run(self, request: Request, ask: Callable[..., Any]) -> Reply:
        """Run one."""

    def interrupt(self) -> None:
        """Stop the one that runs."""

    def close(self) -> None:
        """Let go."""


class Children:
    """A child process, kept warm from trial to trial and replaced when it is worn or dead."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._child: Child | None = None

    def start(self) -> Child:
        """Start the child, perhaps before there is a trial for it."""
        self._child = Child(self._plan.payload, self._plan.threads)
        return self._child

    def run(self, request: Request, ask: Callable[..., Any]) -> Reply:
        """Run a trial in the child."""
        most = self._plan.sweeper.max_trials_per_worker
        if self._child and most is not None and self._child.trials >= most:
            self.close()
        child = self._child or self.start()
        try:
            reply = child.run(request, ask)
        except Died:
            self.close()
            raise
        if reply.state == "INTERRUPTED":
            self.close()
        return reply

    def interrupt(self) -> None:
        """Stop the trial that runs."""
        if self._child:
            self._child.interrupt()

    def kill(self) -> None:
        """End a child that has had no trial, whatever it loads."""
        if self._child:
            self._child.kill()
            self.close()

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child:
            child.close()


class Inline:
    """Runs trials in this process, for debuggers."""

    def __init__(self, work: job.Work) -> None:
        self._work = work

    @classmethod
    def unpacked(cls, plan: Plan) -> Inline:
        """Make one where a launcher started the worker."""
        return cls(job.unpack(plan.payload))

    def run(self, request: Request, ask: Any) -> Reply:
        """Run one."""
        reply = job.run(self._work, replace(request, output="terminal"), ask)
        if reply.state == "INTERRUPTED":
            raise KeyboardInterrupt
        return reply

    def interrupt(self) -> None:
        """Nothing runs beside the caller."""

    def close(self) -> None:
        """Nothing to let go."""
