"""A set of patches: a table with a row for each, and a reader of their pixels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.data.types import CLASS_NAMES, IndexArray, PixelReader, Skipped, UInt8Array
from sentinode.errors import DataError

COLUMNS = ("id", "label", "split", "slide", "patient", "centre", "x", "y")


@dataclass(frozen=True)
class PatchSet:
    """Patches with what is known of each.

    Attributes
    ----------
    kind
        What the source was recognised as, in words.
    path
        The source as it was named.
    table
        One row a patch, in the source's order: ``id`` (path or index inside the source), ``label``
        (``Int8``: 1 tumour, 0 normal, ``<NA>`` unknown), ``split``, ``slide``, ``patient``, ``centre``
        (texts, missing where unknown), ``x``, ``y`` (position on the slide in level-0 px as the source
        states it; missing where unknown), and, once cached, ``sha1`` (of the raw RGB bytes, hexadecimal:
        Kaggle's patch id).
    pixels
        Reads the source's rows.
    rows
        For each row of `table`, its row in `pixels`.
    notes
        Remarks made while opening, one sentence each: what was left out, corrected or doubtful.
    skip_bad
        Whether `cached` and `readable` leave out a patch that cannot be read, rather than refuse it.
    skipped
        The patches that were left out so far.
    """

    kind: str
    path: str
    table: pd.DataFrame
    pixels: PixelReader
    rows: IndexArray
    notes: tuple[str, ...] = field(default=())
    skip_bad: bool = False
    skipped: tuple[Skipped, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"<PatchSet {self.describe()}>"

    def read(self, rows: Sequence[int] | NDArray[np.integer[Any]] | slice | None = None) -> UInt8Array:
        """Read pixels.

        Parameters
        ----------
        rows
            Positions in `table`, in any order, or a slice; all patches when left out.

        Returns
        -------
        numpy.ndarray
            uint8 RGB, shape ``(n, 96, 96, 3)``.

        Raises
        ------
        DataError
            A patch cannot be read or has the wrong size.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> open_patches("pcam-mini", split="test").read([0, 1]).shape
        (2, 96, 96, 3)
        """
        wanted = self.rows if rows is None else self.rows[rows]
        return self.pixels.read(np.asarray(wanted, dtype=np.int64))

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels as integers, shape ``(n,)``: 1 tumour, 0 normal.

        Raises
        ------
        DataError
            A patch has no label; the message names the first one.
        """
        unknown = self.table["label"].isna()
        if unknown.any():
            first = self.table["id"][unknown].iloc[0]
            raise DataError(
                f"{self.path}: {int(unknown.sum()):,} of {len(self):,} patches have no label, the first is {first!r}; "
                "labels come from folders named 0 and 1, from train_labels.csv, or from a _y.h5 file"
            )
        return self.table["label"].to_numpy(dtype=np.int64)

    @property
    def split_names(self) -> list[str]:
        """Names of the splits present, in the order train, valid, test, then others."""
        present = list(dict.fromkeys(self.table["split"].dropna()))
        usual = [name for name in ("train", "valid", "test") if name in present]
        return usual + [name for name in present if name not in usual]

    def split(self, name: str) -> "PatchSet":
        """Return the patches of one split.

        Raises
        ------
        DataError
            There is no such split; the message lists those that there are.
        """
        chosen = np.flatnonzero((self.table["split"] == name).to_numpy(dtype=bool))
        if len(chosen) == 0:
            there = ", ".join(self.split_names) or "none: the source has no splits"
            raise DataError(f"{self.path}: there is no split {name!r} (splits here: {there}); name one of these")
        return self.select(chosen)

    def select(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> "PatchSet":
        """Return the patches at these positions, in this order."""
        positions = np.asarray(rows, dtype=np.int64)
        table = self.table.iloc[positions].reset_index(drop=True)
        return replace(self, table=table, rows=self.rows[positions])

    def cached(self, folder: str | Path | None = None) -> "PatchSet":
        """Decode every patch once into a memory-mapped file, and read from there from now on.

        Parameters
        ----------
        folder
            Where caches live; the user's cache folder, or ``$SENTINODE_CACHE``, when left out.

        Returns
        -------
        PatchSet
            The same patches, with ``sha1`` in the table.

        Raises
        ------
        DataError
            A patch cannot be read (with `skip_bad`: none can), or the disk has no room.
        """
        from sentinode.data.cache.store import cached

        return cached(self, folder)

    def readable(self) -> "PatchSet":
        """Return the patches that can be read: all of them, unless `skip_bad` allows to leave some out.

        Raises
        ------
        DataError
            None can be read.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> patches = open_patches("pcam-mini", split="test", skip_bad=True)
        >>> len(patches.readable()), patches.readable().skipped
        (400, ())
        """
        if not self.skip_bad or "sha1" in self.table:
            return self
        reasons: dict[int, str] = {}
        for row in range(len(self)):
            try:
                self.read([row])
            except DataError as error:
                reasons[row] = str(error)
        return self.without(reasons)

    def without(self, reasons: Mapping[int, str]) -> "PatchSet":
        """Return the other patches, and remember why those at these positions were left out.

        Raises
        ------
        DataError
            No other is there.
        """
        if not reasons:
            return self
        left = np.setdiff1d(np.arange(len(self)), list(reasons))
        if len(left) == 0:
            raise DataError(
                f"{self.path}: none of {len(self):,} patches can be read; the first: {next(iter(reasons.values()))}"
            )
        ids = self.table["id"]
        new = tuple(Skipped(ids.iloc[row], reason) for row, reason in reasons.items())
        return replace(self.select(left), skipped=(*self.skipped, *new))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over labels and pixel hashes in order: what a network could learn from.

        The same patches in the same order give the same fingerprint wherever they lie and in whatever format.

        Raises
        ------
        DataError
            The set is not cached, so its pixels are not known yet.
        """
        if "sha1" not in self.table:
            raise DataError(f"{self.path}: the fingerprint needs the pixels; call .cached() first")
        labels = self.table["label"].astype("string").fillna("?")
        text = "\n".join(labels + " " + self.table["sha1"].astype("string"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def counts(self) -> pd.DataFrame:
        """Return how many patches each split has of each class.

        Returns
        -------
        pandas.DataFrame
            Index: split (``"-"`` where unknown); columns ``normal``, ``tumour``, ``unlabelled``.
        """
        split = self.table["split"].astype("string").fillna("-")
        label = self.table["label"].map({0: "normal", 1: "tumour"}).astype("string").fillna("unlabelled")
        counts = pd.crosstab(split, label).reindex(columns=[*CLASS_NAMES, "unlabelled"], fill_value=0)
        order = [name for name in [*self.split_names, "-"] if name in counts.index]
        return counts.reindex(order).rename_axis(index="split", columns=None)

    def describe(self) -> str:
        """Return one line that says what was recognised and how much of it there is."""
        parts = []
        for split, row in self.counts().iterrows():
            classes = " + ".join(f"{row[name]:,} {name}" for name in row.index if row[name])
            parts.append(classes if split == "-" else f"{split} {classes}")
        return f"{self.path}: {self.kind}; {len(self):,} patches ({'; '.join(parts)})"


def patch_table(
    ids: Sequence[str],
    labels: Sequence[int | None] | NDArray[np.integer[Any]] | None = None,
    split: Sequence[str | None] | str | None = None,
    **known: Any,
) -> pd.DataFrame:
    """Make the table of a `PatchSet`: every column there, unknown values missing.

    Parameters
    ----------
    ids
        One text a patch, each different.
    labels
        0, 1 or None for each patch; None for all when left out.
    split
        One name for all patches, or one for each.
    known
        Any of ``slide``, ``patient``, ``centre``, ``x``, ``y``: one value for each patch.

    Examples
    --------
    >>> patch_table(["a.png", "b.png"], [0, None], split="train")["label"].tolist()
    [0, <NA>]
    """
    # A name that is no text, such as that of a file from an old archive, could not be written into any table.
    texts = [text.encode("utf-8", "backslashreplace").decode("utf-8") for text in ids]
    table = pd.DataFrame({"id": pd.Series(texts, dtype="str")})
    table["label"] = pd.array([None] * len(table) if labels is None else list(labels), dtype="Int8")
    for name in ("split", "slide", "patient", "centre"):
        value: Any = split if name == "split" else known.get(name)
        table[name] = pd.Series(value, index=table.index, dtype="str")
    for name in ("x", "y"):
        value = known.get(name)
        table[name] = pd.array([None] * len(table) if value is None else list(value), dtype="Int64")
    return table
