"""Annotations of every format become the same regions, and damaged files are refused with the place of the damage."""

import gzip
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.slides.conftest import write_pyramid

from sentinode.data.labels import parse_classes
from sentinode.errors import DataError
from sentinode.slides import open_slide, read_annotations
from sentinode.slides.annotations.read import find_annotations, read_tissue

shapely = pytest.importorskip("shapely")
tifffile = pytest.importorskip("tifffile")

SQUARE = ((10, 10), (60, 10), (60, 60), (10, 60))
HOLE = ((20, 20), (40, 20), (40, 40), (20, 40))
WITH_HOLE_PX = 50 * 50 - 20 * 20


def asap(path, *annotations, groups=()):
    """Write ASAP XML; an annotation is a group, its points and perhaps its type. Polygons are open, as ASAP's are."""
    parts = []
    for number, (group, points, *kind) in enumerate(annotations):
        coordinates = "".join(f'<Coordinate Order="{n}" X="{x}" Y="{y}"/>' for n, (x, y) in enumerate(points))
        parts.append(
            f'<Annotation Name="Annotation {number}" Type="{kind[0] if kind else "Polygon"}" PartOfGroup="{group}" '
            f'Color="#F4FA58"><Coordinates>{coordinates}</Coordinates></Annotation>'
        )
    named = "".join(
        f'<Group Name="{name}" PartOfGroup="{above}" Color="#0"><Attributes/></Group>' for name, above in groups
    )
    path.write_text(
        '<?xml version="1.0"?><ASAP_Annotations><Annotations>'
        f"{''.join(parts)}</Annotations><AnnotationGroups>{named}</AnnotationGroups></ASAP_Annotations>"
    )
    return path


def asap_text(attributes, coordinates=""):
    return f"<ASAP_Annotations><Annotation {attributes}>{coordinates}</Annotation></ASAP_Annotations>"


def feature_text(kind, coordinates):
    geometry = f'{{"type": "{kind}", "coordinates": {coordinates}}}'
    return f'[{{"geometry": {geometry}, "properties": {{"name": "n"}}}}]'


def feature(name, rings, **properties):
    about = {"objectType": "annotation", "classification": {"name": name}} if name else {"objectType": "annotation"}
    rings = [[*ring, ring[0]] for ring in rings]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": about | properties,
    }


def geojson(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def mask(path, values, level=0):
    """Write a mask with a border of a whole tile, as a pyramid of one or two levels."""
    with tifffile.TiffWriter(path) as file:
        for number in range(level + 1):
            some = values[:: 2**number, :: 2**number]
            file.write(some, tile=(16, 16), compression="deflate", subfiletype=int(number > 0), metadata=None)
    return path


def square_mask(tumour, normal=0, size=96):
    values = np.zeros((size, size), np.uint8)
    values[10:60, 10:60] = tumour
    values[20:40, 20:40] = normal
    return values


def test_every_format_gives_the_same_region(tmp_path):
    files = [
        asap(tmp_path / "camelyon16.xml", ("_2", HOLE), ("_0", SQUARE)),
        asap(tmp_path / "camelyon17.xml", ("metastases", SQUARE), ("normal", HOLE)),
        asap(tmp_path / "exclusion.xml", ("Tumor", SQUARE), ("Exclusion", HOLE)),
        asap(tmp_path / "nested.xml", ("my lesion", SQUARE), ("_2", HOLE), groups=[("my lesion", "Tumor")]),
        geojson(tmp_path / "qupath.geojson", feature("Tumor", [SQUARE, HOLE])),
        geojson(tmp_path / "two.json", feature("Normal", [HOLE]), feature("Tumor", [SQUARE])),
        mask(tmp_path / "camelyon16.tif", square_mask(255)),
        mask(tmp_path / "asap.tif", square_mask(2, 1)),
    ]
    lists = {"positive": [{"name": "a", "vertices": SQUARE}], "negative": [{"name": "b", "vertices": HOLE}]}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    (tmp_path / "packed.geojson.gz").write_bytes(gzip.compress(files[4].read_bytes()))
    expected = shapely.Polygon(SQUARE, [HOLE])
    for file in (*files, tmp_path / "lists.json", tmp_path / "packed.geojson.gz"):
        tumour = read_annotations(file).tumour
        assert tumour.is_valid, file
        assert tumour.symmetric_difference(expected).area == pytest.approx(0), file


def test_multipolygons_bare_lists_and_single_features_are_read(tmp_path):
    one = feature("Tumor", [SQUARE])
    moved = [[(x + 100, y) for x, y in SQUARE]]
    several = {**one, "geometry": {"type": "MultiPolygon", "coordinates": [[[*SQUARE, SQUARE[0]]], moved]}}
    for name, content in {"list": [one], "single": one, "multi": several}.items():
        file = tmp_path / f"{name}.geojson"
        file.write_text(json.dumps(content))
        assert read_annotations(file).tumour.area == 2500 * (1 + (name == "multi"))


def test_names_of_derived_classes_and_old_files_are_understood(tmp_path):
    derived = feature(None, [SQUARE], classification={"names": ["Tumor", "Positive"]})
    old = feature(None, [SQUARE], classification="Metastases")
    for each in (derived, old):
        assert read_annotations(geojson(tmp_path / "a.geojson", each)).tumour.area == 2500


def test_a_spline_passes_through_its_points_and_is_rounder_than_the_polygon(tmp_path):
    angles = np.arange(8) * np.pi / 4
    circle = np.stack([100 + 50 * np.cos(angles), 100 + 50 * np.sin(angles)], axis=1)
    tumour = read_annotations(asap(tmp_path / "spline.xml", ("Tumor", circle, "Spline"))).tumour
    assert tumour.area == pytest.approx(np.pi * 50**2, rel=0.03)
    assert tumour.area > shapely.Polygon(circle).area
    assert all(tumour.exterior.distance(shapely.Point(point)) < 1e-6 for point in circle)


def test_decimal_commas_and_the_order_of_coordinates_are_respected(tmp_path):
    file = asap(tmp_path / "comma.xml", ("Tumor", [(f"{x},5", f"{y},5") for x, y in SQUARE]))
    text = file.read_text()
    first, second = (f'<Coordinate Order="{n}" X="{SQUARE[n][0]},5" Y="{SQUARE[n][1]},5"/>' for n in (0, 1))
    file.write_text(text.replace(first + second, second + first))
    assert read_annotations(file).tumour.equals(shapely.box(10.5, 10.5, 60.5, 60.5))


def test_outlines_that_cross_or_have_no_area_are_repaired_or_left_out_and_reported(tmp_path):
    bow = ((0, 0), (10, 10), (10, 0), (0, 10))
    file = asap(tmp_path / "bad.xml", ("Tumor", bow), ("Tumor", SQUARE[:2]), ("Tumor", [(5, 5)], "Dot"))
    found = read_annotations(file)
    assert found.tumour.is_valid
    assert found.tumour.area == 50
    assert "1 outline repaired" in found.notes[0]
    assert "fewer than three points" in found.notes[1]
    assert "1 Dot" in found.notes[2]


def test_an_outline_that_runs_past_its_start_has_no_hole(tmp_path):
    angles = np.linspace(0, 2.3 * np.pi, 300)
    radii = 1000 - 75 * angles / np.pi
    lasso = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1) + 2000
    for points in (lasso, lasso[::-1]):
        tumour = read_annotations(asap(tmp_path / "lasso.xml", ("Tumor", points.tolist()))).tumour
        [shape] = shapely.get_parts(tumour)
        assert not len(shape.interiors)
        assert tumour.contains(shapely.Point(2755, 2339))  # The outline runs around it twice.


def test_excluded_regions_are_cut_out_of_the_tissue(tmp_path, slide_file):
    holes = [
        geojson(tmp_path / "a.geojson", feature("Region*", [SQUARE]), feature("Ignore*", [HOLE])),
        asap(tmp_path / "a.xml", ("Tissue", SQUARE), ("Exclusion", HOLE)),
        asap(tmp_path / "b.xml", ("_0", SQUARE), ("_2", HOLE)),
        asap(tmp_path / "c.xml", ("None", SQUARE), ("folds", HOLE), groups=[("folds", "Exclusion")]),
    ]
    no_holes = [
        geojson(tmp_path / "b.geojson", feature(None, [SQUARE]), feature("Normal", [HOLE])),
        asap(tmp_path / "d.xml", ("Tissue", SQUARE), ("normal", HOLE)),
    ]
    lists = {name: [{"name": name, "vertices": points}] for name, points in (("positive", SQUARE), ("negative", HOLE))}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    with open_slide(slide_file) as slide:
        for file in (*holes, tmp_path / "lists.json"):
            assert read_tissue(file, slide).area == WITH_HOLE_PX, file
        for file in no_holes:
            assert read_tissue(file, slide).area == 2500, file
        with pytest.raises(DataError, match="no region to scan"):
            read_tissue(asap(tmp_path / "e.xml", ("Exclusion", HOLE)), slide)


def test_classes_are_stated_where_their_names_say_nothing(tmp_path):
    file = geojson(
        tmp_path / "a.geojson", feature("Stroma", [HOLE]), feature("Lesion", [SQUARE]), feature(None, [HOLE])
    )
    with pytest.raises(DataError, match=r"a\.geojson: feature 1.*'Stroma'.*--classes"):
        read_annotations(file)
    assert read_annotations(file, classes=parse_classes("Lesion=1")).tumour.area == 2500
    assert read_annotations(file, classes=parse_classes("Lesion=1,Stroma=0")).tumour.area == WITH_HOLE_PX
    assert "1 of class None" in read_annotations(file, classes=parse_classes("Lesion=1")).notes[-1]


def test_annotations_without_any_class_are_not_taken_for_no_tumour(tmp_path):
    file = asap(tmp_path / "a.xml", ("None", SQUARE))
    with pytest.raises(DataError, match=r"none of its 1 annotations has a known class.*None=1"):
        read_annotations(file)
    assert read_annotations(file, classes=parse_classes("None=1")).tumour.area == 2500
    assert read_annotations(asap(tmp_path / "empty.xml")).tumour.is_empty


def test_cells_and_points_are_left_out_and_reported(tmp_path):
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    file = geojson(
        tmp_path / "a.geojson", feature("Tumor", [SQUARE]), feature("Tumor", [HOLE], objectType="cell"), point
    )
    found = read_annotations(file)
    assert found.tumour.area == 2500
    assert found.notes == ("left out: 1 cell object, 1 Point",)


@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        ("a.xml", "<ASAP_Annotations><Annot", "not a readable XML"),
        ("a.xml", "<svg/>", "ASAP_Annotations; got svg"),
        (
            "a.xml",
            '<ASAP_Annotations><Annotation Name="n"><Coordinate X="1"/></Annotation></ASAP_Annotations>',
            r"\(n\): coordinate 0",
        ),
        ("a.xml", asap_text('Type="Star"'), "type must be .* got 'Star'"),
        (
            "a.xml",
            '<ASAP_Annotations><Annotation Name="n"><Coordinate X="nan" Y="1"/></Annotation></ASAP_Annotations>',
            "coordinate 0",
        ),
        ("a.geojson", "{", "not a readable JSON"),
        ("a.geojson", '{"type": "Topology"}', "neither GeoJSON"),
        ("a.geojson", "[1]", "feature 1: not a GeoJSON feature"),
        (
            "a.geojson",
            feature_text("Polygon", '[[["a", 1]]]'),
            r"feature 1 \(n\)",
        ),
        ("a.geojson", feature_text("Polygon", "[3]"), "feature 1"),
        ("a.geojson", feature_text("Circle", "[3]"), "geometry must be .* got 'Circle'"),
        ("a.json", '{"positive": [{"vertices": [[1]]}]}', "positive polygon 1"),
        ("a.geojson.gz", "not packed", "not a readable JSON"),
        ("a.geojson.gz", gzip.compress(b"{}" * 99, mtime=0)[:11] + b"\xff\xff\xff\xff", "not a readable JSON"),
        ("a.tif", "II*", "not a readable mask"),
        ("a.txt", "", "must end in"),
    ],
)
def test_malformed_files_are_refused_with_the_place(tmp_path, name, content, facts):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=facts) as error:
        read_annotations(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [(1,), (3,), (1, 255), (1, 2, 3)])
def test_mask_values_of_unknown_meaning_are_refused_until_they_are_stated(tmp_path, values):
    pixels = np.zeros((32, 32), np.uint8)
    pixels[0, : len(values)] = values
    file = mask(tmp_path / "mask.tif", pixels)
    with pytest.raises(DataError, match="define the others"):
        read_annotations(file)
    assert read_annotations(file, classes=parse_classes(f"{values[-1]}=1")).tumour.area == 1


def test_mask_values_that_are_normal_are_regions_and_those_not_named_are_ignored(tmp_path):
    pixels = np.zeros((32, 32), np.uint8)
    pixels[:2, 0], pixels[5, :3], pixels[9, :4] = 1, 2, 3
    found = read_annotations(mask(tmp_path / "mask.tif", pixels), classes=parse_classes("1=0,2=1"))
    assert found.classes == {"1": 0, "2": 1, "3": None}
    assert {name: region.area for name, region in found.regions.items()} == {"1": 2, "2": 3}
    assert found.tumour.area == 3


def test_a_random_mask_is_outlined_exactly(tmp_path):
    pixels = 255 * (np.random.default_rng(0).random((50, 70)) < 0.4).astype(np.uint8)
    tumour = read_annotations(mask(tmp_path / "mask.tif", pixels)).tumour
    x, y = np.meshgrid(np.arange(70) + 0.5, np.arange(50) + 0.5)
    np.testing.assert_array_equal(shapely.contains_xy(tumour, x, y), pixels > 0)


@pytest.fixture(scope="module")
def small_slide(tmp_path_factory):
    file = write_pyramid(tmp_path_factory.mktemp("slide") / "s.tif", np.full((192, 192, 3), 240, np.uint8), 0.486)
    with open_slide(file) as slide:
        yield slide


def test_a_mask_is_scaled_to_its_slide_and_read_no_finer_than_patches(tmp_path, small_slide):
    coarse = read_annotations(mask(tmp_path / "coarse.tif", square_mask(255)), small_slide).tumour
    assert coarse.area == 4 * WITH_HOLE_PX
    fine = read_annotations(
        mask(tmp_path / "fine.tif", np.kron(square_mask(255), np.ones((2, 2), np.uint8)), 1), small_slide
    )
    assert fine.tumour.equals(coarse)
    with pytest.raises(DataError, match="aspect ratio"):
        read_annotations(mask(tmp_path / "wide.tif", np.zeros((48, 96), np.uint8)), small_slide)


def test_annotations_of_another_slide_are_refused(tmp_path, small_slide):
    far = [(x + 1000, y) for x, y in SQUARE]
    with pytest.raises(DataError, match=r"lies outside s\.tif"):
        read_annotations(asap(tmp_path / "a.xml", ("Tumor", far)), small_slide)


def test_qupath_counts_from_the_corner_of_the_scanned_part(tmp_path, small_slide):
    metadata = replace(small_slide.metadata, bounds_px=(5, 7, 100, 100))
    reader = SimpleNamespace(metadata=metadata, levels=small_slide.levels)
    slide = replace(small_slide, reader=reader)
    qupath = read_annotations(geojson(tmp_path / "a.geojson", feature("Tumor", [SQUARE])), slide).tumour
    assert qupath.equals(shapely.box(15, 17, 65, 67))
    asap_file = asap(tmp_path / "a.xml", ("Tumor", SQUARE))
    assert read_annotations(asap_file, slide).tumour.equals(shapely.box(10, 10, 60, 60))


def test_annotations_are_found_by_the_slides_name(tmp_path):
    for name in ("tumor_001.XML", "b.svs.geojson", "c_mask.tif", "two.xml", "two.geojson", "d.txt"):
        (tmp_path / name).touch()
    found = {
        name: find_annotations(f"slides/{name}", tmp_path) for name in ("Tumor_001.tif", "b.svs", "c.svs", "d.svs")
    }
    assert [each and each.name for each in found.values()] == ["tumor_001.XML", "b.svs.geojson", "c_mask.tif", None]
    with pytest.raises(DataError, match=r"several annotations of two\.svs"):
        find_annotations("two.svs", tmp_path)


def test_a_slide_is_not_its_own_mask(tmp_path):
    (tmp_path / "a.tif").touch()
    assert find_annotations(tmp_path / "a.tif", tmp_path) is None


@pytest.mark.slow
def test_real_outlines_of_camelyon16_are_read_and_valid(tmp_path):
    folder = os.environ.get("SENTINODE_TEST_DATA")
    archive = Path(folder or "none") / "camelyon" / "camelyon16-lesion-polygons.zip"
    if not archive.is_file():
        pytest.skip("needs SENTINODE_TEST_DATA with camelyon/camelyon16-lesion-polygons.zip")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    files = sorted(tmp_path.glob("*.json"))
    assert len(files) == 40
    for file in files:
        lists = json.loads(file.read_text())
        tumour = read_annotations(file).tumour
        assert tumour.is_valid
        assert tumour.area > 0
        # Holes are cut out, and what outlines enclose is otherwise kept, but for loops where they cross themselves.
        enclosed = shapely.union_all([shapely.Polygon(each["vertices"]).buffer(0) for each in lists["positive"]])
        assert lists["negative"] or tumour.area == pytest.approx(enclosed.area, rel=0.05), file
