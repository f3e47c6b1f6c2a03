"""What the pages show works: commands are composed, Python is run or at least compiled."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.util
import io
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from helpers.pages import PAGES, ROOT, Block, blocks
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import OmegaConf

from catdog.cli import overrides as words_of
from catdog.cli import typed
from catdog.cli.main import COMMANDS
from catdog.core import paths
from catdog.settings import parse

OWN = ("catdog", "optuna_workers", "hydra_plugins")
LIGHT = {"catdog.settings", "catdog.errors", "optuna_workers", "hydra_plugins.optuna_workers"}
HYDRA_TAKES = {"-m", "--multirun", "--help", "--resolve"}
SHELLS = ("", "bash", "sh", "console")
ALL = [block for page in PAGES for block in blocks(page)]


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yield (command, words) of each line that calls one of catdog's commands."""
    text = re.sub(r"\\\n\s*", " ", block.text)
    for line in text.splitlines():
        called = re.match(r"\s*(?:\S+=\S+ )*(?:\$ )?(?:\.venv/bin/)?(.*)", line)
        assert called is not None
        bare = "|".join(COMMANDS)  # `catdog cold 267 s` is a table's row
        if re.match(rf"python -m catdog\.\w|catdog(-| )({bare})\b", called[1]):
            words = shlex.split(called[1].replace("<", "").replace(">", ""), comments=True)
            if words[0] == "python":
                yield words[2].removeprefix("catdog."), words[3:]
            elif words[0] == "catdog":
                yield words[1], words[2:]
            else:
                yield words[0].removeprefix("catdog-"), words[1:]


PLACES = {
    (name, *words): block.place
    for block in reversed(ALL)  # of a command that is shown twice the first place counts
    if block.language in SHELLS
    for name, words in commands(block)
}
FOUND = [
    pytest.param(name, words, id=f"{place} {' '.join([name, *words])}"[:90])
    for (name, *words), place in PLACES.items()
]


def test_the_pages_are_read() -> None:
    assert len(FOUND) > 40
    assert {param.values[0] for param in FOUND} >= set(COMMANDS), "each command is shown"


class Parsed(BaseException):
    """What a command's parser made of its words."""

    def __init__(self, asked: argparse.Namespace, rest: list[str]) -> None:
        self.asked, self.rest = asked, rest


@pytest.mark.parametrize("name, words", FOUND)
def test_a_command_is_there_and_takes_its_words(
    name: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name in COMMANDS, f"there is no command {name}"
    if name in ("train", "suggest"):
        check_overrides("train", words)
    elif name == "sweep":
        if words:
            check_overrides(words[0], words[1:])
    else:
        asked, rest = parsed(name, words, monkeypatch)
        check_overrides(getattr(asked, "sweep", None) or "train", rest)


def parsed(
    name: str, words: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[argparse.Namespace, list[str]]:
    """Return what a command's own parser makes of words, and the overrides among them."""
    ask = argparse.ArgumentParser.parse_known_args

    def stop(self: argparse.ArgumentParser, *given: Any, **more: Any) -> NoReturn:
        asked, rest = ask(self, *given, **more)
        raise Parsed(asked, rest)

    module = importlib.import_module(f"catdog.{name}")
    monkeypatch.setattr(sys, "argv", [f"catdog {name}", *words])
    with monkeypatch.context() as patched, pytest.raises((Parsed, SystemExit)) as ended:
        patched.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        module.main()
    if isinstance(ended.value, SystemExit):
        assert ended.value.code in (0, None), f"{name} does not take {shlex.join(words)}"
        return argparse.Namespace(), []
    asked, rest = ended.value.asked, list(ended.value.rest)
    if name in ("doctor", "repeat"):
        rest = [word for word in words if "=" in word and not word.startswith("-")]
    assert all("=" in word for word in rest), f"{name} does not take {rest}"
    return asked, rest


def check_overrides(name: str, words: Sequence[str]) -> None:
    """Compose what the words say, for a sweep its first point, and check all its values."""
    flags = [word for word in words if word.startswith("-")]
    plain = [word for word in words if "=" in word and not word.startswith("-")]
    if "--shell-completion" in flags or "--cfg" in flags:
        plain = [word for word in plain if not word.startswith("install")]
    else:
        assert set(flags) <= HYDRA_TAKES, flags
        assert len(plain) + len(flags) == len(words), f"what is {set(words) - set(plain)}?"
    plain = [word for word in plain if not word.startswith("+best=")]
    found = OverridesParser.create().parse_overrides(typed.as_meant(["-m", *plain])[1:])
    chosen = [first(override) for override in found if not launches(override)]
    assert name == "train" or (paths.sweeps() / f"{name}.yaml").is_file(), name
    place, more = str(paths.configs()), []
    if name != "train":
        place, more = str(paths.sweeps()), [f"hydra.searchpath=['file://{paths.configs()}']"]
    with initialize_config_dir(place, version_base="1.3"):
        cfg = compose(name, [*more, *chosen], return_hydra_config=True)
    OmegaConf.to_container(cfg.hydra.sweeper, resolve=False)
    parse.parse(words_of.plain(cfg))


def launches(override: Override) -> bool:
    """Return whether an override is about a launcher, which is an extra."""
    return override.get_key_element().startswith(("hydra/launcher", "hydra.launcher"))


def first(override: Override) -> str:
    """Return an override with its first value, if it sweeps."""
    if not override.is_sweep_override():
        return str(override.input_line)
    value = override.value()
    if isinstance(value, IntervalSweep):
        return f"{override.get_key_element()}={value.start}"
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"


@pytest.mark.parametrize("block", [b for b in ALL if b.language == "yaml"], ids=lambda b: b.place)
def test_yaml_can_be_read(block: Block) -> None:
    if "{literalinclude}" not in block.language:
        assert yaml.safe_load(block.text)


def test_the_search_that_the_pages_show_composes(tmp_path: Path) -> None:
    shown = [block for block in ALL if block.language == "yaml" and "name: width" in block.text]
    (tmp_path / "width.yaml").write_text(shown[0].text)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        path = f"hydra.searchpath=['file://{paths.configs()}']"
        cfg = compose("width", [path], return_hydra_config=True)
    params = OmegaConf.to_container(cfg.hydra.sweeper.params)
    assert isinstance(params, dict)
    check_overrides("train", [f"{key}={value}" for key, value in params.items()])


PYTHON = [block for block in ALL if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_python_compiles_and_what_it_imports_is_there(block: Block) -> None:
    tree = ast.parse(block.text, block.place)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(OWN):
            for alias in node.names:
                assert offers(node.module, alias.name), f"{node.module} has no {alias.name}"


def light(block: Block) -> bool:
    """Return whether code needs neither photos nor TensorFlow."""
    nodes = ast.walk(ast.parse(block.text))
    used = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return all(name in LIGHT for name in used if name.startswith(OWN))


@pytest.mark.parametrize("block", list(filter(light, PYTHON)), ids=lambda block: block.place)
def test_python_that_needs_no_photos_runs_and_prints_what_it_says(block: Block) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(block.text, block.place, "exec"), {"__name__": "page"})
    for promised in re.findall(r"print\(.*\)  # (.+)", block.text):
        assert promised in said.getvalue()


def offers(module: str, name: str) -> bool:
    """Return whether a module has a name, without importing it: that may load TensorFlow."""
    for base in (ROOT, ROOT / "plugins" / "hydra_optuna_workers"):
        place = base.joinpath(*module.split("."))
        if (place / f"{name}.py").is_file() or (place / name / "__init__.py").is_file():
            return True
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file() and name in defined(ast.parse(file.read_text())):
                return True
    return False


def defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module's code binds."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
