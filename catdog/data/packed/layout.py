"""Where the files of an archive are unpacked, if it declares no more than is allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from rich.filesize import decimal

from catdog.core import listing
from catdog.data.packed import members
from catdog.data.packed.members import Archive, Member
from catdog.errors import DataError

MOST_BYTES = 500 * 10**9
"""Largest size of what is unpacked: ImageNet has 160 GB."""

MOST_TIMES, ALWAYS_BYTES = 100, 10**9
"""Archives that declare more than so many times their own size are refused, since photos hardly
shrink in an archive; up to ``ALWAYS_BYTES`` they are not."""

DEEPEST = 3
"""Most archives that may be packed in one another."""


@dataclass
class Budget:
    """How much an archive and those inside it may declare together.

    Attributes:
        own: Bytes of the outermost archive.
        declared: Bytes that were declared so far.
    """

    own: int
    declared: int = 0

    def spend(self, shown: Path, count: int, needed: int) -> None:
        """Count the files of one archive.

        Args:
            shown: The archive.
            count: Number of its files.
            needed: Their bytes.

        Raises:
            DataError: it is more than is allowed.
        """
        self.declared += needed
        if self.declared <= min(max(ALWAYS_BYTES, MOST_TIMES * self.own), MOST_BYTES):
            return
        files = f"{counted(count)} would take {decimal(needed)}"
        beside = f" ({decimal(self.declared)} with its archives)" * (self.declared > needed)
        raise DataError(
            shown,
            f"{files}{beside}, and it has {decimal(self.own)}: at most {MOST_TIMES} times as "
            f"much, and {decimal(MOST_BYTES)}, is unpacked",
            "If you trust it, unpack it by hand and name the folder",
        )


def counted(files: int) -> str:
    """Return how many files an archive has, as messages begin.

    Example:
        >>> counted(1), counted(2000)
        ('its 1 file', 'its 2,000 files')
    """
    return f"its {files:,} file{'s' * (files != 1)}"


class Place(NamedTuple):
    """Where a file of an archive is unpacked.

    Attributes:
        name: Its path below the folder.
        inner: If it is an archive itself, the folder for its files; empty for the same folder.
    """

    name: str
    inner: str | None = None


class Level:
    """An open archive and where its files are unpacked.

    Args:
        archive: The archive.
        shown: Its name in messages.
        budget: Counts what it declares.
        depth: 1 for the outermost archive, 2 for those inside it.
        only_train: Of several archives inside take the one named ``train`` only.

    Raises:
        DataError: it is damaged, has an entry that would land outside of its folder, declares too
            much, or lies too deep.
    """

    def __init__(
        self,
        archive: Archive,
        shown: Path,
        budget: Budget,
        *,
        depth: int = 1,
        only_train: bool = False,
    ) -> None:
        if depth > DEEPEST:
            raise DataError(shown, f"more than {DEEPEST} archives in one another", "Unpack it")
        self.archive, self.shown, self.depth = archive, shown, depth
        files: dict[str, tuple[int, int]] = {}
        needed = 0
        for index, member in self._members():
            name = _inside(shown, member)
            if not member.is_folder and name != listing.NAME:
                files[name] = index, member.size  # of those with the same name the last counts
                needed += member.size
            if not archive.has_table:  # before more of it is read
                Budget(budget.own, budget.declared).spend(shown, len(files), needed)
        self.needed = sum(size for _, size in files.values())
        budget.spend(shown, len(files), self.needed)
        inner = _inner(files, only_train=only_train)
        taken = inner if only_train and "" in inner.values() else files
        self.places = {files[name][0]: Place(name, inner.get(name)) for name in taken}

    def wanted(self) -> Iterator[tuple[Place, Member]]:
        """Yield the files that are unpacked, in the archive's order.

        Raises:
            DataError: the archive is damaged.
        """
        for index, member in self._members():
            if index in self.places:
                yield self.places[index], member

    def _members(self) -> Iterator[tuple[int, Member]]:
        at = ""
        try:
            for index, member in enumerate(self.archive.members()):
                at = member.name
                yield index, member
        except members.UNREADABLE as error:
            raise damaged(self.shown, at, error) from None


def damaged(shown: Path, entry: str, error: Exception) -> DataError:
    """Return the error for an entry that cannot be read."""
    return DataError(shown, f"entry {entry} cannot be read ({error})", "Download it again")


def _inside(shown: Path, entry: Member) -> str:
    """Return where an entry is unpacked, below the folder."""
    # zipfile would drop the dots without a word; an archive with such names cannot be trusted
    name = PureWindowsPath(entry.name)  # understands both kinds of slashes, and drives
    parts = [part for part in entry.name.split("/") if part not in ("", ".")]
    why = "" if entry.is_plain else "is a link or a device"
    if name.anchor or ".." in name.parts or not (parts or entry.is_folder):
        why = "would land outside its folder"
    if why:
        raise DataError(
            shown,
            f"entry {entry.name!r} {why}; nothing was unpacked",
            "Use an archive from a source you trust, or unpack it by hand and name the folder",
        )
    return "/".join(parts)


def _inner(files: Mapping[str, object], *, only_train: bool) -> dict[str, str]:
    """Return the folder of each archive among the files.

    >>> _inner({"train.zip": 0, "test.tar.gz": 0, "a/b.jpg": 0}, only_train=False)
    {'train.zip': 'train', 'test.tar.gz': 'test'}
    >>> _inner({"x/train.zip": 0, "x/test1.zip": 0}, only_train=True)
    {'x/train.zip': ''}
    """
    stems = {
        name: stem for name in files
        if (stem := members.without_ending(name)) and not _is_hidden(name)
    }  # fmt: skip
    trains = [name for name, stem in stems.items() if stem.rpartition("/")[2] == "train"]
    if only_train and trains:
        return {trains[0]: ""}
    if len(stems) == len(files) == 1:
        return dict.fromkeys(stems, "")
    if not stems:
        return {}
    taken = {*files, *(folder for name in files for folder in _folders(name))}
    twice = [stem for stem, count in Counter(stems.values()).items() if count > 1]
    return {
        name: f"{name} unpacked" if stem in taken or stem in twice else stem
        for name, stem in stems.items()
    }


def _folders(name: str) -> list[str]:
    return [str(folder) for folder in PurePosixPath(name).parents]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
