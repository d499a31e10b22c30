"""The page of an audit: doubtful labels and unusual patches as pictures, then all that needs no network."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.auditing.audit import FEATURES, UNUSUAL, Audit
from sentinode.data.duplicates.hashes import compare_hashes
from sentinode.data.quality.inspection import inspect_patches
from sentinode.data.splitting.groups import find_leaks
from sentinode.errors import ConfigError, DataError
from sentinode.report.data_page import and_more, data_findings, data_sections
from sentinode.report.formatting import plural
from sentinode.report.page import Findings, Gallery, Part, Section, Table, write_page
from sentinode.storage import atomic_file, atomic_folder, read_json, write_json

AUDIT, PAGE, SUSPECTS = "audit.json", "audit.html", "suspects.csv"
SHOWN = 36
SHOWN_UNUSUAL = 24
SHOWN_SLIDES = 20

ORDER = "The least probable label first, copies once; the square marks the centre, which the label is about."
WORDS = {
    "tissue": "with hardly any tissue",
    "stain": "with an unusual stain",
    "brightness": "of unusual brightness",
    "focus or scale": "of unusual focus or scale",
    "features": "with unusual features",
}


def check_place(folder: Path) -> None:
    """Refuse a folder that holds something else than an audit.

    Raises
    ------
    ConfigError
        Something else is there; nothing was touched.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_audit(folder)):
        raise ConfigError(f"{folder}: an audit is a folder of its own, and something else is there; name another one")


def write_audit(found: Audit, folder: str | Path) -> None:
    """Write ``audit.html``, ``suspects.csv`` and ``audit.json`` into a folder, all or none.

    Parameters
    ----------
    found
        What `audit` returned.
    folder
        An earlier audit in it is replaced.

    Raises
    ------
    ConfigError
        Something else is there.
    """
    check_place(Path(folder))
    with atomic_folder(folder) as beside:
        with atomic_file(beside / SUSPECTS) as file:
            found.suspects.to_csv(file, index=False, lineterminator="\n", float_format="%.6g")
        write_audit_page(found, beside / PAGE)
        write_json(beside / AUDIT, found.to_json())


def write_audit_page(found: Audit, path: str | Path) -> None:
    """Write the page alone, whole or not at all."""
    patches, quality = found.patches, found.quality
    looked, shared = inspect_patches(patches), find_leaks(patches)
    told = [each for each in data_findings(looked, quality, shared, compare_hashes(patches)) if each[0] != "good"]
    write_page(
        path,
        f"Audit: {patches.path}",
        [
            f"{len(patches):,} patches with labels; {patches.kind}.",
            f"By the features of {Path(found.made_by['model']).name}, which rank tumour above normal with an AUC of "
            f"{found.auc:.3f} against the labels as they are. Fingerprint {patches.fingerprint[:16]}…",
        ],
        [
            Findings([*_findings(found), *told]),
            *_doubtful(found),
            *_where(found),
            *_unusual(found),
            Section("How labels and features were judged", _how(found)),
            *data_sections(patches, looked, quality, shared),
        ],
    )


def _findings(found: Audit) -> list[tuple[str, str]]:
    doubted, unusual, seen = found.doubted(), found.unusual(), found.made_by["trained_on"]
    told = [
        ("warn", doubted["normal"], "patch", "labelled normal that look like tumour"),
        ("warn", doubted["tumour"], "patch", "labelled tumour that look normal"),
        ("bad", doubted["copies_disagree"], "patch", "with a copy, exact or near, that has the other label"),
        *(("warn", unusual[kind], "patch", WORDS[kind]) for kind in UNUSUAL),
        ("warn", seen, "patch", "that the network was trained on: wrong labels that it knows by heart are missed"),
    ]
    return [(kind, f"{plural(count, noun)} {words}.") for kind, count, noun, words in told if count]


def _doubtful(found: Audit) -> list[Section]:
    sections = []
    suspects = found.suspects
    for label, words in enumerate(("Labelled normal, looks like tumour", "Labelled tumour, looks normal")):
        rows = suspects[suspects["label_suspect"] & (suspects["label"] == label)]
        if len(rows):
            different = rows.drop_duplicates("sha1")
            shown = different.head(SHOWN)
            sections.append(
                Section(
                    f"{words}: {len(rows):,}",
                    [
                        ORDER,
                        _pictures(found, shown, [_doubt(row) for row in shown.to_dict("records")]),
                        *and_more(len(different), SHOWN),
                    ],
                )
            )
    return sections


def _doubt(row: dict[Hashable, Any]) -> str:
    parts = [f"{row['id']}: tumour {_percent(row['p_tumour'])}"]
    parts += ["a copy has the other label"] if row["copy_disagrees"] else []
    parts += [f"unusual {row['unusual']}"] if row["unusual"] else []
    parts += [str(row["quality"])] if row["quality"] else []
    return "; ".join(parts)


def _percent(share: float) -> str:
    """Return a probability in per cent, never as certainty.

    Examples
    --------
    >>> _percent(0.999), _percent(0.5), _percent(0.0001)
    ('> 99 %', '50 %', '< 1 %')
    """
    return "> 99 %" if share > 0.99 else "< 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def _where(found: Audit) -> list[Section]:
    """Return tables of how the doubtful labels spread over splits and slides."""
    parts: list[Part] = []
    for column, most in (("split", SHOWN_SLIDES), ("slide", SHOWN_SLIDES)):
        groups = found.table.groupby(column)["label_suspect"].agg(["sum", "size"])
        if len(groups) < 2:
            continue
        groups = groups[groups["sum"] > 0].assign(share=groups["sum"] / groups["size"])
        first = groups.sort_values("share" if column == "slide" else "size", ascending=False, kind="stable").head(most)
        rows = [
            [str(name), f"{row['size']:,.0f}", f"{row['sum']:,.0f}", f"{row['share']:.1%}"]
            for name, row in first.iterrows()
        ]
        name = f"doubtful-labels-by-{column}"
        parts += [
            Table([column, "patches", "doubtful labels", "share"], rows, name),
            *and_more(len(groups), most),
        ]
    return [Section("Where they are", parts)] if parts else []


def _unusual(found: Audit) -> list[Section]:
    sections = []
    kinds = found.table["unusual"].str.split(", ")
    for kind in reversed(UNUSUAL):
        rows = found.table[kinds.map(lambda said, kind=kind: kind in said)]
        if not len(rows):
            continue
        if kind == FEATURES:
            shown = rows.sort_values("distance", ascending=False, kind="stable").head(SHOWN_UNUSUAL)
            captions = [f"{row['id']}: {row['distance']:.1f} × the limit" for row in shown.to_dict("records")]
        else:
            shown = rows.iloc[np.linspace(0, len(rows) - 1, min(SHOWN_UNUSUAL, len(rows))).astype(int)]
            captions = [str(name) for name in shown["id"]]
        sections.append(
            Section(
                f"{WORDS[kind].capitalize()}: {len(rows):,}",
                [_pictures(found, shown, captions), *and_more(len(rows), SHOWN_UNUSUAL)],
            )
        )
    return sections


def _pictures(found: Audit, rows: pd.DataFrame, captions: Sequence[str]) -> Gallery:
    pixels = found.patches.read(rows.index.to_numpy())
    return Gallery([([patch], caption) for patch, caption in zip(pixels, captions, strict=True)], marked=True)


def _how(found: Audit) -> list[Part]:
    count, kept = found.folds
    normal, tumour = found.confidence.thresholds
    return [
        f"Labels. A last layer was fitted on the features of {count - 1} of {count} folds and asked about the other, "
        f"in turn, so that no label takes part in the answer about itself; {', '.join(kept)} stay together. A label is "
        "doubtful where the other class is the more probable one, and as probable as on average in its own patches: "
        f"{tumour:.2f} for tumour, {normal:.2f} for normal (confident learning: Northcutt, Jiang and Chuang 2021); or "
        "where a copy of the patch bears the other label. This is a list to look at, not a verdict: the network is "
        "wrong about some patches whose labels are right.",
        "Unusual features: their distance from those of the other folds (Mahalanobis) is above what one in 200 of "
        "those exceeds, so about half a per cent of any set is listed. Unusual tissue (hardly any), stain, focus or "
        "scale: the warnings that predictions bear, by comparison with the patches that the run was trained on.",
    ]


def _is_audit(folder: Path) -> bool:
    try:
        return "confident_learning" in read_json(folder / AUDIT)
    except (OSError, DataError, TypeError):
        return False
