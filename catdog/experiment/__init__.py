"""One run, evaluation or inspection of labels, from settings to MLflow.

``runner`` runs an experiment in ``stages``, whose parts come from ``prefix`` (the frozen part of
the network) and ``build`` (what is trained). Three modules say what is logged: ``run_report``,
``evaluation_report`` and ``label_report``. Loads TensorFlow, without its messages.
"""

from catdog.core import runtime

runtime.configure(None)  # in a notebook nobody else has
runtime.load_tensorflow()

from catdog.experiment.outcome import Clock, Outcome, Pruned  # noqa: E402
from catdog.experiment.runner import run  # noqa: E402

GivenUp = Pruned
"""An older name of ``Pruned``, for existing scripts."""

__all__ = ["Clock", "GivenUp", "Outcome", "Pruned", "run"]
