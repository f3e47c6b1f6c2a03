"""Networks: pretrained weights, backbone and cut, head, the end-to-end model."""
