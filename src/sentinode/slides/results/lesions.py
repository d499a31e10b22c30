"""Outline lesions on a heat map, measure them, and score the slide."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import logit

from sentinode.extras import optional
from sentinode.inference.logits import probability
from sentinode.slides.annotations.outlines import mask_polygons
from sentinode.slides.results.heatmap import Heatmap
from sentinode.slides.staging import LesionClass, classify_lesion

# A lesion reaches down to the lower probability and has the higher one somewhere.
OUTLINE_FROM, PEAK_FROM = 0.5, 0.9
# Area over which the highest probabilities are averaged for the slide's score.
SCORE_AREA_MM2 = 0.03
# Of outlines and tiles in QuPath.
TUMOUR_COLOR = [200, 0, 0]


@dataclass(frozen=True)
class Lesion:
    """A connected region that the network takes for tumour.

    Attributes
    ----------
    x_px, y_px : float
        Place of the highest smoothed probability in level-0 px.
    max_probability, mean_probability : float
        Of the smoothed heat map inside.
    area_mm2 : float
        Area.
    diameter_mm : float
        Longest diameter.
    lesion_class : {"itc", "micro", "macro"}
        By longest diameter.
    polygon : shapely geometry
        Outline in level-0 px, with holes; valid.
    """

    x_px: float
    y_px: float
    max_probability: float
    mean_probability: float
    area_mm2: float
    diameter_mm: float
    lesion_class: LesionClass
    polygon: Any = field(metadata={"json": False})


def find_lesions(heatmap: Heatmap) -> list[Lesion]:
    """Find the lesions of a slide.

    Parameters
    ----------
    heatmap : Heatmap

    Returns
    -------
    list of Lesion
        The one with the highest probability first.
    """
    optional("shapely", "slides")
    smoothed = np.nan_to_num(heatmap.smoothed, nan=-np.inf)
    inside = smoothed >= logit(OUTLINE_FROM)
    labels, count = ndimage.label(inside, np.ones((3, 3)))
    found = []
    for number, window in enumerate(ndimage.find_objects(labels, count), start=1):
        mask, values = labels[window] == number, smoothed[window]
        if values[mask].max() >= logit(PEAK_FROM):
            found.append(_measure(heatmap, mask, values, (window[0].start, window[1].start)))
    return sorted(found, key=lambda lesion: (-lesion.max_probability, lesion.y_px, lesion.x_px))


def slide_score(heatmap: Heatmap) -> float:
    """Score a slide: the mean of its highest smoothed probabilities over 0.03 mm².

    Parameters
    ----------
    heatmap : Heatmap

    Returns
    -------
    float
        Between 0 and 1. A single artifact weighs less than in the maximum.
    """
    known = probability(heatmap.smoothed[~np.isnan(heatmap.smoothed)])
    count = max(1, round(SCORE_AREA_MM2 * 1e6 / heatmap.step_um**2))
    return float(np.mean(np.sort(known)[-count:]))


def to_geojson(lesions: Sequence[Lesion], *, identity: str, offset_px: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """Return lesions as GeoJSON that QuPath imports as annotations.

    Parameters
    ----------
    lesions : sequence of Lesion
    identity : str
        Text that names slide and model; the lesions' ids follow from it, so that the same scan gives the same ids.
    offset_px : tuple of int
        x and y subtracted from all coordinates, for programs that crop a slide to its bounds.

    Returns
    -------
    dict
        A FeatureCollection; coordinates in level-0 px.
    """
    shapely = optional("shapely", "slides")
    features = []
    for lesion in lesions:
        moved = shapely.transform(lesion.polygon, lambda points: np.round(points - np.asarray(offset_px), 1))
        features.append(
            {
                "type": "Feature",
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{identity} {lesion.x_px:.1f} {lesion.y_px:.1f}")),
                "geometry": shapely.geometry.mapping(shapely.make_valid(moved)),
                "properties": {
                    "objectType": "annotation",
                    "name": f"{lesion.lesion_class} {lesion.diameter_mm:.2f} mm",
                    "classification": {"name": "Tumor", "color": TUMOUR_COLOR},
                    "measurements": {
                        "max probability": round(lesion.max_probability, 4),
                        "mean probability": round(lesion.mean_probability, 4),
                        "area mm^2": round(lesion.area_mm2, 4),
                        "longest diameter mm": round(lesion.diameter_mm, 3),
                    },
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _measure(heatmap: Heatmap, mask: NDArray[np.bool_], values: NDArray[np.float32], place: tuple[int, int]) -> Lesion:
    peak = np.unravel_index(np.argmax(np.where(mask, values, -np.inf)), mask.shape)
    y, x = (heatmap.origin_px + (start + at) * heatmap.step_px for start, at in zip(place, peak, strict=True))
    polygon = _outline(heatmap, mask, place)
    um_per_px = heatmap.step_um / heatmap.step_px
    diameter_mm = _longest_diameter(np.asarray(polygon.convex_hull.exterior.coords)) * um_per_px / 1000
    inside = probability(values[mask])
    return Lesion(
        x_px=float(x),
        y_px=float(y),
        max_probability=float(inside.max()),
        mean_probability=float(inside.mean()),
        area_mm2=float(mask.sum()) * heatmap.step_um**2 / 1e6,
        diameter_mm=float(diameter_mm),
        lesion_class=classify_lesion(diameter_mm),
        polygon=polygon,
    )


def _outline(heatmap: Heatmap, mask: NDArray[np.bool_], place: tuple[int, int]) -> Any:
    """Return the outline of a mask in level-0 px."""
    shapely = optional("shapely", "slides")
    outline = shapely.make_valid(shapely.union_all(mask_polygons(mask)))
    corner = np.array(place[::-1])
    return shapely.transform(outline, lambda points: (points + corner) * heatmap.step_px + heatmap.origin_px)


def _longest_diameter(hull: NDArray[np.float64]) -> float:
    return float(np.sqrt(((hull[:, None] - hull[None]) ** 2).sum(axis=-1).max()))
