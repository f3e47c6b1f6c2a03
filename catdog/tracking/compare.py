"""Compares a repeated run with the original: what differs, and what may be the reason."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from catdog.tracking import names
from catdog.tracking.store import Tracker

CLOCKS = ("time/", "system/")
"""Prefixes of metrics that are not compared: times and the machine's load."""

ENDS = ("best/", "test/")
"""Prefixes of metrics that a pruned or failed training cannot share with a complete one."""

HARMLESS = """data.path backbone.weights backbone.weights_from backbone.weights_source features.dir
threads tracking.uri tracking.experiment tracking.run_name tracking.log_model""".split()
"""Params that change no result, or that another value tells better: photos and weights are
compared by hash, threads by the number used."""

FIRST = ("data.digest", "data.photos", "data.skipped", "backbone.weights_sha256")
"""Prefixes of the params that most often explain a difference; they are listed first."""

PACKAGES = ("tensorflow", "keras", "numpy", "h5py", "scikit-learn")
"""Packages that most often explain a difference; they are listed first."""

NOTHING = "-"
"""Shown for a value that a run does not have."""


@dataclass(frozen=True)
class Facts:
    """What the MLflow store has of a run.

    Attributes:
        figures: Value by (metric, step), without ``CLOCKS``.
        whole: Whether the training came to its end: not pruned, failed or killed.
        params: All params.
        tags: All tags.
        environment: The lines of ``config/environment.txt``.
        patch: What was not committed, as a patch.
    """

    figures: Mapping[tuple[str, int], float]
    whole: bool = True
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    environment: tuple[str, ...] = ()
    patch: str = ""


@dataclass(frozen=True)
class Difference:
    """A metric whose values differ.

    Attributes:
        metric: Its name.
        points: Number of steps at which either run has a value.
        differing: Number of steps at which the values differ.
        step: The first such step.
        then: The original's value at that step; NaN if it has none.
        now: The repeat's value at that step; NaN if it has none.
        largest: Largest absolute difference over all steps; NaN if a value is missing.
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
    """Something logged of both runs that differs and may explain differences of metrics.

    Attributes:
        what: ``code``, ``machine``, ``threads``, or the name of a param or a package.
        then: Its value in the original.
        now: Its value in the repeat.
    """

    what: str
    then: str
    now: str


def read(tracker: Tracker, run_id: str) -> Facts:
    """Read what is compared of a run.

    Args:
        tracker: The MLflow store.
        run_id: MLflow's id of the run.

    Raises:
        MlflowException: there is no such run, or the MLflow store does not answer.
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
    """Return the (metric, step) pairs whose values must be equal.

    They are all of both runs, or if the original was pruned, failed or killed, those that it has.

    Args:
        then: The original.
        now: The repeat.

    Example:
        >>> pruned = Facts({("val/loss", 1): 0.5, ("best/epoch", 0): 1.0}, whole=False)
        >>> keys_to_compare(pruned, Facts({("val/loss", 1): 0.5, ("val/loss", 2): 0.4}))
        [('val/loss', 1)]
    """
    if then.whole:
        return sorted({*then.figures, *now.figures})
    return sorted(
        key for key in then.figures if key in now.figures and not key[0].startswith(ENDS)
    )


def differences(then: Facts, now: Facts) -> list[Difference]:
    """Return the metrics that differ, in the order in which a run logs them.

    Args:
        then: The original.
        now: The repeat.

    Example:
        >>> runs = Facts({("val/loss", 1): 0.5}), Facts({("val/loss", 1): 0.25})
        >>> [(one.metric, one.then, one.now) for one in differences(*runs)]
        [('val/loss', 0.5, 0.25)]
    """
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
    """Return what differs besides the metrics, the most frequent reasons first.

    Args:
        then: The original.
        now: The repeat.

    Example:
        >>> reasons(Facts({}, tags={"catdog.threads": "2"}), Facts({}, params={"threads": "4"}))
        [Reason(what='threads', then='2', now='4')]
    """
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
    # the same commit and patch mean the same code, except for files that git does not track
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
    """Yield ``PACKAGES``, then Python and the machine, then the other packages."""
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
