"""A search and its results.

``catalog`` reads the files of sweeps/. The sweeper calls ``preflight``, ``first_point`` and
``parent_run``; ``trial_run`` is what a run does as a trial. ``trials`` has trials as plain data,
``winner`` the best of them, ``results`` logs both, and ``note`` describes a study in MLflow.
``forecast`` says what a search would do and, by a ``pilot`` of it, how long it takes; ``retrain``
trains its best trials again on several seeds.
"""
