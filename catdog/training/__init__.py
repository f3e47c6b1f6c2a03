"""Optimizers, schedules, compiled steps, the training loop, the LR range test.

Numbers and Keras objects in, a history out; no config, no logger.
"""
