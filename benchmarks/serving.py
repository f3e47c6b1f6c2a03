"""Peak memory of a real ``mlflow models serve`` while it is asked with large pictures.

    python benchmarks/serving.py --uri sqlite:///mlruns/mlflow.db RUN

Each row is a server of its own: its memory when it is ready, the peak while it answered (``VmHWM``
of the largest of its processes), what it answered, and how long that took. The pictures are of one
colour, 9,400 x 9,400 pixels in some kB of PNG: a client needs nothing to send them.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

SIDE = 9_400
MEGABYTES = 100
START_SECONDS, ANSWER_SECONDS = 120, 900


def picture(width: int, height: int) -> str:
    """Return a PNG of one colour, as a client sends it."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def records(*texts: str) -> dict[str, Any]:
    """Return the body of a request."""
    return {"dataframe_records": [{"image": text} for text in texts]}


def cases() -> dict[str, dict[str, Any]]:
    """Return the bodies to send, by the name of the row."""
    large, phone = picture(SIDE, SIDE), picture(4_000, 3_000)
    noise = base64.b64encode(os.urandom(MEGABYTES * 750_000)).decode()
    sent = {f"{n} of {SIDE} px": records(*[large] * n) for n in (1, 8, 80)}
    return {
        "80 of 200 px": records(*[picture(200, 200)] * 80),
        "8 of 12 megapixels": records(*[phone] * 8),
        **sent,
        f"{MEGABYTES} MB of base64": records(noise),
    }


class Served:
    """A server around a run's model."""

    def __init__(self, uri: str, run: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        words = ["models", "serve", "-m", f"runs:/{run}/model", "--env-manager", "local"]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words, "--port", str(port)],
            env={**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Return when it answers."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/ping", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        sys.exit("the server does not answer")

    def peak_mib(self) -> float:
        """Return the peak of the largest of its processes."""
        one = psutil.Process(self._process.pid)
        return max(_peak_mib(process.pid) for process in [one, *one.children(recursive=True)])

    def ask(self, body: bytes) -> str:
        """Send a request and return the answer in a few words."""
        asked = urllib.request.Request(
            f"{self.url}/invocations", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS) as answer:
                return f"{len(json.load(answer)['predictions'])} answers"
        except urllib.error.HTTPError as refused:
            said = refused.read().decode()
            message = json.loads(said)["message"] if said.startswith("{") else said
            return f"{refused.code}: {message[:200]}"
        except OSError as error:
            return f"no answer: {error}"

    def end(self) -> None:
        """End it with its children."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _peak_mib(pid: int) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").open())
    return int(status.get("VmHWM", "0 kB").split()[0]) / 2**10


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="id of a run that logged a model")
    parser.add_argument("--uri", required=True, help="its MLflow store")
    options = parser.parse_args()
    print("| request | ready, MiB | peak, MiB | seconds | answer |\n|---|---|---|---|---|")
    for name, body in cases().items():
        served = Served(options.uri, options.run)
        try:
            served.wait()
            ready, started = served.peak_mib(), time.perf_counter()
            said = served.ask(json.dumps(body).encode())
            seconds = time.perf_counter() - started
            print(f"| {name} | {ready:.0f} | {served.peak_mib():.0f} | {seconds:.1f} | {said} |")
        finally:
            served.end()


if __name__ == "__main__":
    main()
