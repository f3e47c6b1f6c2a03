"""The reference of all configuration keys, made of what the code itself reads.

What the keys are and mean comes from ``catdog.settings.describe``, options and their defaults from
``conf/``, the sweeper's keys from what its plugin registers at Hydra. The sentences on options and
on the sweeper's keys are written by hand, in ``reference/sentences.yaml``; ``problems`` says where
these and the code have drifted apart. Imports neither Sphinx nor TensorFlow: a test runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import hydra_plugins.optuna_workers.sweeper  # noqa: F401  registers the sweeper's keys
import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from catdog import settings
from catdog.settings import KeyInfo

DOCS = Path(__file__).resolve().parent
CONF = DOCS.parent / "conf"
RECIPES = "experiment"
"""Group whose options are recipes over other groups, named with a ``+``."""

SPACE = "\N{NO-BREAK SPACE}"
CODE = re.compile(r"(?<![\w`/.~])[A-Za-z~/.]*(?:[a-z][.=/][a-z]|\w_\w|\.zip\b)(?:[\w./=]*\w)?")
"""Words of a sentence that are code: keys, files, names with an underscore."""


def sentences() -> dict[str, dict[str, Any]]:
    """Read what is written by hand."""
    return yaml.safe_load((DOCS / "reference" / "sentences.yaml").read_text(encoding="utf-8"))


def groups() -> dict[str, list[KeyInfo]]:
    """Return the settings' keys by group; those of no group lie under an empty name."""
    found: dict[str, list[KeyInfo]] = {}
    for info in settings.describe():
        found.setdefault(info.key.rpartition(".")[0], []).append(info)
    return found


def accepted(info: KeyInfo) -> str:
    """Return what a key accepts: its options, or its type and bounds."""
    if info.accepted and info.type.startswith("text"):
        return ", ".join(f"`{option}`" for option in info.accepted.split(", "))
    kind, null = (part.strip() for part in info.type.partition("or null")[::2])
    null = ", or `null`" if info.type.endswith("or null") else ""
    bounds = re.sub(r"([<>]=?) ", rf"\1{SPACE}", info.accepted)
    for ascii_form, sign in (("<=", "≤"), (">=", "≥")):
        bounds = bounds.replace(ascii_form, sign)
    kind = kind.replace("true or false", "`true` or `false`")
    return f"{kind} {bounds}".strip() + null


def meaning(info: KeyInfo) -> str:
    """Return the code's sentence with its keys and files marked as code."""
    return CODE.sub(lambda found: f"`{found[0]}`", info.description)


def options() -> dict[str, dict[str, dict[str, Any]]]:
    """Return what each option of each group in ``conf/`` sets, by dotted key."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(CONF.glob("*/*.yaml")):
        group, content = path.parent.name, yaml.safe_load(path.read_text(encoding="utf-8"))
        of_group = found.setdefault(group, {})
        sets: dict[str, Any] = {}
        for part in content.pop("defaults", []):
            if isinstance(part, dict):  # a recipe: `override /augment: flip`
                sets |= {name.rpartition("/")[2]: option for name, option in part.items()}
            elif part != "_self_":  # the option goes on from another one of its group
                sets |= of_group[part]
        # a file holds its group's keys, unless it says `# @package _global_`
        nested = group in content or group == RECIPES
        of_group[path.stem] = sets | dict(_leaves(content if nested else {group: content}))
    return found


def defaults() -> dict[str, str]:
    """Return which option of each group a run takes that names none."""
    listed = yaml.safe_load((CONF / "train.yaml").read_text(encoding="utf-8"))["defaults"]
    return {k: v for entry in listed if isinstance(entry, dict) for k, v in entry.items()}


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def sweeper() -> dict[str, Any]:
    """Return the keys of ``hydra.sweeper`` with their defaults."""
    node = ConfigStore.instance().repo["hydra"]["sweeper"]["optuna_workers.yaml"].node
    content: Any = OmegaConf.to_container(OmegaConf.structured(node))
    return {k: v for k, v in content.items() if not k.startswith("_") and k != "defaults"}


def choices(group: str) -> dict[str, dict[str, Any]]:
    """Return the options of ``hydra/sweeper/sampler`` or ``.../pruner`` and their arguments."""
    found = {}
    for file, stored in ConfigStore.instance().repo["hydra"]["sweeper"][group].items():
        node: Any = OmegaConf.to_container(stored.node)
        own = {key: value for key, value in node.items() if key not in ("name", "_target_")}
        found[file.removesuffix(".yaml")] = own
    return found


def problems() -> list[str]:
    """Say where the sentences and the code do not name the same things."""
    said = sentences()
    pairs: list[tuple[str, Iterable[str], Iterable[str]]] = [
        ("options", said["options"], options()),
        ("sweeper", said["sweeper"], sweeper()),
        ("samplers", said["samplers"], choices("sampler")),
        ("pruners", said["pruners"], choices("pruner")),
    ]
    pairs += [(f"options.{g}", said["options"].get(g, {}), own) for g, own in options().items()]
    found = [f"{info.key} has no sentence" for info in settings.describe() if not info.description]
    for place, written, real in pairs:
        found += [f"{place}: {name} has no sentence" for name in real if name not in written]
        found += [f"{place}: there is no {name}" for name in written if name not in set(real)]
    return found


def shown(value: Any) -> str:
    """Return a value as YAML and the command line have it."""
    if value is None or isinstance(value, bool):
        return f"`{'null' if value is None else str(value).lower()}`"
    return f"`{str(value).replace(chr(39), '')}`"


def markdown() -> str:
    """Return the whole reference."""
    said, chosen, of_conf = sentences(), defaults(), options()
    parts = []
    for group, keys in groups().items():
        parts += [f"## {group or 'Of no group'}", ""]
        if group in of_conf:
            parts += _options(group, of_conf[group], said["options"][group], chosen.get(group))
        parts += ["| key | default | values | meaning |", "|---|---|---|---|"]
        for key in keys:
            there = of_conf.get(group, {})
            default = shown(there.get(chosen.get(group, ""), {}).get(key.key, key.default))
            what = meaning(key) + _owners(key.key, there)
            parts.append(f"| `{key.key}` | {default} | {accepted(key)} | {what} |")
        parts.append("")
    recipes = _options(f"+{RECIPES}", of_conf[RECIPES], said["options"][RECIPES])
    parts += ["## Recipes", "", *recipes]
    return "\n".join(parts)


def _owners(key: str, there: Mapping[str, Mapping[str, Any]]) -> str:
    """Say which options have a key, where not all of them do."""
    names = [name for name, own in there.items() if key in own]
    return f" Of {', '.join(f'`{n}`' for n in names)}." if 0 < len(names) < len(there) else ""


def _options(
    group: str,
    there: Mapping[str, Mapping[str, Any]],
    said: Mapping[str, str],
    default: str | None = None,
) -> list[str]:
    """Return the table of a group's options; what all of them set alike is not repeated."""
    usual = there[default] if default else {}
    names = sorted(there, key=lambda one: (one != default, one))
    sets = {name: _sets(group, there[name], usual) if name != default else "" for name in names}
    wide = any(sets.values())
    lines = [f"| `{group}=` | what it is |" + " sets |" * wide, "|---|---|" + "---|" * wide]
    for name in names:
        mark = " (default)" if name == default else ""
        lines.append(f"| `{name}`{mark} | {said[name]} |" + f" {sets[name]} |" * wide)
    return [*lines, ""]


def _sets(group: str, own: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return what an option sets otherwise than the default option of its group."""
    different = {k: v for k, v in own.items() if v != usual.get(k, _neutral(k, group))}
    different.pop(f"{group}.name", None)
    return ", ".join(f"`{key}={shown(value)[1:-1]}`" for key, value in different.items())


def _neutral(key: str, group: str) -> Any:
    """Return what is not worth telling: a null among the option's own keys, none elsewhere."""
    return None if key.startswith(f"{group}.") else MISSING


def sweeper_markdown() -> str:
    """Return the tables of the sweeper's keys, samplers and pruners."""
    said = sentences()
    parts = ["### Keys", "", "| `hydra.sweeper.` | default | meaning |", "|---|---|---|"]
    for key, default in sweeper().items():
        value = {"sampler": "`auto`", "pruner": "`none`"}.get(key) or shown(default)
        parts.append(f"| `{key}` | {value} | {said['sweeper'][key]} |")
    for group in ("sampler", "pruner"):
        parts += ["", f"### {group.title()}s", ""]
        parts += [f"| `hydra/sweeper/{group}=` | what it does | arguments |", "|---|---|---|"]
        for name, arguments in choices(group).items():
            listed = ", ".join(f"`{k}={shown(v)[1:-1]}`" for k, v in arguments.items())
            parts.append(f"| `{name}` | {said[group + 's'][name]} | {listed} |")
    return "\n".join([*parts, ""])


def counts() -> str:
    """Say how much there is."""
    keys, of_conf = sum(map(len, groups().values())), sum(map(len, options().values()))
    more = len(choices("sampler")), len(choices("pruner"))
    return (
        f"{keys} keys in {len(groups()) - 1} groups and of none, {of_conf} options in conf/, "
        f"{len(sweeper())} keys of the sweeper, {more[0]} samplers, {more[1]} pruners"
    )


if __name__ == "__main__":
    print(markdown(), sweeper_markdown(), counts(), *problems(), sep="\n")
