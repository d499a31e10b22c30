"""The tissue of a slide: found on its overview, or given as a region."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from sentinode.data.types import PATCH_SIZE_PX, PATCH_SPACING_UM_PX
from sentinode.errors import DataError
from sentinode.extras import optional
from sentinode.slides.slide import Slide
from sentinode.slides.tissue_mask import Mask, tissue_mask

OVERVIEW_UM_PX = 8.0


@dataclass(frozen=True)
class Tissue:
    """Where a slide has tissue.

    Attributes
    ----------
    mask : ndarray of bool, shape (rows, columns)
        True on tissue.
    pixel_level0_px : float
        Side of a mask pixel in level-0 px.
    spacing_um_px : float
        µm per pixel of the mask.
    pen_mm2 : float
        Area of pen marks that were left out.
    """

    mask: Mask
    pixel_level0_px: float
    spacing_um_px: float
    pen_mm2: float

    @property
    def area_mm2(self) -> float:
        """Area of the tissue in mm²."""
        return float(self.mask.sum()) * self.spacing_um_px**2 / 1e6

    def covers(self, x_px: NDArray[Any], y_px: NDArray[Any]) -> Mask:
        """Tell which points of a grid lie on tissue.

        Parameters
        ----------
        x_px : ndarray of shape (columns,)
            Positions of the columns in level-0 px.
        y_px : ndarray of shape (rows,)
            Positions of the rows in level-0 px.

        Returns
        -------
        ndarray of bool, shape (rows, columns)

        Examples
        --------
        >>> tissue = Tissue(np.array([[True, False]]), pixel_level0_px=32, spacing_um_px=8, pen_mm2=0)
        >>> tissue.covers(np.array([10, 30, 50]), np.array([5]))
        array([[ True,  True, False]])
        """
        rows, columns = (
            np.minimum((at / self.pixel_level0_px).astype(int), most - 1)
            for at, most in zip((y_px, x_px), self.mask.shape, strict=True)
        )
        return self.mask[np.ix_(rows, columns)]


def find_tissue(slide: Slide) -> Tissue:
    """Find the tissue of a slide.

    Parameters
    ----------
    slide : Slide
        An open slide.

    Returns
    -------
    Tissue

    Raises
    ------
    DataError
        There is no tissue on the slide, or the slide is smaller than a patch.
    """
    pixels, selection = slide.thumbnail(OVERVIEW_UM_PX)
    pixel_px = slide.pixel_level0_px(selection)
    x, y, width, height = (value / pixel_px for value in slide.bounds_px)
    # Pixels on the rim are mixed with what lies outside.
    scanned = slice(int(np.ceil(y)), int(y + height)), slice(int(np.ceil(x)), int(x + width))
    if not pixels[scanned].size:
        raise DataError(
            f"{slide.path}: its scanned part of {slide.bounds_px[2]} × {slide.bounds_px[3]} px is smaller than one "
            f"patch of {PATCH_SIZE_PX} px at {PATCH_SPACING_UM_PX} µm/px"
        )
    mask = np.zeros(pixels.shape[:2], bool)
    mask[scanned], pen = tissue_mask(pixels[scanned], selection.effective_um_px)
    if not mask.any():
        raise DataError(
            f"{slide.path}: no tissue found on {pixels.shape[1]} × {pixels.shape[0]} px at "
            f"{selection.effective_um_px:.3g} µm/px; check whether the slide is empty, very pale, or covered "
            "with pen marks"
        )
    pixel_mm2 = selection.effective_um_px**2 / 1e6
    return Tissue(mask, pixel_px, selection.effective_um_px, float(pen.sum()) * pixel_mm2)


def tissue_in(slide: Slide, region: Any = None) -> Tissue:
    """Take a region as the tissue of a slide, instead of finding it.

    Parameters
    ----------
    slide : Slide
        An open slide.
    region : shapely geometry, optional
        Polygons in level-0 px; the whole scanned part where None.

    Returns
    -------
    Tissue

    Raises
    ------
    DataError
        The region lies outside of the slide.
    """
    full = slide.levels[0]
    pixel_px = OVERVIEW_UM_PX / slide.spacing_um_px
    columns, rows = (max(1, round(size / pixel_px)) for size in (full.width_px, full.height_px))
    if region is None:
        x, y, width, height = slide.bounds_px
        region = optional("shapely", "slides").box(x, y, x + width, y + height)
    mask = region_mask(region, (rows, columns), pixel_px)
    if not mask.any():
        raise DataError(f"{slide.path}: the tissue region lies outside its {full.width_px} × {full.height_px} px")
    return Tissue(mask, pixel_px, OVERVIEW_UM_PX, 0.0)


def region_mask(region: Any, shape: tuple[int, int], pixel_level0_px: float) -> Mask:
    """Draw a region as a mask; pixels that it covers in part belong to it.

    Parameters
    ----------
    region : shapely geometry
        Polygons in level-0 px, with holes.
    shape : tuple of int
        Rows and columns of the mask.
    pixel_level0_px : float
        Side of a mask pixel in level-0 px.

    Returns
    -------
    ndarray of bool, shape (rows, columns)

    Examples
    --------
    >>> import shapely
    >>> ring = shapely.box(0, 0, 100, 100) - shapely.box(20, 20, 80, 80)
    >>> island = shapely.box(40, 40, 60, 60)
    >>> mask = region_mask(shapely.MultiPolygon([island, ring]), (10, 10), 10.0)
    >>> mask[1, 1], mask[3, 3], mask[5, 5]
    (np.True_, np.False_, np.True_)
    """
    shapely = optional("shapely", "slides")
    image, border = (Image.new("1", shape[::-1]) for _ in range(2))
    draw, draw_border = ImageDraw.Draw(image), ImageDraw.Draw(border)
    # Larger ones first: an island in a hole would be erased with the hole.
    for polygon in sorted(getattr(region, "geoms", [region]), key=lambda each: -each.convex_hull.area):
        for ring, value in ((polygon.exterior, 1), *((hole, 0) for hole in polygon.interiors)):
            points = [(x / pixel_level0_px, y / pixel_level0_px) for x, y in ring.coords]
            draw.polygon(points, fill=value)
            draw_border.line(points, fill=1)
    mask = np.array(image)
    # Pillow rounds to whole pixels, so that near a border each pixel is decided by itself.
    rows, columns = np.nonzero(ndimage.binary_dilation(np.asarray(border), np.ones((5, 5))))
    low, high = 1e-6, 1 - 1e-6  # The neighbor of a pixel that is covered up to its edge does not belong to the region.
    boxes = shapely.box(*(np.stack([columns + low, rows + low, columns + high, rows + high]) * pixel_level0_px))
    shapely.prepare(region)
    mask[rows, columns] = shapely.intersects(region, boxes)
    return mask
