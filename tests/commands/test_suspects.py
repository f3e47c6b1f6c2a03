"""The command on photos with one wrong label and one near-duplicate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Lab, Run, ended, rows_of, succeeded
from PIL import Image


def paint(folder: Path) -> None:
    """Paint red cats and blue dogs, a red one among the dogs, and one dog twice."""
    rng = np.random.default_rng(0)
    names = {"cat": range(20), "dog": [*range(20), "moved"]}
    for label, numbers in names.items():
        (folder / label).mkdir(parents=True)
        for number in numbers:
            red = label == "cat" or number == "moved"
            coarse = rng.integers(0, 120, (6, 6, 3)) + np.array(
                [130, 0, 0] if red else [0, 0, 130]
            )
            photo = Image.fromarray(coarse.astype(np.uint8)).resize((96, 96), Image.BILINEAR)
            photo.save(folder / label / f"{number}.png")
    again = Image.open(folder / "dog/3.png")
    again.putpixel((9, 9), (0, 0, 0))  # 0.88 for random weights; others 0.79
    again.save(folder / "dog/again.png")


@pytest.fixture(scope="module")
def looked(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """What it logged and said."""
    folder = tmp_path_factory.mktemp("spoilt") / "photos"
    paint(folder)
    words = lab.overrides(
        data__path=folder,
        head="flatten_mlp",
        tracking__experiment="spoilt",
        features__dir=folder.parent / "cache",  # other tests count the rows of the lab's
    )
    said = succeeded(lab.command("suspects", *words, "--similarity=0.85"))
    import mlflow

    client = mlflow.MlflowClient(lab.uri)
    experiment = client.get_experiment_by_name("spoilt")
    (made,) = client.search_runs([experiment.experiment_id])
    return Run(client, made), said.out


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_moved_photo_is_a_suspect(looked: tuple[Run, str]) -> None:
    made, said = looked
    rows = rows_of(made.artifacts / "suspects/suspects.csv")
    (moved,) = [row for row in rows if row["path"] == "dog/moved.png"]
    assert (moved["label"], moved["suggested"]) == ("dog", "cat")
    assert float(moved["probability_of_label"]) < 0.5 < float(moved["probability_of_suggested"])
    assert len(rows) == made.metrics["suspects/count"] < 20
    assert "dog/moved.png" in said
    assert len(rows) <= made.metrics["suspects/estimate_high"]
    told = [made.metrics[f"suspects/estimate{end}"] for end in ("_low", "", "_high")]
    assert told == sorted(told) and f"About {told[1]:.0f} of 42 labels are wrong" in said
    accuracy = made.metrics["suspects/accuracy"]
    assert (
        made.metrics["suspects/accuracy_low"] < accuracy < made.metrics["suspects/accuracy_high"]
    )
    assert f"agree with {accuracy:.1%} of the labels" in said
    doubts = [float(row["probability_of_label"]) for row in rows]
    assert doubts == sorted(doubts)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_the_copy_is_found_with_its_splits(looked: tuple[Run, str]) -> None:
    made, _ = looked
    rows = rows_of(made.artifacts / "suspects/duplicates.csv")
    pairs = {frozenset((row["first"], row["second"])): row for row in rows}
    row = pairs[frozenset(("dog/3.png", "dog/again.png"))]
    assert float(row["similarity"]) > 0.85
    assert (row["straddles"] == "True") == (row["first_split"] != row["second_split"])
    assert made.metrics["duplicates/pairs"] == len(rows)
    straddling = sum(row["straddles"] == "True" for row in rows)
    assert made.metrics["duplicates/straddling"] == straddling


@pytest.mark.tensorflow
@pytest.mark.slow
def test_it_is_a_run_of_kind_evaluation_with_pictures(looked: tuple[Run, str]) -> None:
    made, said = looked
    assert made.status == "FINISHED" and made.tags["catdog.kind"] == "evaluation"
    assert " --similarity=0.85 " in made.tags["catdog.command"]
    for name in ("suspects.png", "duplicates.png"):
        assert Image.open(made.artifacts / "suspects" / name).size[0] > 500
    assert str(made.artifacts / "suspects") in said.replace("\n", "")


@pytest.mark.tensorflow
@pytest.mark.slow
def test_doubted_training_photos_are_dropped(
    lab: Lab, looked: tuple[Run, str], tmp_path: Path
) -> None:
    """The whole path: doubts of the training photos alone, a run without them."""
    folder = Path(looked[0].tags["catdog.command"].split("data.path=")[1].split()[0].strip("'"))
    common = lab.overrides(
        data__path=folder,
        features__dir=folder.parent / "cache",
        tracking__uri=f"sqlite:///{tmp_path}/mlflow.db",
    )
    said = succeeded(lab.command("suspects", *common, "--split=train")).out
    (file,) = tmp_path.rglob("suspects.csv")
    listed = rows_of(file)
    assert {row["split"] for row in listed} == {"train"}, said
    surest = max(float(row["probability_of_suggested"]) for row in listed)
    taken = {r["sha256"] for r in listed if float(r["probability_of_suggested"]) == surest}
    assert len(taken) < len(listed)
    words = (f"data.drop={file}", f"data.drop_above={surest}")
    said = succeeded(lab.start("without", *common, *words)).err
    assert f"Left {len(taken)} photos of {file} out of training" in said.replace("\n", "")
    (manifest,) = tmp_path.rglob("manifest.csv")
    dropped = {row["sha256"] for row in rows_of(manifest) if row["split"] == "dropped"}
    assert dropped == taken


@pytest.mark.parametrize("words", [["--similarity=1.5"], ["--similarity=x"], ["--split=val"]])
def test_a_bad_value_is_refused(lab: Lab, words: list[str], tmp_path: Path) -> None:
    said = ended(lab.command("suspects", *words))
    assert said.status == 2
    assert f"argument {words[0].partition('=')[0]}: " in said.err and "Traceback" not in said.err
