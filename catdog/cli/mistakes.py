"""What a word of a command line was probably meant to be, from Hydra's errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from hydra._internal.utils import get_args_parser
from optuna_workers.config import OptunaWorkersConf

from catdog.core import paths
from catdog.errors import ConfigError
from catdog.settings import parse
from catdog.settings.groups import group_types

EXTRAS = {"hydra/launcher/joblib": "joblib", "hydra/launcher/ray": "ray",
          "hydra/launcher/ray_aws": "ray", "hydra/launcher/submitit_local": "slurm",
          "hydra/launcher/submitit_slurm": "slurm"}  # fmt: skip
"""Options that come with an extra of catdog-lab."""

HYDRAS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name",
          "hydra.job.chdir", "hydra.mode", "hydra.verbose", "hydra.searchpath")  # fmt: skip
"""Keys of Hydra's own that a person may set, besides the sweeper's."""

PARTS = ("hydra/launcher", "hydra/sweeper", "hydra/sweeper/sampler", "hydra/sweeper/pruner")
"""Groups of Hydra's own that a person may choose from."""


def unknown_key(key: str, typed: Mapping[str, str]) -> ConfigError:
    """Return the error for a key that does not exist, with what was probably meant.

    Args:
        key: The key, as Hydra names it.
        typed: The values of the command line by key.

    Example:
        >>> print(unknown_key("haed", {"haed": "mlp"}))
        haed=mlp: there is no such key; try `head=mlp`
        >>> print(unknown_key("n_trials", {"n_trials": "5"}))
        n_trials=5: there is no such key; try `hydra.sweeper.n_trials=5`
    """
    value = typed.get(key, "...")
    if key in parse.known_keys():  # of another optimizer
        option = typed.get(key.split(".")[0], "" if "experiment" in typed else "adam")
        swept = "," in option or "(" in option
        return parse.unknown_key(key, value, "" if swept else option)
    if fix := _of_a_group(key, value) or _of_hydra(key, value):
        return ConfigError(key, value, "there is no such key", fix)
    return parse.unknown_key(key, value)


def _of_a_group(key: str, value: str) -> str:
    """Return the override that chooses an option, if that was meant; else an empty text."""
    groups = sorted(path.name for path in paths.configs().iterdir() if path.is_dir())
    own = [group for group in groups if value in _options(group)]
    known = groups if value in ("", "...") or "." in key else own or groups
    near = [key] if key in known else difflib.get_close_matches(key, known, 1, 0.6)
    if "." in key or not near:
        return ""
    return f"{'' if near[0] in group_types() else '+'}{near[0]}={value}"


def _options(group: str) -> list[str]:
    return [path.stem for path in (paths.configs() / group).glob("*.yaml")]


def _of_hydra(key: str, value: str) -> str:
    """Return the key or group of Hydra's that was meant; else an empty text."""
    leaves = [item.name for item in fields(OptunaWorkersConf) if item.name[0] != "_"]
    known = {leaf: f"hydra.sweeper.{leaf}" for leaf in leaves if leaf != "defaults"}
    known |= {part.rpartition("/")[2]: part for part in PARTS}
    if not key.startswith("hydra"):
        near = difflib.get_close_matches(key.rpartition(".")[2], known, 1, 0.8)
        return f"{known[near[0]]}={value}" if near else ""
    near = difflib.get_close_matches(key, [*known.values(), *HYDRAS], 1, 0.6)
    return f"{near[0]}={value}" if near else ""


def unknown_flag(words: Sequence[str], own: Sequence[str] = ()) -> str | None:
    """Return the message for the first option with dashes that there is not; None without one.

    Args:
        words: Arguments of the command line.
        own: Options of the command, beside Hydra's.

    Example:
        >>> unknown_flag(["--n-trials", "5"])
        '--n-trials: there is no such option; try `hydra.sweeper.n_trials=5`'
        >>> unknown_flag(["--modle", "best"], ["--model"])
        '--modle: there is no such option; try `--model`'
    """
    hydras = [one for one in get_args_parser()._option_string_actions if one.startswith("--")]
    for k, word in enumerate(words):
        flag, _, value = word.partition("=")
        if not flag.startswith("--") or any(one.startswith(flag) for one in hydras):
            continue
        if near := difflib.get_close_matches(flag, [*own, *hydras], 1, 0.7):
            return f"{flag}: there is no such option; try `{near[0]}`"
        key = flag.lstrip("-").replace("-", "_")
        following = words[k + 1] if k + 1 < len(words) else ""
        value = value or (following if following[:1] not in ("", "-", "+") else "...")
        fix = str(unknown_key(key, {key: value})).partition("; try ")[2]
        return f"{flag}: there is no such option; try {fix}"
    return None


def wrong_option(message: str) -> ConfigError | None:
    r"""Return the error for an option that a group does not have; None if this is another error.

    Args:
        message: What Hydra says.

    Example:
        >>> said = "Could not find 'head/mlpp'\nAvailable options in 'head':\n\tmlp\nConfig"
        >>> print(wrong_option(said))
        head=mlpp: expected one of mlp; try `head=mlp`
    """
    found = re.search(
        r"Could not find '([^']*)'\s+Available options in '([^']*)':(.*?)(\n\S|$)", message, re.S
    )
    if found is None:
        return None
    group, known = found[2], found[3].split()
    wrong = found[1].removeprefix(group).removeprefix("/")
    if extra := EXTRAS.get(found[1]):
        return ConfigError(group, wrong, "it is an extra", f"pip install 'catdog-lab[{extra}]'")
    near = difflib.get_close_matches(wrong, known, 1, 0.5)
    fix = f"{group}={(near or known)[0]}"
    if group == "data" and Path(wrong).expanduser().exists():
        fix = f"data=folder data.path={wrong}"
    plus = "+" if group == "experiment" else ""
    return ConfigError(group, wrong, f"expected one of {', '.join(known)}", plus + fix)
