"""From a manifest to rows of numbers, each computed once.

Photos are decoded (``decode``), augmented (``augment``) and batched (``batches``), run through the
frozen network (``extractor``); what the feature store lacks is computed (``extraction``), kept
(``store``) and fed to training (``feeds``).
"""
