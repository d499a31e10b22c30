"""The server of the viewer, in a process of its own, called over 127.0.0.1."""

import gzip
import io
import json
import os
import shutil
import urllib.request
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.viewer.serving import LocalServer, Server

from sentinode.slides import open_slide, read_annotations
from sentinode.slides.annotations.read import find_annotations
from sentinode.slides.results.heatmap import load_heatmap
from sentinode.slides.scanning.leases import take_lease
from sentinode.viewer.slides.tiles import DeepZoom

SQUARE = {"type": "Polygon", "coordinates": [[[300, 300], [500, 300], [500, 500], [300, 500], [300, 300]]]}

# Thousands of points in no order: repairing it would take minutes.
STAR = np.random.default_rng(0).integers(0, 1000, (5000, 2)).tolist()


def drawn(**changes):
    return {
        "geometry": SQUARE,
        "class": "Tumor",
        "decision": "accepted",
        "source": "drawn",
        "base_version": 0,
    } | changes


def test_tiles_are_the_pixels_of_the_slide_at_every_level(server, view_slide):
    about = server.get("/api/slides/s1")
    pyramid = DeepZoom(about["width_px"], about["height_px"])
    with open_slide(view_slide) as slide:
        for level in (0, pyramid.max_level - 2, pyramid.max_level - 1, pyramid.max_level):
            columns, rows = (-(-side // 254) for side in pyramid.size(level))
            x, y, width, height = pyramid.box(level, columns - 1, rows - 1)
            tile = server.get(f"/api/slides/s1/tiles/{level}/{columns - 1}_{rows - 1}.jpg")
            with Image.open(io.BytesIO(tile)) as image:
                found = np.asarray(image.convert("RGB")).astype(float)
            assert found.shape == (height, width, 3)
            scale = pyramid.scale(level)
            full = slide.reader.read(0, x * scale, y * scale, width * scale, height * scale).astype(float)
            expected = full.reshape(height, scale, width, scale, 3).mean(axis=(1, 3))
            assert abs(found - expected).mean() < 6, level


def test_a_tile_that_the_browser_has_is_not_sent_again(server):
    _, headers, _ = server.request("/api/slides/s1/tiles/8/0_0.jpg")
    status, _, content = server.request("/api/slides/s1/tiles/8/0_0.jpg", If_None_Match=headers["etag"])
    assert (status, content) == (304, b"")


@pytest.mark.parametrize("place", ["20/0_0", "8/9_0", "8/0_9", "8/0_99999999999999999999", "99999999999999999999/0_0"])
def test_tiles_outside_of_the_slide_are_not_found(server, place):
    status, _, answer = server.request(f"/api/slides/s1/tiles/{place}.jpg")
    assert (status, "tile not found" in answer["error"]) == (404, True)


def test_the_heat_map_is_that_of_the_scan(server, results, view_slide):
    [result] = server.get("/api/slides/s1")["results"]
    content = gzip.decompress(server.get(f"/api/slides/s1/results/{result['id']}/heatmap"))
    heatmap = load_heatmap(results / view_slide.stem)
    values = np.frombuffer(content, np.uint8).reshape(result["grid"]["rows"], result["grid"]["columns"])
    scanned = values < 255
    assert np.array_equal(scanned, ~np.isnan(heatmap.log_odds))
    np.testing.assert_allclose(values[scanned] / 254, heatmap.probability[scanned], atol=0.5 / 254 + 1e-6)


def test_lesions_have_measures_and_outlines_on_the_slide(server, results, view_slide):
    shapely = pytest.importorskip("shapely")
    [result] = server.get("/api/slides/s1")["results"]
    found = server.get(f"/api/slides/s1/results/{result['id']}/lesions")["lesions"]
    expected = json.loads((results / view_slide.stem / "summary.json").read_text())["lesions"]
    names = ("lesion_class", "max_probability", "area_mm2", "diameter_mm")
    assert len(found) == len(expected) > 0
    for lesion, of_scan in zip(found, expected, strict=True):
        assert shapely.geometry.shape(lesion["polygon"]).covers(shapely.Point(of_scan["x_px"], of_scan["y_px"]))
        assert uuid.UUID(lesion["id"]) and [lesion[name] for name in names] == [of_scan[name] for name in names]


def test_the_latest_scan_counts_whatever_the_order_of_the_folders(view_slide, results, tmp_path):
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, score, finished_s in zip(folders, (0.9, 0.1), (2000, 1000), strict=True):
        shutil.copytree(results, folder)
        file = folder / view_slide.stem / "summary.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"slide_score": score}))
        os.utime(file, (finished_s, finished_s))
        if score == 0.1:
            log_odds = np.load(folder / view_slide.stem / "log_odds.npy")
            np.save(folder / view_slide.stem / "log_odds.npy", np.full_like(log_odds, 3.0))
    with LocalServer([view_slide, *folders], tmp_path / "out") as running:
        assert running.get("/api/slides")["slides"][0]["slide_score"] == 0.9
        assert [each["slide_score"] for each in running.get("/api/slides/s1")["results"]] == [0.1, 0.9]
        assert running.get("/api/queue?limit=1")["items"][0]["probability"] < 0.9


def test_the_tissue_outline_covers_the_tissue(server, view_slide):
    shapely = pytest.importorskip("shapely")
    outline = shapely.geometry.shape(server.get("/api/slides/s1/tissue"))
    middle = shapely.box(300, 300, 960, 960)
    assert outline.is_valid and outline.intersection(middle).area > 0.9 * middle.area
    assert not outline.contains(shapely.Point(50, 50))


def test_an_annotation_is_saved_for_qupath_and_for_extract(server, results, view_slide):
    name = str(uuid.uuid4())
    status, _, answer = server.put(f"/api/slides/s1/annotations/{name}", **drawn())
    assert status == 200
    assert answer["feature"] in server.get("/api/slides/s1/annotations")["features"]
    with open_slide(view_slide) as slide:
        file = results / f"{view_slide.stem}.annotations.geojson"
        assert find_annotations(view_slide, results) == file
        assert read_annotations(file, slide).tumour.area == pytest.approx(200 * 200)
    version = answer["version"]
    path = f"/api/slides/s1/annotations/{name}?base_version={version}"
    assert server.request(path, method="DELETE")[0] == 200
    assert server.get("/api/slides/s1/annotations")["features"] == []


def test_features_of_qupath_that_the_viewer_does_not_show_survive_a_decision(view_slide, tmp_path):
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [7.5, 9]}, "properties": {"name": "cell"}}
    line = {"type": "Feature", "id": "line", "geometry": {"type": "LineString", "coordinates": [[1, 1], [2, 3]]}}
    detection = {
        "type": "Feature",
        "geometry": SQUARE,
        "nucleusGeometry": SQUARE,
        "properties": {"objectType": "detection", "measurements": {"area": float("inf")}},
    }
    file = tmp_path / f"{view_slide.stem}.annotations.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [point, line, detection]}))
    path = f"/api/slides/s1/annotations/{uuid.uuid4()}"
    with LocalServer([view_slide], tmp_path) as running:
        assert running.get("/api/slides/s1/annotations")["features"] == []
        saved = running.put(path, **drawn())[2]
        after_put = json.loads(file.read_text())["features"]
        assert running.request(f"{path}?base_version={saved['version']}", method="DELETE")[0] == 200
    assert after_put == [saved["feature"], point, line, detection]
    assert json.loads(file.read_text())["features"] == [point, line, detection]


def test_a_region_of_qupath_with_measurements_that_are_no_number_is_shown(view_slide, tmp_path):
    region = {"type": "Feature", "id": str(uuid.uuid4()), "geometry": SQUARE}
    region["properties"] = {"objectType": "annotation", "name": "A", "measurements": {"Ki-67 %": float("nan")}}
    file = tmp_path / f"{view_slide.stem}.annotations.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [region]}))
    with LocalServer([view_slide], tmp_path) as running:
        (read,) = running.get("/api/slides/s1/annotations")["features"]
        assert read["geometry"] == SQUARE and read["properties"]["name"] == "A"
        path = f"/api/slides/s1/annotations/{region['id']}"
        status, _, answer = running.put(path, **drawn())  # It says that it is new.
        assert (status, answer["current"]["id"]) == (409, region["id"])
        assert running.put(f"/api/slides/s1/annotations/{uuid.uuid4()}", **drawn())[0] == 200
    assert "NaN" in file.read_text()  # The region is kept as it was.


def test_the_later_of_two_edits_is_refused_with_the_earlier(server):
    path = f"/api/slides/s1/annotations/{uuid.uuid4()}"
    first = server.put(path, **drawn())[2]
    second = server.put(path, **drawn(decision="rejected", base_version=first["version"]))[2]
    assert second["feature"]["properties"]["classification"]["name"] == "Normal"
    status, _, answer = server.put(path, **drawn(base_version=first["version"]))
    assert (status, answer["current"]) == (409, second["feature"])
    assert server.request(f"{path}?base_version={first['version']}", method="DELETE")[0] == 409
    assert server.request(f"{path}?base_version={second['version']}", method="DELETE")[0] == 200
    status, _, answer = server.put(path, **drawn(base_version=second["version"]))
    assert (status, answer["current"]) == (409, None)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"geometry": None}, "geometry"),
        ({"geometry": {"type": "Point", "coordinates": [1, 2]}}, "Point"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[1, 1], [2, 2], [1, 1]]]}}, "geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": [[["1e999", 1], [2, 2], [3, 1]]]}}, "finite"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[-9, -9], [-8, -9], [-8, -8], [-9, -9]]]}}, "outside"),
        ({"geometry": {"type": "Polygon", "coordinates": [STAR]}}, "crosses itself"),
        ({"class": "Tumour"}, "class"),
        ({"class": ["Tumor"]}, "class"),
        ({"decision": "maybe"}, "decision"),
        ({"source": "../../etc"}, "source"),
        ({"lesion": "x"}, "UUID"),
        ({"base_version": "0"}, "base_version"),
        ({"base_version": True}, "base_version"),
    ],
)
def test_an_annotation_that_is_not_valid_is_refused(server, change, fact):
    status, _, answer = server.put(f"/api/slides/s1/annotations/{uuid.uuid4()}", **drawn(**change))
    assert (status, fact in answer["error"]) == (422, True), answer
    assert server.get("/api/slides/s1/annotations")["features"] == []


def test_the_page_is_reached_by_the_address_with_the_token_alone(server):
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(f"{server.address}/?token={server.token}", timeout=30) as answer:
        assert answer.url == f"{server.address}/"
        assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    with opener.open(f"{server.address}/api/session", timeout=30) as answer:
        assert json.loads(answer.read())["user"] == "anonymous"
    assert server.request("/api/session", token=False)[0] == 401
    assert server.request("/?token=wrong", token=False)[0] == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_requests_of_other_pages_are_refused(server, headers):
    assert server.request("/api/slides", **headers)[0] in (400, 403)


def test_names_and_paths_are_not_shown_unless_asked(server, view_slide):
    for path in ("/api/slides", "/api/slides/s1", "/api/slides/s1/annotations", "/api/session"):
        content = json.dumps(server.get(path))
        assert view_slide.stem not in content and str(view_slide.parent) not in content, path


def test_a_figure_shows_the_heat_map_and_a_scale_bar(server):
    [result] = server.get("/api/slides/s1")["results"]
    where = "/api/slides/s1/figure.png?x=300&y=300&w=600&h=600&width=600"
    plain, colored = (
        np.asarray(Image.open(io.BytesIO(server.get(f"{where}{more}"))))
        for more in ("", f"&result={result['id']}&threshold=0.9&opacity=1&colors=cividis")
    )
    assert plain.shape == colored.shape == (648, 600, 3)
    lesion, tissue = (slice(260, 400),) * 2, (slice(20, 100),) * 2
    assert (plain[tissue] == colored[tissue]).all()
    assert abs(colored[lesion].mean(axis=(0, 1)) - (254, 232, 56)).max() < 8
    bar = (plain[624, :125, 0] < 60).sum()
    assert abs(bar - 100 / 0.972) <= 2  # 100 µm.


@pytest.mark.parametrize(
    "query",
    [
        "",
        "x=1&y=1&w=0&h=1",
        "x=1&y=1&w=1&h=999",
        "x=1&y=1&w=9&h=9&width=5000",
        "x=nan&y=1&w=1&h=1",
        "x=1&y=1&w=9&h=9&colors=jet",
    ],
)
def test_a_figure_of_no_part_is_refused(server, query):
    assert server.request(f"/api/slides/s1/figure.png?x=1&y=1&{query}")[0] == 400


def test_the_queue_holds_uncertain_places_apart_until_they_are_decided(server, view_slide):
    found = server.get("/api/queue?kind=uncertain&limit=5")
    items = found["items"]
    assert (len(items), found["done"], found["total"]) == (5, 0, 5)
    places = np.array([[item["x_px"], item["y_px"]] for item in items])
    apart = abs(places[:, None] - places[None]).max(axis=2) + 1e9 * np.eye(5)
    assert apart.min() >= items[0]["side_px"] - 1e-6
    margin = [abs(item["probability"] - 0.5) for item in items]
    assert margin == sorted(margin)
    x, y, half = items[0]["x_px"], items[0]["y_px"], items[0]["side_px"] / 2
    ring = [
        [x - half, y - half],
        [x + half, y - half],
        [x + half, y + half],
        [x - half, y + half],
        [x - half, y - half],
    ]
    path = f"/api/slides/s1/annotations/{uuid.uuid4()}"
    saved = server.put(path, **drawn(geometry={"type": "Polygon", "coordinates": [ring]}, source="patch"))[2]
    after = server.get("/api/queue?kind=uncertain&limit=5")
    assert (after["items"], after["done"]) == (items[1:], 1)
    server.request(f"{path}?base_version={saved['version']}", method="DELETE")


def test_the_decisions_of_two_users_are_compared(view_slide, tmp_path):
    names = [str(uuid.uuid4()) for _ in range(4)]
    for user, classes in (("ann", "TTNN"), ("bob", "TNNN")):
        with LocalServer([view_slide], tmp_path, user=user) as running:
            known = {each["id"]: each for each in running.get("/api/slides/s1/annotations")["features"]}
            for name, kind in zip(names, classes, strict=True):
                version = known[name]["properties"]["sentinode"]["version"] if name in known else 0
                body = drawn(base_version=version, **{"class": {"T": "Tumor", "N": "Normal"}[kind]})
                assert running.put(f"/api/slides/s1/annotations/{name}", **body)[0] == 200
            found = running.get("/api/agreement")
    assert found == {"users": ["ann", "bob"], "n": 4, "kappa": pytest.approx(0.5)}


def test_patches_are_filtered_sorted_and_relabeled(mini, tmp_path):
    table = mini.split("test").table
    probability = np.linspace(0, 1, len(table))
    predictions = tmp_path / "predictions.csv"
    table[["id"]].assign(probability=probability).to_csv(predictions, index=False)
    with LocalServer(["pcam-mini", predictions], tmp_path / "out", show_names=True) as running:
        about = running.get("/api/patches")
        assert (about["count"], about["has_predictions"]) == (len(table), True)
        found = running.get("/api/patches/rows?start=2&count=5&order=probability&label=1&min_p=0.5&outcome=tp")
        wanted = np.flatnonzero((table["label"] == 1).to_numpy() & (probability >= 0.5))[::-1]
        assert found["total"] == len(wanted)
        assert [row["index"] for row in found["rows"]] == wanted[2:7].tolist()
        [nearest] = running.get("/api/patches/rows?count=1&order=uncertainty")["rows"]
        assert nearest["index"] == abs(probability - 0.5).argmin()
        row = found["rows"][0]
        assert row["id"] == table["id"].iloc[row["index"]]
        sheet = Image.open(io.BytesIO(running.get("/api/patches/sheet.jpg?indices=5,0,7&columns=2")))
        assert sheet.size == (192, 192)
        shown = np.asarray(sheet).astype(float)[:96, :96]
        assert abs(shown - mini.split("test").read([5])[0]).mean() < 6
        body = {"label": 0, "decision": "rejected", "base_version": 0}
        assert running.put(f"/api/patches/{row['index']}", **body)[2]["row"]["label"] == 0
        assert running.put(f"/api/patches/{row['index']}", **body)[0] == 409
        saved = (tmp_path / "out" / "patches.csv").read_text().splitlines()
        assert saved[1].startswith(f"{row['id']},0,rejected,anonymous,")


@pytest.mark.parametrize("label", [1.0, True, "1", None, 2])
def test_a_label_that_is_not_0_or_1_is_refused_and_not_saved(mini, tmp_path, label):
    with LocalServer(["pcam-mini"], tmp_path) as running:
        body = {"label": label, "decision": None, "base_version": 0}
        status, _, answer = running.put("/api/patches/0", **body)
        assert (status, "must be 0 (normal) or 1 (tumour)" in answer["error"]) == (422, True)
        assert running.put("/api/patches/0", **{**body, "label": 1})[2]["row"]["label"] == 1


def test_a_read_only_viewer_refuses_changes(view_slide, results):
    before = sorted(results.iterdir())
    with LocalServer([view_slide, results], results, read_only=True) as running:
        status, _, answer = running.put(f"/api/slides/s1/annotations/{uuid.uuid4()}", **drawn())
        assert (status, "read-only" in answer["error"]) == (403, True)
        assert running.request("/api/scans", {"slide": "s1"})[0] == 403
        assert running.get("/api/slides")["slides"][0]["can_scan"] is False
    assert sorted(results.iterdir()) == before


def test_events_begin_with_the_state_of_every_slide(view_slide, results, tmp_path):
    """A scan that another process began after the page asked for the slides would be missed otherwise."""
    other = shutil.copy(view_slide, tmp_path / "other.tif")
    with LocalServer([view_slide, other], tmp_path / "out", show_names=True, read_only=True) as running:
        assert running.get("/api/slides")["slides"][1]["state"] == "not scanned"
        (tmp_path / "out").mkdir(exist_ok=True)
        request = urllib.request.Request(
            f"{running.address}/api/events", headers={"Authorization": f"Bearer {running.token}"}
        )
        with take_lease(tmp_path / "out", "other"), urllib.request.urlopen(request, timeout=60) as events:
            states = {}
            while len(states) < 2 and (line := events.readline()) != b": still here\n":
                if line.startswith(b"data: "):
                    slide = json.loads(line[6:])
                    states[slide["name"]] = slide["state"]
    assert states == {view_slide.name: "not scanned", "other.tif": "scanning"}


@pytest.mark.slow
def test_the_command_serves_and_ends_on_sigterm_while_a_page_waits_for_events(view_slide, results):
    running = Server(view_slide, results)
    request = urllib.request.Request(
        f"{running.address}/api/events", headers={"Authorization": f"Bearer {running.token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as events:
        assert events.readline() == b": connected\n"
        command_line = Path(f"/proc/{running.process.pid}/cmdline").read_bytes().decode()
        assert running.token not in command_line
        assert running.stop() == 0
