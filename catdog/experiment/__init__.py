"""One run, evaluation or inspection, from settings to MLflow.

``build`` makes the parts, ``runner`` takes them through the stages, and the three reports say what
is logged: ``run_report``, ``evaluation_report``, ``label_report``. Loads TensorFlow.
"""

from catdog.experiment.runner import Clock, Outcome, Pruned, run

GivenUp = Pruned
"""Its name before the packages."""

__all__ = ["Clock", "GivenUp", "Outcome", "Pruned", "run"]
