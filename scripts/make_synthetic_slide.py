"""Write synthetic slides with known tumour, for tests and benchmarks.

    python scripts/make_synthetic_slide.py FOLDER --width 100000 --height 80000 --pen green
    python scripts/make_synthetic_slide.py FOLDER --name small --width 6000 --height 5000 --spacing 0.972 --lesions 3

Writes ``FOLDER/slides/NAME.tif``, a pyramid of JPEG tiles, ``FOLDER/annotations/NAME.xml`` for ASAP, and
``FOLDER/masks/NAME_mask.tif`` with 255 on tumour, exact to the pixel of the patches.

Tissue consists of real patches of known label at their own resolution, each in a random orientation, side by side with
hard seams: blended seams blur nuclei, and networks take that for tumour. Patches labeled tumour fill the lesions and
are cut off at their outlines. Finer levels are enlarged, so they hold no more detail than the patches and are smaller
and faster to decode than those of a scanner: these slides serve correctness, not the speed of reading at full
resolution. The label of a patch is that of its central 32 px, so part of the pixels in a lesion may be normal.

Slides are written as a stream of tiles; memory does not grow with their size. The same arguments give the same bytes.
"""

import argparse
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import simplejpeg
import tifffile
from PIL import Image, ImageDraw, ImageFilter
from shapely import affinity

from sentinode import open_patches
from sentinode.data.parallel import ordered_map
from sentinode.storage import atomic_file

PATCH_PX, PATCH_UM_PX = 96, 0.972
GLASS = (240, 238, 241)
PENS = {"green": (60, 140, 80), "blue": (50, 70, 160), "red": (200, 50, 60), "black": (40, 40, 45)}
PEN_WIDTH_UM, BLUR_SIGMA_PX = 400.0, 3.0
# CAMELYON16's outlines are in pixels of its slides.
POLYGONS_UM_PX = 0.243
# The gap between lesions exceeds the 75 µm within which the challenge merges them.
LESION_GAP_UM = 300.0
SMALLEST_LEVEL_PX = 2000
# Levels coarser than this are made from an overview in memory.
OVERVIEW_SHRINK = 8


@dataclass(frozen=True, kw_only=True)
class SlideSpec:
    """What a synthetic slide is like.

    Attributes
    ----------
    width_px, height_px : int
        Size of level 0; rounded down to whole pixels of all levels.
    spacing_um_px : float
        µm per level-0 pixel. A patch pixel covers a whole number of level-0 pixels, about 0.972 µm.
    downsample : int
        From each level to the next, 2 or 4.
    levels : int or None
        Number of levels; None: down to about 2,000 px.
    tile_px, quality : int
        Side and JPEG quality of the tiles.
    tissue_fraction : float
        Part of the slide's area that tissue covers, up to about 0.6.
    pieces : int
        Separate pieces of tissue.
    lesions : int
        Number of lesions.
    pens : tuple of str
        Colors of pen marks, from `PENS`: one stroke each.
    blurred_um : float
        Diameter of a disc that is out of focus.
    seed : int
        Seed of everything random.
    """

    width_px: int
    height_px: int
    spacing_um_px: float = 0.243
    downsample: int = 2
    levels: int | None = None
    tile_px: int = 512
    quality: int = 85
    tissue_fraction: float = 0.2
    pieces: int = 3
    lesions: int = 6
    pens: tuple[str, ...] = ()
    blurred_um: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class SyntheticSlide:
    """A slide that was written, and the truth about it.

    Attributes
    ----------
    path, annotations, mask : Path
        The slide, its outlines as ASAP XML, and its tumour mask.
    lesions : list of shapely.Polygon
        In level-0 px.
    tissue, pen : shapely geometry
        In level-0 px; pen marks may lie on tissue.
    """

    path: Path
    annotations: Path
    mask: Path
    lesions: list[shapely.Polygon]
    tissue: Any
    pen: Any


def make_synthetic_slide(
    folder: str | Path,
    name: str,
    spec: SlideSpec,
    *,
    patches: str = "pcam-mini",
    polygons: str | Path | None = None,
) -> SyntheticSlide:
    """Write a synthetic slide and the truth about it.

    Parameters
    ----------
    folder : str or Path
        Gets the folders ``slides``, ``annotations`` and ``masks``.
    name : str
        Name of the slide without its ending.
    spec : SlideSpec
        What the slide is like.
    patches : str
        Labeled patches, as for `open_patches`.
    polygons : str, Path or None
        A zip of CAMELYON16 outlines (json with ``positive``); random shapes where None.

    Returns
    -------
    SyntheticSlide
    """
    folder = Path(folder)
    scene = Scene(spec, patches, polygons)
    path, annotations, mask = (
        folder / kind / file
        for kind, file in (("slides", f"{name}.tif"), ("annotations", f"{name}.xml"), ("masks", f"{name}_mask.tif"))
    )
    for file in (path, annotations, mask):
        file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        write_pyramid(
            temporary, scene.read, scene.size_px, spec.spacing_um_px, scene.downsamples, spec.tile_px, spec.quality
        )
    with atomic_file(mask) as temporary:
        _write_mask(temporary, scene)
    *lesions, tissue, pen = (
        affinity.scale(each, scene.enlarged, scene.enlarged, origin=(0, 0))
        for each in (*scene.lesions, scene.tissue, scene.pen)
    )
    with atomic_file(annotations) as temporary:
        temporary.write_text(asap_xml(lesions), encoding="utf-8")
    return SyntheticSlide(path, annotations, mask, lesions, tissue, pen)


class Scene:
    """What a synthetic slide shows. Its own pixels are those of the patches; all shapes are in these.

    Attributes
    ----------
    enlarged : int
        Level-0 pixels along a pixel of a patch.
    size_px : tuple of int
        Width and height of level 0.
    downsamples : list of int
        Of all levels.
    tissue, pen : shapely geometry
    lesions : list of shapely.Polygon
    """

    def __init__(self, spec: SlideSpec, patches: str, polygons: str | Path | None) -> None:
        self.spec, rng = spec, np.random.default_rng(spec.seed)
        self.enlarged = max(1, round(PATCH_UM_PX / spec.spacing_um_px))
        self.um_px = spec.spacing_um_px * self.enlarged
        longest, self.downsamples = max(spec.width_px, spec.height_px), [1]
        while (
            longest > SMALLEST_LEVEL_PX * self.downsamples[-1]
            if spec.levels is None
            else len(self.downsamples) < spec.levels
        ):
            self.downsamples.append(self.downsamples[-1] * spec.downsample)
        whole = math.lcm(self.downsamples[-1], self.enlarged)
        width, height = (side // whole * whole for side in (spec.width_px, spec.height_px))
        self.size_px = width, height
        self.width, self.height = width // self.enlarged, height // self.enlarged
        self._patches = self._read_patches(patches, rng)
        cells = -(-self.height // PATCH_PX), -(-self.width // PATCH_PX)
        self._choices = [
            (rng.integers(len(of_label), size=cells), rng.integers(8, size=cells)) for of_label in self._patches
        ]
        pieces = _pieces(spec, self.width, self.height, rng)
        self.tissue = shapely.union_all(pieces)
        candidates = _read_polygons(polygons, self.um_px) if polygons else _random_lesions(self.um_px, rng)
        self.lesions = _place(candidates, pieces, spec.lesions, LESION_GAP_UM / self.um_px, rng)
        self._pens = [
            (_stroke(self.tissue, rng).buffer(PEN_WIDTH_UM / self.um_px / 2), PENS[color]) for color in spec.pens
        ]
        self._blurred = shapely.Polygon()
        if spec.blurred_um:
            center = pieces[-1].representative_point()
            self._blurred = center.buffer(spec.blurred_um / self.um_px / 2).intersection(pieces[-1])
        self.pen = shapely.union_all([pen for pen, _ in self._pens])
        self._anything = shapely.union(self.tissue, self.pen)
        shapely.prepare(self._anything)
        if self.downsamples[-1] > OVERVIEW_SHRINK * self.enlarged:
            self._overview = self._shrunk()

    def read(self, downsample: float, x: int, y: int, width: int, height: int) -> np.ndarray | None:
        """Return a rectangle in pixels of a level, None where it is empty glass."""
        shrink = downsample / self.enlarged  # Own pixels along a pixel of the level.
        left, top, right, bottom = (value * shrink for value in (x, y, x + width, y + height))
        if not self._anything.intersects(shapely.box(left, top, right, bottom)):
            return None
        if shrink == 1:
            return self.pixels(x, y, width, height)
        if shrink > OVERVIEW_SHRINK:
            left, top, right, bottom = (value / OVERVIEW_SHRINK for value in (left, top, right, bottom))
            x0, y0, source = 0, 0, self._overview
        else:
            x0, y0 = math.floor(left) - 2, math.floor(top) - 2
            source = self.pixels(x0, y0, math.ceil(right) + 2 - x0, math.ceil(bottom) + 2 - y0)
        method = Image.Resampling.BOX if shrink > 1 else Image.Resampling.BICUBIC
        box = (left - x0, top - y0, right - x0, bottom - y0)
        return np.asarray(Image.fromarray(source).resize((width, height), method, box))

    def pixels(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return a rectangle at the resolution of the patches; beyond the slide there is glass."""
        part = shapely.box(x, y, x + width, y + height)
        if not self._blurred.intersects(part):
            return self._sharp(x, y, width, height)
        margin = math.ceil(4 * BLUR_SIGMA_PX)
        wide = Image.fromarray(self._sharp(x - margin, y - margin, width + 2 * margin, height + 2 * margin))
        blurred = np.asarray(wide.filter(ImageFilter.GaussianBlur(BLUR_SIGMA_PX)))
        inner = np.s_[margin : margin + height, margin : margin + width]
        inside = raster([self._blurred], x, y, width, height)
        return np.where(inside[..., None], blurred[inner], np.asarray(wide)[inner])

    def tumour(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return where a rectangle shows tumour, at the resolution of the patches."""
        return raster(self.lesions, x, y, width, height)

    def _sharp(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        tissue = raster(shapely.get_parts(self.tissue), x, y, width, height)
        tumour = self.tumour(x, y, width, height) & tissue
        if tissue.all() and not tumour.any():  # Most places.
            out = self._mosaic(0, x, y, width, height)
        else:
            out = np.empty((height, width, 3), np.uint8)
            out[:] = GLASS
            for label, where in ((0, tissue & ~tumour), (1, tumour)):
                if where.any():
                    out[where] = self._mosaic(label, x, y, width, height)[where]
        for pen, color in self._pens:
            inked = raster([pen], x, y, width, height)
            out[inked] = (out[inked] * (np.array(color) / 255)).astype(np.uint8)
        return out

    def _mosaic(self, label: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        out = np.empty((height, width, 3), np.uint8)
        numbers, symmetries = self._choices[label]
        rows, columns = numbers.shape
        for row in range(max(0, y // PATCH_PX), min(rows, -(-(y + height) // PATCH_PX))):
            for column in range(max(0, x // PATCH_PX), min(columns, -(-(x + width) // PATCH_PX))):
                patch = self._patches[label][numbers[row, column]]
                symmetry = symmetries[row, column]
                patch = np.rot90(patch[:, ::-1] if symmetry > 3 else patch, symmetry % 4)
                top, left = row * PATCH_PX - y, column * PATCH_PX - x
                y0, y1, x0, x1 = max(top, 0), min(top + PATCH_PX, height), max(left, 0), min(left + PATCH_PX, width)
                out[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
        return out

    def _shrunk(self) -> np.ndarray:
        """Return all of it, shrunk by `OVERVIEW_SHRINK`, up to the ends of the coarsest level's tiles."""
        whole = math.ceil(self.spec.tile_px * self.downsamples[-1] / self.enlarged / OVERVIEW_SHRINK)
        rows, columns = (-(-side // (OVERVIEW_SHRINK * whole)) * whole for side in (self.height, self.width))
        out = np.empty((rows, columns, 3), np.uint8)
        out[:] = GLASS
        side = 128
        for y in range(0, rows, side):
            for x in range(0, columns, side):
                tile = self.read(OVERVIEW_SHRINK * self.enlarged, x, y, min(side, columns - x), min(side, rows - y))
                if tile is not None:
                    out[y : y + side, x : x + side] = tile
        return out

    @staticmethod
    def _read_patches(data: str, rng: np.random.Generator, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
        """Return normal and tumour patches."""
        patches = open_patches(data)
        found = [
            patches.read(np.sort(rng.permutation(np.flatnonzero(patches.labels == label))[:most])) for label in (0, 1)
        ]
        return found[0], found[1]


def write_pyramid(
    path: Path,
    read: Callable[[float, int, int, int, int], np.ndarray | None],
    size_px: tuple[int, int],
    spacing_um_px: float,
    downsamples: Sequence[int],
    tile_px: int = 512,
    quality: int = 85,
    encode: Callable[[np.ndarray], bytes] | None = None,
    **options: Any,
) -> None:
    """Write a tiled pyramid as a stream.

    Parameters
    ----------
    path : Path
        The TIFF.
    read : callable
        Downsample, x, y, width and height in pixels of a level in; uint8 ``(height, width, 3)`` out, None for glass.
    size_px : tuple of int
        Width and height of level 0.
    spacing_um_px : float
        µm per level-0 pixel.
    downsamples : sequence of int
        Of the levels.
    tile_px, quality : int
        Side and JPEG quality of the tiles.
    encode : callable, optional
        Encodes a tile in another format, which `options` of `tifffile.TiffWriter.write` must name.
    """
    encode = encode or (lambda tile: simplejpeg.encode_jpeg(tile, quality, "RGB", "420"))
    options = options or {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (2, 2)}
    blank = encode(np.full((tile_px, tile_px, 3), GLASS, np.uint8))

    def tiles(downsample: int, width: int, height: int) -> Iterator[bytes]:
        places = ((x, y) for y in range(0, height, tile_px) for x in range(0, width, tile_px))

        def tile(place: tuple[int, int]) -> bytes:
            pixels = read(downsample, *place, tile_px, tile_px)
            return blank if pixels is None else encode(np.ascontiguousarray(pixels))

        yield from ordered_map(tile, places)

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, downsample in enumerate(downsamples):
            width, height = (side // downsample for side in size_px)
            file.write(
                tiles(downsample, width, height),
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(tile_px, tile_px),
                subfiletype=int(number > 0),
                resolution=(1e4 / (spacing_um_px * downsample),) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
                software=False,
                **options,
            )


def raster(shapes: Sequence[Any], x: int, y: int, width: int, height: int) -> np.ndarray:
    """Return where a rectangle lies in any of the shapes."""
    image = Image.new("1", (width, height))
    draw = ImageDraw.Draw(image)
    part = shapely.box(x, y, x + width, y + height)
    for shape in shapes:
        for polygon in shapely.get_parts(shape):
            if polygon.intersects(part):
                for ring, value in ((polygon.exterior, 1), *((hole, 0) for hole in polygon.interiors)):
                    draw.polygon([(px - x, py - y) for px, py in ring.coords], fill=value)
    return np.asarray(image)


def asap_xml(lesions: Sequence[shapely.Polygon]) -> str:
    """Return outlines as ASAP XML, open like ASAP's own."""
    lines = ['<?xml version="1.0"?>', "<ASAP_Annotations>", "  <Annotations>"]
    for number, lesion in enumerate(lesions):
        lines.append(f'    <Annotation Name="Annotation {number}" Type="Polygon" PartOfGroup="_0" Color="#F4FA58">')
        lines.append("      <Coordinates>")
        lines += [
            f'        <Coordinate Order="{order}" X="{x:.4f}" Y="{y:.4f}" />'
            for order, (x, y) in enumerate(lesion.exterior.coords[:-1])
        ]
        lines += ["      </Coordinates>", "    </Annotation>"]
    group = '    <Group Name="_0" PartOfGroup="None" Color="#00ff00"><Attributes /></Group>'
    return "\n".join(
        [*lines, "  </Annotations>", "  <AnnotationGroups>", group, "  </AnnotationGroups>", "</ASAP_Annotations>\n"]
    )


def _write_mask(path: Path, scene: Scene) -> None:
    """Write where there is tumour, 255, at the resolution of the patches."""
    side, tumour = 512, shapely.union_all(scene.lesions)

    def tiles() -> Iterator[np.ndarray]:
        blank = np.zeros((side, side), np.uint8)
        for y in range(0, scene.height, side):
            for x in range(0, scene.width, side):
                is_blank = not tumour.intersects(shapely.box(x, y, x + side, y + side))
                yield blank if is_blank else scene.tumour(x, y, side, side).astype(np.uint8) * 255

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            tiles(),
            shape=(scene.height, scene.width),
            dtype=np.uint8,
            tile=(side, side),
            photometric="minisblack",
            compression="deflate",
            resolution=(1e4 / scene.um_px,) * 2,
            resolutionunit="CENTIMETER",
            metadata=None,
            software=False,
        )


def _blob(rng: np.random.Generator, roughness: float = 0.35, points: int = 180) -> shapely.Polygon:
    """Return a random outline of area 1 around the origin."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    waves = np.arange(2, 9)
    sizes = roughness * rng.uniform(0, 1, len(waves)) / waves
    radii = 1 + (sizes * np.cos(np.outer(angles, waves) + rng.uniform(0, 2 * np.pi, len(waves)))).sum(axis=1)
    shape = shapely.Polygon(np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1))
    return affinity.scale(shape, *(1 / math.sqrt(shape.area),) * 2, origin=(0, 0))


def _pieces(spec: SlideSpec, width: int, height: int, rng: np.random.Generator) -> list[shapely.Polygon]:
    """Return pieces of tissue, each in a cell of its own."""
    across = min(spec.pieces, max(1, round(math.sqrt(spec.pieces * width / height))))
    down = -(-spec.pieces // across)
    cell = width / across, height / down
    found = []
    for number in range(spec.pieces):
        shape = affinity.scale(_blob(rng), cell[0], cell[1], origin=(0, 0))
        share = min(1.0, spec.tissue_fraction * across * down / spec.pieces)
        shape = affinity.scale(shape, *(math.sqrt(share),) * 2, origin=(0, 0))
        x0, y0, x1, y1 = shape.bounds
        fit = min(1.0, 0.94 * cell[0] / (x1 - x0), 0.94 * cell[1] / (y1 - y0))
        row, column = divmod(number, across)
        center = (column + 0.5) * cell[0], (row + 0.5) * cell[1]
        shape = affinity.scale(shape, fit, fit, origin=(0, 0))
        x0, y0, x1, y1 = shape.bounds
        found.append(affinity.translate(shape, center[0] - (x0 + x1) / 2, center[1] - (y0 + y1) / 2))
    return found


def _read_polygons(path: str | Path, um_px: float) -> list[shapely.Polygon]:
    """Return all lesions in a zip of CAMELYON16 outlines, in own pixels."""
    found = []
    with zipfile.ZipFile(path) as file:
        for name in sorted(name for name in file.namelist() if name.endswith(".json")):
            for each in json.loads(file.read(name)).get("positive", []):
                if len(each["vertices"]) < 3:
                    continue
                whole = shapely.make_valid(shapely.Polygon(each["vertices"]))
                parts = [part for part in shapely.get_parts(whole) if part.geom_type == "Polygon"]
                if parts:
                    largest = shapely.Polygon(max(parts, key=lambda part: part.area).exterior)
                    found.append(affinity.scale(largest, *(POLYGONS_UM_PX / um_px,) * 2, origin=(0, 0)))
    return found


def _random_lesions(um_px: float, rng: np.random.Generator, count: int = 100) -> list[shapely.Polygon]:
    """Return random outlines with diameters of 0.2 to 4 mm."""
    diameters = np.exp(rng.uniform(np.log(200), np.log(4000), count)) / um_px
    return [affinity.scale(_blob(rng, 0.8), *(each * 0.85,) * 2, origin=(0, 0)) for each in diameters]


def _place(
    candidates: Sequence[shapely.Polygon],
    pieces: Sequence[shapely.Polygon],
    count: int,
    gap_px: float,
    rng: np.random.Generator,
) -> list[shapely.Polygon]:
    """Move lesions into the tissue, apart from each other."""
    placed: list[shapely.Polygon] = []
    for number in rng.permutation(np.repeat(np.arange(len(candidates)), 3)):
        if len(placed) == count:
            return placed
        lesion = candidates[number]
        piece = pieces[rng.integers(len(pieces))]
        x0, y0, x1, y1 = piece.bounds
        for _ in range(20):
            center = rng.uniform(x0, x1), rng.uniform(y0, y1)
            moved = affinity.translate(lesion, center[0] - lesion.centroid.x, center[1] - lesion.centroid.y)
            if piece.contains(moved) and all(moved.distance(other) > gap_px for other in placed):
                placed.append(moved)
                break
    if len(placed) < count:
        raise SystemExit(f"only {len(placed)} of {count} lesions fit into the tissue; ask for fewer, or a larger slide")
    return placed


def _stroke(tissue: Any, rng: np.random.Generator) -> shapely.LineString:
    """Return a wavy line that runs along the tissue's edge and partly across it."""
    x0, y0, x1, y1 = tissue.bounds
    t = np.linspace(0.1, 0.9, 40)
    height = rng.uniform(0.05, 0.95)
    y = y0 + (y1 - y0) * (height + 0.04 * np.sin(2 * np.pi * (3 * t + rng.uniform())))
    return shapely.LineString(np.stack([x0 + (x1 - x0) * t, y], axis=1))


def main() -> None:
    """Write one slide."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="synthetic")
    parser.add_argument("--width", type=int, default=100_000)
    parser.add_argument("--height", type=int, default=80_000)
    parser.add_argument("--spacing", type=float, default=0.243, help="µm per level-0 pixel (default: 0.243)")
    parser.add_argument("--downsample", type=int, choices=(2, 4), default=2)
    parser.add_argument("--levels", type=int)
    parser.add_argument("--tissue", type=float, default=0.2, help="fraction of the area (default: 0.2)")
    parser.add_argument("--pieces", type=int, default=3)
    parser.add_argument("--lesions", type=int, default=6)
    parser.add_argument("--pen", action="append", choices=PENS, default=[])
    parser.add_argument("--blur", type=float, default=0.0, metavar="UM", help="diameter of a blurred disc in µm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patches", default="pcam-mini", help="labeled patches (default: pcam-mini)")
    parser.add_argument("--polygons", type=Path, help="zip of CAMELYON16 outlines (default: random shapes)")
    arguments = parser.parse_args()
    spec = SlideSpec(
        width_px=arguments.width,
        height_px=arguments.height,
        spacing_um_px=arguments.spacing,
        downsample=arguments.downsample,
        levels=arguments.levels,
        tissue_fraction=arguments.tissue,
        pieces=arguments.pieces,
        lesions=arguments.lesions,
        pens=tuple(arguments.pen),
        blurred_um=arguments.blur,
        seed=arguments.seed,
    )
    made = make_synthetic_slide(
        arguments.folder, arguments.name, spec, patches=arguments.patches, polygons=arguments.polygons
    )
    um2 = spec.spacing_um_px**2
    print(
        f"{made.path}: {made.path.stat().st_size / 1e6:,.0f} MB, {made.tissue.area * um2 / 1e6:,.0f} mm² of tissue, "
        f"{len(made.lesions)} lesions of {sum(each.area for each in made.lesions) * um2 / 1e6:.2f} mm²\n"
        f"{made.annotations}\n{made.mask}"
    )


if __name__ == "__main__":
    main()
