"""What a repeated run should reproduce to the last bit, and what may be why it did not."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from catdog.tracking import names
from catdog.tracking.store import Tracker

CLOCKS = ("time/", "system/")
"""Metrics, by prefix, that are another's business: how long it took, how busy the machine was."""

ENDS = ("best/", "test/")
"""Metrics, by prefix, that a training given up half-way cannot share with a whole one."""

HARMLESS = """data.path backbone.weights backbone.weights_from backbone.weights_source features.dir
threads tracking.uri tracking.experiment tracking.run_name tracking.log_model""".split()
"""Params that move no bit, or are known better: photos and weights by hash, threads as used."""

FIRST = ("data.digest", "data.photos", "data.skipped", "backbone.weights_sha256")
"""Params, by prefix, that explain most."""

PACKAGES = ("tensorflow", "keras", "numpy", "h5py", "scikit-learn")
"""Packages that explain most."""

NOTHING = "-"


@dataclass(frozen=True)
class Facts:
    """What the store has of a run.

    Attributes:
        figures: (metric, step) to value, without clocks.
        whole: Whether the training went on to its end.
        params: All of them.
        tags: All of them.
        environment: The lines of its environment.txt.
        patch: What was not committed.
    """

    figures: Mapping[tuple[str, int], float]
    whole: bool = True
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    environment: tuple[str, ...] = ()
    patch: str = ""


@dataclass(frozen=True)
class Difference:
    """A metric whose history is another now.

    Attributes:
        metric: Its name.
        points: How many points it has in either run.
        differing: How many of them differ.
        step: Of the first that does.
        then: The value at that step, NaN if there was none.
        now: The same of the repeat.
        largest: Largest absolute difference of all points; NaN where one is missing.
    """

    metric: str
    points: int
    differing: int
    step: int
    then: float
    now: float
    largest: float


@dataclass(frozen=True)
class Reason:
    """Something recorded that is another now, and may be why figures are."""

    what: str
    then: str
    now: str


def read(tracker: Tracker, run_id: str) -> Facts:
    """Read what a store has of a run.

    Raises:
        MlflowException: there is no such run, or the store does not answer.
    """
    run = tracker.client.get_run(run_id)
    metrics = [name for name in run.data.metrics if not name.startswith(CLOCKS)]
    figures = {
        (name, point.step): point.value
        for name in metrics
        for point in tracker.client.get_metric_history(run_id, name)
    }
    tags = run.data.tags
    whole = run.info.status == "FINISHED" and tags.get(names.STATE) != "PRUNED"
    environment = tuple(_artifact(tracker, run_id, names.ENVIRONMENT).splitlines())
    patch = _artifact(tracker, run_id, names.PATCH)
    return Facts(figures, whole, run.data.params, tags, environment, patch)


def _artifact(tracker: Tracker, run_id: str, name: str) -> str:
    try:
        return tracker.open(run_id).text(name)
    except FileNotFoundError:
        return ""


def keys_to_compare(then: Facts, now: Facts) -> list[tuple[str, int]]:
    """Return the figures that must be the same: all, or what a training given up got to."""
    if then.whole:
        return sorted({*then.figures, *now.figures})
    return sorted(
        key for key in then.figures if key in now.figures and not key[0].startswith(ENDS)
    )


def differences(then: Facts, now: Facts) -> list[Difference]:
    """Return the metrics that are another now, in the order in which a run finds them."""
    points: dict[str, list[int]] = {}
    for name, step in keys_to_compare(then, now):
        points.setdefault(name, []).append(step)
    found = [_difference(name, steps, then, now) for name, steps in points.items()]
    return sorted((one for one in found if one.differing), key=_order)


def _difference(name: str, steps: list[int], then: Facts, now: Facts) -> Difference:
    values = [
        (step, then.figures.get((name, step)), now.figures.get((name, step))) for step in steps
    ]
    other = [(step, a, b) for step, a, b in values if not _same(a, b)]
    step, first, second = other[0] if other else values[0]
    apart = [math.nan if a is None or b is None else abs(a - b) for _, a, b in other]
    largest = math.nan if any(map(math.isnan, apart)) else max(apart, default=0.0)
    was, now_is = (math.nan if value is None else value for value in (first, second))
    return Difference(name, len(steps), len(other), step, was, now_is, largest)


def _same(then: float | None, now: float | None) -> bool:
    if then is None or now is None:
        return False
    return then == now or (math.isnan(then) and math.isnan(now))


def _order(one: Difference) -> tuple[int, str]:
    stages = ("lr_range/", "lr", "train/", "val/", "best/", "test/")
    stage = next((k for k, start in enumerate(stages) if one.metric.startswith(start)), 9)
    return stage, one.metric


def reasons(then: Facts, now: Facts) -> list[Reason]:
    """Return what is recorded of both runs and is not the same, what explains most first."""
    rows = [
        ("code", _code(then), _code(now)),
        *_params(then, now, first=True),
        *_environment(then, now),
        ("threads", _threads(then), _threads(now)),
        *_params(then, now, first=False),
    ]
    return [Reason(*row) for row in rows if row[1] != row[2]]


def _code(run: Facts) -> str:
    commit = run.tags.get(names.COMMIT, "")[:8] or "no commit known"
    if run.tags.get(names.DIRTY) != "true":
        return commit
    # the same commit and the same patch are the same code, but for files that git does not know
    lines = len(run.patch.splitlines())
    return f"{commit} and uncommitted changes ({lines} lines, {_hash(run.patch)})"


def _threads(run: Facts) -> str:
    return run.tags.get(names.THREADS) or run.params.get("threads", NOTHING)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _params(then: Facts, now: Facts, *, first: bool) -> Iterator[tuple[str, str, str]]:
    for key in sorted({*then.params, *now.params}):
        if key.startswith(FIRST) == first and key not in HARMLESS:
            yield key, then.params.get(key, NOTHING), now.params.get(key, NOTHING)


def _environment(then: Facts, now: Facts) -> Iterator[tuple[str, str, str]]:
    """Yield packages, those that matter first, then Python and the machine, then the others."""
    old, new = _versions(then), _versions(now)
    packages = sorted({*old, *new}, key=str.lower)
    rest = [name for name in packages if name not in PACKAGES]
    for name in PACKAGES:
        yield name, old.get(name, NOTHING), new.get(name, NOTHING)
    yield "machine", _machine(then), _machine(now)
    for name in rest:
        yield name, old.get(name, NOTHING), new.get(name, NOTHING)


def _versions(run: Facts) -> dict[str, str]:
    pairs = (line.partition("==") for line in run.environment if not line.startswith("#"))
    return {name: version for name, _, version in pairs}


def _machine(run: Facts) -> str:
    return next((line[1:].strip() for line in run.environment if line.startswith("#")), NOTHING)
