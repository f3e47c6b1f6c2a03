"""No spreadsheet runs a cell, and every table is read back as it was."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catdog.core import tables
from catdog.core.files import write_csv
from catdog.data import exclusions
from catdog.data.manifest import Manifest, Photo
from catdog.errors import DataError
from catdog.inference import writers
from catdog.tracking import Tracker, past_run

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.builds("{}{}".format, st.text("'=+-@ \t\r\n＝0.e", min_size=1), st.text(max_size=3)),
)
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")


@given(texts)
def test_a_cell_comes_back_and_starts_no_formula(text: str) -> None:
    written = tables.cell(text)
    assert isinstance(written, str) and tables.text(written) == text
    try:
        float(text)
    except ValueError:
        assert not FORMULA.match(written) or text[0] in "\v\f\x1c\x1d\x1e\x1f\x85\xa0\u2003\u3000"


@given(st.lists(st.tuples(texts, texts, st.integers()), min_size=1), texts)
def test_a_table_comes_back(rows: list, column: str) -> None:
    out = io.StringIO(newline="")
    names = [f"{column}a", "b", "c"]
    tables.write_rows(out, [names, *rows])
    back = tables.read_rows(out.getvalue())
    assert [list(row.values()) for row in back] == [[a, b, str(c)] for a, b, c in rows]
    assert list(back[0]) == names


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    row = (-0.5, -3, "-1e-05", "+2", "-inf", "-x", True, None)
    write_csv(tmp_path / "a.csv", "abcdefgh", [row])
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "-0.5,-3,-1e-05,+2,-inf,'-x,True,"


NAMES = ["=1+1.jpg", "=HYPERLINK(\"http://x\",\"y\").jpg", "+cmd|' /C calc'!A0.jpg", "-2+3.jpg",
         "@SUM(1).jpg", "\tx.jpg", "\rx.jpg", "\n=x.jpg", "'=x.jpg", "''@.jpg", "'tis.jpg",
         " =1.jpg", "a,b.jpg", 'a"b.jpg', "-.jpg", "−1.jpg", "＝1.jpg",
         "x\x1b[31m.jpg"]  # fmt: skip


def test_names_come_back_from_manifest_and_predictions(tracker: Tracker) -> None:
    photos = tuple(Photo(n, n, k % 2, "test", 1, f"sha{k}") for k, n in enumerate(NAMES))
    manifest = Manifest(Path("/photos"), ("=cat", "-dog"), photos, (("=bad.jpg", "@broken"),))
    run = tracker.create("names", {})
    from catdog.evaluation.metrics import write_predictions

    with run.folder("data") as place:
        manifest.write(place)
    with run.folder("evaluation") as place:
        labels = np.array([photo.label for photo in photos])
        values = np.eye(2, dtype="float32")[labels]
        write_predictions(place / "predictions.csv", NAMES, manifest.classes, labels, values)
        for file in (place / "predictions.csv", place.parent / "data" / "manifest.csv"):
            with file.open(newline="") as held:
                for row in csv.reader(held):
                    assert not [cell for cell in row if FORMULA.match(cell)]
    found = past_run.test_predictions(run)
    assert found.labels == {p.sha256: manifest.classes[p.label] for p in photos}
    assert found.predicted == found.labels


def test_names_come_back_from_what_predict_writes() -> None:
    out = io.StringIO(newline="")
    rows = [(name, np.array([0.25, 0.75], "float32")) for name in NAMES]
    writers.as_csv(out, ("=cat", "dog"), rows)
    back = tables.read_rows(out.getvalue())
    assert [row["path"] for row in back] == NAMES
    assert back[0] == {"path": NAMES[0], "class": "dog", "probability": "0.75",
                       "=cat": "0.25", "dog": "0.75"}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_suspects_are_dropped_whatever_they_are_called(name: str, tmp_path: Path) -> None:
    file = tmp_path / "suspects.csv"
    columns = ("path", "probability_of_suggested", "sha256")
    write_csv(file, columns, [(name, 0.9, "aa"), (name, 0.1, "bb")])
    assert exclusions.read(file, 0.5) == {"aa"}


@pytest.mark.parametrize(
    ("content", "why"),
    [("sha256\n" + "a" * (2 << 20), "field larger"), ("sha256\n\xff", "no text"),
     ('sha256\n"', ""), ("", ""), ("\n\n", "")],
    ids=["long", "bytes", "open", "empty", "blank"],
)  # fmt: skip
def test_a_table_that_is_none_is_one_message(content: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "suspects.csv"
    file.write_bytes(content.encode("latin-1"))
    if not why:
        assert exclusions.read(file, 0) <= {""}
        return
    with pytest.raises(DataError, match=why):
        exclusions.read(file, 0)


def test_what_an_earlier_version_wrote_is_read_as_it_stands() -> None:
    assert tables.read_rows("path,sha256\n=1+1.jpg,aa\n") == [{"path": "=1+1.jpg", "sha256": "aa"}]


@pytest.mark.parametrize(
    "classes",
    [("label", "bottle"), ("path", "class"), ("probability", "path (class)", "path"), ("a", "b")],
)
def test_a_class_may_be_called_as_a_column(tmp_path: Path, classes: tuple[str, ...]) -> None:
    """Earlier versions wrote two columns of one name, and the label was read as a number."""
    from catdog.evaluation.metrics import write_predictions
    from catdog.inference import writers

    values = np.eye(len(classes), dtype=np.float32) * 0.5 + 0.25
    labels = np.arange(len(classes))
    names = [f"{k}.jpg" for k in labels]
    write_predictions(tmp_path / "a.csv", names, classes, labels, values)
    rows = tables.read_rows((tmp_path / "a.csv").read_text())
    assert [row["path"] for row in rows] == names
    assert [row["label"] for row in rows] == [row["class"] for row in rows] == list(classes)
    assert all(len(row) == 4 + len(classes) for row in rows)
    out = io.StringIO()
    writers.as_csv(out, classes, zip(names, values, strict=True))
    rows = tables.read_rows(out.getvalue())
    assert [row["class"] for row in rows] == list(classes)
    assert [float(row["probability"]) for row in rows] == [0.75] * len(classes)


def test_predictions_of_an_earlier_version_are_read_rightly() -> None:
    old = "path,label,class,probability,bottle,label\na.jpg,label,bottle,0.75,0.75,0.25\n"
    (row,) = tables.read_rows(old)
    assert (row["label"], row["class"], row["bottle"]) == ("label", "bottle", "0.75")


def test_columns_stand_below_each_other_whatever_the_signs() -> None:
    out, names = io.StringIO(), ["猫.jpg", "cafe\u0301.jpg", "b.jpg"]
    rows = [(name, np.array([0.75, 0.25], np.float32)) for name in names]
    writers.table(out, ("猫と犬", "dog"), rows, max(map(tables.width, names)))
    ends = {tables.width(line[: line.rindex(" ")]) for line in out.getvalue().splitlines()}
    assert ends == {8 + 2 + 6 + 1}
