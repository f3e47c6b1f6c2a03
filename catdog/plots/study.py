"""Optuna's own plots of a study, each as a PNG file and as an HTML page that needs no network."""

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

MAX_PARAMS = 6
"""Largest number of parameters in the contour plot, which has a panel for each pair of them; plots
with a panel or an axis per parameter take twice as many."""

PLOTS = {
    "history": "plot_optimization_history",
    "importances": "plot_param_importances",
    "slice": "plot_slice",
    "parallel": "plot_parallel_coordinate",
    "contour": "plot_contour",
    "timeline": "plot_timeline",
    "pareto": "plot_pareto_front",
}
"""Optuna's function by the name of the file."""


def draw(folder: Path, study: Study, metrics: Sequence[str]) -> dict[str, str]:
    """Draw every plot of a study that would show something.

    Args:
        folder: Folder for ``history.png``, ``history.html`` and so on.
        study: Optuna's study. Each plot reads all trials, so pass the result of ``copied``.
        metrics: Name of each objective.

    Returns:
        The reason why a plot was left out, by its name; empty if all were drawn.
    """
    left_out: dict[str, str] = {}
    with _quiet_optuna():
        for name, function in PLOTS.items():
            try:
                options = _options(name, study, metrics)
                _write_page(folder / f"{name}.html", function, study, options)
                _write_png(folder / f"{name}.png", function, study, options)
            except _CannotDraw as error:
                left_out[name] = str(error)
            except Exception as error:  # a plot that fails must not cost the others
                left_out[name] = f"{type(error).__name__}: {error}"
                log.debug("%s was not drawn", name, exc_info=True)
        for name in left_out:
            for path in folder.glob(f"{name}.*"):
                path.unlink()
    return left_out


def copied(study: Study) -> Study:
    """Copy a study into memory, so that each plot need not fetch all trials from the storage."""
    import optuna

    with _quiet_optuna():
        copy = optuna.create_study(directions=study.directions, study_name=study.study_name)
        copy.add_trials(study.get_trials(deepcopy=False))
    return copy


class _CannotDraw(Exception):
    """Optuna would draw an empty plot, or raise an error."""


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Silence Optuna's remarks on experimental functions and on plots without data."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings(record=True):
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _options(name: str, study: Study, metrics: Sequence[str]) -> dict[str, Any]:
    """Return the options for Optuna's function of a plot.

    Raises:
        _CannotDraw: the study has too few trials, parameters or objectives for it, or too many.
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
    """Return the option that selects the parameters to draw."""
    least = {"contour": 2, "importances": 2, "parallel": 2, "slice": 1}.get(name, 0)
    if len(names) < least:
        raise _CannotDraw(f"{len(names)} parameters took several values, it needs {least}")
    if name in ("slice", "parallel"):
        return {"params": names[: 2 * MAX_PARAMS]}
    return {"params": names[:MAX_PARAMS]} if name == "contour" else {}


def _varied(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the parameters that took more than one value, in order of appearance."""
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

    matplotlib.use("agg")  # Optuna uses pyplot, which would open windows
    # matplotlib logs that texts such as "1e-3" look like numbers
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as visualization

    # Optuna changes the style and does not restore it
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
    """Make the figure large enough for the labels of every panel."""
    grid = figure.axes[0].get_gridspec() if figure.axes else None
    rows, columns = (grid.nrows, grid.ncols) if grid else (1, 1)
    figure.set_size_inches(max(9.0, 3.2 * columns), max(5.5, 2.6 * rows))
