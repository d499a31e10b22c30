"""The entries of slides in the worklist."""

from typing import Any

from sentinode.slides.scanning.leases import is_taken
from sentinode.viewer.catalogue import Entry
from sentinode.viewer.scans import CANCELED, DONE, FAILED, SCANNING, WAITING
from sentinode.viewer.viewer import Viewer


def describe_slide(viewer: Viewer, entry: Entry) -> dict[str, Any]:
    """Return the entry of a slide in the worklist."""
    results, latest = viewer.catalogue.results(entry), viewer.catalogue.latest(entry)
    summary = latest.summary if latest is not None else None
    scan = viewer.scans.state(entry) if viewer.scans is not None else None
    state = "not scanned" if summary is None else DONE
    own = scan is not None and scan.state in (WAITING, SCANNING)
    if scan is not None and (own or scan.state == FAILED):
        state = scan.state
    here = viewer.scans is not None and viewer.scans.is_running(entry)
    if summary is None and not here and any(is_taken(folder, entry.path.stem) for folder in viewer.catalogue.folders):
        state = SCANNING  # By another process, such as `sentinode scan` in a terminal.
    return {
        "id": entry.id,
        "name": entry.name,
        "state": state,
        "progress": viewer.scans.progress(entry) if viewer.scans is not None else None,
        "error": scan.error if scan is not None and scan.state != CANCELED else None,
        "slide_score": summary["slide_score"] if summary else None,
        "lesion_count": len(summary["lesions"]) if summary else None,
        "largest_lesion_mm": summary["largest_lesion_mm"] if summary else None,
        "tissue_mm2": summary["tissue_mm2"] if summary else None,
        "pn": viewer.catalogue.pn_stage(entry),
        "warnings": [viewer.catalogue.hide_names(warning) for warning in summary["warnings"]] if summary else [],
        "can_cancel": own,
        "can_scan": viewer.scans is not None and summary is None and state not in (WAITING, SCANNING),
        "results": [result.id for result in results],
    }


def describe_slides(viewer: Viewer) -> list[dict[str, Any]]:
    """Look for finished scans, and return the entries of all slides in the worklist."""
    viewer.catalogue.refresh()
    return [describe_slide(viewer, entry) for entry in viewer.catalogue]
