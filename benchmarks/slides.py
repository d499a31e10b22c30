"""Measure how fast slides are scanned, where the time goes, and how fast the alternatives are.

    python benchmarks/slides.py DATA
    python benchmarks/slides.py DATA --rounds 3 --precision bfloat16
    python benchmarks/slides.py DATA --memory SLIDE

DATA is a folder with ``slides/CMU-1-Small-Region.svs`` and ``stain-tiles/*.jpeg``. Three slides are made:

- `level`: real patches in a pyramid with a level at 0.972 µm/px (see ``scripts/make_synthetic_slide.py``);
- `jpeg`, `jpeg2000`: level 0 at 0.243 µm/px alone, from tissue at native resolution, encoded again. Enlarged patches
  would be cheap to decode, so bytes per pixel are printed beside those of the real slide.

All methods take turns. Where other programs use the machine, wall times say little: mm² per second of CPU time is
printed as well, times the number of processors. Alternatives compute a part of the area of the scans:

- the same network, engine and precision patch by patch at a step of 32 px;
- a plain loop of OpenSlide and Keras at a step of 32 px;
- a ResNet50 on patches of 96 px side by side, in OpenVINO.
"""

import argparse
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import sentinode  # isort: skip # noqa: F401  # Before Keras: it sets up TensorFlow.
import imagecodecs
import keras
import numpy as np
import openslide
import shapely
from PIL import Image

from make_synthetic_slide import SlideSpec, make_synthetic_slide, write_pyramid
from sentinode import load_run
from sentinode.inference.engines import compile_openvino, openvino
from sentinode.machine import keep_freed_memory, processor_count, processor_name
from sentinode.models.flops import flops
from sentinode.slides import load_scanner, open_slide, scan_slide
from sentinode.slides.blocks import plan_blocks
from sentinode.slides.scanning.scanner import Scanner, _patch_by_patch
from sentinode.slides.slide import Slide
from sentinode.slides.tissue import tissue_in

SPACING_UM_PX, PATCH_UM_PX = 0.243, 0.972
WIDTH_PX, HEIGHT_PX = 12_288, 8_192
# Tissue with a border of some length, as on real slides: about 12 mm².
LEVEL_WIDTH_PX, LEVEL_HEIGHT_PX = 24_576, 16_384
PART_MM, BATCH = 0.7, 64


@dataclass
class Measurement:
    """One run of one method; `pixels` are those that the network computes for each pixel of tissue."""

    mm2: float
    wall_s: float
    cpu_s: float
    waiting_s: float = 0.0
    pixels: float = 0.0


def main() -> None:
    """Make the slides, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="d4net-m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--memory", type=Path, metavar="SLIDE", help="measure only the memory of scans of this slide")
    arguments = parser.parse_args()
    keep_freed_memory()
    model = load_run(arguments.model)
    gflop = flops(model.model) / 1e9
    if arguments.memory:
        print_memory(arguments.memory, arguments.model)
        return
    with tempfile.TemporaryDirectory(prefix="sentinode-") as folder:
        paths = make_slides(Path(folder), arguments.data)
        scanners = {
            engine: load_scanner(model, engine=engine, precision=arguments.precision)
            for engine in ("openvino", "keras")
        }
        scanners["int8"] = load_scanner(model, engine="openvino", precision="int8")
        methods = all_methods(paths, scanners, arguments.precision, Path(folder))
        found: dict[str, list[Measurement]] = {name: [] for name in methods}
        for number in range(arguments.rounds + 1):
            for name, method in methods.items():
                measured = method()
                if number:  # The first round compiles and fills the cache of files.
                    found[name].append(measured)
    print_table(found, gflop)
    print(
        f"\n{arguments.model}, {gflop:.2f} GFLOP a patch, {arguments.precision}; {arguments.rounds} rounds in turn; "
        f"{time.strftime('%Y-%m-%d')}; {processor_name()}, {processor_count()} processors, {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f}"
    )


def make_slides(folder: Path, data: Path) -> dict[str, Path]:
    """Write the three slides; return their paths by name."""
    spec = SlideSpec(width_px=LEVEL_WIDTH_PX, height_px=LEVEL_HEIGHT_PX, pieces=1, tissue_fraction=0.5, lesions=2)
    tissue = native_tissue(data)
    size = WIDTH_PX, HEIGHT_PX

    def read(_: float, x: int, y: int, width: int, height: int) -> np.ndarray:
        return tissue[y : y + height, x : x + width]

    jpeg, jpeg2000 = folder / "jpeg.tif", folder / "jpeg2000.svs"
    write_pyramid(jpeg, read, size, SPACING_UM_PX, [1], tile_px=256, quality=85)
    write_pyramid(
        jpeg2000,
        read,
        size,
        SPACING_UM_PX,
        [1],
        tile_px=256,
        encode=lambda tile: bytes(imagecodecs.jpeg2k_encode(tile, level=38, codecformat="J2K", reversible=False)),
        compression="aperio_jp2000_rgb",
        photometric="rgb",
        description=f"Aperio Synthetic\n|AppMag = 40|MPP = {SPACING_UM_PX}",
    )
    real = data / "slides" / "CMU-1-Small-Region.svs"
    with openslide.OpenSlide(real) as slide:
        pixels = {real: int(np.prod(slide.dimensions))} | dict.fromkeys((jpeg, jpeg2000), WIDTH_PX * HEIGHT_PX)
    print("bytes per pixel: " + ", ".join(f"{path.name} {path.stat().st_size / pixels[path]:.2f}" for path in pixels))
    level = make_synthetic_slide(folder, "level", spec).path
    return {"level": level, "jpeg": jpeg, "jpeg2000": jpeg2000}


def native_tissue(data: Path) -> np.ndarray:
    """Lay real tissue side by side, as a scanner recorded it."""
    with openslide.OpenSlide(data / "slides" / "CMU-1-Small-Region.svs") as slide:
        region = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    pieces = [np.asarray(Image.open(path).convert("RGB")) for path in sorted((data / "stain-tiles").glob("*.jpeg"))]
    pieces.append(region[:2048, :2048])
    out = np.empty((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    number = 0
    for y in range(0, HEIGHT_PX, 2048):
        for x in range(0, WIDTH_PX, 2048):
            out[y : y + 2048, x : x + 2048] = pieces[number % len(pieces)]
            number += 1
    return out


def all_methods(
    paths: dict[str, Path], scanners: dict[str, Scanner], precision: str, folder: Path
) -> dict[str, Callable[[], Measurement]]:
    """Return what is measured, by name."""
    vino, tensorflow = scanners["openvino"], scanners["keras"]
    single = Scanner(
        vino.model, 32, "patches", _patch_by_patch(vino.model.session("openvino", precision=precision), 32)
    )
    resnet = load_resnet(folder, precision)
    return {
        "level, openvino": lambda: scan(paths["level"], vino),
        "level, openvino in int8": lambda: scan(paths["level"], scanners["int8"]),
        "level, keras": lambda: scan(paths["level"], tensorflow),
        "jpeg, openvino": lambda: scan(paths["jpeg"], vino),
        "jpeg, every pixel decoded, openvino": lambda: scan(paths["jpeg"], vino, shrinking=False),
        "jpeg2000, openvino": lambda: scan(paths["jpeg2000"], vino),
        "level, patch by patch, openvino": lambda: scan(paths["level"], single, PART_MM),
        "level, OpenSlide and Keras": lambda: plain_loop(paths["level"], vino.model.model),
        "level, ResNet50 at 96 px, openvino": lambda: resnet_scan(paths["level"], resnet),
    }


def scan(path: Path, scanner: Scanner, side_mm: float | None = None, shrinking: bool = True) -> Measurement:
    """Scan a slide, or a square in its middle."""
    with open_slide(path) as opened:
        slide = opened if shrinking else Slide(opened.path, opened.reader, opened.spacing_um_px, opened.spacing_source)
        tissue = None
        if side_mm or "level" not in path.name:
            tissue = tissue_in(slide, square(slide, side_mm) if side_mm else None)
        cpu = time.process_time()
        found = scan_slide(slide, scanner, tissue=tissue, force=True)
        cpu = time.process_time() - cpu
    wanted = np.isfinite(found.heatmap.log_odds)
    places, step = int(wanted.sum()), scanner.step_px
    if scanner.network == "dense":
        blocks = [block for row in plan_blocks(wanted, step).values() for block in row]
        pixels = sum(math.prod(count * step + 96 - step for count in (each.rows, each.columns)) for each in blocks)
    else:
        pixels = places * 96**2
    mm2 = places * found.heatmap.step_um**2 / 1e6
    return Measurement(mm2, found.duration_s, cpu, found.waiting_s, pixels / (places * step**2))


def square(slide: Slide, side_mm: float) -> shapely.Polygon:
    """Return a square in the middle of a slide, in level-0 px."""
    full, half = slide.levels[0], side_mm * 1000 / slide.spacing_um_px / 2
    x, y = full.width_px / 2, full.height_px / 2
    return shapely.box(x - half, y - half, x + half, y + half)


def plain_loop(path: Path, network: keras.Model) -> Measurement:
    """Do what most scripts do: read each patch with OpenSlide, predict batches with Keras."""
    step, level = 32, 2
    with openslide.OpenSlide(path) as slide:
        width, height = slide.level_dimensions[level]
        count = round(PART_MM * 1000 / PATCH_UM_PX / step)
        left, top = (side // 2 - count * step // 2 for side in (width, height))
        places = [(left + step * x, top + step * y) for y in range(count) for x in range(count)]
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(places), BATCH):
            patches = [
                slide.read_region((4 * x, 4 * y), level, (96, 96)).convert("RGB")
                for x, y in places[start : start + BATCH]
            ]
            network.predict_on_batch(np.stack([np.asarray(patch) for patch in patches]))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Measurement(len(places) * (step * PATCH_UM_PX / 1000) ** 2, wall, cpu, pixels=(96 / step) ** 2)


def load_resnet(folder: Path, precision: str) -> Callable[[np.ndarray], object]:
    """Return a ResNet50 for patches, with random weights, in OpenVINO."""
    vino = openvino()
    network = keras.applications.ResNet50(weights=None, input_shape=(96, 96, 3), classes=2)
    network.export(str(folder / "resnet.xml"), format="openvino", verbose=False)
    compiled = compile_openvino(vino.Core().read_model(str(folder / "resnet.xml")), precision)
    return lambda patches: compiled(patches.astype(np.float32))


def resnet_scan(path: Path, network: Callable[[np.ndarray], object], patches: int = 128) -> Measurement:
    """Predict patches side by side."""
    with open_slide(path) as slide:
        selection = slide.select_level(PATCH_UM_PX)
        wall, cpu = time.perf_counter(), time.process_time()
        for row in range(patches // 16):
            strip = slide.read(selection, 1000, 500 + 96 * row, 96 * 16, 96)
            network(np.stack(np.split(strip, 16, axis=1)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Measurement(patches * (96 * PATCH_UM_PX / 1000) ** 2, wall, cpu, pixels=1.0)


def print_memory(path: Path, model: str) -> None:
    """Print the largest memory of any process of a scan, by engine; the one with less comes first."""
    with open_slide(path) as slide:
        print(f"{path.name}, {slide.levels[0].width_px:,} × {slide.levels[0].height_px:,} px")
    for engine in ("openvino", "keras"):
        with tempfile.TemporaryDirectory(prefix="sentinode-") as folder:
            words = ["scan", path, "--model", model, "--out", folder, "--engine", engine, "--force"]
            command = [sys.executable, "-m", "sentinode", *map(str, words)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print(f"{engine}: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:,.0f} MB")


def print_table(found: dict[str, list[Measurement]], gflop: float) -> None:
    """Print speeds, waiting and ratios."""
    processors = processor_count()
    print(
        "\n| scan | mm²/s, wall | mm² per CPU s × processors | × GFLOP | network waits | computed / tissue px |"
        "\n|---|---|---|---|---|---|"
    )
    speeds = {}
    for name, runs in found.items():
        wall = [each.mm2 / each.wall_s for each in runs]
        cpu = [processors * each.mm2 / each.cpu_s for each in runs]
        speeds[name] = float(np.median(cpu))
        waits = f"{np.median([each.waiting_s / each.wall_s for each in runs]):.0%}" if runs[0].waiting_s else "–"
        work = "–" if "ResNet" in name else f"{speeds[name] * gflop:.2f}"
        print(
            f"| {name} | {np.median(wall):.2f} ({min(wall):.2f}–{max(wall):.2f}) | {speeds[name]:.2f} "
            f"({min(cpu):.2f}–{max(cpu):.2f}) | {work} | {waits} | {runs[0].pixels:.2f} |"
        )
    print("\nratios of CPU time for the same area:")
    for fast, slow in (
        ("level, openvino", "level, patch by patch, openvino"),
        ("level, openvino", "level, OpenSlide and Keras"),
        ("level, keras", "level, OpenSlide and Keras"),
        ("level, openvino", "level, ResNet50 at 96 px, openvino"),
        ("jpeg, openvino", "jpeg, every pixel decoded, openvino"),
    ):
        print(f"{fast} against {slow}: {speeds[fast] / speeds[slow]:.1f}")


if __name__ == "__main__":
    main()
