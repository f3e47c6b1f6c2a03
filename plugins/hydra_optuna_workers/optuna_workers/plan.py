"""What every worker of a command knows; it travels to wherever a launcher starts one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from optuna_workers.space.space import Space


@dataclass(frozen=True)
class Plan:
    """One command's part in a study.

    Attributes:
        session: Names the command.
        owner: The command's process.
        name: Optuna's name of the study.
        identity: Tells it from an earlier study of the same name.
        url: Its database.
        directory: ``hydra.sweep.dir``, absolute.
        space: What is swept.
        enumerated: Whether slot k is combination k, instead of sampled.
        enqueue: Points that fill the first slots.
        directions: One per objective.
        n_trials: Number of slots.
        n_jobs: Workers of this command.
        deadline: By the database's clock, after which no trial is started; or None.
        threads: Cores of each child, or None to leave them alone.
        sweeper: ``hydra.sweeper``.
        config: Composed with the first point.
        shared: What the callbacks' ``on_study_start`` returned.
        payload: Hydra's context, the configuration and the task, pickled for the children.
    """

    session: str
    owner: str
    name: str
    identity: str
    url: str
    directory: Path
    space: Space
    enumerated: bool
    enqueue: tuple[Mapping[str, Any], ...]
    directions: tuple[str, ...]
    n_trials: int
    n_jobs: int
    deadline: float | None
    threads: int | None
    sweeper: DictConfig = field(repr=False)
    config: DictConfig = field(repr=False)
    shared: Mapping[str, str] = field(repr=False)
    payload: bytes = field(repr=False)

    def planned(self, slot: int) -> dict[str, Any]:
        """Return the values that a slot must take; those left out are sampled."""
        if slot < len(self.enqueue):
            return dict(self.enqueue[slot])
        if not self.enumerated:
            return {}
        if not self.enqueue:
            return self.space.combination(slot)
        first = {key_of(point) for point in self.enqueue}
        left = slot - len(self.enqueue)
        for k in range(len(self.space)):
            point = self.space.combination(k)
            if key_of(point) in first:
                continue
            if left == 0:
                return point
            left -= 1
        raise IndexError(slot)


def key_of(values: Mapping[str, Any]) -> str:
    """Return a text that two equal points share."""
    shown = sorted((name, type(value).__name__, value) for name, value in values.items())
    return hashlib.sha256(json.dumps(shown, default=str).encode()).hexdigest()
