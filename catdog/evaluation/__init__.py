"""How good predictions are: arrays in, numbers out, independent of models, settings and MLflow.

``metrics`` scores predictions, ``intervals`` says how certain the scores are and whether two
models differ, ``breakdown`` tabulates them by class, threshold and confidence, and
``label_errors`` finds wrong labels and near-duplicates.
"""
