"""WebDataset: tar shards in which files of one name belong together, such as ``0001.jpg`` and ``0001.cls``."""

import json

import numpy as np

from sentinode.data.io.files import Files, image_names, without_image_ending
from sentinode.data.io.images import ImageFiles
from sentinode.data.labels import label_of, split_in
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions, Skipped

FORM = "WebDataset: tars with 0001.jpg and 0001.cls or 0001.json"

_KEYS = ("label", "cls", "class", "target", "tumor", "y")


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open the shards of a WebDataset; the split is part of the name of a shard, such as ``train-000000.tar``.

    Parameters
    ----------
    files : Files
        The source.
    options : ReadOptions
        How patches are read.

    Returns
    -------
    PatchSet or None
        None when the source is not a tar, or no image has a file of its class beside it.
    """
    if "tar" not in files.container:
        return None
    images, notes = image_names(files)
    present = set(files.names)
    labeled = {name for name in images if _class_file(name, present)}
    if not labeled:
        return None
    labels: dict[str, int | None] = {}
    skipped = []
    for name in images:
        try:
            labels[name] = _label(files, _class_file(name, present), options)
        except ValueError as error:
            skipped.append(Skipped(name, f"{files.locate(name)}: {error}"))
    return PatchSet(
        kind=f"WebDataset{files.container}",
        path=files.where,
        table=patch_table(list(labels), list(labels.values()), split=[_split(files, name) for name in labels]),
        pixels=ImageFiles(files, list(labels), options),
        rows=np.arange(len(labels)),
        notes=tuple(notes),
        skipped=tuple(skipped),
    )


def _class_file(name: str, present: set[str]) -> str | None:
    folder, slash, last = name.rpartition("/")
    for stem in (without_image_ending(name), f"{folder}{slash}{last.partition('.')[0]}"):  # Such as 7.input.png.
        for ending in (".cls", ".json", ".target.cls", ".label.cls"):
            if f"{stem}{ending}" in present:
                return f"{stem}{ending}"
    return None


def _label(files: Files, name: str | None, options: ReadOptions) -> int | None:
    if name is None:
        return None
    text = files.read(name).decode("utf-8", "replace").strip()
    if name.endswith(".json"):
        content = json.loads(text)
        found = [content[key] for key in _KEYS if key in content] if isinstance(content, dict) else [content]
        text = str(found[0]) if found and found[0] is not None else ""
    return label_of(text, options.classes)


def _split(files: Files, name: str) -> str | None:
    shard = name.split("/")[0] if "/" in name else files.where.rpartition("/")[2]
    return split_in(shard)
