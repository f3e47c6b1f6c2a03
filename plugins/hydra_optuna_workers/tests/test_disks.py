"""A disk that is full or cannot be written is one message, and costs a sweep no slot."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from optuna_workers.storage import disks
from sqlalchemy.exc import OperationalError

from tests.stage import Stage, check_whole


def full(place: str | None = None) -> OSError:
    return OSError(errno.ENOSPC, "No space left on device", place)


def wrapped(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def database(text: str) -> Exception:
    return wrapped(
        StorageInternalError("An exception is raised during the commit."),
        OperationalError("INSERT", {}, sqlite3.OperationalError(text)),
    )


@pytest.mark.parametrize(
    ("error", "said", "stops"),
    [
        (full("/s/a.csv"), "/s/a.csv: the disk is full (No space left on device, ", True),
        (full(), "a disk: the disk is full", True),
        (OSError("Unable to flush (errno = 28, No space left on device)"), "is full", True),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/s/x"), "/s/x: the disk is full", True),
        (OSError(errno.EROFS, "Read-only file system", "/s/x"), "/s/x: cannot be written", True),
        (PermissionError(errno.EACCES, "Permission denied", "/s/x"), "/s/x: cannot be", False),
        (wrapped(RuntimeError("the trial failed"), full("/s/x")), "/s/x: the disk is full", True),
        (database("database or disk is full"), "full", True),
        (database("attempt to write a readonly database"), "cannot be written", True),
        (database("disk I/O error"), "does not work", True),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/a']"),
         "no folder for temporary files can be written; make it writable, or name another place "
         "by TMPDIR=<folder>", True),
        (FileNotFoundError(errno.ENOENT, "No such file", "/s/x"), None, False),
        (ValueError("No space left on device, says a photo's name"), None, False),
        (database("no such table: trials"), None, False),
        (ZeroDivisionError(), None, False),
    ],
    ids=repr,
)  # fmt: skip
def test_what_a_disk_says_is_told(error: Exception, said: str | None, stops: bool) -> None:
    told = disks.trouble(error, {})
    assert told is None if said is None else said in str(told)
    assert "\n" not in (told or "")
    assert disks.is_everyones(error) is stops


def test_the_key_of_the_place_is_named(tmp_path: Path) -> None:
    places = {"deep": tmp_path / "a" / "b", "all": tmp_path, "none": "", "other": "/elsewhere"}
    told = disks.trouble(full(str(tmp_path / "a/b/c.bin")), places)
    assert f"deep={tmp_path}/a/b/c.bin: the disk is full" in str(told)
    assert "by deep=<folder>" in str(told)


def test_of_several_places_the_full_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "_free", lambda path: 4096 if path == tmp_path else 2**40)
    told = disks.trouble(full(), {"a": "/", "b": tmp_path / "not yet" / "there"})
    assert f"b={tmp_path}/not yet/there: the disk is full" in str(told)
    assert "4.1 kB are left" in str(told)


def test_a_full_disk_ends_a_sweep_without_a_failed_trial(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("x=1,2,3", "does=writes", "hydra.sweeper.study_name=s")
    monkeypatch.setenv("STUB_FILE", "/dev/full")
    told = stage.refused(*words)
    assert "the disk is full (No space left on device" in told
    assert "the same command goes on with s" in told
    monkeypatch.setenv("STUB_FILE", "/dev/null")
    stage.run(*words)
    check_whole(stage, 3)
