"""The plots of runs, studies and evaluations, as PNG files and interactive HTML pages.

``png`` and ``html`` draw the same plots in both formats: the learning rate range test, the
training curves and the trials of a study. ``evaluation`` draws confusion matrix and reliability
diagram, ``montage`` grids of photos, ``study`` Optuna's own plots, and ``trials`` all trials of a
study at once.

Shared by both formats: ``style`` (colours, numbers, ticks), ``layout`` and ``scatter`` (what is
drawn where). Below ``png``: ``canvas`` and ``labels``; below ``html``: ``pages`` and
``html_panels``.
"""
