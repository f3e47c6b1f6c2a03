"""Metrics, intervals, tests, tables, label errors: arrays in, numbers out."""
