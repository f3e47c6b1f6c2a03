"""What a person sees: progress, the closing table, errors, and the ``catdog`` command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from catdog import train
from catdog.cli import console, main


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def test_a_stage_ends_as_one_plain_line(capsys) -> None:
    with console.Console().track("Checking photos", 3) as advance:
        for _ in range(3):
            advance(1, "val loss 0.5")
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("Checking photos ")
    assert "3/3" in line
    assert "val loss 0.5" in line
    assert "\x1b" not in err


@pytest.mark.parametrize("name", ["Unpacking cats[final].zip", "Unpacking [bold]x[/dim].zip"])
def test_brackets_in_a_file_name_are_no_markup(name: str, capsys) -> None:
    watcher = console.Console()
    with watcher.track(name, 1) as advance:
        advance(1)
    watcher.note(f"{name} is done")
    err = capsys.readouterr().err
    assert err.count(name) == 2


def test_an_error_inside_a_stage_passes(capsys) -> None:
    with pytest.raises(KeyboardInterrupt), console.Console().track("Training", 10) as advance:
        advance(2)
        raise KeyboardInterrupt
    assert "2/10" in capsys.readouterr().err


def test_a_note_stays_on_one_line(capsys) -> None:
    console.Console().note("Downloading " + 30 * "a long way " + "to go")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_complaint_is_one_message_on_stderr(capsys) -> None:
    console.print_error("optimizer.lr=-1: expected > 0")
    assert capsys.readouterr() == ("", "catdog: optimizer.lr=-1: expected > 0\n")


@pytest.mark.tensorflow
def test_the_closing_table_has_every_figure_and_a_command_to_paste(capsys, monkeypatch) -> None:
    from catdog.evaluation.metrics import Scores
    from catdog.experiment import Outcome
    from catdog.training.fit import METRICS, Fitted

    monkeypatch.setenv("COLUMNS", "40")
    history = {name: [0.5, 0.25, 0.375] for name in METRICS}
    outcome = Outcome(
        objective=0.25,
        run_id="0123456789abcdef",
        fitted=Fitted(history, best_epoch=2, stopped_early=True),
        test=Scores(loss=0.125, accuracy=0.9375, auc=0.96875, ece=0.0625),
        suggestions={"valley": 1.234e-3},
        seconds={"fit": 1.0, "features": 2.0, "total": 4.0},
        parameters=1234567,
    )
    browse = f"mlflow ui --backend-store-uri sqlite:////tmp/[final] runs/{'x' * 250}/mlflow.db"
    train.print_summary(outcome, browse, {"val": 1000, "test": 1000})
    out, err = capsys.readouterr()
    assert err == "" and "photos" not in out
    wanted = "01234567|2 of 3, stopped early|0.2500|0.1250|0.9375|0.9688|0.0625|1.2e-03|1,234,567"
    for text in [*wanted.split("|"), "4.0: features 2.0  fit 1.0", browse]:
        assert text in out, text
    few = replace(outcome, test=Scores(loss=0.125, accuracy=1.0, auc=float("nan"), ece=0.0625))
    train.print_summary(few, browse, {"val": 12, "test": 1})
    out, _ = capsys.readouterr()
    assert "accuracy 0.2500  of 12 photos" in out
    assert "AUC undefined  ECE 0.0625  of 1 photo " in out

    train.print_summary(replace(outcome, suggestions={}), browse, {"val": 9, "test": 9})
    assert "LR range test" not in capsys.readouterr().out, "it was off"
    seconds = {**outcome.seconds, "lr_range": 1.0}
    train.print_summary(
        replace(outcome, suggestions={}, seconds=seconds), browse, {"val": 9, "test": 9}
    )
    out = capsys.readouterr().out
    assert re.search("LR range test .*no suggestion", out) and "nan" not in out


def test_catdog_alone_lists_its_commands(capsys, monkeypatch) -> None:
    for words in ([], ["--help"], ["-h"]):
        monkeypatch.setattr(sys, "argv", ["catdog", *words])
        main()
        assert all(name in capsys.readouterr().out for name in ["train"])


def test_an_unknown_command_names_the_known_ones(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["catdog", "trian"])
    with pytest.raises(SystemExit, match=r"catdog: .*'trian'.*train"):
        main()


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["sweep", "cache", "train --help", "train --cfg job", "doctor"])
def test_a_pipe_that_is_closed_early_is_no_traceback(words: str, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    name, *rest = words.split()
    ended = subprocess.run(
        [sys.executable, "-m", f"catdog.{name}", *rest], stdout=writer, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered}, text=True,
    )  # fmt: skip
    os.close(writer)
    assert "Traceback" not in ended.stderr and "BrokenPipe" not in ended.stderr


def test_catdog_train_is_the_module(tmp_path) -> None:
    code = "import sys; from catdog.cli import main; sys.argv = ['catdog', *sys.argv[1:]]; main()"
    words = ["train", "--cfg", "job", "optimizer.lr=0.5"]
    asked = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    assert "lr: 0.5" in asked.stdout
