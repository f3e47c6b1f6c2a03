"""Files and folders appear whole or not at all, whoever looks and whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catdog.core import tables
from catdog.core.files import arriving, make_once, write_atomically, write_csv


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != "home"}


def test_a_file_arrives_whole_with_the_permissions_of_any_other(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "a", b"all")
    assert (tmp_path / "new" / "a").read_bytes() == b"all"
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "new" / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert names(tmp_path / "new") == {"a"}


def test_an_error_leaves_what_was_there_and_nothing_beside(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("older")
    with pytest.raises(KeyboardInterrupt), arriving(file) as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "older"
    assert names(tmp_path) == {"a.txt"}


cells = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.none())


@given(st.lists(st.tuples(cells, cells)))
def test_a_table_is_read_back_as_it_was_written(tmp_path_factory, rows: list) -> None:
    file = tmp_path_factory.mktemp("csv") / "a.csv"
    write_csv(file, ("a", "b"), rows)
    with file.open(newline="", encoding="utf-8") as held:
        shown = [["" if cell is None else str(cell) for cell in row] for row in rows]
        assert [list(row.values()) for row in tables.read_rows(held.read())] == shown


def test_floats_are_written_with_as_many_digits_as_asked(tmp_path: Path) -> None:
    row = [(1 / 3, 12345678, "0.123456")]
    for digits, shown in ((3, "0.333"), (None, repr(1 / 3))):
        write_csv(tmp_path / "a.csv", ("f", "i", "s"), row, digits=digits)
        assert (tmp_path / "a.csv").read_text() == f"f,i,s\n{shown},12345678,0.123456\n"


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "a").touch()

    threads = [threading.Thread(target=make_once, args=(tmp_path / "x" / "y", make))
               for _ in range(4)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and names(tmp_path / "x" / "y") == {"a"}


def test_what_is_not_whole_is_made_again(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.mkdir()
    make_once(target, lambda f: (f / "a").touch(), is_whole=lambda f: (f / "a").exists())
    assert names(target) == {"a"}
    assert names(tmp_path) == {"x", "x.lock"}


def test_a_failed_making_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "a").touch()
        raise ValueError

    with pytest.raises(ValueError):
        make_once(tmp_path / "x", fail)
    assert names(tmp_path) == {"x.lock"}


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from catdog.core.files import make_once\n"
        "def make(folder):\n"
        "    (folder / 'half').touch(); print('begun', flush=True); time.sleep(60)\n"
        "make_once(Path(sys.argv[1]), make)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        os.kill(process.pid, signal.SIGKILL)
    assert names(tmp_path) == {"x.partial", "x.lock"}
    make_once(tmp_path / "x", lambda folder: (folder / "whole").touch())
    assert names(tmp_path / "x") == {"whole"} and names(tmp_path) == {"x", "x.lock"}
