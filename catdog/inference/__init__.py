"""Inference: apply a saved model to new photos.

``files`` lists the photos, ``classifier`` loads a model safely and predicts, ``gradcam`` explains
predictions, and ``writers`` writes them. ``classifier`` and ``gradcam`` load TensorFlow; the
other modules do not.
"""
