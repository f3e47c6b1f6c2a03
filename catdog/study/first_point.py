"""A sweep callback that makes the LR range test's suggestion the first trial of a search."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna_workers import StudyInfo, SweepCallback

from catdog.cli import choices, hydra_app
from catdog.core import commands
from catdog.core.paths import without_password
from catdog.errors import ConfigError

SUGGESTIONS_FILE = "CATDOG_SUGGEST_FILE"
"""Environment variable; ``catdog.suggest`` writes its suggestions to the file that it names."""

SUGGESTIONS = ("valley", "steep", "minimum")

RATE, DROPOUT = "optimizer.lr", "head.dropout"


class StartFromRangeTest(SweepCallback):
    """Makes a suggestion of the LR range test the first trial.

    The test runs in a process of its own, once per study. It also extracts the features.

    Args:
        which: ``valley``, ``steep`` or ``minimum``.

    Raises:
        ConfigError: ``which`` is none of these.
    """

    def __init__(self, which: str = "valley") -> None:
        if which not in SUGGESTIONS:
            raise ConfigError(
                "hydra.sweeper.callbacks.suggestion.which", which,
                f"expected {', '.join(SUGGESTIONS)}",
            )  # fmt: skip
        self._which = which

    def on_study_start(self, study: StudyInfo) -> dict[str, str] | None:
        """Enqueue the suggested learning rate, with the configured dropout if that is swept too.

        Args:
            study: The study that starts.

        Returns:
            ``enqueue`` and a JSON list with one point; None without a suggestion.
        """
        from catdog.cli import console

        point: dict[str, float] = {}
        say = console.Console().note
        if (study.parameters.get(RATE) or {}).get("kind") != "float":
            say(f"{RATE} is not searched in an interval: no LR range test")
            return None
        result = _run_range_test(study)
        rate = result.get("suggestions", {}).get(self._which, math.nan)
        if math.isnan(rate):
            why = result.get("nothing") or "it came to no end"
            say(f"The LR range test has no suggestion, since {why}: the search starts without one")
            return None
        for key, value in ((RATE, rate), (DROPOUT, result[DROPOUT])):
            space = study.parameters.get(key) or {}
            if space.get("kind") == "float" and isinstance(value, (int, float)):
                point[key] = _nearest(value, space)
        say(f"LR range test: {rate:.1e} ({self._which}); the first trial takes {_shown(point)}")
        return {"enqueue": json.dumps([point])}


def _run_range_test(study: StudyInfo) -> dict[str, Any]:
    """Return the suggestions for the study's fixed settings; empty if the test fails."""
    env = {k: v for k, v in os.environ.items() if k != "HYDRA_FULL_ERROR" or hydra_app.VERBOSE}
    cwd = str(study.config.hydra.runtime.cwd)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "suggestions.json"
        subprocess.run(
            [sys.executable, "-m", "catdog.suggest", *_arguments(study)],
            env={**env, SUGGESTIONS_FILE: str(file)},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
        )
        return json.loads(file.read_text()) if file.exists() else {}


def _arguments(study: StudyInfo) -> list[str]:
    """Return the arguments that give ``catdog.suggest`` the study's fixed settings."""
    job = study.config.hydra
    words = ["--config-name", str(job.job.config_name)]
    for source in job.runtime.config_sources:
        if source.provider == "command-line":
            words += ["--config-dir", str(source.path)]
    given = OmegaConf.to_container(job.overrides.hydra, resolve=False)
    words += [word for word in given if str(word).startswith("hydra.searchpath")]  # type: ignore
    # no word with a password: a process shows its arguments, and the test logs nowhere
    fixed = [word for word in study.overrides if without_password(word) == word]
    fixed = choices.still_used(fixed)  # some may be of an option that is searched
    folder = commands.override("hydra.run.dir", f"{study.directory}/test")
    return [*words, *fixed, "hydra.mode=RUN", folder]


def _nearest(value: float, space: Mapping[str, Any]) -> float:
    """Return the nearest value of a search space: within its bounds, and on one of its steps."""
    low, step = space["low"], abs(space["step"] or 0)
    inside = min(max(value, low), space["high"])
    return low + round((inside - low) / step) * step if step else inside


def _shown(point: dict[str, float]) -> str:
    return " ".join(f"{key}={value:.3g}" for key, value in point.items())
