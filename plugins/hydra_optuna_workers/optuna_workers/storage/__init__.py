"""The database that workers share: who runs which slot, what is done once, what a study is.

Beside Optuna's tables stand two of the plugin's own: ``hydra_slots`` (slots) and ``hydra_notes``
(notes). Both are claimed by INSERT and kept by a lease (leases), whose owner is a process
(process_identity). location says where a study is kept, studies opens it, retry waits for a
database that is away. Beside it, returned keeps what Hydra returns of trials in a file.
"""
