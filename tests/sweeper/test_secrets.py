"""Secrets are planted wherever people have them, and everything that is written is searched."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from conftest import Lab, ended
from optuna_workers.errors import SweepError
from optuna_workers.masking import without_password
from optuna_workers.storage import studies

from catdog.errors import ConfigError
from catdog.tracking import Tracker

PLANT = "-".join(["qx", "plant"])
"""In every part of every secret; joined, for the patch of this very file may be logged."""


def rows_of(url: str) -> Iterator[tuple[str, str]]:
    """Yield (table, row) of everything in a database."""
    engine = sa.create_engine(url)
    known = sa.MetaData()
    known.reflect(engine)
    with engine.connect() as connection:
        for table in known.tables.values():
            for number, row in enumerate(connection.execute(sa.select(table))):
                yield f"{table.name} {number}", str(tuple(row))


class Arguments:
    """Collects the arguments of a process's children while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.found: set[str] = set()
        self._process, self._ended = psutil.Process(process.pid), threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            try:
                typed = self._process.cmdline()  # a fork has them too, until it becomes a program
                for child in self._process.children(recursive=True):
                    if (words := child.cmdline()) != typed:
                        self.found.add(" ".join([*words, child.name()]))
            except psutil.Error:
                continue

    def end(self) -> set[str]:
        self._ended.set()
        self._thread.join()
        return self.found


@pytest.mark.slow
@pytest.mark.tensorflow
def test_no_secret_is_written_anywhere(
    lab: Lab,
    postgres: str,
    mlflow_server: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    photos = tmp_path / f"{PLANT}-photos"
    photos.symlink_to(lab.photos)
    store = mlflow_server.replace("//", f"//me:{PLANT}-tr@ck{PLANT}@")
    storage = postgres.replace("sweeper@", f"sweeper:{PLANT}-storage@")
    env = {"PHOTOS": str(photos), "AWS_SECRET_ACCESS_KEY": f"{PLANT}/aws+4711",
           "MLFLOW_TRACKING_TOKEN": f"{PLANT}-token-4711"}  # fmt: skip
    changed = {"tracking__uri": store, "trainer__epochs": 1, "data__path": "${oc.env:PHOTOS}"}
    words = lab.overrides(**changed, tracking__run_name="'${oc.env:AWS_SECRET_ACCESS_KEY} run'")
    own = [f"++hydra.job.env_set.MY_API_KEY={PLANT}-env-set"]
    sweep = [f"hydra.sweeper.storage={storage}", "hydra.sweeper.study_name=planted",
             "hydra.sweeper.n_trials=2", "optimizer.lr=interval(1e-3,2e-3)",
             "hydra.sweeper.callbacks.suggestion={_target_:catdog.suggest.StartFromRangeTest}",
             *[word for word in words if not word.startswith("optimizer.lr")]]  # fmt: skip
    said, arguments = [], set[str]()
    for name, given in (
        ("swept", ["-m", *own, *sweep]),
        ("single", [*own, *words]),
        ("failed", [*own, *words, "head.dropout=2"]),
        ("bad", [*words, "data.classes=[cat,wolf]"]),
        ("away", [*words[:-2], f"tracking.uri=http://me:{PLANT}-a@{PLANT}-b@127.0.0.1:9"]),
    ):
        process = lab.start(f"secret-{name}", *given, **env)
        watch = Arguments(process)
        told = ended(process)
        arguments |= watch.end()
        assert (told.status == 0) == (name in ("swept", "single")), f"{name}: {told.err}"
        said += [(f"{name} stdout", told.out), (f"{name} stderr", told.err)]
    folders = [lab.folder / "hydra", *tmp_path_factory.getbasetemp().glob("mlflow*")]
    places = [*said, *((one, one) for one in arguments), *rows_of(postgres)]
    places += [
        (str(path), path.read_bytes().decode("latin-1"))
        for folder in folders
        if not folder.is_symlink()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    assert len(places) > 100 and any("planted" in text for _, text in places)
    leaks = [f"{where}: ...{text[max(0, text.find(PLANT) - 80) :][:160]!r}"
             for where, text in places if PLANT in text]  # fmt: skip
    print(f"{len(places)} places searched")
    assert not leaks, "\n".join(leaks)


AWAY = f"me:{PLANT}-a@{PLANT}-b@127.0.0.1:1"


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "mysql", "nonsense"])
def test_a_driver_repeats_no_part_of_a_password(scheme: str) -> None:
    with pytest.raises(SweepError) as told:
        studies.open_storage(f"{scheme}://{AWAY}/x")
    assert PLANT not in str(told.value)


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "nonsense"])
def test_nor_does_a_store_that_is_away(
    scheme: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 2)
    with pytest.raises(ConfigError) as told:
        Tracker(uri=f"{scheme}://{AWAY}/x", experiment="x", root=tmp_path)
    assert PLANT not in f"{told.value} {caplog.text} {capfd.readouterr()}"


TEXTS = {
    "AWS_SECRET_ACCESS_KEY=abc/d+e": "AWS_SECRET_ACCESS_KEY=***",
    "hydra.job.env_set.MY_TOKEN='a b' seed=1": "hydra.job.env_set.MY_TOKEN=*** seed=1",
    'aws_secret_access_key: "abc"': "aws_secret_access_key: ***",
    "s3://bucket/photos?aws_secret_key=abc&x=1": "s3://bucket/photos?aws_secret_key=***&x=1",
    "url: https://me:a@b/\npassword: abc": "url: https://me:***@b/\npassword: ***",
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_keys_by_their_names(text: str, expected: str) -> None:
    assert without_password(text) == expected
    assert without_password(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["n_tokens: 5", "password=None", "token = next(tokens)", "tokenizer: bert", "secretary=anna",
     "data.path=/passwords/x"],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_password(text, code=True) == text


def test_a_patch_stays_one_but_for_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATDOG_TEST_SECRET", "hidden-4711")
    patch = (
        "+token = next(tokens)\n+x = 'hidden-4711'\n+AWS_SECRET_ACCESS_KEY=abc\n-password=old\n"
    )
    assert without_password(patch, code=True) == (
        "+token = next(tokens)\n+x = '***'\n+AWS_SECRET_ACCESS_KEY=***\n-password=old\n"
    )
    assert "hidden" not in without_password("an error: hidden-4711!")


def test_no_process_needs_catdog_to_mask() -> None:
    code = "import sys, optuna_workers.masking; print('optuna' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
