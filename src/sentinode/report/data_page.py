"""Write the page of a data inspection: findings, examples, near duplicates, stain, and how each check works."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.data.patchset import PatchSet
from sentinode.data.quality.checks import CHECKS
from sentinode.data.quality.inspection import Inspection, Quality
from sentinode.data.splitting.groups import Leak
from sentinode.data.types import evenly_spaced
from sentinode.errors import plural
from sentinode.report.formatting import NONE, shareable, swatch
from sentinode.report.page import Findings, Gallery, Note, Part, Section, Table, write_page

SHOWN = 24
SHOWN_PAIRS = 12
SHOWN_GROUPS = 40

BIAS = "with patches in more than one split: results on them have an optimistic bias"
EXPLANATIONS = {
    "near_blank": "The saturation of every 8 × 8 px block is below 0.07, which is PatchCamelyon's own background "
    "filter. Such a patch shows no stained tissue, whatever its label says.",
    "out_of_focus": "The standard deviation of the detail at 1 px is below 13.5 % of the standard deviation of the "
    "patch (both of optical density). Sharp patches have more fine detail. Blur, enlargement and smears of the scanner "
    "look the same.",
    "pen_marks": "At least 5 % of the pixels are green or blue as hematoxylin and eosin are not, or 20 % are black: a "
    "pen, the dye of cut margins, the dark edge of a slide, padding. Red ink is not detected, since it looks like "
    "eosin and blood.",
    "clipped": "At least 40 % of the pixels have a channel at 255: differences between the brightest parts are lost.",
}


def write_data_page(path: str | Path, patches: PatchSet, inspection: Inspection) -> None:
    """Write the page of an inspection.

    Parameters
    ----------
    path : str or Path
        The HTML file.
    patches : PatchSet
        The inspected patches, cached.
    inspection : Inspection
        From `inspect_patches` with ``quality=True``.
    """
    write_page(
        path,
        f"Patches: {shareable(patches.path)}",
        [
            f"{plural(len(patches), 'patch')}; {patches.kind}.",
            *patches.notes,
            f"Fingerprint {patches.fingerprint[:16]}…",
        ],
        [Findings(data_findings(inspection)), *data_sections(patches, inspection)],
    )


def data_sections(patches: PatchSet, inspection: Inspection) -> list[Part]:
    """Return the sections of the page, which the page of an audit contains too."""
    quality, leaks = inspection.quality, inspection.leaks
    assert quality is not None
    return [
        Section("Splits and classes", [_counts(inspection)]),
        *([Section("Slides and patients in more than one split", _leaks(leaks))] if leaks else []),
        *(_examples(patches, quality, name) for name in CHECKS if quality.checks[name].any()),
        *_near_duplicates(patches, quality),
        Section(f"Stain by {quality.stains_by}", _stains(quality)),
        Section("How the checks work", [f"{CHECKS[name].capitalize()}. {EXPLANATIONS[name]}" for name in CHECKS]),
    ]


def data_findings(inspection: Inspection) -> list[tuple[str, str]]:
    """Return the findings as severity and sentence, as `Findings` takes them."""
    quality, hashes = inspection.quality, inspection.hashes
    assert quality is not None
    slides, patients = (sum(leak.column == name for leak in inspection.leaks) for name in ("slide", "patient"))
    within = sum(inspection.duplicates_within_splits.values())
    found = [
        ("bad", slides, "slide", BIAS),
        ("bad", patients, "patient", BIAS),
        ("bad", len(hashes.mismatched), "file", "that do not match the hash in their name: damaged or modified"),
        ("bad", inspection.duplicates_across_splits, "patch", "with exact duplicates in another split"),
        ("bad", quality.pairs_across_splits, "pair", "of near duplicates in different splits"),
        ("bad", int(inspection.channels_exchanged), "data set", "with red and blue swapped (BGR instead of RGB)"),
        ("warn", inspection.label_conflicts, "patch", "with both labels"),
        ("warn", within, "patch", "that repeat an earlier one of the same split exactly"),
        ("warn", len(quality.near_duplicates), "pair", "of near duplicates (recompressed, rotated or mirrored)"),
        *(("warn", int(quality.checks[name].sum()), "patch", text) for name, text in CHECKS.items()),
        ("good", hashes.verified, "file", "whose name is the hash of the pixels, verified"),
    ]
    sentences = [(kind, f"{plural(count, noun)} {text}.") for kind, count, noun, text in found if count]
    return sentences or [("good", "No problems found.")]


def _counts(inspection: Inspection) -> Table:
    rows = []
    classes = inspection.counts.columns
    for split, values in inspection.counts.join(inspection.gray_levels).iterrows():
        levels = [f"{values[f'mean_{c}']:.0f} ± {values[f'sd_{c}']:.0f}" for c in ("red", "green", "blue")]
        rows.append([str(split), *(f"{int(values[name]):,}" for name in classes), *levels])
    return Table(["split", *classes, "red", "green", "blue"], rows, "splits")


def _leaks(leaks: Sequence[Leak]) -> list[Part]:
    rows = [
        [leak.name, leak.column, ", ".join(f"{split} {count:,}" for split, count in leak.patches.items())]
        for leak in leaks[:SHOWN_GROUPS]
    ]
    return [Table(["name", "kind", "patches in each split"], rows, "leaks"), *note_if_more(len(leaks), SHOWN_GROUPS)]


def _examples(patches: PatchSet, quality: Quality, name: str) -> Section:
    rows = np.flatnonzero(quality.checks[name].to_numpy())
    shown = rows[evenly_spaced(len(rows), SHOWN)]
    ids = patches.table["id"].iloc[shown]
    items = [([pixels], str(name)) for pixels, name in zip(patches.read(shown), ids, strict=True)]
    return Section(f"{CHECKS[name].capitalize()}: {len(rows):,}", [Gallery(items), *note_if_more(len(rows), SHOWN)])


def _near_duplicates(patches: PatchSet, quality: Quality) -> list[Part]:
    pairs, ids = quality.near_duplicates, patches.table["id"]
    if not len(pairs):
        return []
    shown = pairs.head(SHOWN_PAIRS)[["first", "second"]].to_numpy()
    items = [(list(patches.read(pair)), " · ".join(ids.iloc[pair])) for pair in shown]
    text = "Recompressed, rotated or mirrored versions of one patch: the correlation of their details is at least 0.95."
    return [
        Section(
            f"Near duplicates: {plural(len(pairs), 'pair')}",
            [text, Gallery(items, pairs=True), *note_if_more(len(pairs), SHOWN_PAIRS)],
        )
    ]


def _stains(quality: Quality) -> list[Part]:
    rows = []
    for name, row in quality.stains.head(SHOWN_GROUPS).iterrows():
        color = swatch(row["red"], row["green"], row["blue"]) if pd.notna(row["red"]) else NONE
        amounts = [
            f"{row[c]:.2f} ± {row[f'{c}_sd']:.2f}" if pd.notna(row[c]) else NONE for c in ("hematoxylin", "eosin")
        ]
        rows.append([str(name), f"{row['patches']:,.0f}", f"{100 * row['tissue']:.0f} %", *amounts, color])
    text = (
        "Mean ± standard deviation over patches of the amounts of both stains in the tissue, in optical density "
        "(natural logarithm), unmixed with the stain matrix of Ruifrok and Johnston; then the mean color of the "
        "tissue. Groups that differ were stained or scanned differently: results can differ between splits for that "
        "reason alone."
    )
    header = [quality.stains_by, "patches", "tissue", "hematoxylin", "eosin", "color"]
    return [text, Table(header, rows, "stains"), *note_if_more(len(quality.stains), SHOWN_GROUPS)]


def note_if_more(count: int, shown: int) -> list[Part]:
    """Return a note on how many are shown, unless all are."""
    return [Note(f"{shown:,} of {count:,} shown.")] if count > shown else []
