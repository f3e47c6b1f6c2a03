"""Which package may import which, and which library lives where."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "catdog"
SWEEPER = PACKAGE.parent / "plugins" / "hydra_optuna_workers"

FLOORS = """
errors progress
core
settings mlflow_store
models evaluation
system data tracking
features cli plots
training inference study
experiment
commands
""".strip().splitlines()
"""From the ground up: a package imports packages of lower floors only. Commands are the modules
that lie beside the packages; one may import another, but no package imports a command."""

LEVEL = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}

# Library, or part of one as the code writes it: the packages or modules that may know it.
LIVES_IN = {
    "PIL": "data plots inference.gradcam",
    "tf.data": "features.batches",
    "keras.applications": "models",
    "h5py": "models",
    "tensorflow_datasets": "data.tfds",
    "sklearn": "evaluation",
    "scipy": "evaluation",
    "cleanlab": "evaluation.label_errors",
    "matplotlib": "plots",
    "plotly": "plots",
    "mlflow": "tracking",
    "rich": "cli system.checks features.extraction data commands",
    "psutil": "system.resources",
    "hydra": "cli core.commands study system.checks commands",
    "omegaconf": "cli study commands",
    "optuna": "study plots.study system.study_copies commands",
    "optuna_workers": "errors core cli mlflow_store study tracking system.checks commands",
    "hydra_plugins": "",
    "torch": "",
}
ALLOWED = {library: words.split() for library, words in LIVES_IN.items()}

QUICK = "errors progress core settings mlflow_store data tracking cli study system".split()
"""What may be imported before TensorFlow is."""

HEAVY = "tensorflow keras mlflow optuna numpy pandas PIL sklearn matplotlib plotly".split()


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def place(path: Path) -> str:
    """Return a module's dotted name below catdog."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def package(name: str) -> str:
    """Return the package of a module below catdog; modules beside the packages are commands."""
    first = name.split(".")[0]
    return first if first in LEVEL else "commands"


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are written in full"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


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
    own = package(place(path))
    for line, name in imports(ast.parse(path.read_text())):
        if not below(name, "catdog") or name == "catdog":
            continue
        other = package(name.removeprefix("catdog."))
        if other != own and LEVEL[other] >= LEVEL[own]:
            yield (
                f"{path}:{line}: {own} imports {other}, which is not below it; move what both "
                "need into a package below, or take it as an argument"
            )


def strangers(path: Path) -> Iterator[str]:
    own = place(path)
    for line, name in uses(ast.parse(path.read_text())):
        for library, allowed in ALLOWED.items():
            if below(name, library) and not _may(own, allowed):
                where = " and ".join(allowed) or "no package"
                yield f"{path}:{line}: {own} uses {name}, but {library} lives in {where}"


def _may(own: str, allowed: list[str]) -> bool:
    return package(own) in allowed or any(below(own, one) for one in allowed)


def offenders(check) -> str:
    return "\n".join(line for path in modules() for line in dict.fromkeys(check(path)))


def test_every_package_has_its_floor() -> None:
    there = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    named = set(LEVEL) - {"commands", "errors", "progress"}
    assert there == named, "give each package a floor in FLOORS, and only those that exist"
    known = {place(path) for path in modules()} | set(LEVEL)
    gone = {name for allowed in ALLOWED.values() for name in allowed} - known
    assert not gone, f"LIVES_IN names what does not exist: {gone}"


def test_packages_are_small() -> None:
    inits = [*PACKAGE.glob("*/__init__.py"), *(SWEEPER / "optuna_workers").rglob("__init__.py")]
    for init in inits:
        files = [path for path in init.parent.glob("*.py") if path != init]
        assert len(files) <= 12, f"{init.parent}: {len(files)} files; is it one package?"


def test_a_package_imports_only_packages_below_it() -> None:
    assert not (lines := offenders(upward)), lines


def test_libraries_live_in_their_packages() -> None:
    assert not (lines := offenders(strangers)), lines


def test_what_travels_with_the_model_needs_nothing_of_catdog() -> None:
    for name in ("tracking/served_model", "features/decode", "data/formats"):
        found = [n for _, n in imports(ast.parse((PACKAGE / f"{name}.py").read_text()))]
        assert not [n for n in found if below(n, "catdog")], f"{name}.py runs without catdog"


def test_the_sweeper_knows_nothing_of_catdog() -> None:
    for path in SWEEPER.rglob("*.py"):
        found = [f"{path}:{line}" for line, name in imports(ast.parse(path.read_text()))
                 if below(name, "catdog")]  # fmt: skip
        assert not found, f"any Hydra app may use the sweeper, so it cannot import catdog: {found}"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {place(path): set() for path in modules()}
    for path in modules():
        for _, name in imports(ast.parse(path.read_text())):
            name = name.removeprefix("catdog.")
            graph[place(path)] |= {one for one in (name, name.rpartition(".")[0]) if one in graph}
    for name in graph:  # facades re-export from their own package, which is no circle
        if name in LEVEL:
            graph[name] = set()
    while free := {name for name, needs in graph.items() if not needs & graph.keys()}:
        graph = {name: needs - free for name, needs in graph.items() if name not in free}
    assert not graph, f"these import each other: {sorted(graph)}"


@pytest.mark.parametrize(
    ("source", "line", "complaint"),
    [
        ("def f():\n    from catdog import train\n", 2, "features imports commands"),
        ("import catdog.experiment.runner as r\n", 1, "features imports experiment"),
        ("from catdog.plots import png\n", 1, "features imports plots"),
        ("from catdog.features.store import Store\n", 0, ""),
        ("from catdog.data.manifest import Photo\n", 0, ""),
        ("def f():\n    import mlflow.pyfunc\n", 2, "features.feeds uses mlflow.pyfunc"),
        ("from keras import applications\n", 1, "features.feeds uses keras.applications"),
        ("x = tf.data.Dataset\n", 1, "features.feeds uses tf.data"),
        ("from tensorflow import keras\n", 0, ""),
    ],
)
def test_offenders_are_seen(
    source: str, line: int, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features/feeds.py").write_text(source)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    lines = offenders(upward) + offenders(strangers)
    assert f"feeds.py:{line}: {complaint}" in lines if complaint else not lines


def test_what_comes_before_tensorflow_does_not_load_it() -> None:
    names = [place(path) for path in modules() if package(place(path)) in QUICK]
    names += ["models.pretrained", "models.torch_checkpoint"]
    names = [name for name in names if name != "tracking.served_model"]  # runs with the model
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(f'catdog.{name}')\n"
        "    assert 'tensorflow' not in sys.modules, f'{name} loads TensorFlow'\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


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
