"""What an edited store may not say, as it would be tried: none of it is obeyed, all is named."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import example, given
from hypothesis import strategies as st

from catdog import repeat, train
from catdog.cli import stored
from catdog.core import paths
from catdog.errors import DataError
from catdog.settings import Settings
from catdog.study import retrain
from catdog.tracking import Tracker, names
from catdog.tracking.run import Run

URI = "sqlite:////home/me/mlruns/mlflow.db"

HOSTILE = r"""
hydra.job_logging.handlers.file.filename=/tmp/victim
hydra.job_logging.handlers.x={class:subprocess.Popen,args:[id]}
hydra.job_logging={version:1,handlers:{x:{(): os.system,command: id}}}
hydra/job_logging=none
+hydra/job_logging=../../tmp/mine
++hydra.job_logging.root.level=DEBUG
hydra.hydra_logging.version=1
hydra.job.env_set.LD_PRELOAD=/tmp/mine.so
+hydra.job.env_set.PYTHONSTARTUP=/tmp/mine.py
++hydra.job.env_copy=[HOME]
hydra.job.chdir=true
hydra.run.dir=/tmp/elsewhere
hydra.output_subdir=/tmp/elsewhere
hydra.searchpath=[file:///tmp/mine]
hydra.sweeper.preload=os.abort
hydra.sweeper.callbacks.mine={_target_: os.system, command: id}
+hydra.callbacks.mine._target_=subprocess.call
hydra/launcher=joblib
hydra/sweeper=../../tmp/mine
hydra.mode=MULTIRUN
hydra.verbose=true
~hydra.job_logging
hydra={run:{dir:/tmp/x}}
--config-dir=/tmp/mine
--config-dir
--config-name=mine
--config-path=/tmp/mine
-cd=/tmp/mine
-m
--multirun
--experimental-rerun=/tmp/config.pickle
--info
--package=hydra
-cn
_target_=os.system
+_target_=os.system
optimizer._target_=os.system
+head._target_=subprocess.Popen
optimizer={_target_: os.system, command: id}
++optimizer={lr:0.1,_partial_:true}
head={name:{_target_:os.system}}
data.path=${oc.env:HOME}
data.path='${oc.env:HOME}'
data.path="${oc.env:HOME}"
data.path=$\{oc.env:HOME\}
tracking.run_name=x${oc.env:AWS_SECRET_ACCESS_KEY}y
tracking.experiment=${hydra:runtime.cwd}
seed=${oc.decode:${oc.env:SEED}}
data.classes=[cat,${oc.env:HOME}]
trainer={epochs:${catdog.sum:1,2}}
tracking.run_name=\${oc.env:HOME}
head=../../../../tmp/mine
head=/tmp/mine
head=..
+experiment=../train
+experiment=[original,../../tmp/mine]
head=mine.yaml
head=pkg://os
head=${oc.env:HOME}
head@hydra.job_logging=linear
head@_global_=linear
+head@hydra.sweeper=mlp
experiment@_here_=original
optimizer@head:optimizer@hydra=adam
+defaults=[head/linear]
defaults=[]
new.key=1
+new.key=1
tracking=1,2
optimizer.lr=interval(0,1)
seed=choice(1,2)
optimizer.lr=glob(*)
optimizer.lr
=1
@=1
""".strip().splitlines()

ODD = ["", " ", "\n--config-dir=/tmp", "seed=1\nhydra.job.chdir=true", "seed=1\0", "a" * 20_000,
       "data.path=" + "[" * 900 + "]" * 900, "data.path=" + "(" * 40, "seed=\ud800",
       "hydra\u200b.job.chdir=true", "ｈydra.job.chdir=true", " hydra.job.chdir=true"]  # fmt: skip

HONEST = r"""
data=folder
data.path=/photos/a-b_c
data.path='/my photos/ä, 🐈'
data.path=s3://bucket/photos/
data.path='C=1,2'
data.path='~/photos'
data.path=
data.limit=null
data.classes=[cat,dog]
data.drop='/a b/suspects.csv'
++data.split_seed=3
++optimizer.lr=1e-3
optimizer.lr=1.0e-05
optimizer.lr=float(1)
optimizer={lr:0.1,clipnorm:null}
optimizer=sgd
++optimizer.nesterov=true
head=mlp
head.units=[256,64]
head.dropout=[0.5,0.5,0.25]
+experiment=original
+experiment=[original,fast]
~schedule
~trainer.patience
~schedule=constant
features.dir='~/.cache/catdog'
features.dir=/mnt/$USER
tracking.experiment='my pets'
tracking.run_name='line\nbreak'
tracking.log_model=never
threads=2
seed=0
backbone.weights=/a/seen.weights.h5
objective.metric=val/accuracy
objective.direction=maximize
""".strip().splitlines()


@pytest.mark.parametrize("word", HOSTILE + ODD)
def test_no_hostile_line_comes_back(word: str) -> None:
    with pytest.raises(DataError, match="^a place: holds what a store may not say: `") as told:
        stored.overrides(["seed=1", word], "a place", URI)
    assert "\n" not in str(told.value) and len(str(told.value)) < 500


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTILE + ODD)) >= 80


@pytest.mark.parametrize("word", HONEST)
def test_what_runs_say_is_repeated(word: str) -> None:
    assert stored.overrides([word], "a place", URI) == [word]
    with initialize_config_dir(str(paths.configs()), version_base="1.3"):
        compose("train", [word])


KNOWN = {"experiment", *(field.name for field in dataclasses.fields(Settings))}


@given(st.text())
@example("features.dir")
def test_any_other_text_is_read_or_refused(text: str) -> None:
    for word in (text, f"data.path={text}", f"{text}=1", f"head={text}"):
        said = stored.complaint(word)
        assert said or word.lstrip("+~").split("=")[0].split(".")[0] in KNOWN
        assert said or "${" not in word


def test_all_are_named_and_what_the_command_line_names_is_not_read() -> None:
    words = ["hydra.verbose=true", "seed=1", "data.path=${oc.env:HOME}"]
    with pytest.raises(DataError, match=r"`hydra.verbose=true` \(a key of Hydra's own\), `data.p"):
        stored.overrides(words, "a place", URI)
    assert stored.overrides(words, "x", URI, {"hydra.verbose", "data.path"}) == ["seed=1"]


@pytest.mark.parametrize("other", ["http://thief", "'sqlite:///mlflow.db'", "null", "databricks"])
def test_no_store_sends_a_run_elsewhere(other: str) -> None:
    own = [f"tracking.uri={URI}", f"++tracking.uri='{URI}'"]
    assert stored.overrides([*own, f"tracking.uri={other}"], "a place", URI) == own


LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LAUGHS, "aliases"),
        ("- &x [*x]", "aliases"),
        ("[" * 5000 + "]" * 5000, "nested more than 20 deep"),
        ("- !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("- !!python/name:os.system", "could not determine a constructor"),
        ("- " + "a" * (2 << 20), "bytes"),
        ("{", "cannot be read"),
        ("\0", "cannot be read"),
        ("- 2026-99-99", "cannot be read"),
        ("- " + "9" * 6000, "cannot be read"),
        ("seed: 1", "no list of overrides"),
        ("- [seed=1]", "no list of overrides"),
        ("- 1", "no list of overrides"),
        ("", "no list of overrides"),
        ("x", "no list of overrides"),
        ("- seed=1\n" * 2000, "2000 overrides"),
    ],
)
def test_a_file_that_is_no_list_is_one_message(text: str, why: str, tracker: Tracker) -> None:
    run = logged(tracker, text)
    with pytest.raises(DataError, match=why) as told:
        stored.of_run(run)
    assert f"{names.OVERRIDES} of run {run.run_id}" in str(told.value)
    assert len(str(told.value)) < 400


# === by the commands' own ways ===


def logged(tracker: Tracker, text: str, **tags: str) -> Run:
    known = {"catdog.kind": "run", "hydra.dir": "/h", **tags}
    run = tracker.create("run", {k.replace("__", "."): v for k, v in known.items()})
    with run.folder("config") as place:
        (place / "overrides.yaml").write_text(text)
    run.metrics({"val/loss": 0.5, "best/val_loss": 0.5}, 1)
    run.params({"objective.metric": "val/loss"})
    run.flush()
    run.end("FINISHED")
    return run


FEW = [
    "hydra.job_logging.handlers.file.filename={victim}",
    "--config-dir={folder}",
    "hydra.job.env_set.MADE={victim}",
    "tracking.run_name=${{oc.env:SECRET}}",
    "head=../../..{folder}/mine",
]


@pytest.mark.parametrize("word", FEW)
def test_repeat_best_and_promote_refuse(word: str, tracker: Tracker, tmp_path: Path) -> None:
    line = word.format(victim=tmp_path / "victim", folder=tmp_path)
    text = json.dumps([line])
    run = logged(tracker, text)
    with pytest.raises(DataError, match="a store may not say"):
        repeat.find(run.run_id, tracker.uri, tracker.experiment)
    parent = tracker.create("made", {"catdog.kind": "sweep", names.STUDY: "made"})
    with parent.folder("sweep") as place:
        (place / "best.yaml").write_text(json.dumps({"study": "made", "overrides": [line]}))
    with pytest.raises(DataError, match="best.yaml of study made: holds what a store may not say"):
        train.with_best(["+best=made", f"tracking.uri={tracker.uri}",
                         f"tracking.experiment={tracker.experiment}"])  # fmt: skip
    more = {names.PARENT: parent.run_id, names.STATE: "COMPLETE", "catdog.kind": "trial"}
    logged(tracker, text, **more)
    with pytest.raises(DataError, match="a store may not say"):
        retrain.best_of("made", tracker, 1, 1, dry_run=False)


def asked(tmp_path: Path, *words: str) -> tuple[int, str]:
    env: dict[str, Any] = {**os.environ, "SECRET": "do-not-tell-4711"}
    ran = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=tmp_path, env=env
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("word", FEW)
def test_nothing_is_done_by_the_commands(word: str, tracker: Tracker, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "mine.yaml").write_text("name: mlp")
    line = word.format(victim=victim, folder=tmp_path)
    run = logged(tracker, json.dumps([line]))
    status, said = asked(tmp_path, "catdog.repeat", run.run_id, "--uri", tracker.uri)
    assert status == 1 and "a store may not say" in said and "Traceback" not in said
    assert victim.read_text() == "mine" and "4711" not in said
    assert len(tracker.find({})) == 1, "nothing ran"


def test_only_one_module_reads_what_runs_were_started_with() -> None:
    readers = {
        str(path.relative_to(paths.PACKAGE))
        for path in paths.PACKAGE.rglob("*.py")
        if ".text(names.OVERRIDES" in (code := path.read_text()) or ".text(names.BEST" in code
        or "safe_load(" in code
    }  # fmt: skip
    assert readers == {"cli/stored.py", "study/winner.py"}
