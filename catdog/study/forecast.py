"""Says what a search would do and, by a pilot of it, how long it takes."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig
from optuna_workers import search_plan
from optuna_workers.search_plan import SearchPlan

from catdog.cli import choices, hydra_app, typed
from catdog.cli.overrides import plain
from catdog.core import paths
from catdog.errors import CatdogError
from catdog.study import catalog, pilot


def report(name: str, overrides: Sequence[str]) -> None:
    """Print what a search would do, run a pilot of it, and print the estimate.

    Args:
        name: Name of the search's file in sweeps/.
        overrides: Further overrides, as for ``catdog.sweep``.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with hydra_app.one_message():
        known = {search.name: search for search in catalog.searches(paths.sweeps())}
        if name not in known:
            raise CatdogError(catalog.unknown_message(name, list(known)))
        overrides = typed.as_meant(["-m", *overrides])[1:]
        config, planned = _composed(name, overrides)
        print(f"{name}: {known[name].question}")
        for title, text in _plan(config, planned, known[name].budget):
            print(f"{title:<11}{text}")
        trials = min(planned.n_trials, 2 * planned.n_jobs)
        print(f"{'pilot':<11}{trials} trials in a throw-away folder ...", flush=True)
        measured = pilot.run(name, overrides, trials, planned.n_jobs)
        for line in pilot.estimate(measured, planned.n_trials, planned.n_jobs):
            print(f"{'':<11}{line}")


def _composed(name: str, overrides: Sequence[str]) -> tuple[DictConfig, SearchPlan]:
    """Compose a search as its sweep does, and check what can be checked without running it."""
    from hydra import initialize_config_dir
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import HydraContext, RunMode

    logging.getLogger("optuna").setLevel(logging.WARNING)
    words = [f"hydra.searchpath=[file://{paths.configs()}]", *overrides]
    try:
        with initialize_config_dir(str(paths.sweeps()), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            # hydra.compose would refuse swept values
            config = loader.load_configuration(name, words, RunMode.MULTIRUN, from_shell=False)
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            planned = search_plan.describe(context, config)
            choices.check_search(plain(planned.config), planned.parameters, planned.overrides)
            hydra_app.settings_of(planned.config)
    except Exception as error:
        message = hydra_app.explain(error)
        if message is None or hydra_app.VERBOSE:
            raise
        raise CatdogError(message) from None
    return config, planned


def _plan(config: DictConfig, planned: SearchPlan, budget: str) -> list[tuple[str, str]]:
    lines = [("budget", budget)] if budget else []
    width = max((len(key) for key in planned.parameters), default=0)
    for key, known in planned.parameters.items():
        lines.append(("" if lines[1:] else "searches", f"{key:<{width}}  {values(known)}"))
    fixed = " ".join(planned.overrides)
    sampler = "auto: TPE" if planned.sampler == "auto" else planned.sampler
    return [
        *lines,
        *([("fixed", fixed)] if fixed else []),
        ("trials", f"{planned.n_trials}, {planned.n_jobs} side by side"),
        ("goal", f"{', '.join(planned.directions)} {config.objective.metric}"),
        ("sampler", "every combination once" if planned.enumerated else sampler),
        ("pruner", planned.pruner),
        ("storage", planned.storage),
    ]


def values(known: Mapping[str, Any]) -> str:
    """Describe the values that a key is searched in.

    Args:
        known: The key's entry in the search space, as the sweeper stores it with a study.

    Example:
        >>> values({"kind": "float", "low": 1e-5, "high": 0.1, "step": None, "log": True})
        '1e-05 to 0.1, by its logarithm'
        >>> values({"kind": "choice", "choices": ["0.2", "0.5"], "when": {"head": ["mlp"]}})
        'one of 0.2, 0.5, only where head is mlp'
    """
    if known["kind"] == "choice":
        text = f"one of {', '.join(known['choices'])}"
    else:
        text = f"{known['low']:g} to {known['high']:g}"
        text += f" in steps of {abs(known['step']):g}" if known["step"] else ""
        text += ", by its logarithm" if known["log"] else ""
    needed = [f"{key} is {' or '.join(some)}" for key, some in known.get("when", {}).items()]
    return f"{text}, only where {' and '.join(needed)}" if needed else text
