"""Optuna's samplers, pruners and trials."""
