"""The groups ``data`` and ``augment``: which photos, how they are split, how they vary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from catdog.settings.validation import Group, number, one_of


@dataclass(frozen=True)
class Data(Group):
    """Which photos are used and how they are split into train, validation and test.

    Example:
        >>> Data(name="folder", path="photos").test_fraction
        0.1
        >>> Data(val_fraction=0.6, test_fraction=0.5)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        catdog.errors.ConfigError: data.val_fraction=0.6: with data.test_fraction=0.5 no photo ...
    """

    key: ClassVar[str] = "data"

    name: str = one_of("demo", "folder", "kaggle", "tfds")
    """Where the photos come from: drawn demo photos, class folders, Kaggle's dogs-vs-cats files or
    cats_vs_dogs of tensorflow-datasets."""

    path: str | None = None
    """Folder, zip or tar with the photos, required by data=folder and data=kaggle; for data=tfds
    the data_dir of tensorflow-datasets."""

    val_fraction: float = number(0.1, above=0, below=1)
    """Fraction of each class held out for validation, where the photos have no validation folder
    of their own."""

    test_fraction: float = number(0.1, above=0, below=1)
    """Fraction of each class held out for testing, where the photos have no test folder of their
    own."""

    split_seed: int = number(0, minimum=0)
    """Seed of the split, which assigns each photo by a hash of this seed and its content."""

    limit: int | None = number(None, minimum=3)
    """Largest number of photos per class, for a quick look; all photos if unset."""

    on_bad_image: str = one_of("skip", "raise")
    """Whether a photo that cannot be read is skipped and listed in data/skipped.csv, or is an
    error."""

    duplicates: str = one_of("group", "raise")
    """Whether byte-identical photos are kept on the same side of the split, or are an error."""

    classes: list[str] | None = None
    """Names of the classes in the order of the model's outputs; all classes, sorted, if unset."""

    drop: str | None = None
    """Table of photos to leave out of training, such as suspects.csv of catdog.suspects; none are
    left out if unset."""

    drop_above: float = number(0.0, minimum=0, maximum=1)
    """Of the table in data.drop, leave out only photos whose suggested class is at least this
    probable; 0 leaves out all of them."""

    def check(self) -> None:
        """Reject a missing path and fractions that leave nothing to train on."""
        if self.name in ("folder", "kaggle") and not self.path:
            hint = " (get it with `kaggle competitions download -c dogs-vs-cats`)"
            raise self.error(
                "path",
                f"data={self.name} needs the folder or archive with the photos"
                + (hint if self.name == "kaggle" else ""),
                "data.path=<folder or archive>",
            )
        if self.val_fraction + self.test_fraction >= 1:
            raise self.error(
                "val_fraction",
                f"with data.test_fraction={self.test_fraction} no photo is left for training",
                "data.val_fraction=0.1 data.test_fraction=0.1",
            )
        if self.classes is not None and len(set(self.classes)) < max(2, len(self.classes)):
            raise self.error("classes", "expected two or more different class names")


@dataclass(frozen=True)
class Augment(Group):
    """Random variants (views) of the training photos, which are stored like the photos themselves.

    Example:
        >>> Augment(name="light", views=4).views
        4
    """

    key: ClassVar[str] = "augment"

    name: str = one_of("none", "flip", "light", "strong")
    """How training photos vary: not at all, mirrored, or mirrored, cropped and changed in colour a
    little (light) or a lot (strong)."""

    views: int = number(1, minimum=1, maximum=64)
    """Stored views per training photo, of which each epoch draws one; exactly 1 for augment=none
    and 2 for augment=flip."""

    def check(self) -> None:
        """Reject numbers of views that contradict the policy."""
        fixed = {"none": 1, "flip": 2}.get(self.name)
        if fixed is not None and self.views != fixed:
            raise self.error(
                "views",
                f"augment={self.name} has exactly {fixed}",
                f"augment={self.name} augment.views={fixed}",
            )
