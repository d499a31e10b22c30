"""Class folders: ``{train,valid,test}/{0,1}/*.jpg`` and what resembles it.

The folder that holds an image is its class; folders above it may be a split, and are otherwise ignored. Folders that
are named like patients may lie on either side of the class folder. Images right below ``test``, or in
``test/unknown``, have no label.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sentinode.data.grouping import is_patient
from sentinode.data.io.files import Files, image_names
from sentinode.data.io.images import ImageFiles
from sentinode.data.labels import CLASS_HELP, OTHERS, SPLITS, UNLABELED, Classes, class_of
from sentinode.data.patchset import PatchSet, patch_table
from sentinode.data.types import ReadOptions, Skipped
from sentinode.errors import DataError, plural

FORM = "class folders: {train,valid,test}/{0,1}/*.jpg"


@dataclass(frozen=True)
class _Place:
    """Where an image lies.

    Attributes
    ----------
    folder : str or None
        Folder of the image, but for folders of patients.
    above : tuple of str
        Folders above it.
    label : int or None
        Class that the folder means.
    split : str or None
        Split that a folder above it means.
    depth : int
        Number of folders between split and class folder.
    """

    folder: str | None
    above: tuple[str, ...]
    label: int | None
    split: str | None
    depth: int


def open_source(files: Files, options: ReadOptions) -> PatchSet | None:
    """Open class folders.

    Images in folders that are not understood are listed in ``skipped``, which `open_patches` treats as an error unless
    it may skip them.

    Parameters
    ----------
    files : Files
        The source.
    options : ReadOptions
        How patches are read, and the names of the classes.

    Returns
    -------
    PatchSet or None
        None when no folder is named like a class.

    Raises
    ------
    DataError
        Class folders lie at different depths, or none has a name that `options` state.
    """
    names, notes = image_names(files)
    classes = options.classes
    places = {name: _place(name, classes, options.group_by is not None) for name in names}
    shared = _shared_folders(names)
    named = tuple(each for each in classes if each[0] != OTHERS)
    has_class_above = {
        name: any(class_of(folder, named) is not None for folder in place.above[shared:])
        for name, place in places.items()
    }
    if not any(place.label is not None or has_class_above[name] for name, place in places.items()):
        if classes and names:
            folders = sorted({place.folder or "." for place in places.values()})
            raise DataError(f"{files.where}: no folder is listed in --classes (folders: {_some(folders)})")
        return None
    _check_depths(files, places)
    unknown = sorted({place.folder for place in places.values() if place.label is None and place.folder is not None})
    labels: dict[str, int | None] = {}
    skipped: list[Skipped] = []
    ignored: Counter[str] = Counter()
    for name, place in places.items():
        if place.label is not None or (_is_unlabeled(place) and not has_class_above[name]):
            labels[name] = place.label
        elif classes and place.folder is not None:
            ignored[place.folder] += 1
        else:
            skipped.append(Skipped(name, f"{files.locate(name)}: {_reason(place, has_class_above[name], unknown)}"))
    if ignored:
        notes.append(
            f"{plural(ignored.total(), 'image')} left out, in folders that --classes does not list: "
            f"{_some(sorted(ignored))}"
        )
    notes += _merged_classes(places)
    return PatchSet(
        kind=f"class folders{files.container}",
        path=files.where,
        table=patch_table(list(labels), list(labels.values()), split=[places[name].split for name in labels]),
        pixels=ImageFiles(files, list(labels), options),
        rows=np.arange(len(labels)),
        notes=tuple(notes),
        skipped=tuple(skipped),
    )


def _place(name: str, classes: Classes, has_groups: bool) -> _Place:
    folders = name.split("/")[:-1]
    while folders and class_of(folders[-1], classes) is None and folders[-1].lower() not in SPLITS:
        is_group = is_patient(folders[-1]) or (
            has_groups and any(class_of(folder, classes) is not None for folder in folders[:-1])
        )
        if not is_group:
            break
        folders.pop()
    label = class_of(folders[-1], classes) if folders else None
    above = folders[:-1] if label is not None or (folders and folders[-1].lower() not in SPLITS) else folders
    split_at = next((at for at in reversed(range(len(above))) if above[at].lower() in SPLITS), None)
    return _Place(
        folder=folders[-1] if folders else None,
        above=tuple(folders[:-1]),
        label=label,
        split=None if split_at is None else SPLITS[above[split_at].lower()],
        depth=len(above) - (0 if split_at is None else split_at + 1),
    )


def _shared_folders(names: Sequence[str]) -> int:
    """Return how many folders all images have in common; they say nothing about the class of one."""
    paths = [name.split("/")[:-2] for name in names]
    first, last = min(paths, default=[]), max(paths, default=[])
    return next(
        (depth for depth, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )


def _check_depths(files: Files, places: Mapping[str, _Place]) -> None:
    examples: dict[int, str] = {}
    for name, place in places.items():
        if place.label is not None:
            examples.setdefault(place.depth, name)
    if len(examples) > 1:
        first, second = list(examples.values())[:2]
        raise DataError(
            f"{files.where}: class folders lie at different depths, such as those of {first!r} and {second!r}; move "
            "them to one depth, or specify the labels in a csv with --table"
        )


def _is_unlabeled(place: _Place) -> bool:
    if place.split != "test" or place.folder is None:
        return False
    return place.folder.lower() in SPLITS or place.folder.lower() in UNLABELED


def _reason(place: _Place, has_class_above: bool, unknown: Sequence[str]) -> str:
    if place.folder is None or place.folder.lower() in SPLITS:
        return f"no label, the image lies in no class folder; move it into one ({CLASS_HELP})"
    if has_class_above:
        return (
            f"folder {place.folder!r} lies below a class folder but is none itself; the folder of an image must be its "
            "class, or a patient (--group-by folder)"
        )
    return (
        f"folder {place.folder!r} is not recognized as a class ({CLASS_HELP}); define the classes with --classes "
        f"NAME=1,*=0, or remove the folder (folders that are not recognized: {_some(unknown)})"
    )


def _merged_classes(places: Mapping[str, _Place]) -> list[str]:
    notes = []
    for label, name in enumerate(("normal", "tumour")):
        siblings: dict[tuple[str, ...], set[str]] = {}
        for place in places.values():
            if place.label == label and place.folder is not None:
                siblings.setdefault(place.above, set()).add(place.folder)
        merged = max((sorted(folders) for folders in siblings.values()), key=len, default=[])
        if len(merged) > 1:
            notes.append(f"folders {_some(merged)} are all {name}")
    return notes


def _some(names: Sequence[str], most: int = 9) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
