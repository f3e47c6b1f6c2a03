"""The command line as a search space: lists, ranges, intervals, conditions, known points.

``read`` makes a ``Space`` of a command's overrides. overrides reads each with Hydra's own grammar
(grammar) into a ``Parameter`` (parameter), conditions reads ``when``, points ``enqueue``;
difference compares a stored space with the one that is asked for now. Knows no Optuna.
"""

from optuna_workers.space.parameter import Parameter
from optuna_workers.space.space import Space, read

__all__ = ["Parameter", "Space", "read"]
