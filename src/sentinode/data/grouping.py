"""Patients and slides of patches, from the names of their folders."""

import re
from dataclasses import replace
from typing import get_args

import pandas as pd

from sentinode.data.camelyon17 import camelyon17_patient
from sentinode.data.labels import OTHERS, SPLITS, class_of
from sentinode.data.patchset import PatchSet
from sentinode.data.types import ReadOptions, Resize
from sentinode.errors import ConfigError, DataError, plural

_PATIENT = re.compile(r"(?:patient|case|subject|pat)[ _-]?\d+$", re.IGNORECASE)
_TCGA = re.compile(r"(TCGA-\w{2}-\w{4})(-\w{2,3}-\w{2,3}(?:-\w+)*)?", re.IGNORECASE)


def is_patient(folder: str) -> bool:
    """Tell whether a folder is named like a patient or a slide: ``patient_03``, a TCGA barcode.

    Examples
    --------
    >>> [is_patient(name) for name in ("patient_03", "TCGA-CR-7395-01A-01-TS1", "fold0")]
    [True, True, False]
    """
    return patient_and_slide(folder) != (None, None)


def patient_and_slide(folder: str) -> tuple[str | None, str | None]:
    """Return the patient and the slide that the name of a folder states; None where it states none."""
    if patient := camelyon17_patient(folder):
        return patient, folder.lower()
    if match := _TCGA.match(folder):
        return match[1].upper(), folder if match[2] else None
    return (folder, None) if _PATIENT.match(folder) else (None, None)


def add_groups(patches: PatchSet, options: ReadOptions) -> PatchSet:
    """Fill the columns ``patient`` and ``slide`` from the ids.

    Parameters
    ----------
    patches : PatchSet
        Patches of any source.
    options : ReadOptions
        `patient_from` is a regular expression that is searched in each id: its group ``patient`` (and ``slide``), or
        its first group, is the patient. With `group_by` ``"folder"`` the patient is the innermost folder that is not a
        class or a split. Without both, folders named like patients are recognized, where the source names no patient.

    Returns
    -------
    PatchSet
        With a note that says how many patients were found.

    Raises
    ------
    DataError
        A given rule finds no patient for a patch.
    """
    ids = patches.table["id"]
    if options.patient_from is not None:
        found = [_search(options.patient_from, each) for each in ids]
        rule = f"--patient-from {options.patient_from!r}"
        remedy = "correct the regular expression"
    elif options.group_by == "folder":
        found = [(_group_folder(each, options), None) for each in ids]
        rule = "--group-by folder"
        remedy = "put each image into the folder of its patient"
    else:
        if patches.table["patient"].notna().any():
            return patches
        found = [_recognized(each) for each in ids]
        if not any(patient for patient, _ in found):
            return patches
        rule = remedy = ""
    missing = [each for each, (patient, _) in zip(ids, found, strict=True) if patient is None]
    if missing and rule:
        raise DataError(
            f"{patches.path}: {rule} finds no patient for {plural(len(missing), 'patch')}, such as {missing[0]!r}; "
            f"{remedy}"
        )
    table = patches.table.copy()
    for number, column in enumerate(("patient", "slide")):
        values = pd.Series([each[number] for each in found], index=table.index, dtype="str")
        table[column] = values.where(values.notna(), table[column]).astype("str")
    names = list(dict.fromkeys(patient for patient, _ in found if patient))
    without = f"; none for {plural(len(missing), 'patch')}" if missing else ""
    note = f"{plural(len(names), 'patient')} by {rule or 'the names of folders'}, such as {names[0]}{without}"
    return replace(patches, table=table, notes=(*patches.notes, note))


def check_read_options(options: ReadOptions) -> ReadOptions:
    """Return options whose values are possible.

    Raises
    ------
    ConfigError
        A value is not possible; the message lists the possible ones.
    """
    for name, allowed in {
        "resize": get_args(Resize),
        "flatten": ("error", "white"),
        "gray": ("error", "rgb"),
        "group_by": ("folder", None),
    }.items():
        value = getattr(options, name)
        if value not in allowed:
            raise ConfigError(f"{name} must be one of {', '.join(map(str, allowed))}; got {value!r}")
    spacing = options.spacing_um_px
    if spacing is not None and not 0.05 <= spacing <= 20:
        raise ConfigError(f"--mpp (spacing_um_px) must be between 0.05 and 20 µm per pixel; got {spacing}")
    for name, label in options.classes:
        if label not in (0, 1):
            raise ConfigError(f"the label of class {name!r} must be 0 or 1; got {label!r}")
    if options.patient_from is not None:
        try:
            groups = re.compile(options.patient_from).groups
        except re.error as error:
            raise ConfigError(
                f"--patient-from (patient_from) {options.patient_from!r}: not a regular expression ({error})"
            ) from error
        if groups == 0:
            raise ConfigError(
                f"--patient-from (patient_from) {options.patient_from!r} has no group; put parentheses around the "
                "patient: (\\d+)_idx"
            )
    return options


def _search(pattern: str, name: str) -> tuple[str | None, str | None]:
    match = re.search(pattern, name)
    if match is None:
        return None, None
    named = match.groupdict()
    return named.get("patient", match[1]) or None, named.get("slide") or None


def _group_folder(name: str, options: ReadOptions) -> str | None:
    folders = [each for each in name.split("/")[:-1] if each.lower() not in SPLITS]
    if OTHERS in dict(options.classes):  # Any folder is a class; that of the image is.
        return folders[-2] if len(folders) > 1 else None
    return next((each for each in reversed(folders) if class_of(each, options.classes) is None), None)


def _recognized(name: str) -> tuple[str | None, str | None]:
    folders = name.split("/")[:-1]
    return next((found for folder in reversed(folders) if (found := patient_and_slide(folder))[0]), (None, None))
