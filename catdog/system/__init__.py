"""This machine and its services, for the commands doctor, ui and cache.

``checks`` and ``services`` make the ``finding`` lines of catdog.doctor from ``resources`` and
``databases``. ``server`` runs the servers of catdog.ui; ``mlflow_page`` and ``study_copies``
prepare what they show. ``cache_contents`` lists the cache, ``cache_removal`` removes entries.
"""
