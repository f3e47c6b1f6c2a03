"""What Hydra shows of a run or a sweep: an answer or one message, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import Ended
from omegaconf import OmegaConf

ASKING = """
import json, os, sys, tempfile
from catdog import sweep, train  # noqa
import hydra._internal.hydra

def asked(command, words):
    out, err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
    if (child := os.fork()) == 0:
        os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
        status = 1
        try:
            sys.argv = [command, *words]
            {"train": train, "sweep": sweep}[command].main()
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
        except BaseException:
            import traceback
            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out.seek(0), err.seek(0)
    return status, out.read(), err.read()

print(json.dumps([asked(command, words) for command, *words in json.load(sys.stdin)]))
"""
"""Answers many commands, each in a fork: half of a second goes into imports."""

SHOWN: dict[str, str] = {
    "train -m --cfg job --resolve": "image_size: 224",
    "train -m --cfg job optimizer=sgd,adam head.dropout=interval(0.1,0.5)": "dropout: 0.1",
    "train --cfg job -m seed=3,4": "seed: 3",
    "train --multirun --cfg hydra optimizer=glob(a*)": "mode: MULTIRUN",
    "train -m --cfg job --package optimizer optimizer=sgd,adam": "# @package optimizer\nname: sgd",
    "train -m --cfg hydra -p hydra.sweeper.n_trials hydra.sweeper.n_trials=7": "7",
    "sweep smoke --cfg job": "image_size:",
    "sweep fine_tune --cfg job": "epochs",
    "sweep smoke -m --cfg job seed=3,4": "seed: 3",
    "sweep smoke --cfg hydra seed=3,4": "mode: MULTIRUN",
    "sweep smoke --cfg all --resolve": "study_name",
    "train -m --info": "Config search path",
    "train -m --info all": "Installed Hydra Plugins",
    "train -m --info config": "Config search path",
    "train -m --info defaults": "Defaults List",
    "train -m --info defaults-tree": "Defaults Tree",
    "train -m --info plugins": "OptunaSweeper",
    "train -m --info searchpath": "Config search path",
    "train --info": "Config search path",
    "sweep smoke --info": "Config search path",
    "train -m --info defaults optimizer=sgd,adam": "optimizer/sgd",
}  # fmt: skip

REFUSED: dict[str, str] = {
    "train --resolve": "The --resolve flag can only be used in conjunction with --cfg",
    "train -m --resolve seed=1,2": "The --resolve flag can only be used",
    "train --cfg job --info": "Only one of --run, --multirun, --cfg, --info",
    "train --cfg job seed=1,2": "add --multirun to your command line",
    "train -m --cfg job seed=interval(3,1)": "starts after its end",
    "train -m --cfg job optimiser=sgd,adam": "optimiser",
    "train -m --cfg job -p optimiser": "package 'optimiser' not found in config",
    "train -m --cfg hydra --resolve": "Interpolation key 'objective.direction' not found",
    "train --experimental-rerun nowhere.pickle": "nowhere.pickle does not exist",
}


@pytest.fixture(scope="module")
def answers() -> dict[str, Ended]:
    """What each command says."""
    words = [line.split() for line in (*SHOWN, *REFUSED)]
    asked = subprocess.run(
        [sys.executable, "-c", ASKING], input=json.dumps(words), capture_output=True, text=True
    )
    assert asked.returncode == 0, asked.stderr
    told = [Ended(*one) for one in json.loads(asked.stdout)]
    return dict(zip([*SHOWN, *REFUSED], told, strict=True))


@pytest.mark.parametrize(("command", "told"), SHOWN.items(), ids=SHOWN)
def test_what_is_asked_for_is_shown(answers: dict[str, Ended], command: str, told: str) -> None:
    answer = answers[command]
    assert answer.status == 0, answer.err
    assert told in answer.out and "Traceback" not in answer.err


@pytest.mark.parametrize(("command", "told"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_shown_is_one_message(
    answers: dict[str, Ended], command: str, told: str
) -> None:
    answer = answers[command]
    assert answer.status == 1 and told in answer.err
    assert "Traceback" not in answer.err


def test_a_point_of_the_sweep_is_shown_and_told(answers: dict[str, Ended]) -> None:
    """Swept and fixed keys of a search's file too; the screen's own words go to stderr."""
    answer = answers["sweep fine_tune --cfg job"]
    shown = OmegaConf.create(answer.out)
    assert shown.backbone.image_size == 257, "conf/experiment/best.yaml"
    assert answer.err.startswith("one point of the sweep: +experiment=best ")
