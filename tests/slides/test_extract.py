"""Patches extracted from slides have the label of their center, come from tissue, and open as training data."""

import json
import os
import shutil

import numpy as np
import pytest
from filelock import FileLock
from tests.commands import refused, sentinode, succeeded
from tests.slides.conftest import MARGIN_PX, write_pyramid
from tests.slides.test_annotations import feature, geojson

from sentinode import load_run, open_patches
from sentinode.errors import ConfigError, DataError, OutputError
from sentinode.slides import extract_patches, load_scanner, open_slide
from sentinode.slides.extraction.config import ExtractConfig
from sentinode.slides.extraction.regions import any_pixel_inside
from sentinode.slides.results.heatmap import Heatmap
from sentinode.slides.scanning.folder import scan_to_folder
from sentinode.slides.slide import fingerprint
from sentinode.training.run import Run

shapely = pytest.importorskip("shapely")
tifffile = pytest.importorskip("tifffile")

LOW, HIGH = MARGIN_PX + 3 * 96, MARGIN_PX + 7 * 96
TUMOUR = [((LOW, LOW), (HIGH, LOW), (HIGH, HIGH), (LOW, HIGH))]


@pytest.fixture(scope="session")
def slides(mosaic, slide_file, tmp_path_factory):
    """Two annotated slides, and one without tumour and annotations, in a folder."""
    folder = tmp_path_factory.mktemp("annotated")
    shutil.copy(slide_file, folder / "patient_001_node_0.tif")
    write_pyramid(folder / "patient_002_node_1.tif", mosaic[::-1].copy())
    normal = mosaic.copy()
    normal[LOW:HIGH, LOW:HIGH] = np.rot90(mosaic[LOW - 96 : LOW, MARGIN_PX : MARGIN_PX + 96]).repeat(4, 0).repeat(4, 1)
    write_pyramid(folder / "normal.tif", normal)
    geojson(folder / "patient_001_node_0.geojson", feature("Tumor", TUMOUR))
    height = mosaic.shape[0]
    geojson(folder / "patient_002_node_1.geojson", feature("Tumor", [[(x, height - y) for x, y in TUMOUR[0]]]))
    return folder


def paths(folder):
    return sorted(folder.glob("*.tif"))


@pytest.fixture(scope="session")
def extracted(slides, tmp_path_factory):
    config = ExtractConfig(max_per_slide=60, unannotated_normal=True)
    out = tmp_path_factory.mktemp("extracted") / "patches"
    return extract_patches(paths(slides), out, annotations=slides, config=config)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [1.0, 4.02])
def test_the_label_is_that_of_a_rasterized_mask(seed, scale):
    rng = np.random.default_rng(seed)
    size = 400
    circles = [shapely.Point(*rng.uniform(0, size, 2)).buffer(rng.uniform(0.2, 40)) for _ in range(12)]
    holes = [shapely.Point(*rng.uniform(0, size, 2)).buffer(rng.uniform(5, 30)) for _ in range(6)]
    region = shapely.difference(shapely.union_all(circles), shapely.union_all(holes))
    centers = np.arange(size) + 0.5
    mask = shapely.contains_xy(region, *np.meshgrid(centers, centers))
    places = rng.integers(0, size - 96, (300, 2))
    tumour = shapely.transform(region, lambda points: points * scale)
    for border, side in ((32, 32), (0, 96)):
        expected = [mask[y + border : y + border + side, x + border : x + border + side].any() for x, y in places]
        found = any_pixel_inside(tumour, places, scale, border_px=border, side_px=side)
        np.testing.assert_array_equal(found, expected)
    assert 0 < np.mean(expected) < 1


def test_a_sliver_between_pixel_centers_is_no_tumour():
    places = np.array([[0, 0]])
    assert not any_pixel_inside(shapely.box(40.6, 40, 41.4, 50), places, 1.0, border_px=32, side_px=32)[0]
    assert any_pixel_inside(shapely.box(40.4, 40, 41.4, 50), places, 1.0, border_px=32, side_px=32)[0]


def test_classes_are_balanced_and_normal_patches_spread_over_the_slides(extracted):
    assert extracted.counts == {"tumour": 120, "hard": 0, "random": 120}
    normal = extracted.table[~extracted.table["center_tumor_patch"]]
    assert normal["wsi"].value_counts().to_dict() == dict.fromkeys(extracted.table["wsi"].unique(), 40)
    assert not extracted.failures


def test_patches_are_read_back_with_labels_slides_patients_and_pixels(extracted, slides):
    patches = open_patches(extracted.folder)
    table = patches.table
    np.testing.assert_array_equal(patches.labels, extracted.table["center_tumor_patch"])
    assert table["slide"].tolist() == extracted.table["wsi"].tolist()
    assert set(table["patient"].dropna()) == {"001", "002"}
    assert not patches.notes
    row = int(np.flatnonzero(table["slide"] == "patient_002_node_1")[7])
    with open_slide(slides / "patient_002_node_1.tif") as slide:
        expected = slide.reader.read(0, int(table["x"][row]), int(table["y"][row]), 96, 96)
    np.testing.assert_array_equal(patches.read([row])[0], expected)
    one = open_patches(extracted.folder / "patches_x.h5")
    assert one.table["slide"].equals(table["slide"])


def test_labels_agree_with_the_outline_and_centers_lie_on_tissue(extracted):
    first = extracted.table[extracted.table["wsi"] == "patient_001_node_0"]
    inside = [
        shapely.box(x + 32, y + 32, x + 64, y + 64).intersects(shapely.Polygon(TUMOUR[0]))
        for x, y in zip(first["coord_x"], first["coord_y"], strict=True)
    ]
    np.testing.assert_array_equal(first["center_tumor_patch"], inside)
    assert (first["tumor_patch"] | ~first["center_tumor_patch"]).all()
    tissue_px = MARGIN_PX, MARGIN_PX + 9 * 96
    for axis in ("center_x", "center_y"):
        assert first[axis].between(tissue_px[0] - 20, tissue_px[1] + 20).all()


def test_the_same_settings_give_the_same_bytes_and_another_seed_others(extracted, slides, tmp_path):
    for seed, same in ((0, True), (1, False)):
        config = ExtractConfig(max_per_slide=60, unannotated_normal=True, seed=seed)
        again = extract_patches(paths(slides), tmp_path / str(seed) / "patches", annotations=slides, config=config)
        for name in ("patches_x.h5", "patches_meta.csv"):
            assert ((again.folder / name).read_bytes() == (extracted.folder / name).read_bytes()) is same, name


def test_splits_share_no_slide(extracted, tmp_path):
    out = tmp_path / "splits.csv"
    succeeded(sentinode("data", "split", extracted.folder, "--out", out, "--valid", 0.3, "--test", 0))
    table = open_patches(out).table
    assert table.groupby("slide")["split"].nunique().max() == 1
    assert table["split"].nunique() == 2


def scan_result(folder, slide_file, log_odds):
    """Write what `extract` reads of a scan."""
    with open_slide(slide_file) as slide:
        settings = {
            "slide": slide.path.name,
            "slide_fingerprint": fingerprint(slide.path),
            "spacing_um_px": slide.spacing_um_px,
        }
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    heatmap = Heatmap(log_odds, 48.0, 8.0, 8 * 0.972)
    grid = {"origin_px": heatmap.origin_px, "step_level0_px": heatmap.step_px, "step_um": heatmap.step_um}
    (folder / "summary.json").write_text(json.dumps({"grid": grid}))
    np.save(folder / "log_odds.npy", log_odds)


@pytest.fixture
def scans(slides, mosaic, tmp_path):
    """A scan that calls the annotated tumour and one place of normal tissue tumour."""
    places = (mosaic.shape[0] - 96) // 8 + 1
    log_odds = np.full((places, places), -5, np.float32)
    log_odds[(LOW - 48) // 8 : (HIGH - 48) // 8, (LOW - 48) // 8 : (HIGH - 48) // 8] = 6
    log_odds[26:34, 26:34] = np.linspace(1, 3, 64).reshape(8, 8)
    log_odds[0] = np.nan
    slide = slides / "patient_001_node_0.tif"
    scan_result(tmp_path / "scans" / slide.stem, slide, log_odds)
    return tmp_path / "scans"


def test_false_positives_of_a_scan_come_first_among_normal_patches(slides, scans, tmp_path):
    slide = slides / "patient_001_node_0.tif"
    config = ExtractConfig(max_per_slide=20, step_px=32)
    for given in (scans, scans / slide.stem):
        out = tmp_path / f"from {given.name}"
        extraction = extract_patches([slide], out, annotations=slides, hard_negatives=given, config=config)
        hard = extraction.table[extraction.table["kind"] == "hard"]
        assert 4 <= len(hard) <= 10
        assert extraction.counts["random"] == 20 - len(hard)
        assert hard["probability"].max() == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)
        assert (hard["probability"] >= 0.5).all()
        assert not hard["tumor_patch"].any()
        best = hard.loc[hard["probability"].idxmax()]
        assert (best["coord_x"], best["coord_y"]) == (33 * 8, 33 * 8)
        assert not extraction.table.duplicated(["wsi", "coord_x", "coord_y"]).any()
        assert len(hard[["coord_x", "coord_y"]].floordiv(32).drop_duplicates()) == len(hard)


def test_a_scan_of_another_file_is_refused(slides, scans, tmp_path):
    settings = scans / "patient_001_node_0" / "settings.json"
    settings.write_text(settings.read_text().replace('"slide_fingerprint": "', '"slide_fingerprint": "0'))
    slide = slides / "patient_001_node_0.tif"
    with pytest.raises(DataError, match="scan of another file"):
        extract_patches([slide], tmp_path / "p", annotations=slides, hard_negatives=scans)
    with pytest.raises(DataError, match="no finished scan of these slides"):
        extract_patches([slide], tmp_path / "p", annotations=slides, hard_negatives=tmp_path)
    assert not (tmp_path / "p").exists()


def test_a_slide_without_annotations_is_a_failure_unless_it_is_said_to_be_normal(slides, tmp_path):
    config = ExtractConfig(max_per_slide=5)
    done = extract_patches(paths(slides), tmp_path / "p", annotations=slides, config=config)
    assert [name for name, _ in done.failures] == ["normal.tif"]
    assert "--unannotated-normal" in done.failures[0][1]
    with pytest.raises(DataError, match="no tumour patch on any slide"):
        config = ExtractConfig(unannotated_normal=True)
        extract_patches([slides / "normal.tif"], tmp_path / "q", config=config)
    config = ExtractConfig(unannotated_normal=True, balance="all", max_per_slide=7)
    assert extract_patches([slides / "normal.tif"], tmp_path / "r", config=config).counts["random"] == 7


def test_slides_that_are_annotated_in_part_give_patches_of_annotated_regions_only(slides, tmp_path):
    [slide] = [path for path in paths(slides) if "001" in path.stem]
    normal = [((LOW - 250, LOW), (LOW - 50, LOW), (LOW - 50, HIGH), (LOW - 250, HIGH))]
    drawn = tmp_path / "drawn.geojson"
    geojson(drawn, feature("Tumor", TUMOUR), feature("Normal", normal), feature("Uncertain", normal))
    with open_slide(slide) as opened:
        pixels = np.zeros((opened.levels[0].height_px, opened.levels[0].width_px), np.uint8)
    pixels[LOW:HIGH, LOW:HIGH], pixels[LOW:HIGH, LOW - 250 : LOW - 50] = 2, 1
    tifffile.imwrite(tmp_path / "mask.tif", pixels, tile=(256, 256))
    config = ExtractConfig(annotated_only=True, balance="all")
    for file in (drawn, tmp_path / "mask.tif"):
        table = extract_patches([slide], tmp_path / file.stem, annotations=file, config=config).table
        centers = table.loc[~table["center_tumor_patch"].astype(bool), "center_x"]
        assert len(centers) > 10 and centers.between(LOW - 250, LOW - 50).all()
        assert table["center_tumor_patch"].sum() > 10


def test_two_extractions_do_not_share_a_folder_and_what_a_killed_one_left_is_removed(slides, tmp_path):
    config = ExtractConfig(unannotated_normal=True, balance="all", max_per_slide=7)
    with FileLock(tmp_path / ".sentinode-out.lock"), pytest.raises(OutputError, match="another process is extracting"):
        extract_patches([slides / "normal.tif"], tmp_path / "out", config=config)
    left = tmp_path / ".sentinode-out-abcd1234" / "new"
    left.mkdir(parents=True)
    (left / "out_x.h5").touch()
    extract_patches([slides / "normal.tif"], tmp_path / "out", config=config)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["Uncertain", "Ignore*"])
def test_what_is_drawn_as_uncertain_is_neither_a_normal_patch_nor_a_hard_negative(name, slides, scans, tmp_path):
    slide = slides / "patient_001_node_0.tif"
    unknown = [((200, 200), (360, 200), (360, 360), (200, 360))]  # Where the scan has its false positives, and tissue.
    config = ExtractConfig(balance="all", max_per_slide=1000)
    tables = {}
    for drawn in (["Tumor"], ["Tumor", name], ["Tumor", name, "Normal"]):
        file = tmp_path / f"{len(drawn)}.geojson"
        geojson(file, *(feature(each, TUMOUR if each == "Tumor" else unknown) for each in drawn))
        done = extract_patches(
            [slide], tmp_path / f"{len(drawn)}", annotations=file, hard_negatives=scans, config=config
        )
        tables[len(drawn)] = done.table
        counted = [note for note in done.slides[0]["notes"] if note.startswith("not extracted")]
        assert len(counted) == (len(drawn) == 2)
    x, y = (tables[2][axis] for axis in ("coord_x", "coord_y"))
    assert not (x.between(200 - 32, 360 - 64, "neither") & y.between(200 - 32, 360 - 64, "neither")).any()
    assert (tables[2]["kind"] == "hard").sum() < (tables[1]["kind"] == "hard").sum()
    assert len(tables[2]) < len(tables[1]) == len(tables[3]), "what is also drawn as normal is known"


def test_a_slide_with_damaged_pixels_is_left_out_whole_and_reported(slides, tmp_path):
    import tifffile

    broken = shutil.copy(slides / "patient_001_node_0.tif", tmp_path / "broken.tif")
    shutil.copy(slides / "patient_001_node_0.geojson", slides / "broken.geojson")
    with tifffile.TiffFile(broken) as file:
        page = file.pages[0]
        places = [page.dataoffsets[number] for number in (6, 7, 8, 11, 12)]
    with broken.open("rb+") as file:
        for place in places:
            file.seek(place)
            file.write(bytes(64))
    try:
        config = ExtractConfig(max_per_slide=30)
        slide = slides / "patient_002_node_1.tif"
        done = extract_patches([broken, slide], tmp_path / "p", annotations=slides, config=config)
    finally:
        (slides / "broken.geojson").unlink()
    assert [name for name, _ in done.failures] == ["broken.tif"]
    assert done.counts == {"tumour": 30, "hard": 0, "random": 30}
    assert len(open_patches(done.folder)) == 60


@pytest.mark.slow
def test_a_slide_that_crashes_its_reader_is_named_and_the_others_are_extracted(slides, tmp_path, monkeypatch):
    package = tmp_path / "package"
    package.mkdir()
    (package / "sitecustomize.py").write_text(
        "import os, openslide\n"
        "before = openslide.OpenSlide.read_region\n"
        "def crash(self, *rest):\n"
        "    return os.kill(os.getpid(), 11) if 'poison' in self._filename else before(self, *rest)\n"
        "first = openslide.OpenSlide.__init__\n"
        "def note(self, name):\n"
        "    self._filename = str(name)\n"
        "    first(self, name)\n"
        "openslide.OpenSlide.__init__, openslide.OpenSlide.read_region = note, crash\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package), prepend=os.pathsep)
    given = tmp_path / "slides"
    given.mkdir()
    for number, name in enumerate(("first", "poison", "third")):
        source = slides / f"patient_00{number % 2 + 1}_node_{number % 2}"
        shutil.copy(f"{source}.tif", given / f"{name}.tif")
        shutil.copy(f"{source}.geojson", given / f"{name}.geojson")
    out = tmp_path / "patches"
    done = sentinode("extract", given, "--annotations", given, "--out", out, "--max-per-slide", 4)
    assert done.returncode == 3
    assert "Not used: 1 of 3" in done.stdout
    assert "poison.tif" in done.stdout and "signal 11" in done.stdout
    assert len(open_patches(out)) == 16


def test_slides_of_the_models_training_are_named(slides, extracted, tmp_path):
    class Known:
        name = "known"

        def trained_on(self, sha1):
            return np.arange(len(sha1)) == 0

    class Unknown(Known):
        def trained_on(self, sha1):
            return None

    config = ExtractConfig(max_per_slide=3)
    slide = slides / "patient_001_node_0.tif"
    for model, known in ((Known(), {slide.stem: "1 of its patches is a training patch"}), (Unknown(), None)):
        done = extract_patches([slide], tmp_path / type(model).__name__, annotations=slides, model=model, config=config)
        assert done.known_slides == known


def test_slides_are_named_by_the_training_data_where_other_patches_of_them_were_trained_on(slides, extracted, tmp_path):
    class Trained(Run):
        name = "trained"

        @property
        def config(self):
            return {"data": {"path": str(extracted.folder)}}

        def trained_on(self, sha1):
            known = open_patches(extracted.folder).cached().table
            return sha1.isin(set(known["sha1"][known["slide"] == "patient_001_node_0"])).to_numpy()

    config = ExtractConfig(max_per_slide=2, step_px=37)
    chosen = [slides / f"{name}.tif" for name in ("patient_001_node_0", "patient_002_node_1")]
    done = extract_patches(chosen, tmp_path / "p", annotations=slides, model=Trained(tmp_path), config=config)
    assert list(done.known_slides) == ["patient_001_node_0"]


@pytest.mark.slow
def test_hard_negatives_come_from_a_real_scan(slides, tmp_path):
    slide_file = slides / "patient_001_node_0.tif"
    with open_slide(slide_file) as slide:
        scan_to_folder(slide, load_scanner(load_run("d4net-m"), 16), tmp_path / "scans" / slide_file.stem)
    config = ExtractConfig(max_per_slide=40, hard_threshold=0.2)
    done = extract_patches(
        [slide_file], tmp_path / "p", annotations=slides, hard_negatives=tmp_path / "scans", config=config
    )
    hard = done.table[done.table["kind"] == "hard"]
    assert 0 < len(hard) <= 20
    pixels = open_patches(done.folder).read(hard.index.to_numpy())
    predicted = load_run("d4net-m").session().probabilities(pixels)
    np.testing.assert_allclose(predicted, hard["probability"], atol=1e-3)


def test_patients_are_taken_from_names_by_a_pattern(slides, tmp_path):
    slide = slides / "patient_001_node_0.tif"
    options = {"annotations": slides, "config": ExtractConfig(max_per_slide=3)}
    done = extract_patches([slide], tmp_path / "p", patient_from=r"node_(\d)", **options)
    assert set(open_patches(done.folder).table["patient"]) == {"0"}
    with pytest.raises(ConfigError, match="finds no patient in the name of slide patient_001"):
        extract_patches([slide], tmp_path / "q", patient_from=r"case(\d)", **options)


def test_impossible_requests_are_refused_before_slides_are_read(tmp_path, slides):
    slide = slides / "patient_001_node_0.tif"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        extract_patches([slide], tmp_path / "full", annotations=slides)
    with pytest.raises(OutputError, match="specify a folder"):
        extract_patches([slide], tmp_path / "patches.h5", annotations=slides)
    with pytest.raises(ConfigError, match="have the same name"):
        extract_patches([slide, tmp_path / slide.name], tmp_path / "p", annotations=slides)
    with pytest.raises(ConfigError, match="annotations of one slide"):
        extract_patches(paths(slides), tmp_path / "p", annotations=slides / "patient_001_node_0.geojson")
    with pytest.raises(ConfigError, match="hard_fraction must be between 0 and 1"):
        ExtractConfig(hard_fraction=2)


@pytest.mark.slow
def test_the_command_names_files_failures_and_the_next_command(slides, tmp_path):
    out = tmp_path / "my patches"
    done = sentinode("extract", *paths(slides), "--annotations", slides, "--out", out, "--max-per-slide", 4)
    assert done.returncode == 3
    assert "Not used: 1 of 3" in done.stdout
    assert f"sentinode data split '{out}' --out splits.csv" in done.stdout
    assert (out / "my patches_x.h5").is_file()
    refused(sentinode("extract", *paths(slides), "--annotations", slides, "--out", out), "not empty", "--out")
    single = ["extract", slides / "patient_001_node_0.tif", "--annotations", slides / "patient_001_node_0.geojson"]
    about = json.loads(succeeded(sentinode(*single, "--out", tmp_path / "b", "--max-per-slide", 4, "--json")))
    assert about["patches"] == {"tumour": 4, "hard": 0, "random": 4}
    assert about["slides"][0]["annotations"] == "patient_001_node_0.geojson"
