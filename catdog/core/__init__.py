"""What every package may need; it knows none of them.

``paths`` (where things are), ``files`` (written whole or not at all), ``use_locks`` (cache entries
that somebody works with), ``memo`` (what a process keeps between trials), ``provenance`` (a run's
command, commit and environment), ``runtime`` (TensorFlow's quiet start).
"""
