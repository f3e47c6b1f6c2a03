"""Start TensorFlow: threads first, then silently. Every command does it through here."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator


def configure(threads: int | None) -> None:
    """Set what must be in the environment before TensorFlow loads.

    Args:
        threads: Cores to use; null leaves the choice to TensorFlow (all).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if threads is not None:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
            os.environ[name] = str(threads)


def load_tensorflow() -> None:
    """Import TensorFlow without its start-up chatter; what it said is shown if it fails."""
    if "tensorflow" in sys.modules:
        return
    with _stderr_kept_back():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    # it warns that functions are traced anew, as those of every run in a process must be
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def _stderr_kept_back() -> Iterator[None]:
    """Hold back file descriptor 2: C++ writes to it before any log level is read."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow sees."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in found]
    return [str(one.get("device_name", "GPU")) for one in details]


if __name__ == "__main__":  # catdog.doctor asks in a process of its own
    with tempfile.TemporaryDirectory() as home:  # Keras would write a file into the person's own
        os.environ["KERAS_HOME"] = home
        configure(None)
        load_tensorflow()
        print(json.dumps(gpus()))
