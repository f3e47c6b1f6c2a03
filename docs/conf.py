"""Sphinx's settings; `make docs` builds the pages, without a network, into docs/_build."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
# the code of this working tree, whatever is installed
sys.path[:0] = [str(DOCS), str(ROOT), str(ROOT / "plugins" / "hydra_optuna_workers")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import config_reference  # noqa: E402

from catdog.core import runtime  # noqa: E402

# quietly: autodoc would get TensorFlow's start-up chatter, and MLflow's advice on a model's hints
runtime.load_tensorflow()
with contextlib.redirect_stderr(io.StringIO()):
    importlib.import_module("catdog.tracking.served_model")

project = "catdog"
author = "the catdog authors"
copyright = "2026, the catdog authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "html_image"]
myst_heading_anchors = 4
highlight_language = "none"  # an indented block is a command with its output

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False  # "Returns: names: their order" has no type before its colon
napoleon_use_ivar = True  # what a class's docstring says of its fields is said once

html_theme = "furo"
html_title = "catdog"
html_static_path = ["_static"]
html_css_files = ["catdog.css"]
html_copy_source = False


def help_of(command: str) -> str:
    """Return a command's own help, as an 80 column terminal shows it.

    The command's ``main`` prints it in this process, which has TensorFlow loaded already.
    """
    name, *words = command.split()
    said = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [f"catdog.{name}", *words, "--help"]),
        mock.patch.dict(os.environ, COLUMNS="80"),
        contextlib.redirect_stdout(said),
        contextlib.suppress(SystemExit),
    ):
        importlib.import_module(f"catdog.{name}").main()
    return said.getvalue().replace(str(ROOT), ".").rstrip()


def modules_of(package: str) -> str:
    """Return a section for each module of a package, the package's own words first."""
    folder = Path(ROOT, *package.split("."))
    modules = [f"{package}.{path.stem}" for path in sorted(folder.glob("[!_]*.py"))]
    parts = [f"```{{eval-rst}}\n.. automodule:: {package}\n   :no-members:\n```\n"]
    parts += [f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in modules]
    return "\n".join(parts)


def fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Put what the code says of itself where a page asks for it by a comment."""
    page = re.sub(r"<!-- keys -->", lambda _: config_reference.markdown(), source[0])
    page = re.sub(
        r"<!-- keys of the sweeper -->", lambda _: config_reference.sweeper_markdown(), page
    )
    page = re.sub(r"<!-- modules: ([\w.]+) -->", lambda found: modules_of(found[1]), page)
    page = re.sub(
        r"<!-- help: ([\w ]+) -->", lambda found: f"```text\n{help_of(found[1])}\n```", page
    )
    source[0] = page


def as_written(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Prepare a docstring for reStructuredText, which reads indents and stars otherwise.

    An indented block after a blank line is shown as it is, each reference is a paragraph, and the
    star of ``(n, *shape)`` a star.
    """
    lines[:] = [re.sub(r"(?<![*`\w])\*(?=\w)", r"\*", line) for line in lines]
    made: list[str] = []
    for place, line in enumerate(lines):
        made.append(line)
        following = lines[place + 1 : place + 3]
        if line.strip() and not line.endswith("::") and len(following) == 2 and not following[0]:
            if indent_of(following[1]) >= indent_of(line) + 4:
                made[-1:] = [f"{line}:"] if line.endswith(":") else [line, "", "::"]
    lines[:] = separate_references(made)


def indent_of(line: str) -> int:
    """Return by how many spaces a line is indented."""
    return len(line) - len(line.lstrip())


def separate_references(lines: list[str]) -> list[str]:
    """Put a blank line before each ``[1]`` of a References section, and unindent what follows."""
    made, entry = [], None
    for line in lines:
        if re.match(r"\s+\[\d\] ", line):
            entry = indent_of(line)
            made.append("")
        elif entry is not None and line.strip() and indent_of(line) > entry:
            line = " " * entry + line.strip()
        else:
            entry = None
        made.append(line)
    return made


def say_counts(app: Sphinx, error: Exception | None) -> None:
    """Tell how much the reference of the configuration holds."""
    if error is None:
        print(f"reference of the configuration: {config_reference.counts()}")


def setup(app: Sphinx) -> None:
    """Refuse a reference with gaps, and join the hooks."""
    if problems := config_reference.problems():
        sys.exit("the reference of the configuration: " + "; ".join(problems))
    app.connect("source-read", fill_in)
    # before napoleon turns sections such as Args into fields
    app.connect("autodoc-process-docstring", as_written, priority=100)
    app.connect("build-finished", say_counts)
