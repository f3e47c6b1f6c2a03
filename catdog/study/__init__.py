"""A search and its results.

``catalog`` knows the files of sweeps/. Sweep callbacks: ``preflight``, ``first_point``,
``parent_run``. ``trial_run`` is a run as a trial; ``trials`` are plain data, ``winner`` and
``results`` what comes of them, ``note`` their description. ``pilot`` times a search beforehand,
``retrain`` repeats its best trials on several seeds.
"""
