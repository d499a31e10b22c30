"""A set of patches: a table with one row per patch, and a reader of the pixels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sentinode.data.cache.patches import PatchSource, cache_patches
from sentinode.data.pixels import ConcatPixels
from sentinode.data.types import (
    CLASS_NAMES,
    DEFAULT_OPTIONS,
    EXPECTED_SHA1,
    IndexArray,
    PixelReader,
    ReadOptions,
    Skipped,
    UInt8Array,
)
from sentinode.errors import ConfigError, DataError, plural
from sentinode.notebook import summary_html

COLUMNS = ("id", "label", "split", "slide", "patient", "centre", "x", "y")


@dataclass(frozen=True)
class PatchSet:
    """A set of patches with their metadata.

    Attributes
    ----------
    kind : str
        Format that the source was recognized as, such as ``"class folders in a zip"``.
    path : str
        The source, as it was given.
    table : DataFrame
        One row per patch, in the order of the source. Columns: ``id`` (path or row number inside the source),
        ``label`` (``Int8``: 1 tumour, 0 normal, ``<NA>`` unknown), ``split``, ``slide``, ``patient``, ``centre``
        (text, missing where unknown), ``x`` and ``y`` (position on the slide in level-0 px, as the source states it)
        and, once cached, ``sha1`` (of the raw RGB bytes, hexadecimal; it is the patch id that Kaggle uses).
    pixels : PixelReader
        Reader of the source.
    rows : ndarray of int64, shape (n,)
        Row of `pixels` for each row of `table`.
    notes : tuple of str
        Remarks about the source, one sentence each: what was left out, corrected or is doubtful.
    skip_bad : bool
        Whether `cached` and `readable` leave out a patch that cannot be read; otherwise it is an error.
    skipped : tuple of Skipped
        Patches that were left out so far.
    options : ReadOptions
        Options that the source was opened with.
    metadata_csv : str
        Csv with metadata that was given besides the source.
    listed : bool
        Whether the patches are image files that were listed one by one, so that ids are paths.
    label_hint : str
        Why patches have no label, where the source suggests a reason.
    """

    kind: str
    path: str
    table: pd.DataFrame
    pixels: PixelReader
    rows: IndexArray
    notes: tuple[str, ...] = field(default=())
    skip_bad: bool = False
    skipped: tuple[Skipped, ...] = field(default=())
    options: ReadOptions = DEFAULT_OPTIONS
    metadata_csv: str = ""
    listed: bool = False
    label_hint: str = ""

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"<PatchSet {self.describe()}>"

    def _repr_html_(self) -> str:
        rows = {"source": self.path, "format": self.kind, "patches": f"{len(self):,}"}
        if self.skipped:
            rows["skipped"] = f"{len(self.skipped):,}"
        return summary_html("PatchSet", rows, self.counts())

    def read(self, rows: ArrayLike | slice | None = None) -> UInt8Array:
        """Read pixels.

        Parameters
        ----------
        rows : sequence of int, ndarray of int, mask or slice, optional
            Positions in `table`, in any order; all patches by default. A mask has a bool for each patch.

        Returns
        -------
        ndarray of uint8, shape (n, 96, 96, 3)
            RGB pixels.

        Raises
        ------
        DataError
            A patch cannot be read or has the wrong size, or `rows` are no positions.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> open_patches("pcam-mini", split="test").read([0, 1]).shape
        (2, 96, 96, 3)
        """
        if rows is None or isinstance(rows, slice):
            wanted = self.rows[rows or slice(None)]
        else:
            wanted = self.rows[self._positions(rows)]
        return self.pixels.read(np.asarray(wanted, dtype=np.int64))

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels as int64, shape ``(n,)``: 1 tumour, 0 normal.

        Raises
        ------
        DataError
            A patch has no label; the message names the first one.
        """
        unknown = self.table["label"].isna()
        if unknown.any():
            first = self.table["id"][unknown].iloc[0]
            remedy = self.label_hint or (
                "labels come from class folders (0 and 1, normal and tumour), from a csv column label, from Kaggle's "
                "train_labels.csv, or from y beside the pixels (HDF5, NumPy)"
            )
            raise DataError(
                f"{self.path}: no label for {int(unknown.sum()):,} of {plural(len(self), 'patch')}, the first is "
                f"{first!r}; {remedy}"
            )
        return self.table["label"].to_numpy(dtype=np.int64)

    @property
    def split_names(self) -> list[str]:
        """Names of the splits, in the order train, valid, test, then others."""
        present = list(dict.fromkeys(self.table["split"].dropna()))
        usual = [name for name in ("train", "valid", "test") if name in present]
        return usual + [name for name in present if name not in usual]

    def split(self, name: str) -> "PatchSet":
        """Return the patches of one split.

        Parameters
        ----------
        name : str
            Name of the split, such as ``"train"``.

        Returns
        -------
        PatchSet
            Its patches.

        Raises
        ------
        DataError
            There is no such split; the message lists the existing ones.
        """
        positions = np.flatnonzero((self.table["split"] == name).to_numpy(dtype=bool))
        if len(positions) == 0:
            existing = ", ".join(self.split_names) or "none"
            raise DataError(f"{self.path}: there is no split {name!r} (splits: {existing}); use one of these")
        return self.select(positions)

    def select(self, rows: ArrayLike) -> "PatchSet":
        """Return the patches at these positions, in this order.

        Parameters
        ----------
        rows : array-like of int, shape (n,), or of bool, shape (len(self),)
            Positions in `table`, or a mask with a bool for each patch.

        Returns
        -------
        PatchSet
            The selected patches.

        Raises
        ------
        DataError
            `rows` are neither, or a position is out of range.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> patches = open_patches("pcam-mini", split="test")
        >>> len(patches.select(patches.table["label"] == 1))
        200
        """
        positions = self._positions(rows)
        table = self.table.iloc[positions].reset_index(drop=True)
        return replace(self, table=table, rows=self.rows[positions])

    def _positions(self, rows: ArrayLike) -> NDArray[np.int64]:
        """Return positions in `table`, also for a mask."""
        array = np.asarray(rows)
        if array.dtype == bool and array.shape == (len(self),):
            return np.flatnonzero(array).astype(np.int64)
        if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
            raise DataError(
                f"{self.path}: rows of shape {array.shape} and type {array.dtype}; use a list of positions, or a mask "
                f"of {len(self)} bools"
            )
        if array.size and not -len(self) <= array.min() <= array.max() < len(self):
            outside = int(array.max() if array.max() >= len(self) else array.min())
            raise DataError(f"{self.path}: there is no patch at position {outside}; it has {len(self)}")
        return array.astype(np.int64)

    def cached(self, folder: str | Path | None = None) -> "PatchSet":
        """Decode all patches once into a memory-mapped file, and read from it from now on.

        Each split is a cache entry of its own, so that opening all splits and opening one decode nothing twice.

        Parameters
        ----------
        folder : str or Path, optional
            Cache folder; ``$SENTINODE_CACHE`` or the cache folder of the user by default.

        Returns
        -------
        PatchSet
            The same patches, with the column ``sha1``.

        Raises
        ------
        DataError
            A patch cannot be read (with `skip_bad`: none can be read), the disk has too little space, or pixels differ
            from the SHA-1 values that a table states.
        """
        if "sha1" in self.table:
            return self
        if len(self) == 0:
            raise DataError(f"{self.path}: no patches to decode")
        split_numbers, _ = pd.factorize(self.table["split"], use_na_sentinel=False)
        positions = [np.flatnonzero(split_numbers == number) for number in range(split_numbers.max() + 1)]
        parts = [
            cache_patches(PatchSource(self.path, self.kind, self.pixels, self.rows[each], self.skip_bad), folder)
            for each in positions
        ]
        order = np.concatenate(positions)
        table = self.table.copy()
        table["sha1"] = pd.Series([sha1 for part in parts for sha1 in part.sha1], index=order, dtype="str")
        errors = {
            int(each[row]): error
            for each, part in zip(positions, parts, strict=True)
            for row, error in part.errors.items()
        }
        pixels = (
            parts[0].pixels
            if len(parts) == 1
            else ConcatPixels([(part.pixels, np.arange(len(part.sha1))) for part in parts])
        )
        cached = replace(self, table=table, pixels=pixels, rows=np.argsort(order, kind="stable"))
        return cached.without(errors)._compare_sha1()

    def _compare_sha1(self) -> "PatchSet":
        """Compare the SHA-1 values that a table states with those of the pixels, and drop the stated ones."""
        if EXPECTED_SHA1 not in self.table:
            return self
        expected = self.table[EXPECTED_SHA1]
        wrong = np.flatnonzero(expected.notna() & (expected != "") & (expected != self.table["sha1"]))
        if len(wrong):
            raise DataError(
                f"{self.path}: the pixels of {plural(len(wrong), 'patch')} differ from those recorded in the table "
                f"(SHA-1), first {self.table['id'].iloc[wrong[0]]!r}; recreate the table, or open it with the same "
                "options (such as --resize)"
            )
        return replace(self, table=self.table.drop(columns=EXPECTED_SHA1))

    def readable(self) -> "PatchSet":
        """Return the patches that can be read: all of them, unless `skip_bad` is set.

        Returns
        -------
        PatchSet
            Without the patches that cannot be read; they are listed in its `skipped`.

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
        source = PatchSource(self.path, self.kind, self.pixels, self.rows, skip_bad=True)
        return self.without(source.errors_of(list(range(len(self)))))

    def without(self, errors: Mapping[int, str]) -> "PatchSet":
        """Return the set without some patches, and add these to `skipped`.

        Parameters
        ----------
        errors : mapping of int to str
            Positions of patches to leave out, with the reasons.

        Returns
        -------
        PatchSet
            The other patches.

        Raises
        ------
        DataError
            No patch is left.
        """
        if not errors:
            return self
        left = np.setdiff1d(np.arange(len(self)), list(errors))
        if len(left) == 0:
            first = next(iter(errors.values()))
            raise DataError(f"{self.path}: none of {plural(len(self), 'patch')} can be read; the first error: {first}")
        ids = self.table["id"]
        skipped = tuple(Skipped(ids.iloc[row], reason) for row, reason in errors.items())
        return replace(self.select(left), skipped=(*self.skipped, *skipped))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over labels and pixels, in order.

        The same patches with the same labels in the same order have the same fingerprint, whatever their place and
        format.

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

    @property
    def groups_fingerprint(self) -> str:
        """SHA-256 over center, patient and slide of all patches, in order."""
        known = self.table[["centre", "patient", "slide"]].astype("string")
        return hashlib.sha256(known.to_json(orient="values").encode()).hexdigest()

    def to_arguments(self) -> list[str]:
        """Return the arguments with which a command opens the set: DATA, ``--table`` and the options of reading.

        Examples
        --------
        >>> from sentinode import open_patches
        >>> open_patches("pcam-mini", gray="rgb").to_arguments()
        ['pcam-mini', '--gray', 'rgb']
        """
        table = ["--table", self.metadata_csv] if self.metadata_csv else []
        return [self.path.removesuffix(f" with {self.metadata_csv}"), *table, *self.options.to_arguments()]

    def skipped_json(self) -> dict[str, list[dict[str, str]]]:
        """Return the skipped patches as an entry of a JSON file; empty if there are none."""
        return {"skipped": [vars(each) for each in self.skipped]} if self.skipped else {}

    def counts(self) -> pd.DataFrame:
        """Count the patches of each split and class.

        Returns
        -------
        DataFrame
            Index: split (``"-"`` where unknown); columns ``normal``, ``tumour``, ``unlabeled``.
        """
        split = self.table["split"].astype("string").fillna("-")
        label = self.table["label"].map({0: "normal", 1: "tumour"}).astype("string").fillna("unlabeled")
        counts = pd.crosstab(split, label).reindex(columns=[*CLASS_NAMES, "unlabeled"], fill_value=0)
        order = [name for name in dict.fromkeys([*self.split_names, "-"]) if name in counts.index]
        return counts.reindex(order).rename_axis(index="split", columns=None)

    def describe(self) -> str:
        """Return one line with path, format and counts.

        Returns
        -------
        str
            Such as ``"data: class folders; 40 patches (train 20 normal + 20 tumour)"``.
        """
        parts = []
        for split, row in self.counts().iterrows():
            classes = " + ".join(f"{row[name]:,} {name}" for name in row.index if row[name])
            parts.append(classes if split == "-" else f"{split} {classes}")
        return f"{self.path}: {self.kind}; {plural(len(self), 'patch')} ({'; '.join(parts)})"


def check_patches(patches: object) -> None:
    """Check that an argument is a `PatchSet`.

    Parameters
    ----------
    patches : object
        The argument.

    Raises
    ------
    ConfigError
        It is something else, such as a path or an array.
    """
    if not isinstance(patches, PatchSet):
        raise ConfigError(
            f"patches must be a PatchSet; got {type(patches).__name__}: open_patches(PATH) opens files and folders, "
            "also a .npz with arrays x and y; only `predict` accepts arrays"
        )


def patch_table(
    ids: Sequence[str],
    labels: Sequence[int | None] | NDArray[np.integer[Any]] | None = None,
    split: Sequence[str | None] | str | None = None,
    **metadata: Any,
) -> pd.DataFrame:
    """Make the table of a `PatchSet`, with missing values where something is unknown.

    Parameters
    ----------
    ids : sequence of str
        Unique identifiers.
    labels : sequence or ndarray of {0, 1, None}, shape (n,), optional
        Labels; all unknown by default.
    split : str or sequence of str, optional
        One name for all patches, or one for each.
    **metadata
        Any of ``slide``, ``patient``, ``centre``, ``x``, ``y``: one value for each patch.

    Returns
    -------
    DataFrame
        The columns of `PatchSet.table`.

    Examples
    --------
    >>> patch_table(["a.png", "b.png"], [0, None], split="train")["label"].tolist()
    [0, <NA>]
    """
    # File names of old archives may hold bytes that are no text and could not be written to any table.
    texts = [text.encode("utf-8", "backslashreplace").decode("utf-8") for text in ids]
    table = pd.DataFrame({"id": pd.Series(texts, dtype="str")})
    table["label"] = pd.array([None] * len(table) if labels is None else list(labels), dtype="Int8")
    for name in ("split", "slide", "patient", "centre"):
        value: Any = split if name == "split" else metadata.get(name)
        table[name] = pd.Series(value, index=table.index, dtype="str")
    for name in ("x", "y"):
        value = metadata.get(name)
        table[name] = pd.array([None] * len(table) if value is None else list(value), dtype="Int64")
    return table
