"""What every other package may use; it imports none of them.

``paths`` says where things are, ``files`` writes files and folders completely or not at all,
``links`` opens files without following links, ``listing`` notes what a folder holds, ``sizes``
shows bytes, ``use_locks`` marks cache entries as in use, ``memo`` keeps what the trials of a
process share, ``provenance`` records a run's command, commit and environment, ``runtime`` starts
TensorFlow.
"""
