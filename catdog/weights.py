"""python -m catdog.weights: fetch the default backbone's ImageNet weights.

The code is ``catdog.models.pretrained``; its names stand here too, where they always were.
"""

from __future__ import annotations

from pathlib import Path

from catdog.models.pretrained import Weights, downloads, load, on_this_machine, resolve

__all__ = ["Weights", "downloads", "load", "on_this_machine", "resolve"]

if __name__ == "__main__":  # set-up fetches them, so that no later command needs a network
    fetched = resolve("mobilenet_v2", cache_dir=Path("~/.cache/catdog"), notify=print)
    print(f"ImageNet weights of mobilenet_v2: {fetched.source} {fetched.detail}")
