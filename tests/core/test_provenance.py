"""A run knows its command, its commit and what was not committed, and each can be used again."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catdog.core.provenance import Commit, Provenance, commit, environment, threads


def git(folder: Path, *words: str, stdin: str | None = None) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    asked = subprocess.run(
        ["git", *who, *words], cwd=folder, input=stdin, capture_output=True, text=True,
        env=clean, check=True,
    )  # fmt: skip
    return asked.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "deep").mkdir(parents=True)
    git(root, "init", "--quiet")
    (root / "a.txt").write_text("one\ntwo\n")
    (root / "deep" / "b.bin").write_bytes(bytes(range(256)))
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def test_a_clean_tree_is_its_commit(repository: Path) -> None:
    sha = git(repository, "rev-parse", "HEAD").strip()
    assert commit(repository) == Commit(sha)
    assert commit(repository / "deep") == Commit(sha)


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize(
    "setting",
    [
        None,
        ("color.ui", "always"),
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.external", "echo"),
        ("diff.context", "0"),
    ],
    ids=str,
)
def test_a_patch_restores_the_dirty_tree(
    repository: Path, staged: bool, setting: tuple[str, str] | None
) -> None:
    if setting:
        git(repository, "config", *setting)
    (repository / "a.txt").write_text("one\nthree\n")
    (repository / "deep" / "b.bin").write_bytes(bytes(99))
    if staged:
        git(repository, "add", ".")
    found = commit(repository)
    assert found.dirty
    assert "+three" in found.patch
    git(repository, "reset", "--quiet", "--hard")
    git(repository, "apply", "-", stdin=found.patch)
    assert (repository / "a.txt").read_text() == "one\nthree\n"
    assert (repository / "deep" / "b.bin").read_bytes() == bytes(99)


def test_untracked_files_only_are_dirty_without_a_patch(repository: Path) -> None:
    (repository / "new.txt").write_text("new")
    found = commit(repository)
    assert (found.dirty, found.patch) == (True, "")
    (repository / ".git" / "info" / "exclude").write_text("new.txt\n")
    assert not commit(repository).dirty


def test_outside_of_git_there_is_no_commit(tmp_path: Path) -> None:
    assert commit(tmp_path) == Commit()
    assert commit(tmp_path / "nowhere") == Commit()
    git(tmp_path, "init", "--quiet", "empty")
    assert commit(tmp_path / "empty") == Commit()


def test_without_git_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit(repository) == Commit()


def test_a_hook_of_another_repository_does_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nothing"))
    assert commit(repository) == Commit(git(repository, "rev-parse", "HEAD").strip())


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("optimizer.lr=1e-4", "head.dropout=[0.5,0.5,0.25]"),
        ("data.path=/photos/my pets", "tracking.run_name='it''s'"),
        ("data.path=a;rm -rf $HOME `x` \"y\" 'z' *", "+experiment=original", "~head"),
        ("tracking.run_name=zwölf\n\\",),
    ],
)
def test_the_command_can_be_pasted_into_a_shell(overrides: tuple[str, ...]) -> None:
    command = Provenance(overrides).command
    assert shlex.split(command) == ["python", "-m", "catdog.train", *overrides]
    shell = f"python() {{ printf '%s\\0' \"$@\"; }}; {command}"
    said = subprocess.run(["sh", "-c", shell], capture_output=True).stdout.decode()
    assert said.split("\0")[:-1] == ["-m", "catdog.train", *overrides]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
def test_any_overrides_come_back_from_the_command(overrides: list[str]) -> None:
    assert shlex.split(Provenance(overrides).command)[3:] == overrides


def test_the_environment_lists_every_distribution_pinned() -> None:
    first, *lines = environment().splitlines()
    assert first.startswith("# Python 3.")
    assert f"numpy=={metadata.version('numpy')}" in lines
    assert lines == sorted(lines, key=str.lower) or len(lines) == len(set(lines))
    assert all(line.count("==") == 1 and "None" not in line for line in lines)


def test_the_environment_names_what_moves_the_last_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    first = environment.__wrapped__().splitlines()[0]
    assert re.fullmatch(
        r"# Python 3\.\S+, \S+, \d+ cores, [^,]+(, [^,=]+=[^,]+)*, "
        r"ONEDNN_DEFAULT_FPMATH_MODE=BF16(, [^,=]+=[^,]+)*",
        first,
    )


@pytest.mark.parametrize(("told", "used"), [("3", 3), ("", None), ("0", None), ("all", None)])
def test_threads_are_those_that_tensorflow_takes(
    told: str, used: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", told)
    wanted = used or len(os.sched_getaffinity(0))
    assert threads() == wanted
