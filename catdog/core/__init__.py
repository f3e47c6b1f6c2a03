"""What every other package may use; it imports none of them.

``paths`` says where things are, ``files`` writes files and folders completely or not at all,
``tables`` reads and writes CSV that no spreadsheet runs, ``plain_yaml`` reads YAML that others may
have written, ``links`` opens files without following links, ``listing`` notes what a folder holds,
``use_locks`` marks cache entries as in use, ``interrupts`` takes Ctrl-C, ``memo`` keeps
what the trials of a process share, ``provenance`` records a run's command, commit and environment,
``runtime`` starts TensorFlow.
"""
