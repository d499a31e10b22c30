"""Write the results of an audit: a page with pictures, a table of issues, and all numbers."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sentinode.auditing.audit import FEATURES, OUTLIER_KINDS, Audit
from sentinode.data.types import evenly_spaced
from sentinode.errors import ConfigError, DataError, plural
from sentinode.output_paths import check_no_other_files
from sentinode.report.data_page import data_findings, data_sections, note_if_more
from sentinode.report.formatting import shareable
from sentinode.report.page import Findings, Gallery, Part, Section, Table, write_page
from sentinode.storage import atomic_folder, read_json, write_csv, write_json

AUDIT, PAGE, ISSUES = "audit.json", "audit.html", "issues.csv"
SHOWN = 36
SHOWN_OUTLIERS = 24
SHOWN_SLIDES = 20

ORDER = (
    "Least probable label first; exact duplicates are shown once. The square marks the central 32 × 32 px, to which "
    "the label refers."
)
DESCRIPTIONS = {
    "tissue": "with too little tissue",
    "stain": "with out-of-distribution stain",
    "brightness": "with out-of-distribution brightness",
    "focus or scale": "with out-of-distribution focus or scale",
    "features": "with out-of-distribution features",
}


def check_audit_folder(folder: Path) -> None:
    """Refuse an output folder that holds anything but an audit, since the audit replaces the whole folder.

    Raises
    ------
    ConfigError
        The path is a file, or the folder holds something else.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_audit(folder)):
        raise ConfigError(f"{folder} exists and is not an audit; write the audit to another folder")
    check_no_other_files(folder, (AUDIT, PAGE, ISSUES))


def write_audit(audit: Audit, folder: str | Path) -> None:
    """Write ``audit.html``, ``issues.csv`` and ``audit.json`` into a folder, all or none.

    Parameters
    ----------
    audit : Audit
        From `audit`.
    folder : str or Path
        An earlier audit in it is replaced.

    Raises
    ------
    ConfigError
        The folder holds something else.
    """
    check_audit_folder(Path(folder))
    with atomic_folder(folder) as temporary:
        write_csv(audit.issues, temporary / ISSUES, float_format="%.6g")
        write_audit_page(audit, temporary / PAGE)
        write_json(temporary / AUDIT, audit.to_json())


def write_audit_page(audit: Audit, path: str | Path) -> None:
    """Write the page of an audit.

    Parameters
    ----------
    audit : Audit
        From `audit`.
    path : str or Path
        The HTML file.
    """
    patches = audit.patches
    write_page(
        path,
        f"Audit: {shareable(patches.path)}",
        [
            f"{plural(len(patches), 'patch')} with labels; {patches.kind}.",
            f"Features of {Path(audit.made_by['model']).name}; AUC of the out-of-fold probabilities against the given "
            f"labels: {audit.auc:.3f}. Fingerprint {patches.fingerprint[:16]}…",
        ],
        [
            Findings([*_findings(audit), *(each for each in data_findings(audit.inspection) if each[0] != "good")]),
            *_label_issues(audit),
            *_issues_by_group(audit),
            *_outliers(audit),
            Section("How labels and features are judged", _methods(audit)),
            *data_sections(patches, audit.inspection),
        ],
    )


def _findings(audit: Audit) -> list[tuple[str, str]]:
    labels, outliers, trained_on = audit.label_issue_counts(), audit.outlier_counts(), audit.made_by["trained_on"]
    found = [
        ("warn", labels["normal"], "patch", "labeled normal that look like tumour"),
        ("warn", labels["tumour"], "patch", "labeled tumour that look normal"),
        ("bad", labels["duplicate_conflicts"], "patch", "with an exact or near duplicate that has the other label"),
        *(("warn", outliers[kind], "patch", DESCRIPTIONS[kind]) for kind in OUTLIER_KINDS),
        ("warn", trained_on, "patch", "from the network's training: label errors that it memorized are missed"),
    ]
    return [(kind, f"{plural(count, noun)} {text}.") for kind, count, noun, text in found if count]


def _label_issues(audit: Audit) -> list[Section]:
    sections = []
    issues = audit.issues[audit.issues["label_issue"]]
    for label, heading in enumerate(("Labeled normal, looks like tumour", "Labeled tumour, looks normal")):
        rows = issues[issues["label"] == label]
        if len(rows):
            unique = rows.drop_duplicates("sha1")
            shown = unique.head(SHOWN)
            gallery = _gallery(audit, shown, [_caption(row) for row in shown.to_dict("records")])
            sections.append(Section(f"{heading}: {len(rows):,}", [ORDER, gallery, *note_if_more(len(unique), SHOWN)]))
    return sections


def _caption(row: dict[Hashable, Any]) -> str:
    parts = [f"{row['id']}: tumour {_percent(row['p_tumour'])}"]
    parts += ["a duplicate has the other label"] if row["duplicate_conflict"] else []
    parts += [f"out of distribution: {row['outlier']}"] if row["outlier"] else []
    parts += [str(row["quality"])] if row["quality"] else []
    return "; ".join(parts)


def _percent(probability: float) -> str:
    """Format a probability, never as 0 % or 100 %.

    Examples
    --------
    >>> _percent(0.999), _percent(0.5), _percent(0.0001)
    ('> 99 %', '50 %', '< 1 %')
    """
    return "> 99 %" if probability > 0.99 else "< 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


def _issues_by_group(audit: Audit) -> list[Section]:
    parts: list[Part] = []
    for column in ("split", "slide"):
        groups = audit.table.groupby(column)["label_issue"].agg(["sum", "size"])
        if len(groups) < 2:
            continue
        groups = groups[groups["sum"] > 0].assign(share=groups["sum"] / groups["size"])
        first = groups.sort_values("share" if column == "slide" else "size", ascending=False, kind="stable")
        rows = [
            [str(name), f"{row['size']:,.0f}", f"{row['sum']:,.0f}", f"{100 * row['share']:.1f} %"]
            for name, row in first.head(SHOWN_SLIDES).iterrows()
        ]
        header = [column, "patches", "label issues", "fraction"]
        parts += [Table(header, rows, f"label-issues-by-{column}"), *note_if_more(len(groups), SHOWN_SLIDES)]
    return [Section("Label issues by split and slide", parts)] if parts else []


def _outliers(audit: Audit) -> list[Section]:
    sections = []
    kinds = audit.table["outlier"].str.split(", ")
    for kind in reversed(OUTLIER_KINDS):
        rows = audit.table[kinds.map(lambda found, kind=kind: kind in found)]
        if not len(rows):
            continue
        if kind == FEATURES:
            shown = rows.sort_values("distance", ascending=False, kind="stable").head(SHOWN_OUTLIERS)
            captions = [f"{row['id']}: {row['distance']:.1f} × the threshold" for row in shown.to_dict("records")]
        else:
            shown = rows.iloc[evenly_spaced(len(rows), SHOWN_OUTLIERS)]
            captions = [str(name) for name in shown["id"]]
        heading = f"{DESCRIPTIONS[kind].capitalize()}: {len(rows):,}"
        sections.append(Section(heading, [_gallery(audit, shown, captions), *note_if_more(len(rows), SHOWN_OUTLIERS)]))
    return sections


def _gallery(audit: Audit, rows: pd.DataFrame, captions: Sequence[str]) -> Gallery:
    pixels = audit.patches.read(rows.index.to_numpy())
    return Gallery([([patch], caption) for patch, caption in zip(pixels, captions, strict=True)], marked=True)


def _methods(audit: Audit) -> list[Part]:
    normal, tumour = audit.confidence.thresholds
    return [
        "Label issues. A logistic regression on the network's features is fitted to "
        f"{audit.folds - 1} of {audit.folds} folds and predicts the remaining one, so that no label affects its own "
        f"prediction. Kept together in the folds: {', '.join(audit.grouped_by)}. A label is an issue if the other "
        "class is more probable and has at least the mean probability over the patches with that label, "
        f"{tumour:.2f} for tumour and {normal:.2f} for normal (confident learning: Northcutt, Jiang and Chuang 2021), "
        "or if a duplicate has the other label. These are candidates for review: the network is wrong about some "
        "patches whose labels are correct.",
        "Out-of-distribution features: the Mahalanobis distance from the features of the other folds exceeds the "
        "distance that one in 200 of those exceeds, so about 0.5 % of any data set is listed. Too little tissue, and "
        "out-of-distribution brightness, stain, focus or scale: the warnings of predictions, which compare patches "
        "with those that the network was trained on.",
    ]


def _is_audit(folder: Path) -> bool:
    try:
        return "confident_learning" in read_json(folder / AUDIT)
    except (OSError, DataError, TypeError):
        return False
