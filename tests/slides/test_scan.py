"""A scan finds the tumour of a synthetic slide, equals predictions patch by patch, and survives interruption."""

import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from operator import methodcaller
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.commands import command, refused, sentinode, sentinode_process, succeeded
from tests.slides.conftest import FILES, MARGIN_PX, SIDE, write_pyramid

from sentinode import load_run
from sentinode.data.stain.exposure import EXPOSURE_FACTORS
from sentinode.errors import ConfigError, DataError, OutputError
from sentinode.slides import load_scanner, open_slide, scan_slides
from sentinode.slides.grid import ScanGrid
from sentinode.slides.isolation import map_isolated
from sentinode.slides.readers.protocol import Level, SlideMetadata
from sentinode.slides.results.files import WORK
from sentinode.slides.results.heatmap import Heatmap, load_heatmap
from sentinode.slides.results.overview import draw_overview
from sentinode.slides.results.tables import write_tables
from sentinode.slides.scanning import scan as scan_module
from sentinode.slides.scanning.estimate import DurationEstimate
from sentinode.slides.scanning.folder import help_scan, scan_to_folder
from sentinode.slides.scanning.leases import take_lease
from sentinode.slides.scanning.scan import scan_rows, scan_slide
from sentinode.slides.scanning.scanner import Scanner
from sentinode.slides.slide import Slide
from sentinode.slides.tissue import find_tissue, tissue_in

pytest.importorskip("shapely")

# OpenVINO starts without Keras; where it is not installed, Keras estimates the time.
DRY_RUN = ["--dry-run", *(["--engine", "openvino"] if find_spec("openvino") else [])]


@pytest.fixture(scope="session")
def model():
    return load_run("d4net-m")


@pytest.fixture(scope="session")
def scanner(model):
    return load_scanner(model)


@pytest.fixture(scope="session")
def result(slide_file, scanner, tmp_path_factory):
    with open_slide(slide_file) as slide:
        return scan_to_folder(slide, scanner, tmp_path_factory.mktemp("scan") / "mosaic")


def not_again(pixels, wanted):
    raise AssertionError("a finished scan was computed again")


def test_the_tumour_is_found_where_it_is(result):
    assert result.summary["slide_score"] > 0.9
    lesion = result.summary["lesions"][0]
    low, high = MARGIN_PX + 3 * 96, MARGIN_PX + 7 * 96
    assert low <= lesion["x_px"] <= high
    assert low <= lesion["y_px"] <= high
    assert lesion["lesion_class"] == "micro"


@pytest.mark.slow
def test_the_dense_scan_equals_predictions_patch_by_patch(slide_file, model, scanner):
    with open_slide(slide_file) as slide:
        heatmap = scan_slide(slide, scanner).heatmap
        places = np.argwhere(~np.isnan(heatmap.log_odds))[::1500]
        patches = np.stack([slide.reader.read(0, 8 * x, 8 * y, 96, 96) for y, x in places])
    expected = model.session().logits(patches)
    found = np.array([heatmap.log_odds[tuple(place)] for place in places])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(33, 4), (5, 6)], ids=["tall", "small"])
def test_blocks_of_any_height_give_the_logits_of_their_patches(shape, model, scanner):
    sides = [(count - 1) * 8 + 96 for count in shape]
    pixels = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
    places = [(row, column) for row in range(shape[0]) for column in range(shape[1])]
    patches = np.stack([pixels[8 * row : 8 * row + 96, 8 * column : 8 * column + 96] for row, column in places])
    found = scanner.compute(pixels, np.ones(shape, bool))
    np.testing.assert_allclose(found.ravel(), model.session().compute(patches), atol=1e-4)


@pytest.mark.parametrize(
    ("step_px", "engine", "precision"),
    [
        (8, "keras", "float32"),
        (32, "keras", "float32"),
        pytest.param(32, "openvino", "float32", marks=pytest.mark.slow),
        pytest.param(32, "openvino", "int8", marks=pytest.mark.slow),
    ],
)
def test_underexposed_parts_of_a_block_give_the_logits_of_their_patches(step_px, engine, precision, model, mini):
    if engine == "openvino":
        pytest.importorskip("openvino")
    patches = mini.read(range(0, 1600, 100))
    pixels = np.concatenate([np.concatenate(list(row), axis=1) for row in patches.reshape(4, 4, 96, 96, 3)])
    pixels[:, 160:] //= 2  # Patches of the left alone, of both, and of the right, which need another factor.
    pixels[250:, 250:] = pixels[250:, 250:] * 0.6
    pixels[:100, :120] = 20
    sides = [(side - 96) // step_px + 1 for side in pixels.shape[:2]]
    wanted = np.random.default_rng(0).random(sides) < 0.9
    found = load_scanner(model, step_px, engine=engine, precision=precision).compute(pixels, wanted)
    places = np.argwhere(wanted)[:: max(1, 64 // step_px)]
    cut = [pixels[y : y + 96, x : x + 96] for y, x in places * step_px]
    spots = [each.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3)).max() for each in cut]
    assert len({int(EXPOSURE_FACTORS[int(each + 0.5)] * 100) for each in spots}) >= 3
    alone = model.session(engine, precision=precision).logits(np.stack(cut))
    np.testing.assert_allclose([found[tuple(each)] for each in places], alone, atol=1e-4)


@pytest.mark.slow
def test_both_engines_name_an_underexposed_slide_and_give_the_same_map(mosaic, model, tmp_path):
    pytest.importorskip("openvino")
    file = write_pyramid(tmp_path / "dark.tif", (mosaic * 0.6).astype(np.uint8))
    bright = write_pyramid(tmp_path / "bright.tif", mosaic)
    with open_slide(file) as dark, open_slide(bright) as slide:
        scanner = load_scanner(model, 32)
        with pytest.raises(DataError, match=r"100 % of .* most often in brightness.*--force"):
            scan_slide(dark, scanner)
        found = scan_slide(dark, scanner, force=True).heatmap.log_odds
        other = scan_slide(dark, load_scanner(model, 32, engine="openvino"), force=True).heatmap.log_odds
        expected = scan_slide(slide, scanner, force=True).heatmap.log_odds
    np.testing.assert_allclose(other, found, atol=1e-4)
    both = ~np.isnan(found) & ~np.isnan(expected)
    assert both.sum() > 200
    assert np.corrcoef(found[both], expected[both])[0, 1] > 0.85


@pytest.mark.slow
def test_openvino_gives_the_same_map_and_is_another_setting(slide_file, model, result, tmp_path):
    pytest.importorskip("openvino")
    scanner = load_scanner(model, engine="openvino")
    assert scanner.network == "dense"
    with open_slide(slide_file) as slide:
        other = scan_to_folder(slide, scanner, tmp_path / "mosaic")
        with pytest.raises(OutputError, match="engine"):
            scan_to_folder(slide, scanner, result.folder)
    expected, found = (load_heatmap(each.folder).log_odds for each in (result, other))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (result.summary["engine"], other.summary["engine"]) == ("keras", "openvino")


def test_the_heat_map_is_read_back_by_openslide_and_tifffile(result):
    import openslide
    import tifffile

    gray = load_heatmap(result.folder).to_gray()
    np.testing.assert_array_equal(tifffile.imread(result.folder / "heatmap.tif", key=0), gray)
    with openslide.OpenSlide(result.folder / "heatmap.tif") as slide:
        np.testing.assert_array_equal(np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., 0], gray)


def qupath_objects(file, kind):
    """Return shapes and properties of the objects of a GeoJSON file that follows QuPath's rules."""
    import uuid

    import shapely

    collection = json.loads(file.read_text())
    assert collection["type"] == "FeatureCollection"
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in collection["features"]]
    assert all(shape.is_valid and shape.area > 0 for shape in shapes)
    assert len({uuid.UUID(feature["id"]) for feature in collection["features"]}) == len(shapes)
    properties = [feature["properties"] for feature in collection["features"]]
    assert {each["objectType"] for each in properties} == {kind}
    return shapes, properties


def test_lesions_are_valid_closed_geojson_with_uuids(result):
    shapes, _ = qupath_objects(result.folder / "lesions.geojson", "annotation")
    assert len(shapes) == len(result.summary["lesions"])


def test_tiles_are_detections_around_the_probable_patches(result, slide_file, scanner):
    import shapely

    file = result.folder / "tiles.geojson"
    with open_slide(slide_file) as slide:
        scan_to_folder(slide, scanner, result.folder, tables=["tiles"])
        before = file.read_bytes()
        scan_to_folder(slide, scanner, result.folder, tables=["tiles"])
    assert file.read_bytes() == before
    shapes, properties = qupath_objects(file, "detection")
    heatmap = load_heatmap(result.folder)
    places = np.argwhere(heatmap.probability >= 0.5)
    assert len(shapes) == len(places) > 100
    assert shapely.coverage_is_valid(shapes)  # None overlap, and neighbors share their edges.
    for place, shape, each in zip(places[::50], shapes[::50], properties[::50], strict=True):
        center = heatmap.origin_px + place[::-1] * heatmap.step_px
        np.testing.assert_allclose(shape.bounds, [*(center - 4), *(center + 4)], atol=0.06)
        assert each["measurements"] == {"P(tumour)": pytest.approx(heatmap.probability[tuple(place)], abs=1e-4)}


def test_of_too_many_tiles_the_most_probable_are_written_from_the_corner_of_the_scanned_part(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("sentinode.slides.results.tables._MOST_TILES", 2)
    log_odds = np.array([[np.nan, -1, 3], [1, 2, 0]], np.float32)
    write_tables(Heatmap(log_odds, 48, 8, 7.8), tmp_path, ["tiles"], offset_px=(10, 20))
    shapes, _ = qupath_objects(tmp_path / "tiles.geojson", "detection")
    assert [shape.bounds for shape in shapes] == [(50, 24, 58, 32), (42, 32, 50, 40)]
    assert "4 tiles" in caplog.text
    assert "larger --step" in caplog.text


def test_glass_is_not_scanned(result):
    heatmap = load_heatmap(result.folder)
    scanned_mm2 = (~np.isnan(heatmap.log_odds)).sum() * heatmap.step_um**2 / 1e6
    patches_mm2 = (SIDE * 96 * 0.972e-3) ** 2
    assert 0.75 * patches_mm2 < scanned_mm2 < 1.02 * patches_mm2  # Some patches show fat and glass.


class BoundedReader:
    """Behaves like a reader of MIRAX: a small scanned part in a large slide, nothing but background around it."""

    name = "bounded"

    def __init__(self, pixels, corner, side):
        self.pixels, (self.x, self.y) = pixels, corner
        self.levels = (Level(side, side, 1.0),)
        size = pixels.shape[1], pixels.shape[0]
        self.metadata = SlideMetadata(0.972, "test", bounds_px=(*corner, *size), background=(200, 60, 120))

    def read(self, level, x_px, y_px, width_px, height_px):
        out = np.empty((height_px, width_px, 3), np.uint8)
        out[:] = self.metadata.background
        rows, columns, _ = self.pixels.shape
        top, left = max(y_px, self.y), max(x_px, self.x)
        bottom, right = min(y_px + height_px, self.y + rows), min(x_px + width_px, self.x + columns)
        if bottom > top and right > left:
            part = self.pixels[top - self.y : bottom - self.y, left - self.x : right - self.x]
            out[top - y_px : bottom - y_px, left - x_px : right - x_px] = part
        return out

    def close(self):
        pass


@pytest.mark.slow
def test_only_the_scanned_part_of_a_slide_is_scanned_and_qupath_gets_its_coordinates(
    slide_file, mosaic, model, result, tmp_path
):
    corner = (1000, 2008)
    slide = Slide(slide_file, BoundedReader(mosaic, corner, 6000), 0.972, "test")
    with slide:
        bounded = scan_to_folder(slide, load_scanner(model), tmp_path / "mosaic")
    whole, part = result.summary["lesions"][0], bounded.summary["lesions"][0]
    assert part["x_px"] - corner[0] == pytest.approx(whole["x_px"], abs=16)
    assert part["y_px"] - corner[1] == pytest.approx(whole["y_px"], abs=16)
    assert bounded.summary["tissue_mm2"] == pytest.approx(result.summary["tissue_mm2"], rel=0.05)
    centers = []
    for folder in (result.folder, bounded.folder):
        first = json.loads((folder / "lesions.geojson").read_text())["features"][0]
        centers.append(np.mean(first["geometry"]["coordinates"][0], axis=0))
    np.testing.assert_allclose(centers[1], centers[0], atol=32)


def test_an_interrupted_scan_goes_on_and_gives_the_same_bytes(tall_slide, scanner, tmp_path):
    computed = []

    def brightness(pixels, wanted):
        computed.append(pixels.shape)
        return (128 - pixels[::8, ::8, 0].astype(np.float32))[: wanted.shape[0], : wanted.shape[1]] / 32

    def interrupted(pixels, wanted):
        if len(list((tmp_path / "stopped" / "unfinished").glob("*/row-*.npy"))) == 2:
            raise KeyboardInterrupt
        return brightness(pixels, wanted)

    with open_slide(tall_slide) as slide:
        scan_to_folder(slide, replace(scanner, compute=brightness), tmp_path / "alone")
        blocks = len(computed)
        (tmp_path / "stopped").mkdir()
        for name in ("settings.json", "overview.png"):  # Of processes that were killed while they wrote.
            (tmp_path / "stopped" / f".sentinode-{name}-abc").touch()
        with pytest.raises(KeyboardInterrupt):
            scan_to_folder(slide, replace(scanner, compute=interrupted), tmp_path / "stopped")
        computed.clear()
        scan_to_folder(slide, replace(scanner, compute=brightness), tmp_path / "stopped")
    assert len(computed) < blocks  # Two rows were kept.
    assert not list((tmp_path / "stopped").glob(".*"))
    for file in FILES:
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes(), file


def test_a_scan_whose_folder_was_begun_anew_meanwhile_changes_nothing_there(tall_slide, scanner, tmp_path):
    """As by a worker of a Dask cluster, which computes on after its command was stopped."""
    out, begun_anew = tmp_path / "scan", []

    def brightness(pixels, wanted):
        return (128 - pixels[::8, ::8, 0].astype(np.float32))[: wanted.shape[0], : wanted.shape[1]] / 32

    def before(pixels, wanted):
        if not begun_anew:
            begun_anew.append(True)
            shutil.rmtree(out)
            scan_to_folder(slide, replace(scanner, compute=during), out)
        return np.full(wanted.shape, 9, np.float32)

    def during(pixels, wanted):
        next(scan_rows(slide, other, tissue, out / WORK / "of the other", 0.5))
        return brightness(pixels, wanted)

    other = replace(scanner, engine="another", compute=lambda pixels, wanted: np.full(wanted.shape, 9, np.float32))
    with open_slide(tall_slide) as slide:
        tissue = find_tissue(slide)
        with pytest.raises(OutputError, match="deleted or replaced during the scan"):
            scan_to_folder(slide, replace(other, compute=before), out)
        assert not (np.load(out / "log_odds.npy") == 9).any()
        scan_to_folder(slide, replace(scanner, compute=not_again), out)
    assert not (out / WORK).exists()


def test_a_refused_slide_leaves_no_folder_although_another_process_helps(tall_slide, scanner, tmp_path):
    helping, refused_now, out = threading.Event(), threading.Event(), tmp_path / "scan"

    def of_helper(pixels, wanted):
        helping.set()
        assert refused_now.wait(60)
        return np.zeros(wanted.shape, np.float32)

    def helps():
        with open_slide(tall_slide) as slide:
            help_scan(slide, replace(scanner, compute=of_helper), out, 0.5)

    def fails(pixels, wanted):
        helper.start()
        assert helping.wait(60)
        raise DataError("a tile cannot be decoded")

    helper = threading.Thread(target=helps)
    with open_slide(tall_slide) as slide, pytest.raises(DataError, match="a tile cannot"):
        scan_to_folder(slide, replace(scanner, compute=fails), out)
    refused_now.set()
    helper.join()
    assert not out.exists()


def test_rows_that_another_process_computes_meanwhile_are_taken(tall_slide, scanner, tmp_path):
    computed = []

    def brightness(pixels, wanted):
        return (128 - pixels[::8, ::8, 0].astype(np.float32))[: wanted.shape[0], : wanted.shape[1]] / 32

    def with_help(pixels, wanted):
        if not computed:  # The other begins in the middle and ends when all rows are there.
            with open_slide(tall_slide) as slide:
                help_scan(slide, replace(scanner, compute=brightness), tmp_path / "helped", 0.5)
        computed.append(pixels.shape)
        return brightness(pixels, wanted)

    with open_slide(tall_slide) as slide:
        count = sum(map(len, ScanGrid(slide, find_tissue(slide), 8).blocks().values()))
        scan_to_folder(slide, replace(scanner, compute=brightness), tmp_path / "alone")
        scan_to_folder(slide, replace(scanner, compute=with_help), tmp_path / "helped")
        help_scan(slide, replace(scanner, compute=brightness), tmp_path / "helped", 0.5)  # Too late.
    assert len(computed) < count  # Some were read ahead before there was help.
    for file in FILES:
        assert (tmp_path / "helped" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes(), file
    assert not (tmp_path / "helped" / "unfinished").exists()


def test_rows_are_not_mixed_with_a_scan_of_other_settings(slide_file, scanner, result):
    before = sorted(result.folder.iterdir())
    with open_slide(slide_file) as slide:
        help_scan(slide, replace(scanner, step_px=16), result.folder, 0.5)
    assert sorted(result.folder.iterdir()) == before


def test_a_finished_scan_is_not_repeated_and_never_overwritten_by_another(slide_file, model, scanner, result, tmp_path):
    with open_slide(slide_file) as slide:
        scan_to_folder(slide, replace(scanner, compute=not_again), result.folder)
        with pytest.raises(OutputError, match="step_px"):
            scan_to_folder(slide, load_scanner(model, 16), result.folder)
        identity = {**model.identity, "calibration": {"temperature": 2.0, "offset": 0.0}}
        calibrated_anew = replace(scanner, model=SimpleNamespace(name=model.name, identity=identity))
        with pytest.raises(OutputError, match="calibration"):
            scan_to_folder(slide, calibrated_anew, result.folder)
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(OutputError, match="contains no scan"):
            scan_to_folder(slide, scanner, tmp_path)


def test_a_scan_goes_on_with_force_and_is_finished_with_or_without(tall_slide, scanner, tmp_path):
    computed = []

    def zeros(pixels, wanted):
        computed.append(pixels.shape)
        return np.zeros(wanted.shape, np.float32)

    def interrupted(pixels, wanted):
        if len(list((tmp_path / "a" / WORK).glob("*/row-*.npy"))) == 2:
            raise KeyboardInterrupt
        return zeros(pixels, wanted)

    with open_slide(tall_slide) as slide:
        scan_to_folder(slide, replace(scanner, compute=zeros), tmp_path / "b")
        blocks = len(computed)
        again = scan_to_folder(slide, replace(scanner, compute=zeros), tmp_path / "b", force=True)
        assert len(computed) == blocks and not again.summary["forced"]
        with pytest.raises(KeyboardInterrupt):
            scan_to_folder(slide, replace(scanner, compute=interrupted), tmp_path / "a")
        computed.clear()
        scan_to_folder(slide, replace(scanner, compute=zeros), tmp_path / "a", force=True)
        assert len(computed) < blocks  # Two rows were kept.
        computed.clear()
        finished = scan_to_folder(slide, replace(scanner, compute=zeros), tmp_path / "a")
    assert not computed
    assert finished.summary == {**again.summary, "forced": True}


@pytest.mark.slow
def test_a_slide_at_the_wrong_scale_is_refused_unless_forced(tmp_path, mosaic, model):
    larger = np.asarray(Image.fromarray(mosaic[200:1000, 200:1000]).resize((1600, 1600), Image.Resampling.BICUBIC))
    file = write_pyramid(tmp_path / "larger.tif", larger)
    with open_slide(file) as slide:
        with pytest.raises(DataError, match=r"out of distribution.*--mpp.*--force"):
            scan_slide(slide, model)
        assert scan_slide(slide, load_scanner(model, 64), force=True).warnings


def test_a_refused_slide_leaves_nothing_behind_and_is_not_helped(tall_slide, scanner, monkeypatch, tmp_path):
    monkeypatch.setattr(scan_module, "_MOST_OUT_OF_DISTRIBUTION", -1.0)
    sparse = replace(scanner, step_px=64, compute=lambda pixels, wanted: np.zeros(wanted.shape, np.float32))
    with open_slide(tall_slide) as slide:
        with pytest.raises(DataError, match=r"% of \d+ sampled tissue patches are out of distribution"):
            scan_to_folder(slide, sparse, tmp_path / "tall")
        assert not list(tmp_path.iterdir())
        with pytest.raises(DataError, match="out of distribution"):
            next(scan_rows(slide, sparse, find_tissue(slide), tmp_path / "unfinished", 0.5))
        assert not list(tmp_path.iterdir())
        scan_to_folder(slide, sparse, tmp_path / "tall", force=True)
    assert (tmp_path / "tall" / "summary.json").is_file()


def test_an_empty_slide_is_a_failure_and_not_zero_lesions(tmp_path, model):
    file = write_pyramid(tmp_path / "empty.tif", np.full((600, 600, 3), 240, np.uint8))
    with open_slide(file) as slide, pytest.raises(DataError, match="no tissue"):
        scan_slide(slide, model)


def test_a_slide_smaller_than_a_patch_is_refused(tmp_path, mosaic, model):
    file = write_pyramid(tmp_path / "small.tif", mosaic[400:480, 400:900].copy(), levels=1)
    with open_slide(file) as slide, pytest.raises(DataError, match="smaller than one patch"):
        scan_slide(slide, model, tissue=tissue_in(slide), force=True)


def test_with_a_few_patches_of_tissue_scale_and_stain_are_not_called_right(tmp_path, mosaic, model):
    file = write_pyramid(tmp_path / "few.tif", mosaic[400:500, 400:500].copy(), levels=1)
    with open_slide(file) as slide:
        scan = scan_slide(slide, model, tissue=tissue_in(slide))
        picture = draw_overview(slide, scan.heatmap, lesions=())
    assert scan.out_of_distribution is None
    assert "not checked" in scan.warnings[0]
    beside_label = np.asarray(picture)[100:, -8:]  # The label of the scale bar is wider than the slide.
    assert picture.width > 100 and (beside_label == 255).all()


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["{missing}"], "missing.svs: no such file"),
        (["{slide}", "--step", "7"], "--step (step_px) must be a multiple of 8; got 7"),
        (["{slide}", "--precision", "int8"], "engine keras computes in float32 or bfloat16"),
    ],
)
def test_arguments_are_checked_before_the_model_is_loaded(arguments, fact, slide_file, tmp_path):
    names = {"missing": tmp_path / "missing.svs", "slide": slide_file}
    given = [argument.format(**names) for argument in arguments]
    refused(sentinode("scan", *given, "--out", tmp_path / "scans", "--model", "not-looked-for"), fact)


@pytest.mark.slow
def test_a_dry_run_says_scale_and_tissue_and_writes_nothing(slide_file, tmp_path):
    printed = succeeded(sentinode("scan", slide_file, "--out", tmp_path / "scans", *DRY_RUN))
    assert "0.972 µm/px" in printed
    assert re.search(r"about \d+ s, at most \d+ MB", printed)
    assert not (tmp_path / "scans").exists()


def test_the_estimated_time_is_that_of_all_blocks(slide_file):
    def compute(pixels, wanted):
        time.sleep(pixels[..., 0].size * 1e-7)
        return np.zeros(wanted.shape, np.float32)

    with open_slide(slide_file) as slide:
        tissue = find_tissue(slide)
        grid = ScanGrid(slide, tissue, 8)
        pixels = sum(math.prod(grid.size_px(block)) for row in grid.blocks().values() for block in row)
        estimated_s = DurationEstimate(Scanner(load_run("d4net-m"), 8, "dense", compute))(slide, tissue)
    assert estimated_s >= pixels * 1e-7


@pytest.mark.slow
def test_another_network_is_scanned_patch_by_patch(slide_file, tiny_run):
    with open_slide(slide_file) as slide:
        scan = scan_slide(slide, load_scanner(tiny_run), force=True)
        place = tuple(np.argwhere(~np.isnan(scan.heatmap.log_odds))[100])
        patch = slide.reader.read(0, 32 * place[1], 32 * place[0], 96, 96)
    assert scan.network == "patches"
    assert scan.heatmap.log_odds[place] == pytest.approx(tiny_run.session().logits(patch)[0], abs=1e-4)


@pytest.mark.slow
def test_slides_that_are_broken_or_crash_their_reader_are_named_and_the_others_are_scanned(slide_file, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "sitecustomize.py").write_text(
        "import os, openslide\n"
        "before = openslide.OpenSlide.__init__\n"
        "def crash(self, name):\n"
        "    os.kill(os.getpid(), 11) if 'poison' in str(name) else before(self, name)\n"
        "openslide.OpenSlide.__init__ = crash\n"
    )
    slides = tmp_path / "slides"
    slides.mkdir()
    (slides / "broken.tif").write_bytes(b"II*\0nothing")
    (slides / "cut.tif").write_bytes(slide_file.read_bytes()[:200_000])
    for name in ("poison", "whole"):
        shutil.copy(slide_file, slides / f"{name}.tif")
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    done = sentinode_process("scan", slides, "--out", tmp_path / "scans", "--step", 64, PYTHONPATH=path)
    assert done.returncode == 3, done.stderr
    assert "Not scanned: 3 of 4" in done.stdout
    assert all(f"{name}.tif" in done.stdout for name in ("broken", "cut", "poison")), done.stdout
    assert "signal 11" in done.stdout
    assert "4/4 whole.tif" in done.stdout
    assert (tmp_path / "scans" / "whole" / "overview.png").is_file()
    assert "TiffFile" not in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.slow
def test_commands_refuse_a_scale_that_contradicts_the_file_and_name_the_way_out(slide_file, tmp_path):
    words = slide_file, "--out", tmp_path / "out", "--mpp", 0.25
    facts = "given pixel size of 0.25 µm", "0.972 µm of the file", "--mpp", "--force"
    done = sentinode("scan", *words, *DRY_RUN)
    assert done.returncode == 1
    assert all(fact in done.stdout for fact in facts), done.stdout
    refused(sentinode("extract", *words, "--unannotated-normal"), *facts)
    forced = succeeded(sentinode("scan", *words, *DRY_RUN, "--json", "--force"))
    assert json.loads(forced)["slides"][0]["spacing_um_px"] == 0.25


@pytest.mark.slow
def test_the_scale_of_each_slide_can_be_stated_in_a_csv(slide_file, tmp_path):
    slides = tmp_path / "slides"
    slides.mkdir()
    shutil.copy(slide_file, slides / "a.tif")
    shutil.copy(slide_file, slides / "b.tif")
    (tmp_path / "mpp.csv").write_text("slide,mpp\na.tif,0.7\nc.tif,0.5\n")
    done = sentinode("scan", slides, "--out", tmp_path / "scans", *DRY_RUN, "--mpp", tmp_path / "mpp.csv", "--json")
    assert "mpp.csv: no slide found for 1 row, such as c.tif" in done.stderr
    found = {each["slide"]: each["spacing_um_px"] for each in json.loads(succeeded(done))["slides"]}
    assert found == {"a.tif": 0.7, "b.tif": pytest.approx(0.972)}
    (tmp_path / "mpp.csv").write_text("slide,mpp\na.tif,half\n")
    refused(sentinode("scan", slides, "--out", tmp_path / "scans", "--mpp", tmp_path / "mpp.csv"), "a.tif", "half")
    (tmp_path / "mpp.csv").write_text("slide,mpp\na,0.7\nA.tif,0.5\n")
    refused(
        sentinode("scan", slides, "--out", tmp_path / "scans", "--mpp", tmp_path / "mpp.csv"), "a.tif", "two values"
    )
    refused(sentinode("scan", tmp_path / "mpp.csv", "--out", tmp_path, "--mpp", "0"), "--mpp")
    (tmp_path / "empty").mkdir()
    refused(sentinode("scan", tmp_path / "empty", "--out", tmp_path / "scans"), "empty", ".svs")


@pytest.mark.slow
def test_the_tissue_can_be_drawn_or_everything_be_scanned(slide_file, tmp_path):
    def dry_run(tissue, *slides):
        return sentinode("scan", *slides, "--out", tmp_path / "scans", *DRY_RUN, "--json", "--tissue", tissue)

    square = [[100, 200], [600, 200], [600, 700], [100, 700], [100, 200]]
    hole = [[200, 300], [300, 300], [300, 400], [200, 400], [200, 300]]
    drawn = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [square, hole]}}
    file = tmp_path / "tissue" / f"{slide_file.stem}.geojson"
    file.parent.mkdir()
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [drawn]}))
    other = shutil.copy(slide_file, tmp_path / "other.tif")
    done = dry_run(file.parent, slide_file, other)
    assert done.returncode == 3
    found = json.loads(done.stdout)
    [of_folder], [failure] = found["slides"], found["failures"]
    assert "contains no file named like other.tif" in failure["reason"]
    [of_file] = json.loads(succeeded(dry_run(file, slide_file)))["slides"]
    for result in (of_folder, of_file):
        assert result["tissue_mm2"] == pytest.approx((500**2 - 100**2) * 0.972**2 / 1e6, rel=0.05)
    with open_slide(slide_file) as slide:
        whole = slide.levels[0].width_px * slide.levels[0].height_px * 0.972**2 / 1e6
    [result] = json.loads(succeeded(dry_run("none", slide_file)))["slides"]
    assert result["tissue_mm2"] == pytest.approx(whole, rel=0.05)
    refused(sentinode("scan", slide_file, "other.tif", "--out", tmp_path, "--tissue", file), "one file", "2 slides")
    refused(sentinode("scan", slide_file, "--out", tmp_path, "--tissue", tmp_path / "nothing"), "nothing")


def test_tables_for_other_software_hold_the_scanned_patches(result, slide_file, scanner):
    with open_slide(slide_file) as slide:
        scan_to_folder(slide, scanner, result.folder, tables=("parquet", "wsinfer", "clam"))
    heatmap = load_heatmap(result.folder)
    patches = pd.read_parquet(result.folder / "patches.parquet")
    assert len(patches) == (~np.isnan(heatmap.log_odds)).sum()
    first = patches.iloc[0]
    row, column = (round((first[name] - heatmap.origin_px) / heatmap.step_px) for name in ("y_px", "x_px"))
    assert heatmap.log_odds[row, column] == first["log_odds"]
    table = pd.read_csv(result.folder / "wsinfer.csv")
    assert list(table) == ["minx", "miny", "width", "height", "prob_normal", "prob_tumor"]
    assert (table["width"] == 96).all() and (table["minx"] % 96 == 0).all()
    np.testing.assert_allclose(table["prob_normal"] + table["prob_tumor"], 1, atol=1e-5)
    with h5py.File(result.folder / "clam.h5") as file:
        np.testing.assert_array_equal(file["coords"], table[["minx", "miny"]])
        assert file["coords"].attrs["patch_size"] == 96


def test_an_unknown_table_is_refused_before_the_scan(slide_file, scanner, tmp_path):
    with open_slide(slide_file) as slide, pytest.raises(ConfigError, match=r"'csv'.*parquet, wsinfer, clam, tiles"):
        scan_to_folder(slide, scanner, tmp_path / "scan", tables=["wsinfer", "csv"])
    with pytest.raises(ConfigError, match="'csv'"):
        write_tables(Heatmap(np.ones((30, 30), np.float32), 48, 8, 7.8), tmp_path, ["csv"])
    assert not list(tmp_path.iterdir())
    refused(sentinode("scan", slide_file, "--out", tmp_path / "scan", "--tables", "wsinfer,csv"), "'csv'", "parquet")


def test_a_disk_with_too_little_space_is_refused_before_the_scan(slide_file, scanner, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with open_slide(slide_file) as slide, pytest.raises(OutputError, match=r"1\.0 MB are free.*--out"):
        scan_to_folder(slide, scanner, tmp_path / "scan")
    assert not (tmp_path / "scan").exists()


@pytest.mark.parametrize("step", [8, 40, 64, 72, 88, 96])
def test_patches_in_tables_for_other_software_do_not_overlap(step, tmp_path):
    heatmap = Heatmap(np.ones((30, 30), np.float32), 48 * 1.01, step * 1.01, step * 0.972)
    write_tables(heatmap, tmp_path, ["wsinfer"])
    table = pd.read_csv(tmp_path / "wsinfer.csv")
    distance = np.diff(np.unique(table["minx"]))
    assert table["width"][0] == 97 and 96 <= distance.min() <= distance.max() < 97 + step


# A module that the process which reads slides can import, with a cheap network.
CHEAP = """
import numpy as np
from sentinode.slides.scanning.scanner import Scanner

class Model:
    name, identity = "brightness", {"weights_sha256": "0"}

    def warnings(self, pixels):
        return None

def compute(pixels, wanted):
    return (128 - pixels[::64, ::64, 0].astype(np.float32))[: wanted.shape[0], : wanted.shape[1]] / 32

def load():
    return Scanner(Model(), 64, "dense", compute)
"""


def test_slides_are_scanned_from_python_and_failures_are_returned(slide_file, tmp_path, monkeypatch):
    (tmp_path / "cheap_scanner.py").write_text(CHEAP)
    monkeypatch.syspath_prepend(tmp_path)
    load = import_module("cheap_scanner").load
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "broken.tif").write_bytes(b"II*\0nothing")
    shutil.copy(slide_file, tmp_path / "slides" / "whole.tif")
    told = []
    found = scan_slides(
        [tmp_path / "slides"], tmp_path / "scans", load, progress=lambda summary, done: told.append((summary, done))
    )
    assert [each["slide"] for each in found.summaries] == ["whole.tif"] and told == [(found.summaries[0], 2)]
    assert found.summaries[0]["folder"] == str(tmp_path / "scans" / "whole")
    [(name, _)] = found.failures
    assert name == "broken.tif" and found.elsewhere == []
    assert json.loads((tmp_path / "scans" / "whole" / "summary.json").read_text())["model"] == "brightness"
    assert {each.name for each in (tmp_path / "scans").iterdir()} == {"whole"}
    with take_lease(tmp_path / "scans", "whole"):
        found = scan_slides([tmp_path / "slides" / "whole.tif"], tmp_path / "scans", load)
    assert found.elsewhere == ["whole.tif"] and not found.summaries
    with pytest.raises(DataError, match="no such file"):
        scan_slides([tmp_path / "missing.tif"], tmp_path / "scans", load)


def test_two_slides_of_equal_name_are_refused(slide_file, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(slide_file, tmp_path / folder)
    found = sentinode("scan", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "scans")
    refused(found, "have the same name", "one by one", "--out")
    assert not (tmp_path / "scans").exists()


@pytest.mark.slow
def test_an_interrupted_command_ends_with_one_line_and_the_next_gives_the_same_bytes(slide_file, tmp_path):
    def words(out):
        return command("scan", slide_file, "--out", out, "--step", 64)

    out = tmp_path / "scans"
    scan = subprocess.Popen(
        words(out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # Ignored in the background.
    )
    deadline = time.monotonic() + 120
    while not (out / "mosaic" / "settings.json").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(scan.pid, signal.SIGINT)
    _, errors = scan.communicate(timeout=60)
    assert scan.returncode == 130
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors, errors
    assert not (out / "mosaic" / "summary.json").exists()
    assert not list(out.glob("*.lease-*"))
    for folder in (out, tmp_path / "alone"):
        subprocess.run(words(folder), check=True, capture_output=True)
    for file in FILES:
        assert (out / "mosaic" / file).read_bytes() == (tmp_path / "alone" / "mosaic" / file).read_bytes(), file


@pytest.mark.parametrize("limit_kb", [1, 10])
def test_a_disk_that_fills_while_results_are_written_leaves_no_half_file(slide_file, scanner, tmp_path, limit_kb):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_kb * 1024, limits[1]))  # Writing more fails, as on a full disk.
    try:
        with open_slide(slide_file) as slide, pytest.raises(OSError, match="mosaic"):
            scan_to_folder(slide, scanner, tmp_path / "mosaic")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    left = [file for file in (tmp_path / "mosaic").rglob("*") if file.is_file()]
    assert [file.name for file in left] == ["settings.json"]


def test_a_file_that_cannot_be_written_is_named_and_not_called_a_damaged_slide(tmp_path):
    file = tmp_path / "missing" / "heatmap.tif"
    [(_, error)] = map_isolated(partial(methodcaller, "write_bytes", b"map"), [file])
    assert str(error) == f"{file}: No such file or directory"
