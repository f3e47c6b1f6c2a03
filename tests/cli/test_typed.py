"""What is typed on a command line is what Hydra reads, or one sentence shows the quotes."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from catdog.cli import typed
from catdog.core import commands, paths
from catdog.errors import CatdogError

ODD = st.text(st.sampled_from("\\'\"${}[](),=~ ü:a1\n#!*?&|;`-%"), max_size=12)
ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def composed(word: str) -> object:
    """Return the value that an override leads to in the end."""
    return OmegaConf.create({"x": OverridesParser.create().parse_override(word).value()}).x


def through_bash(words: list[str]) -> list[str]:
    line = f"printf '%s\\0' {shlex.join(words)}"
    return subprocess.check_output(["bash", "-c", line]).decode().split("\0")[:-1]


@settings(max_examples=40, deadline=None)
@given(st.lists(ODD | ANY, min_size=1, max_size=20))
def test_any_text_comes_through_the_shell_and_hydra(texts: list[str]) -> None:
    received = through_bash([commands.override("data.path", text) for text in texts])
    assert [composed(word) for word in received] == texts
    assert [commands.text(word) for word in received] == texts


@settings(max_examples=100, deadline=None)
@given(ODD)
def test_any_name_is_taken_as_it_is_typed_or_as_hydra_reads_it(text: str) -> None:
    try:
        hydras = OverridesParser.create().parse_override(f"tracking.experiment={text}").value()
    except Exception:
        hydras = text
    if "${" in text:  # an interpolation
        return
    (word,) = typed.as_meant([f"tracking.experiment={text}"])
    assert composed(word) == (hydras if hydras is None or isinstance(hydras, str) else text)


EXISTING = [
    "a,b", "[x]", "{a}", "ü (1)", "it's", '"quoted"', "2024", "1e3", "~odd", "true", "a=b", "a b",
    "$HOME", "${HOME}", "back\\slash", "(", "x:y", "#1", "100%", "#'\"ü",
]  # fmt: skip


@pytest.mark.parametrize("key", ["data.path", "+data.drop", "backbone.weights", "features.dir"])
@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["run", "sweep"])
def test_a_path_that_exists_is_that_path(key: str, mode: list[str]) -> None:
    for name in EXISTING:
        Path(name).mkdir()
        *_, word = typed.as_meant([*mode, f"{key}={name}"])
        assert composed(word) == name, word
        assert composed(typed.absolute(word)) == str(paths.here() / name)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("data.path=photos seed=1,2 -m", ""),
        ("-m data.path=ü1,ü2", '-m data.path="ü1","ü2"'),
        ("data.path=ü1,ü2", 'data.path="ü1,ü2"'),
        ("--config-name mine data.path=a,b", ""),
        ("data.path=~/photos", 'data.path="~/photos"'),
        ("data.path='my_photos'", ""),
        ("data.path=null tracking.run_name=null features.dir=", ""),
        ("tracking.experiment=2024_11", 'tracking.experiment="2024_11"'),
        ("-m hydra.sweeper.study_name=a,b", '-m hydra.sweeper.study_name="a,b"'),
        ("data.path=${oc.env:HOME}/x", ""),
        ("data.path=${oc.env:HOME}/ü", 'data.path="${oc.env:HOME}/ü"'),
        ("~schedule --cfg job --config-dir my=dir", ""),
    ],
)
def test_what_is_meant(words: str, meant: str) -> None:
    assert " ".join(typed.as_meant(words.split(" "))) == (meant or words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=folder", "data.path=/my", "cat", "photos", "seed=1"],
         "cat: is no key=value; a value with a space stands in quotes; "
         "try `'data.path=/my cat photos'`"),
        (["home"], "home: is no key=value; try `data=folder data.path=home`"),
        (["seed=1", "nothing"], "nothing: is no key=value"),
        (["data.classes=[cat,Hündin]"],
         "data.classes=[cat,Hündin]: Hydra cannot read this value (token recognition error at: "
         "'ü'); try `'data.classes=[cat,\"Hündin\"]'`"),
        (["optimizer.lr=interval(1,2"],
         "optimizer.lr=interval(1,2: Hydra cannot read this value (no viable alternative at input "
         "'interval(1,2')"),
        (["dätä.path=x"], "dätä.path=...: there is no such key; try `data.path=...`"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_sentence(words: list[str], said: str) -> None:
    with pytest.raises(CatdogError) as refused:
        typed.as_meant(words)
    assert str(refused.value) == said
    if "try `'" in said:  # works as it is shown
        shown = shlex.split(said.partition("`")[2].rstrip("`"))
        assert OverridesParser.create().parse_overrides(typed.as_meant(shown))


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("data=kaggle -m --config-dir conf seed=1,2",
         "catdog.train --config-dir {here}/conf -m data=kaggle seed=1,2"),
        ("-cd={here}/conf seed=1 -cn mine",
         "catdog.train --config-dir {here}/conf --config-name mine seed=1"),
        ("--config-dir {sweeps} --config-name smoke data.path=home",
         "catdog.sweep smoke data.path={here}/home"),
        ("data.path=home,elsewhere -m", "catdog.train -m data.path={here}/home,elsewhere"),
        ("hydra.sweep.dir=mine tracking.uri=sqlite:///x.db features.dir=/c",
         "catdog.train hydra.sweep.dir={here}/mine 'tracking.uri=\"sqlite:///{here}/x.db\"' "
         "features.dir=/c"),
    ],
)  # fmt: skip
def test_the_command_of_a_command_line(words: str, command: str) -> None:
    known = {"here": paths.here(), "sweeps": paths.sweeps()}
    said = typed.command(typed.as_meant(words.format(**known).split()))
    assert said == f"python -m {command.format(**known)}"
