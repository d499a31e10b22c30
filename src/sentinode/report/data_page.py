"""The page of a look at patches: what is wrong with them, what looks odd, and how it was judged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.data.duplicates.hashes import HashCheck
from sentinode.data.patchset import PatchSet
from sentinode.data.quality.checks import FLAGS, Quality
from sentinode.data.quality.inspection import Inspection
from sentinode.data.splitting.groups import Leak
from sentinode.report.formatting import NONE, plural, swatch
from sentinode.report.page import Findings, Gallery, Note, Part, Section, Table, write_page

SHOWN = 24
SHOWN_PAIRS = 12
SHOWN_GROUPS = 40

WHY = {
    "near_blank": "No stained tissue: the saturation of every 8 × 8 px mean is below 0.07, the rule by which "
    "PatchCamelyon itself left background out. Such a patch has nothing to learn from, whatever its label says.",
    "out_of_focus": "The variance of the Laplacian is below a quarter of the variance of brightness: fine detail is "
    "missing for the detail that is there. 99 % of sharp patches have more than four times as much; all that a "
    "Gaussian of "
    "1.5 px has blurred have less. Enlarged images and smears of the scanner look the same.",
    "pen": "At least 5 % of the pixels are green or blue as haematoxylin and eosin are not, or 20 % are black without "
    "any tint: a pen, the dye of cut margins, the dark edge of a slide, padding. Red ink looks like eosin and "
    "blood, and is "
    "not looked for.",
    "clipped": "At least 40 % of the pixels have a channel at 255: what was brighter is lost.",
}


def write_data_page(
    path: str | Path, patches: PatchSet, looked: Inspection, quality: Quality, leaks: Sequence[Leak], names: HashCheck
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path
        The html file.
    patches
        The cached set.
    looked, quality, leaks, names
        What was found of it.
    """
    write_page(
        path,
        f"Patches: {patches.path}",
        [f"{len(patches):,} patches; {patches.kind}.", *patches.notes, f"Fingerprint {patches.fingerprint[:16]}…"],
        [
            Findings(data_findings(looked, quality, leaks, names)),
            *data_sections(patches, looked, quality, leaks),
        ],
    )


def data_sections(patches: PatchSet, looked: Inspection, quality: Quality, leaks: Sequence[Leak]) -> list[Part]:
    """Return what there is, what was found of it, and how it was judged: a section each."""
    return [
        Section("What there is", [_counts(looked)]),
        *([Section("Slides and patients in more than one split", _leaks(leaks))] if leaks else []),
        *(_flagged(patches, quality, name) for name in FLAGS if quality.flags[name].any()),
        *_near_copies(patches, quality),
        Section(f"Stain, by {quality.stains_by}", _stains(quality)),
        Section("How it was judged", [f"{FLAGS[name].capitalize()}. {WHY[name]}" for name in FLAGS]),
    ]


def data_findings(
    looked: Inspection, quality: Quality, leaks: Sequence[Leak], names: HashCheck
) -> list[tuple[str, str]]:
    """Return what is wrong with patches, or odd, in a sentence each, as `findings` takes them."""
    slides, patients = (sum(leak.column == what for leak in leaks) for what in ("slide", "patient"))
    told = [
        ("bad", slides, "slide", "with patches in more than one split: results on them will flatter"),
        ("bad", patients, "patient", "with patches in more than one split: results on them will flatter"),
        ("bad", len(names.mismatched), "file", "without the pixels of its name: damaged or altered"),
        ("bad", looked.shared_across, "patch", "in more than one split, pixel by pixel"),
        ("bad", quality.divided, "pair", "of near copies divided between splits"),
        ("warn", looked.contradicting, "patch", "with both labels"),
        (
            "warn",
            sum(looked.surplus_within.values()),
            "patch",
            "repeating another one of the same split, pixel by pixel",
        ),
        ("warn", len(quality.alike), "pair", "alike but for compression, a turn or a mirror"),
        *(("warn", int(quality.flags[name].sum()), "patch", f"– {words}") for name, words in FLAGS.items()),
        ("good", names.verified, "file", "named by the hash of its pixels, verified"),
    ]
    found = [(kind, f"{plural(count, noun)} {words}.") for kind, count, noun, words in told if count]
    return found or [("good", "Nothing of what is looked for was found.")]


def _counts(looked: Inspection) -> Table:
    rows = []
    everything = looked.counts.join(looked.statistics)
    for split, levels in everything.iterrows():
        counts = [int(levels[name]) for name in looked.counts.columns]
        grey = [f"{levels[f'mean_{c}']:.0f} ± {levels[f'sd_{c}']:.0f}" for c in ("red", "green", "blue")]
        rows.append([str(split), *(f"{n:,}" for n in counts), *grey])
    return Table(["split", *looked.counts.columns, "red", "green", "blue"], rows, "splits")


def _leaks(leaks: Sequence[Leak]) -> list[Part]:
    rows = [
        [leak.name, leak.column, ", ".join(f"{split} {count:,}" for split, count in leak.patches.items())]
        for leak in leaks[:SHOWN_GROUPS]
    ]
    return [Table(["name", "what", "patches of each split"], rows, "leaks"), *and_more(len(leaks), SHOWN_GROUPS)]


def _flagged(patches: PatchSet, quality: Quality, name: str) -> Section:
    rows = np.flatnonzero(quality.flags[name].to_numpy())
    shown = rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int)]
    ids = patches.table["id"].iloc[shown]
    items = [([pixels], str(name)) for pixels, name in zip(patches.read(shown), ids, strict=True)]
    return Section(f"{FLAGS[name].capitalize()}: {len(rows):,}", [Gallery(items), *and_more(len(rows), SHOWN)])


def _near_copies(patches: PatchSet, quality: Quality) -> list[Part]:
    if not len(quality.alike):
        return []
    pairs = quality.alike.head(SHOWN_PAIRS)
    ids = patches.table["id"]
    items = []
    for first, second in zip(pairs["first"].tolist(), pairs["second"].tolist(), strict=True):
        items.append((list(patches.read([first, second])), f"{ids.iloc[first]} · {ids.iloc[second]}"))
    return [
        Section(
            f"The same patch twice: {plural(len(quality.alike), 'pair')}",
            [
                "Alike but for compression, a turn or a mirror: the details correlate to at least 0.95.",
                Gallery(items, pairs=True),
                *and_more(len(quality.alike), SHOWN_PAIRS),
            ],
        )
    ]


def _stains(quality: Quality) -> list[Part]:
    rows = []
    for name, row in quality.stains.head(SHOWN_GROUPS).iterrows():
        colour = swatch(row["red"], row["green"], row["blue"]) if pd.notna(row["red"]) else NONE
        amounts = [
            f"{row[c]:.2f} ± {row[f'{c}_sd']:.2f}" if pd.notna(row[c]) else "–" for c in ("haematoxylin", "eosin")
        ]
        rows.append([str(name), f"{row['patches']:,.0f}", f"{row['tissue']:.0%}", *amounts, colour])
    text = (
        "Means over patches ± standard deviation between them, in optical density (natural logarithm) of the pixels "
        "that "
        "are tissue, unmixed with the colours of Ruifrok and Johnston; the field is the mean colour of the tissue. "
        "A group "
        "that lies apart was stained or scanned otherwise: keep it in mind when splits differ in it."
    )
    header = [quality.stains_by, "patches", "tissue", "haematoxylin", "eosin", "colour"]
    return [text, Table(header, rows, "stains"), *and_more(len(quality.stains), SHOWN_GROUPS)]


def and_more(count: int, shown: int) -> list[Part]:
    """Return a note on how many are shown, where not all are."""
    return [Note(f"{shown:,} of {count:,} are shown.")] if count > shown else []
