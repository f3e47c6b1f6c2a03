"""How every command starts TensorFlow: with its threads set, and without messages."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


def configure(threads: int | None) -> None:
    """Set the environment variables that TensorFlow reads when it loads.

    Args:
        threads: Number of threads, at least 1; None leaves it to TensorFlow, which uses all cores.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if threads is not None:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
            os.environ[name] = str(threads)


def load_tensorflow(notify: Callable[[str], None] = lambda _: None) -> None:
    """Import TensorFlow and Keras without their start-up messages, shown only on failure.

    Args:
        notify: Is told so before, as it takes seconds.
    """
    if "tensorflow" in sys.modules:
        return
    notify("Loading TensorFlow ...")
    with _stderr_held_back():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    # it warns about functions that are traced again, which every run of a process has to do
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Hold back file descriptor 2, to which C++ writes before any log level is read."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(stderr, 2)
            written.seek(0)
            sys.stderr.write(written.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow sees."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in found]
    return [str(device.get("device_name", "GPU")) for device in details]


if __name__ == "__main__":  # catdog.doctor runs this in a process of its own
    with tempfile.TemporaryDirectory() as home:
        # Keras, and Matplotlib which it imports, would write files into the user's home
        os.environ["KERAS_HOME"] = os.environ["MPLCONFIGDIR"] = home
        configure(None)
        load_tensorflow()
        print(json.dumps(gpus()))
