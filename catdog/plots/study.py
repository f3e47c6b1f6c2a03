"""Optuna's own pictures of a study: each as a PNG and as a page that opens without a network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study

log = logging.getLogger(__name__)

MOST = 6
"""Parameters in a picture with a panel for each; a contour has one for each pair."""

DRAWN = {
    "history": "plot_optimization_history",
    "importances": "plot_param_importances",
    "slice": "plot_slice",
    "parallel": "plot_parallel_coordinate",
    "contour": "plot_contour",
    "timeline": "plot_timeline",
    "pareto": "plot_pareto_front",
}
"""Names of the files, and of Optuna's functions."""


def draw(folder: Path, study: Study, metrics: Sequence[str]) -> dict[str, str]:
    """Draw what can be drawn of a study.

    Args:
        folder: Where ``history.png``, ``history.html`` and so on are written.
        study: Optuna's; read several times, so better a `copied` one.
        metrics: What each objective is called.

    Returns:
        Why a picture was left out, by its name; empty if all are there.
    """
    left_out: dict[str, str] = {}
    with _quiet_optuna():
        for name, function in DRAWN.items():
            try:
                options = _options(name, study, metrics)
                _write_page(folder / f"{name}.html", function, study, options)
                _write_png(folder / f"{name}.png", function, study, options)
            except _CannotDraw as error:
                left_out[name] = str(error)
            except Exception as error:  # one picture is no reason to lose the others
                left_out[name] = f"{type(error).__name__}: {error}"
                log.debug("%s was not drawn", name, exc_info=True)
        for name in left_out:
            for path in folder.glob(f"{name}.*"):
                path.unlink()
    return left_out


class _CannotDraw(Exception):
    """Optuna would draw an empty picture, or none."""


def copied(study: Study) -> Study:
    """Return a study in memory with the same trials, so that each picture need not fetch them."""
    import optuna

    with _quiet_optuna():
        copy = optuna.create_study(directions=study.directions, study_name=study.study_name)
        copy.add_trials(study.get_trials(deepcopy=False))
    return copy


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna from saying which of its functions are new, and which pictures are empty."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings(record=True):
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _options(name: str, study: Study, metrics: Sequence[str]) -> dict[str, Any]:
    """Return what Optuna's function needs to know.

    Raises:
        _CannotDraw: too little is known for this picture.
    """
    several = len(metrics) > 1
    if name == "timeline":
        return {}
    done = [trial for trial in study.get_trials(deepcopy=False) if trial.values]
    done = [trial for trial in done if trial.state.name == "COMPLETE"]
    if not done:
        raise _CannotDraw("no trial is complete")
    if name == "pareto":
        if not several:
            raise _CannotDraw("there is one direction")
        if len(metrics) > 3:
            raise _CannotDraw(f"there are {len(metrics)} directions, and paper has three")
        return {"target_names": list(metrics)}
    target = (lambda trial: trial.values[0]) if several else None
    options = {"target_name": metrics[0], "target": target}
    names = _varied([trial.params for trial in done])
    return options | _chosen(name, names)


def _chosen(name: str, names: list[str]) -> dict[str, Any]:
    """Return the parameters to draw, as the picture's option."""
    least = {"contour": 2, "importances": 2, "parallel": 2, "slice": 1}.get(name, 0)
    if len(names) < least:
        raise _CannotDraw(f"{len(names)} parameters took several values, it needs {least}")
    if name in ("slice", "parallel"):
        return {"params": names[: 2 * MOST]}
    return {"params": names[:MOST]} if name == "contour" else {}


def _varied(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the parameters that took more than one value, in their order."""
    names = dict.fromkeys(name for values in params for name in values)
    return [n for n in names if len({str(values[n]) for values in params if n in values}) > 1]


def _write_page(path: Path, function: str, study: Study, options: dict[str, Any]) -> None:
    from optuna import visualization

    figure = getattr(visualization, function)(study, **options)
    figure.update_layout(title_x=0.02)
    figure.write_html(path, include_plotlyjs=True, validate=False, div_id=path.stem,
                      config={"displaylogo": False})  # fmt: skip


def _write_png(path: Path, function: str, study: Study, options: dict[str, Any]) -> None:
    import matplotlib

    matplotlib.use("agg")  # Optuna draws by pyplot, which would open windows
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it remarks on texts like "1e-3"
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as visualization

    # Optuna changes the style for good
    with matplotlib.rc_context():
        try:
            drawn: Callable[..., Any] = getattr(visualization, function)
            drawn(study, **options)
            figure = pyplot.gcf()
            _size(figure)
            figure.savefig(path, dpi=110, bbox_inches="tight")
        finally:
            pyplot.close("all")


def _size(figure: Figure) -> None:
    """Give every panel room for its labels."""
    grid = figure.axes[0].get_gridspec() if figure.axes else None
    rows, columns = (grid.nrows, grid.ncols) if grid else (1, 1)
    figure.set_size_inches(max(9.0, 3.2 * columns), max(5.5, 2.6 * rows))
