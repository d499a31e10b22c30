"""Synthetic slides: real patches of known label laid side by side with hard seams, on glass."""

import numpy as np
import pytest

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("openslide")

GLASS = 240
# Patches along each side, and where those with tumour are.
SIDE, TUMOUR = 9, (slice(3, 7), slice(3, 7))
MARGIN_PX = 200
# Results of a scan that are the same bytes each time.
FILES = ("heatmap.tif", "log_odds.npy", "lesions.geojson", "summary.json", "overview.png")


def write_pyramid(path, pixels, spacing_um_px=0.972, levels=2, **options):
    """Write a tiled pyramid as a slide scanner's generic TIFF."""
    resolution = {} if spacing_um_px is None else {"resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level in range(levels):
            if spacing_um_px is not None:
                resolution["resolution"] = (1e4 / (spacing_um_px * 2**level),) * 2
            settings = {"tile": (256, 256), "compression": "jpeg", "compressionargs": {"level": 90}} | options
            file.write(pixels, photometric="rgb", subfiletype=int(level > 0), metadata=None, **resolution, **settings)
            rows, columns = (size // 2 * 2 for size in pixels.shape[:2])
            halves = pixels[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2, 3)
            pixels = halves.mean(axis=(1, 3)).astype(np.uint8)
    return path


@pytest.fixture(scope="session")
def mosaic(mini):
    """Pixels of 9 × 9 patches on glass; the inner 4 × 4 are tumour."""
    rng = np.random.default_rng(0)
    labels = mini.labels
    rows = rng.choice(np.flatnonzero(labels == 0), (SIDE, SIDE))
    rows[TUMOUR] = rng.choice(np.flatnonzero(labels == 1), (4, 4))
    tissue = np.concatenate([np.concatenate(list(mini.read(row)), axis=1) for row in rows])
    return np.pad(tissue, ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0)), constant_values=GLASS)


@pytest.fixture(scope="session")
def slide_file(mosaic, tmp_path_factory):
    """The mosaic at 0.972 µm/px as a pyramid."""
    return write_pyramid(tmp_path_factory.mktemp("slides") / "mosaic.tif", mosaic)


@pytest.fixture(scope="session")
def tall_slide(mosaic, tmp_path_factory):
    """Six rows of blocks."""
    return write_pyramid(tmp_path_factory.mktemp("tall") / "tall.tif", np.concatenate([mosaic] * 5))
