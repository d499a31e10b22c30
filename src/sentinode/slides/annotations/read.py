"""Read annotations of slides: ASAP XML, QuPath GeoJSON, lists of lesion polygons in JSON, and mask TIFF.

Polygons are in level-0 px. All tumour regions are united first, then all normal ones are cut out, whatever the order in
the file.

The groups of ASAP's XML follow the CAMELYON data: G. Litjens et al., "1399 H&E-stained sentinel lymph node sections of
breast cancer patients: the CAMELYON dataset", GigaScience 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinode.data.labels import OTHERS, Classes, class_of
from sentinode.errors import DataError
from sentinode.extras import optional
from sentinode.slides.annotations.drawn import read_asap, read_json
from sentinode.slides.annotations.masks import read_mask
from sentinode.slides.annotations.outlines import UNCLASSIFIED, Drawn, areas
from sentinode.slides.slide import Slide

MASK_ENDINGS = (".tif", ".tiff")
JSON_ENDINGS = (".geojson", ".json", ".geojson.gz", ".json.gz")
ENDINGS = (".xml", *JSON_ENDINGS, *MASK_ENDINGS)
# Words behind the name of a slide in the name of its annotations.
_SUFFIXES = ("", ".annotations", "_mask", "_evaluation_mask")
# CAMELYON16: _0 and _1 are tumour, _2 and Exclusion are holes in it. CAMELYON17 and others use the usual words.
_GROUPS = {"_0": 1, "_1": 1, "_2": 0, "exclusion": 0}
# What a person cannot decide, in the viewer, and what is not to be measured, in QuPath.
_UNCERTAIN, _EXCLUDED = "Uncertain", ("Uncertain", "Ignore*")
# Where regions to scan are drawn: everything but holes.
_TISSUE: Classes = (("_2", 0), ("Exclusion", 0), ("negative", 0), ("Ignore*", 0), (OTHERS, 1))


@dataclass(frozen=True)
class Annotations:
    """What is drawn on a slide.

    Attributes
    ----------
    path : Path
        The file.
    regions : dict of str to shapely geometry
        For each class name the union of its regions in level-0 px, with holes; valid.
    classes : dict of str to {0, 1, None}
        For each class name: 0 normal, 1 tumour, None ignored.
    tumour : shapely geometry
        All tumour regions without the normal ones; empty where there is no tumour.
    excluded : shapely geometry
        Regions of the classes ``Uncertain`` and ``Ignore*`` without those of tumour and normal tissue: what they show
        is not known.
    notes : tuple of str
        What was repaired or left out.
    """

    path: Path
    regions: dict[str, Any]
    classes: dict[str, int | None]
    tumour: Any
    excluded: Any
    notes: tuple[str, ...] = field(default=())


def find_annotations(slide: str | Path, folder: str | Path) -> Path | None:
    """Find the annotations of a slide in a folder.

    Parameters
    ----------
    slide : str or Path
        The slide's file.
    folder : str or Path
        Where annotations are. They are named like the slide, with or without its ending, upper or lower case:
        ``Tumor_001.xml``, ``slide.svs.geojson``, ``tumor_001_mask.tif``.

    Returns
    -------
    Path or None
        None when there are none for this slide.

    Raises
    ------
    DataError
        There are several.
    """
    slide, folder = Path(slide), Path(folder)
    wanted = {
        f"{name}{suffix}{ending}".lower()
        for name in (slide.stem, slide.name)
        for suffix in _SUFFIXES
        for ending in ENDINGS
    }
    found = [each for each in sorted(folder.iterdir()) if each.name.lower() in wanted]
    found = [each for each in found if not slide.exists() or not each.samefile(slide)]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise DataError(f"{folder}: several annotations of {slide.name} ({names}); keep one of them")
    return found[0] if found else None


def read_annotations(path: str | Path, slide: Slide | None = None, classes: Classes = ()) -> Annotations:
    """Read the annotations of a slide.

    Parameters
    ----------
    path : str or Path
        ASAP XML (``.xml``), QuPath GeoJSON (``.geojson``, ``.json``, either with ``.gz``), JSON with the lists
        ``positive`` and ``negative`` of polygons, or a mask (``.tif``, ``.tiff``).
    slide : Slide or None
        The slide that they belong to. Masks are scaled to it, and annotations beyond its edges are refused.
    classes : tuple of (str, {0, 1}), optional
        Class names with 1 for tumour and 0 for normal, from `parse_classes`; other classes are ignored. Without them
        the usual words, CAMELYON's groups, and the mask values 255 or 1 (normal) and 2 (tumour) are known.

    Returns
    -------
    Annotations

    Raises
    ------
    DataError
        The file is damaged, an annotation has no valid outline, a class is not known, or the annotations belong to
        another slide.

    Examples
    --------
    >>> from sentinode.slides import read_annotations
    >>> read_annotations("Tumor_001.xml").tumour.area  # doctest: +SKIP
    """
    path = Path(path)
    shapely = optional("shapely", "slides")
    lower = path.name.lower()
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if lower.endswith(MASK_ENDINGS):
        regions, known, notes = read_mask(path, slide, classes)
        tumour = shapely.union_all([region for name, region in regions.items() if known[name] == 1])
        found = Annotations(path, regions, known, tumour, shapely.MultiPolygon(), notes)
    else:
        if lower.endswith(".xml"):
            drawn, remarks = read_asap(path)
        elif lower.endswith(JSON_ENDINGS):
            # QuPath shows the scanned part of a slide alone, and counts from its corner.
            drawn, remarks = read_json(path, slide.bounds_px[:2] if slide else (0, 0))
        else:
            raise DataError(f"{path}: the name of an annotation file must end in {', '.join(ENDINGS)}")
        found = _united(path, drawn, remarks, classes)
    if slide is not None and not found.tumour.is_empty:
        full = slide.levels[0]
        inside = shapely.box(0, 0, full.width_px, full.height_px)
        if found.tumour.intersection(inside).area < 0.5 * found.tumour.area:
            bounds = ", ".join(f"{value:.0f}" for value in found.tumour.bounds)
            raise DataError(
                f"{path}: most of the tumour ({bounds} px) lies outside {slide.path.name} "
                f"({full.width_px} × {full.height_px} px); check that the annotations belong to this slide"
            )
    return found


def read_tissue(path: str | Path, slide: Slide) -> Any:
    """Read the regions of a slide that are to be scanned.

    Parameters
    ----------
    path : str or Path
        A file as for `read_annotations`. Regions of the groups ``_2`` and ``Exclusion``, of the class ``Ignore*`` and
        of the list ``negative`` are cut out of those of all other classes.
    slide : Slide
        The slide that they belong to.

    Returns
    -------
    shapely geometry
        In level-0 px.

    Raises
    ------
    DataError
        See `read_annotations`; or nothing is drawn but excluded regions.
    """
    tissue = read_annotations(path, slide, _TISSUE).tumour
    if tissue.is_empty:
        raise DataError(f"{path}: contains no region to scan; draw the tissue, or leave out --tissue")
    return tissue


def _united(path: Path, drawn: Sequence[Drawn], notes: Sequence[str], classes: Classes) -> Annotations:
    shapely = optional("shapely", "slides")
    known: dict[str, int | None] = {}
    shapes: dict[str, list[Any]] = {}
    for each in drawn:
        if each.names[0] not in known:
            known[each.names[0]] = _class_of(path, each, classes)
        shapes.setdefault(each.names[0], []).append(each.shape)
    if known and all(value is None for value in known.values()) and not classes:
        names = ", ".join(sorted(known))
        raise DataError(
            f"{path}: none of its {len(drawn)} annotations has a known class ({names}); define the classes, such as "
            f"--classes '{min(known)}=1'"
        )
    regions = {name: areas(shapely.union_all(parts)) for name, parts in shapes.items()}
    ignored = [f"{len(shapes[name])} of class {name}" for name, value in known.items() if value is None]
    remarks = (*notes, *([f"ignored: {', '.join(ignored)}"] if ignored else []))
    tumour, normal = (
        shapely.union_all([regions[name] for name, value in known.items() if value == label]) for label in (1, 0)
    )
    unknown = shapely.union_all([regions[name] for name in _EXCLUDED if name in known and known[name] is None])
    excluded = areas(shapely.difference(unknown, shapely.union(tumour, normal)))
    return Annotations(path, regions, known, areas(shapely.difference(tumour, normal)), excluded, remarks)


def _class_of(path: Path, drawn: Drawn, classes: Classes) -> int | None:
    stated = {name.lower() for name, _ in classes} - {OTHERS}
    # Groups above go before OTHERS.
    for name in [name for name in drawn.names if name.lower() in stated] or drawn.names:
        value = class_of(name, classes)
        if value is None and not classes:
            value = _GROUPS.get(name.lower())
        if value is not None:
            return value
    name = drawn.names[0]
    if classes or name in (UNCLASSIFIED, _UNCERTAIN) or name.endswith("*"):  # QuPath ignores classes such as Region*.
        return None
    raise DataError(
        f"{path}: {drawn.title}: class {name!r} is neither tumour nor normal; define the classes, such as "
        f"--classes '{name}=1' or 'Tumor=1,{name}=0'; others are then ignored"
    )
