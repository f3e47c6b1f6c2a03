"""A mistyped word is answered with the nearest right thing, at once and in one message."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from catdog.cli import hydra_app, mistakes
from catdog.core import paths
from catdog.errors import ConfigError
from catdog.mlflow_store import answers

KEYS = [
    ("haed=mlp", "head=mlp"),
    ("optimiser=adam", "optimizer=adam"),
    ("augmnt=flip", "augment=flip"),
    ("experiment=best", "+experiment=best"),
    ("experimnt=fast", "+experiment=fast"),
    ("n_trials=5", "hydra.sweeper.n_trials=5"),
    ("n_jobs=2", "hydra.sweeper.n_jobs=2"),
    ("study_name=x", "hydra.sweeper.study_name=x"),
    ("sampler=tpe", "hydra/sweeper/sampler=tpe"),
    ("launcher=ray", "hydra/launcher=ray"),
    ("hydra.sweeper.n_trails=5", "hydra.sweeper.n_trials=5"),
    ("hydra.swepeer.n_trials=5", "hydra.sweeper.n_trials=5"),
    ("hydra.run.dri=x", "hydra.run.dir=x"),
    ("lr=0.2", "optimizer.lr=0.2"),
    ("epochs=3", "trainer.epochs=3"),
    ("dropout=0.1", "head.dropout=0.1"),
    ("optimizer.momentum=0.9", "optimizer=sgd"),
]


@pytest.mark.parametrize("word, meant", KEYS)
def test_an_unknown_key_names_what_was_meant_with_its_value(word: str, meant: str) -> None:
    key, _, value = word.partition("=")
    said = str(mistakes.unknown_key(key, {key: value}))
    assert said.startswith(f"{word}: ")
    assert said.endswith(f"try `{meant}`")


OPTIONS = [
    ("head=mlpp", "head=mlpp: expected one of flatten_mlp, linear, mlp; try `head=mlp`"),
    ("backbone=mobilenet", "try `backbone=mobilenet_v2`"),
    ("+experiment=bst", "try `+experiment=best`"),
    ("hydra/launcher=rayy", "try `hydra/launcher=ray`"),
    ("data=.", "try `data=folder data.path=.`"),
    ("haed=mlp", "haed=mlp: there is no such key; try `head=mlp`"),
    ("n_trials=5", "try `hydra.sweeper.n_trials=5`"),
]


@pytest.mark.parametrize("word, said", OPTIONS)
def test_hydras_error_becomes_one_message(
    word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", word])
    with (
        initialize_config_dir(str(paths.configs()), version_base="1.3"),
        pytest.raises(HydraException) as caught,
    ):
        compose("train", [word])
    message = hydra_app.explain(caught.value)
    assert said in message and "\n" not in message


def test_a_folder_of_hydras_that_cannot_be_made_is_named() -> None:
    command = [sys.executable, "-m", "catdog.train", "hydra.run.dir=/dev/null/x"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[1:] == [
        "catdog: hydra.run.dir=/dev/null/x: cannot be made (Not a directory); "
        "try `hydra.run.dir=<folder>`"
    ]


def test_an_unknown_flag_may_have_an_empty_value() -> None:
    said = mistakes.unknown_flag(["--n-trials", ""])
    assert said == "--n-trials: there is no such option; try `hydra.sweeper.n_trials=...`"


def test_an_option_that_is_not_installed_names_its_extra() -> None:
    missing = (
        "Could not find 'hydra/launcher/ray'\nAvailable options in 'hydra/launcher':\n\tbasic\nX"
    )
    assert "try `pip install 'catdog-lab[ray]'`" in str(mistakes.wrong_option(missing))


@pytest.mark.parametrize(
    "words, meant",
    [
        (["--n_trials", "5"], "hydra.sweeper.n_trials=5"),
        (["--n-jobs=2", "-m"], "hydra.sweeper.n_jobs=2"),
        (["--epochs", "3"], "trainer.epochs=3"),
        (["--hlep"], "--help"),
        (["--modle", "best"], "--model"),
        (["-m", "seed=1,2", "--cfg", "job", "--config-nam=x"], ""),
    ],
)
def test_an_unknown_option_with_dashes_names_what_was_meant(words: list[str], meant: str) -> None:
    said = mistakes.unknown_flag(words, ["--model"])
    assert said is None if not meant else str(said).endswith(f"try `{meant}`")


@pytest.mark.parametrize("module", ["catdog", "catdog.train", "catdog.sweep", "catdog.predict"])
def test_every_command_says_its_version(module: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True
    )
    assert (asked.returncode, asked.stdout.split()[0]) == (0, "catdog"), asked.stderr


@pytest.fixture
def broken() -> Iterator[str]:
    """Address of a server that answers everything with an error of its own."""

    class Broken(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_store_that_does_not_answer_is_told_before_mlflow_tries(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for uri, why in [
            ("http://127.0.0.1:9", "refused"),
            (f"http://127.0.0.1:{port}", "timed out"),
            (broken, "503"),
            ("postgresql+psycopg://me:secret@127.0.0.1:9/x", "refused"),
        ]:
            with pytest.raises(ConfigError) as caught:
                answers.check(uri)
            said = str(caught.value)
            assert said.startswith("tracking.uri=") and why in said and "\n" not in said
            assert "secret" not in said
    answers.check("sqlite:////nowhere/mlflow.db")


@pytest.mark.parametrize("words", [["catdog"], ["catdog.train", "--cfg", "job"]])
def test_a_pipe_that_is_closed_early_ends_the_command_quietly(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", *words]
    ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, "")
