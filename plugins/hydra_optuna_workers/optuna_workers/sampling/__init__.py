"""Optuna's samplers, pruners and trials.

options are the choices of ``hydra/sweeper/sampler`` and ``pruner``; samplers and pruners make
Optuna's objects of their config nodes (nodes); trials begins a trial and tells Optuna its end.
"""
