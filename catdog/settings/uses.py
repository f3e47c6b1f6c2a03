"""Which keys the chosen options use: a key that is set and has no effect is refused.

What is not used would be recorded with the run all the same, as if it had been.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass
from typing import Any

from catdog.errors import ConfigError
from catdog.settings.data import Data
from catdog.settings.training import OPTIMIZER_KEYS, Optimizer, Schedule

_NAMES: dict[str, tuple[str, ...]] = {
    "data": Data.__dataclass_fields__["name"].metadata["options"],
    "optimizer": Optimizer.__dataclass_fields__["name"].metadata["options"],
    "schedule": Schedule.__dataclass_fields__["name"].metadata["options"],
}
"""The options of catdog's own of each group that has keys which only some of them use."""


@dataclass(frozen=True)
class Use:
    """What has to be chosen for a key to have an effect.

    Attributes:
        chooser: The key that decides: a group, of which an option is chosen, or a single key.
        options: Its values with which the key is used; with none given, all but null, 0 and false.
        fix: The override that lets the key be used; empty for the first of the options.
    """

    chooser: str
    options: tuple[str, ...] = ()
    fix: str = ""

    def chosen(self, values: Mapping[str, Any]) -> Any:
        """Return what is chosen in nested dictionaries; ``MISSING`` if they do not say."""
        group, _, leaf = self.chooser.partition(".")
        return _at(values, group, leaf or "name")

    @property
    def is_switch(self) -> bool:
        """Whether the chooser only turns something on or off."""
        return not self.options

    def is_chosen_by(self, keys: Collection[str]) -> bool:
        """Return whether the chooser is among some keys."""
        return self.chooser in keys or f"{self.chooser}.name" in keys

    def admits(self, option: Any) -> bool:
        """Return whether the key is used with a value of the chooser.

        An option that is none of catdog's, such as a part of the user's own, may use any key.

        Example:
            >>> Use("data", ("folder", "kaggle")).admits("demo"), Use("finetune.epochs").admits(3)
            (False, True)
        """
        if not self.options:
            return not is_off(option)
        return option in self.options or option not in _NAMES.get(self.chooser, (option,))

    @property
    def override(self) -> str:
        """The override that lets the key be used."""
        return self.fix or f"{self.chooser}={self.options[0]}"


def is_off(value: Any) -> bool:
    """Return whether a value says that there is no such thing: null, 0, false or an empty list.

    Where the thing is not used, that is true.
    """
    return value is None or value == [] or (isinstance(value, (int, float)) and not value)


_OWNERS = {
    key: tuple(name for name, own in OPTIMIZER_KEYS.items() if key in own)
    for key in ("weight_decay", "momentum", "nesterov")
}
_RISING, _PLATEAU = ("warmup_cosine", "one_cycle"), Use("schedule", ("plateau",))
_ENDING = Use("schedule", ("cosine", *_RISING, "plateau"))
_RANGE = Use("lr_range.enabled", fix="lr_range.enabled=true")

USES: dict[str, Use] = {
    "data.path": Use("data", ("folder", "kaggle", "tfds")),
    "data.drop_above": Use("data.drop", fix="data.drop=<table>"),
    "backbone.weights_source": Use("backbone.weights", ("imagenet",)),
    "schedule.warmup_epochs": Use("schedule", _RISING),
    "schedule.final_lr": _ENDING,
    "schedule.factor": _PLATEAU,
    "schedule.patience": _PLATEAU,
    "features.ram_mb": Use("features.mode", ("cache",)),
    "lr_range.min_lr": _RANGE,
    "lr_range.max_lr": _RANGE,
    "lr_range.steps": _RANGE,
    "lr_range.apply": _RANGE,
    "finetune.lr": Use("finetune.epochs", fix="finetune.epochs=3"),
    **{f"optimizer.{key}": Use("optimizer", owners) for key, owners in _OWNERS.items()},
}
"""What each key hangs on; all others are used whatever is chosen."""


def _at(values: Mapping[str, Any], group: str, leaf: str) -> Any:
    inside = values.get(group)
    return inside.get(leaf, MISSING) if isinstance(inside, Mapping) else MISSING


def ignored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys, with their values, that have no effect beside what is chosen.

    Args:
        values: Groups as nested plain dictionaries. An option that is none of catdog's, such as a
            part of the user's own, may use any key of its group.

    Example:
        >>> ignored({"data": {"name": "demo", "path": "photos"}, "finetune": {"epochs": 0}})
        {'data.path': 'photos'}
    """
    found = {}
    for key, use in USES.items():
        value, option = _at(values, *key.split(".")), use.chosen(values)
        if value is not MISSING and option is not MISSING and not use.admits(option):
            found[key] = value
    return found


def checked(values: Mapping[str, Any], named: Collection[str]) -> dict[str, Any]:
    """Return the values without those that have no effect and that nobody asked for.

    Args:
        values: Groups as nested plain dictionaries.
        named: Keys that the user has set. Where one of them chooses another option than a recipe
            did, what the recipe sets for its own option is left out.

    Raises:
        ConfigError: a key that the user has set would be ignored, and nobody has switched off what
            it belongs to.

    Example:
        >>> recipe = {"schedule": {"name": "constant", "warmup_epochs": 0.5}}
        >>> checked(recipe, ["schedule"])
        {'schedule': {'name': 'constant'}}
    """
    kept = {name: dict(own) if isinstance(own, Mapping) else own for name, own in values.items()}
    for key, found in ignored(values).items():
        use, (group, leaf) = USES[key], key.split(".")
        switched_off = use.is_switch and use.chooser in named
        if key in named and not is_off(found) and not switched_off:
            raise refusal(key, found, use.chosen(values))
        if key in named or use.is_chosen_by(named):
            del kept[group][leaf]
    return kept


def refusal(key: str, found: Any, option: Any = "") -> ConfigError:
    """Return the error for a key that the chosen option does not use.

    Args:
        key: The key.
        found: Its value.
        option: What is chosen; empty if that is not known.

    Example:
        >>> print(refusal("schedule.factor", 0.1, "cosine"))  # doctest: +ELLIPSIS
        schedule.factor=0.1: schedule=cosine would ignore it, only plateau has this key; try ...
    """
    return ConfigError(key, found, why(key, option), USES[key].override)


def why(key: str, option: Any = "") -> str:
    """Return why a key cannot be set beside an option, and which options have it.

    Example:
        >>> why("finetune.lr", 0)
        'finetune.epochs=0 would ignore it'
    """
    use = USES[key]
    shown = "null" if option is None else str(option).lower() if is_off(option) else option
    parts = [f"{use.chooser}={shown} would ignore it"] if option != "" else []
    if use.options:
        owners = ", ".join(use.options)
        parts.append(f"only {owners} {'has' if len(use.options) == 1 else 'have'} this key")
    return ", ".join(parts)
