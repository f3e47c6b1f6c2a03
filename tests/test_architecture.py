"""Who may import whom, and which library lives in which room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "catdog"
PLUGINS = PACKAGE.parent / "hydra_plugins"

# From the top down: a room imports only rooms before it.
ROOMS = """
errors progress paths origin runtime owners kept in_use
blocks section settings keys
formats drawing demo photos archive datasets manifest drops data
decode augment pipeline
torch_weights weights prepare backbone head model optimizer
store features feed loop fit lr_range parts scoring confidence breakdown doubts
figures montage canvas plots evaluation_plots pages study study_plots
runs tracking earlier served logged_model report evaluation inspection experiment
best models compare contest registry classifier explain answers
shelf searches console command
study_note preflight suggest trial study_run
server stores studies machine checks forecast retrain train sweep repeat predict evaluate suspects
promote ui cache doctor cli
""".split()

# Library, or part of one as the code writes it: the rooms that may know it.
LIVES_IN = {
    "PIL": "formats drawing demo montage",
    "tf.data": "pipeline",
    "keras.applications": "backbone",
    "tensorflow_datasets": "datasets",
    "h5py": "weights torch_weights",
    "sklearn": "scoring breakdown doubts",
    "scipy": "confidence",
    "matplotlib": "montage canvas plots evaluation_plots study_plots",
    "plotly": "pages",
    "mlflow": "runs tracking registry served",
    "psutil": "owners machine",
    "hydra": "command train checks forecast",
    "omegaconf": "command train suggest evaluate suspects study_run forecast",
    "rich": "console",
    "optuna": "study_plots train",
    "torch": "",
    "hydra_plugins": "train trial suggest preflight study_run study_note checks forecast",
}

HEAVY = "tensorflow keras mlflow optuna numpy pandas PIL sklearn matplotlib plotly".split()

WORDS = {name: words.split() for name, words in LIVES_IN.items()}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = "catdog" if node.level else node.module or ""
            start = f"{whole}.{node.module}" if node.level and node.module else whole
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, and of parts such as ``tf.data``."""
    yield from imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            yield node.lineno, {"tensorflow.data": "tf.data"}.get(name, name)


def below(name: str, owner: str) -> bool:
    return name == owner or name.startswith(f"{owner}.")


def upward(path: Path) -> Iterator[str]:
    own = room(path)
    for line, name in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "catdog" or len(parts) < 2 or parts[1] not in ROOMS:
            continue
        if own in ROOMS and ROOMS.index(parts[1]) >= ROOMS.index(own):
            yield (
                f"{path}:{line}: {own} imports {parts[1]}, which does not stand above it; move "
                "what both need into a room above, or take it as an argument"
            )


def strangers(path: Path) -> Iterator[str]:
    own = room(path)
    for line, name in uses(ast.parse(path.read_text())):
        for library, rooms in WORDS.items():
            if below(name, library) and own not in rooms:
                where = " and ".join(rooms) or "no room"
                yield f"{path}:{line}: {own} uses {name}, but {library} lives in {where}"


def offenders(check) -> str:
    return "\n".join(line for path in modules() for line in dict.fromkeys(check(path)))


def test_every_room_has_its_place() -> None:
    there = {room(path) for path in modules()} - {"__init__"}
    assert len(set(ROOMS)) == len(ROOMS)
    missing, gone = sorted(there - set(ROOMS)), sorted(set(ROOMS) - there)
    assert not missing, f"give these rooms a place in ROOMS: {missing}"
    assert not gone, f"these rooms are gone, take them out of ROOMS: {gone}"
    lodgers = {name for rooms in WORDS.values() for name in rooms}
    assert lodgers <= set(ROOMS), f"LIVES_IN names rooms that do not exist: {lodgers - set(ROOMS)}"


def test_a_room_imports_only_rooms_above_it() -> None:
    assert not (lines := offenders(upward)), lines


def test_libraries_live_in_their_rooms() -> None:
    assert not (lines := offenders(strangers)), lines


def test_what_travels_with_the_model_needs_nothing_of_catdog() -> None:
    for name in ("served", "decode", "formats"):
        found = [n for _, n in imports(ast.parse((PACKAGE / f"{name}.py").read_text()))]
        assert not [n for n in found if below(n, "catdog")], f"{name}.py runs without catdog"


def test_the_plugin_knows_nothing_of_catdog() -> None:
    for path in PLUGINS.rglob("*.py"):
        found = [f"{path}:{line}" for line, name in imports(ast.parse(path.read_text()))
                 if below(name, "catdog")]  # fmt: skip
        assert not found, f"any Hydra app may use the sweeper, so it cannot import catdog: {found}"


@pytest.mark.parametrize(
    ("source", "line", "complaint"),
    [
        ("def f():\n    from catdog import train\n", 2, "feed imports train"),
        ("from .cli import main\n", 1, "feed imports cli"),
        ("import catdog.report as r\n", 1, "feed imports report"),
        ("from catdog import feed\n", 1, "feed imports feed"),
        ("from catdog.store import Store\n", 0, ""),
        ("def f():\n    import mlflow.pyfunc\n", 2, "feed uses mlflow.pyfunc"),
        ("from keras import applications\n", 1, "feed uses keras.applications"),
        ("x = tf.data.Dataset\n", 1, "feed uses tf.data"),
        ("from tensorflow import keras\n", 0, ""),
    ],
)
def test_offenders_are_seen(
    source: str, line: int, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "feed.py").write_text(source)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    lines = offenders(upward) + offenders(strangers)
    assert f"feed.py:{line}: {complaint}" in lines if complaint else not lines


@pytest.mark.parametrize(
    ("words", "env", "expected"),
    [
        (["--help"], {}, "optimizer: adam"),
        (["--cfg", "job"], {}, "image_size: 224"),
        (["--cfg", "job", "+experiment=original"], {}, "image_size: 250"),
        (
            ["-sc", "query=bash"],
            {"COMP_LINE": "catdog-train optimizer=r", "COMP_POINT": "24"},
            "optimizer=rmsprop",
        ),
    ],
    ids=["help", "cfg", "recipe", "completion"],
)
def test_what_answers_at_once_loads_nothing_heavy(
    words: list[str], env: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-X", "importtime", "-m", "catdog.train", *words]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert asked.returncode == 0, asked.stderr[-2000:]
    assert expected in asked.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in
              asked.stderr.splitlines() if line.startswith("import time:")}  # fmt: skip
    assert "hydra" in loaded
    assert not loaded & set(HEAVY), f"{' '.join(words)} waits for {sorted(loaded & set(HEAVY))}"
