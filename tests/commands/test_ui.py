"""``python -m catdog.ui``: real servers on real runs, looked at in a real Chromium."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import optuna
import psutil
import pytest
from conftest import Ended, Lab, Run, ended, environment, wait_for
from helpers.browser import Browser, browser, unavailable

from catdog.system import mlflow_page
from catdog.system.study_copies import StudyCopies

pytestmark = pytest.mark.slow

__all__ = ["browser"]  # a fixture

READY = "Ctrl-C ends it"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Started:
    """A ``catdog.ui`` process, in an environment that is not activated."""

    def __init__(self, folder: Path, fonts: Path, *words: object, **env: str) -> None:
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        self.said = folder / "said.txt"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "catdog.ui", *map(str, words)],
                cwd=folder,
                env={**environment(home, fonts), "PATH": "/usr/bin:/bin", **env},
                stdout=said,
                stderr=subprocess.PIPE,
                text=True,
            )

    def ready(self) -> Started:
        wait_for(lambda: READY in self.said.read_text(), process=self.process, every=0.1)
        return self

    def page(self, name: str) -> str:
        """Return the address that it printed for a server."""
        return re.search(rf"^{name} +(http\S+)$", self.said.read_text(), re.MULTILINE)[1]

    def everyone(self) -> list[psutil.Process]:
        """Return it and all that it started."""
        one = psutil.Process(self.process.pid)
        return [one, *one.children(recursive=True)]

    def ended(self) -> Ended:
        return ended(self.process)


def refused(tmp_path: Path, fonts: Path, *words: object, **env: str) -> str:
    """Return the only line that it says when it cannot start."""
    result = Started(tmp_path, fonts, "--no-browser", *words, **env).ended()
    assert result.status == 1
    assert result.err.count("\n") == 1, result.err
    assert len(result.complaints) == 1
    return result.err


@pytest.fixture(scope="module")
def swept(lab: Lab, sweeping: subprocess.Popen[str]) -> Run:
    """The run of a study with three trials."""
    assert sweeping.wait(timeout=240) == 0
    return lab.found("swept")


def both(lab: Lab, folder: Path, *studies: str) -> Started:
    """Start both servers, on the runs and the study of the lab, on ports of their own."""
    if importlib.util.find_spec("optuna_dashboard") is None:
        unavailable("needs Optuna's dashboard: pip install 'catdog-lab[dashboard]'")
    ports = ["--port", free_port(), "--optuna-port", free_port()]
    places = ["--uri", lab.uri, "--sweeps", lab.folder / "hydra"]
    return Started(folder, lab.fonts, *places, *ports, *studies, "--no-browser")


@pytest.fixture(scope="module")
def ui(lab: Lab, swept: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Both servers, for the tests that look at their pages."""
    started = both(lab, tmp_path_factory.mktemp("ui"), "--optuna")
    try:
        yield started.ready()
    finally:
        started.process.terminate()
        started.process.wait(timeout=60)


def run_page(ui: Started, run: Run, tab: str = "") -> str:
    start = ui.page("MLflow").split("?")[0]
    return f"{start}/{run.id}{tab and '/'}{tab}"


def test_the_experiment_page_lists_the_runs(browser: Browser, ui: Started, first: Run) -> None:
    browser.open(ui.page("MLflow"))
    assert first.info.run_name == "mobilenet_v2 linear adam lr=3e-3"
    browser.wait(lambda: {first.info.run_name, "swept"} <= browser.runs().keys())
    assert not [name for name in browser.runs() if re.match(r"t\d\d ", name)]


def test_the_table_has_the_columns_that_matter(browser: Browser, ui: Started) -> None:
    browser.open(ui.page("MLflow"))
    browser.wait(browser.runs)
    shown = {cell.get_attribute("col-id") for cell in browser.all("[role=columnheader]")}
    assert {"metrics.`best/val_accuracy`", "metrics.`test/accuracy`"} <= shown
    assert {"params.`optimizer.lr`", "params.`head.dropout`"} <= shown
    assert "attributes.`Source`" not in shown


def test_a_sweep_unfolds_to_its_trials(browser: Browser, ui: Started, lab: Lab) -> None:
    browser.open(ui.page("MLflow"))
    parent = browser.wait(lambda: browser.runs().get("swept"))
    trials = [lab.found("swept", str(number)).info.run_name for number in (2, 1, 0)]
    assert trials == ["t02 lr=0.01", "t01 lr=0.001", "t00 lr=0.0001"]
    parent.find_element("css selector", "button").click()
    browser.wait(lambda: set(trials) <= browser.runs().keys())
    shown = list(browser.runs())
    below = shown[shown.index("swept") + 1 :]
    assert below[:3] == trials


def test_the_best_trial_is_marked_beside_its_name(
    browser: Browser, ui: Started, swept: Run
) -> None:
    browser.open(ui.page("MLflow"))
    browser.wait(lambda: browser.runs().get("swept")).find_element("tag name", "button").click()
    browser.wait(lambda: len([name for name in browser.runs() if name.startswith("t0")]) == 3)
    marks = browser.all('[role=gridcell][col-id="tags.`best`"]')
    by_row = {cell.location["y"]: cell.text for cell in marks}
    shown = {name: by_row[cell.location["y"]] for name, cell in browser.runs().items()}
    best = f"t0{swept.tags['best.trial']}"
    assert shown["swept"] == best
    assert [name.split()[0] for name, mark in shown.items() if mark == "★"] == [best]


def test_a_view_of_an_earlier_version_is_saved_again(ui: Started, lab: Lab) -> None:
    import mlflow

    url = ui.page("MLflow").split("/#")[0]
    client = mlflow.MlflowClient(url)
    number, key = client.get_experiment_by_name("catdog").experiment_id, "mlflow.sharedViewState."
    saved = client.get_experiment(number).tags[f"{key}catdog"]
    client.set_experiment_tag(number, f"{key}catdog", '{"name": "catdog", "state": "{}"}')
    for _ in range(2):
        assert mlflow_page.of_experiment(url, "catdog") == ui.page("MLflow")
        again = client.get_experiment(number).tags[f"{key}catdog"]
        assert json.loads(again)["state"] == json.loads(saved)["state"]


def test_a_runs_page_shows_its_metric_charts(browser: Browser, ui: Started, first: Run) -> None:
    browser.open(run_page(ui, first, "model-metrics"))
    browser.wait(lambda: len(browser.all(".js-plotly-plot svg")) >= 3)
    assert "val_accuracy" in browser.text()


@pytest.mark.parametrize("kind", ["run", "trial"])
def test_a_runs_page_says_what_it_asked_and_found(
    browser: Browser, ui: Started, lab: Lab, first: Run, kind: str
) -> None:
    run = first if kind == "run" else lab.found("swept", "1")
    browser.open(run_page(ui, run))
    browser.wait(lambda: "Description" in browser.text() and "Result" in browser.text())
    text = browser.text()
    rate = "1e-3" if kind == "trial" else "3e-3"
    assert f"Question: how good is mobilenet_v2 linear adam lr={rate}" in text
    assert ("trial 1 of study swept" in text) == (kind == "trial")
    assert re.search(r"Data: folder, 81 photos of 2 classes: \d+ train, \d+ val, \d+ test", text)
    assert re.search(r"Result: best epoch \d of \d; validation loss 0\.\d{4}, accuracy", text)


@pytest.mark.parametrize("name", ["curve.png", "curve.html"])
def test_the_lr_curve_opens(browser: Browser, ui: Started, first: Run, name: str) -> None:
    browser.open(run_page(ui, first, f"artifacts/lr_range/{name}"))
    assert_picture(browser, name)


@pytest.mark.parametrize("name", ["lr_vs_loss.png", "lr_vs_loss.html", "history.html"])
def test_the_study_pictures_open(browser: Browser, ui: Started, swept: Run, name: str) -> None:
    browser.open(run_page(ui, swept, f"artifacts/sweep/{name}"))
    assert_picture(browser, name)


def assert_picture(browser: Browser, name: str) -> None:
    if name.endswith(".png"):
        width = "return [...document.images].map(i => i.naturalWidth).concat(0)"
        browser.wait(lambda: max(browser.driver.execute_script(width)) > 400)
        return
    frame = browser.wait(lambda: browser.all("iframe.mlflow-html-iframe"))[0]
    browser.driver.switch_to.frame(frame)
    browser.wait(lambda: browser.all(".js-plotly-plot svg"))


def test_the_dashboard_shows_the_studies(browser: Browser, ui: Started) -> None:
    start = ui.page("Optuna")
    browser.open(f"{start}/dashboard")
    browser.wait(lambda: "swept" in browser.text())
    study = browser.driver.find_element("partial link text", "swept").get_attribute("href")
    browser.open(study)
    browser.wait(lambda: "History" in browser.text() and browser.all(".js-plotly-plot svg"))


def test_a_server_that_runs_is_opened_at_the_experiment(
    ui: Started, tmp_path: Path, fonts: Path
) -> None:
    opened = tmp_path / "opened.txt"
    script = tmp_path / "browser.sh"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o755)
    url = ui.page("MLflow").split("/#")[0]
    visit = Started(tmp_path, fonts, MLFLOW_TRACKING_URI=url, BROWSER=str(script))
    assert visit.ended().status == 0
    assert opened.read_text().split() == [visit.page("MLflow")] == [ui.page("MLflow")]


def test_ctrl_c_leaves_no_process(lab: Lab, swept: Run, tmp_path: Path) -> None:
    started = both(lab, tmp_path, "--study", "swept").ready()
    addresses = [urlsplit(started.page(name)) for name in ("MLflow", "Optuna")]
    with urlopen(f"{started.page('Optuna')}/api/studies") as answer:
        assert [one["study_name"] for one in json.load(answer)["study_summaries"]] == ["swept"]
    with contextlib.ExitStack() as visits:
        for address in addresses:  # a browser that stays connected holds nothing up
            place = (address.hostname, address.port)
            visits.enter_context(socket.create_connection(place)).sendall(b"GET / HTTP/1.1\r\n")
        assert_nobody_stays(started, signal.SIGINT)
    for address in addresses:
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((address.hostname, address.port))
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "said.txt"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_they_start_leaves_no_process(
    number: int, lab: Lab, swept: Run, tmp_path: Path
) -> None:
    started = both(lab, tmp_path, "--optuna")
    wait_for(lambda: len(started.everyone()) >= 3, process=started.process, every=0.05)
    assert_nobody_stays(started, number)


def assert_nobody_stays(started: Started, number: int) -> None:
    everyone = started.everyone()
    started.process.send_signal(number)
    result = started.ended()
    assert (result.status, result.err) == (0, "")
    _, alive = psutil.wait_procs(everyone, timeout=1)
    assert not alive
    args = started.process.args
    ports = {args[args.index(key) + 1] for key in ("--port", "--optuna-port")}
    found = [one.info["cmdline"] for one in psutil.process_iter(["cmdline"])]
    assert not [words for words in found if words and ports & set(words)]


def test_a_server_that_dies_is_told(lab: Lab, first: Run, tmp_path: Path) -> None:
    words = ["--uri", lab.uri, "--port", free_port(), "--no-browser"]
    started = Started(tmp_path, lab.fonts, *words).ready()
    for one in started.everyone()[1:]:
        one.kill()
    result = started.ended()
    assert result.status == 1
    assert result.complaints == ["catdog: MLflow ended by itself:"]


def test_a_taken_port_is_one_message(empty_store: Path, tmp_path: Path, fonts: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(tmp_path, fonts, "--uri", f"sqlite:///{empty_store}", "--port", port)
    assert re.search(rf"--port={port}: .*address already in use; try `--port \d+`", said)


def test_a_store_that_is_not_there_is_one_message(tmp_path: Path, fonts: Path) -> None:
    said = refused(tmp_path, fonts, "--uri", f"sqlite:///{tmp_path}/none.db")
    assert "none.db: there is no MLflow store yet" in said and "python -m catdog.train" in said
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_store_is_told(tmp_path: Path, fonts: Path) -> None:
    (tmp_path / "note.db").write_text("not a database, but long enough to be taken for one" * 20)
    words = ["--uri", f"sqlite:///{tmp_path}/note.db", "--port", free_port(), "--no-browser"]
    result = Started(tmp_path, fonts, *words).ended()
    assert result.status == 1
    assert "file is not a database" in result.err and "Traceback" not in result.err


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_what_does_not_answer_is_one_message(scheme: str, tmp_path: Path, fonts: Path) -> None:
    url = f"{scheme}://me:secret@127.0.0.1:{free_port()}/x"
    said = refused(tmp_path, fonts, MLFLOW_TRACKING_URI=url)
    assert said.startswith("catdog: MLFLOW_TRACKING_URI=") and "onnection refused" in said
    assert "secret" not in said


def test_studies_that_are_not_there(empty_store: Path, tmp_path: Path, fonts: Path) -> None:
    store = ["--uri", f"sqlite:///{empty_store}", "--port", free_port(), "--sweeps", tmp_path]
    assert "there is no study yet" in refused(tmp_path, fonts, *store, "--optuna")
    assert "no such study" in refused(tmp_path, fonts, *store, "--study", "heads")


def test_help_loads_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "catdog.ui", "--help"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert asked.returncode == 0 and "--optuna-port" in asked.stdout
    assert not re.search(r"\| +(tensorflow|keras|mlflow|optuna|numpy)$", asked.stderr, re.M)


def study(folder: Path, name: str, trials: int) -> optuna.Study:
    """Make a study, or go on with it, as a sweep keeps it."""
    (folder / name).mkdir(exist_ok=True)
    url = f"sqlite:///{folder}/{name}/study.db"
    made = optuna.create_study(study_name=name, storage=url, load_if_exists=True)
    made.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    return made


def test_studies_are_gathered_while_they_grow(tmp_path: Path) -> None:
    copy = f"sqlite:///{tmp_path}/copy.db"
    made = [study(tmp_path, "b", 2), study(tmp_path, "c", 1)]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/study.db").write_text("no database")
    before = (tmp_path / "b/study.db").read_bytes()
    gathered = StudyCopies(tmp_path, tmp_path / "copy.db")
    assert sorted(gathered.refresh()) == ["b", "c"]
    assert (tmp_path / "b/study.db").read_bytes() == before
    time.sleep(0.05)
    made += [study(tmp_path, "a", 2), study(tmp_path, "c", 3)]
    assert sorted(gathered.refresh()) == ["a", "b", "c"]
    for one in made:
        copied = optuna.load_study(study_name=one.study_name, storage=copy)
        shown = [(t.number, t.params, t.value, t.state) for t in copied.trials]
        assert shown == [(t.number, t.params, t.value, t.state) for t in one.trials]


@pytest.mark.tensorflow
def test_a_training_that_was_given_up_is_described(lab: Lab, tracker: Any) -> None:
    from catdog.core.provenance import Provenance
    from catdog.experiment import run_report
    from catdog.tracking import names
    from catdog.training.fit import Fitted

    settings, manifest, _ = lab.parts(lr_range__apply="valley")
    tags = {"optuna.study": "heads", "optuna.trial": "4"}
    history = {"lr": [0.1, 0.1], "val/loss": [0.5, 0.75], "val/accuracy": [0.75, 0.5]}
    run = tracker.start("trial 4", {})
    fitted = Fitted(history, best_epoch=1, stopped_early=False, pruned=True)
    run_report.conclude(run, settings, manifest, Provenance(tags=tags), fitted, None)
    run.end("FINISHED")
    question, data, result, *_, command, _ = tracker.get(run.run_id).tags[names.NOTE].split("\n")
    asked = "**Question**: how good is mobilenet_v2 linear adam lr=valley, trial 4 of study heads?"
    assert question.rstrip() == asked
    assert data.startswith("**Data**: folder, 81 photos of 2 classes: ")
    assert (
        "validation loss 0.5000, accuracy 0.7500 of 7 photos; pruned after epoch 2; at the"
        in result
    )
    assert command == "    python -m catdog.train"
