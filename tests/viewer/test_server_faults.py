"""What may go wrong while a viewer runs: files that vanish, full disks, kills, strange requests, many clients."""

import contextlib
import http.client
import io
import json
import random
import resource
import shutil
import threading
import time
import uuid
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from tests.slides.conftest import write_pyramid
from tests.viewer.serving import LocalServer, Server
from tests.viewer.test_server import drawn

from sentinode.errors import SentinodeError
from sentinode.slides.slide import open_slide
from sentinode.viewer.errors import ViewerError
from sentinode.viewer.gallery import Gallery

TILE = "/api/slides/s1/tiles/11/2_2.jpg"


def test_a_slide_that_vanishes_is_said_and_its_annotations_are_still_saved(view_slide, tmp_path):
    slide = shutil.copy(view_slide, tmp_path / "private.tif")
    with LocalServer([slide], tmp_path / "out") as server:
        server.get("/api/slides/s1")
        slide.unlink()
        status, _, answer = server.request(TILE)
        assert (status, "Slide 1: its file cannot be read" in answer["error"]) == (410, True)
        assert server.get("/api/slides")["slides"][0]["name"] == "Slide 1"
        assert server.put(f"/api/slides/s1/annotations/{uuid.uuid4()}", **drawn())[0] == 200


def test_a_truncated_slide_is_said_without_its_path(view_slide, tmp_path):
    slide = tmp_path / "private.tif"
    content = view_slide.read_bytes()
    slide.write_bytes(content[: len(content) // 2])
    with LocalServer([slide], tmp_path / "out") as server:
        status, _, answer = server.request("/api/slides/s1/tiles/11/5_5.jpg")
    assert status == 422
    assert "Slide 1" in answer["error"] and "private" not in answer["error"] and str(tmp_path) not in answer["error"]


def test_an_accession_number_as_file_name_is_not_sent(view_slide, results, tmp_path):
    slides, out = tmp_path / "slides", tmp_path / "out"
    slides.mkdir()
    for name in ("1.tif", "20260111.tif"):
        shutil.copy(view_slide, slides / name)
    shutil.copytree(results / view_slide.stem, out / "20260111")
    summary = json.loads((out / "20260111" / "summary.json").read_text())
    warnings = [
        "20260111: dark",
        "20260111.tif: see 1.tif",
        "20260111.ndpi is missing; see 20260111",
        "out/20260111/work: full",
        "Slide 1: stopped after 1.5 s, 1 row of 1202601110 or 2.1:",
    ]
    (out / "20260111" / "summary.json").write_text(
        json.dumps(summary | {"slide": "20260111.tif", "warnings": warnings})
    )
    with LocalServer([slides], out) as server:
        shown = server.get("/api/slides")["slides"][1]["warnings"]
    hidden = ["Slide 2: dark", "Slide 2: see Slide 1", "Slide 2.ndpi is missing; see Slide 2", "out/Slide 2/work: full"]
    assert shown == [*hidden, warnings[-1]]


def test_a_slide_that_is_replaced_is_read_anew(view_slide, tmp_path):
    slide = shutil.copy(view_slide, tmp_path / "private.tif")
    with LocalServer([slide], tmp_path / "out") as server:
        before = server.get(TILE)
        with open_slide(view_slide) as opened:
            full = opened.levels[0]
            pixels = opened.reader.read(0, 0, 0, full.width_px, full.height_px)
        write_pyramid(tmp_path / "other.tif", 255 - pixels)
        (tmp_path / "other.tif").replace(slide)
        assert server.get(TILE) != before


def test_a_full_disk_is_said_and_nothing_is_lost(view_slide, tmp_path):
    with LocalServer([view_slide], tmp_path / "out") as server:
        first = f"/api/slides/s1/annotations/{uuid.uuid4()}"
        saved = server.put(first, **drawn())[2]["feature"]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # Writing more fails, as on a full disk.
        try:
            second = f"/api/slides/s1/annotations/{uuid.uuid4()}"
            status, _, answer = server.put(second, **drawn())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (status, answer["error"].startswith("not saved")) == (507, True)
        assert server.get("/api/slides/s1/annotations")["features"] == [saved]
        assert server.put(second, **drawn())[0] == 200
        assert len(server.get("/api/slides/s1/annotations")["features"]) == 2


def test_a_damaged_annotation_file_is_not_overwritten(view_slide, tmp_path):
    file = tmp_path / "out" / f"{view_slide.stem}.annotations.geojson"
    file.parent.mkdir()
    file.write_text('{"type": "FeatureColl')
    with LocalServer([view_slide], file.parent) as server:
        for answer in (
            server.request("/api/slides/s1/annotations"),
            server.put(f"/api/slides/s1/annotations/{uuid.uuid4()}", **drawn()),
        ):
            assert (answer[0], "not valid JSON" in answer[2]["error"]) == (422, True)
    assert file.read_text() == '{"type": "FeatureColl'


@pytest.mark.parametrize(
    "content",
    [
        b"path,label,decision,user,time,version\na,1\n",
        b"label,decision,user,time,version\n1,,me,now,1\n",
        b"path,label,decision,user,time,version\na,1,,me,now,1.0\n",
        b"path,label,decision,user,time,version\n\xff,1,,me,now,1\n",
    ],
)
def test_a_damaged_table_of_patches_is_named_when_the_viewer_starts(mini, tmp_path, content):
    (tmp_path / "patches.csv").write_bytes(content)
    with pytest.raises(SentinodeError, match=r"patches\.csv: damaged"):
        Gallery(mini.split("test"), None, 0.5, tmp_path, "me", show_names=True)
    assert (tmp_path / "patches.csv").read_bytes() == content


def test_a_label_that_another_viewer_saved_is_shown_and_can_be_changed(mini, tmp_path):
    one, two = (Gallery(mini.split("test"), None, 0.5, tmp_path, name, show_names=True) for name in "ab")
    label = one.rows(0, 1)["rows"][0]["label"]
    two.put(0, {"label": 1 - label, "decision": "rejected", "base_version": 0})
    with pytest.raises(ViewerError, match="labeled elsewhere") as refused:
        one.put(0, {"label": label, "decision": "accepted", "base_version": 0})
    assert refused.value.status == 409
    shown = one.rows(0, 1)["rows"][0]
    assert (shown["label"], shown["version"]) == (1 - label, 1)
    assert one.put(0, {"label": label, "decision": "accepted", "base_version": shown["version"]})["version"] == 2


def fuzzed_targets(rng, secret):
    """Return request targets that try to leave the targets of the viewer."""
    pieces = [
        "..",
        "%2e%2e",
        "%2e.",
        "..%2f",
        "....//",
        "%5c..",
        "\\..",
        "%00",
        "%c3%a9",
        "%ff",
        ".",
        "s1",
        "static",
        "api",
    ]
    starts = ["/", "//", "/static/", "/api/slides/", "/api/slides/s1/"]
    starts += ["/api/slides/s1/results/", "/api/slides/s1/annotations/"]
    for start in starts:
        yield f"{start}{'../' * 8}{str(secret).lstrip('/')}"
        yield f"{start}{'%2e%2e/' * 8}{str(secret).lstrip('/')}"
        yield f"{start}{'..%2f' * 8}{str(secret).lstrip('/').replace('/', '%2f')}"
        yield f"{start}{secret}"
        for _ in range(25):
            yield start + "/".join(rng.choices(pieces, k=rng.randint(1, 6))) + rng.choice(["", f"/{secret.name}"])


def test_no_address_reads_a_file_that_is_no_target(server, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret text")
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=60)
    for target in fuzzed_targets(random.Random(0), secret):
        connection.putrequest("GET", target, skip_accept_encoding=True)
        connection.putheader("Authorization", f"Bearer {server.token}")
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status < 500 and b"secret text" not in content and b"root:" not in content, target
    connection.close()


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_no_body_brings_the_server_down(server, method):
    rng = random.Random(1)
    deep = b"[" * 100_000
    wrong = [b"", b"{", b"null", b"[]", b"1e999", b'{"geometry": ' + deep, b"\xff\xfe", rng.randbytes(5000)]
    wrong += [
        json.dumps({"geometry": {"type": "Polygon", "coordinates": value}}).encode() for value in ([], [[]], 7, "x", {})
    ]
    wrong += [json.dumps({"slide": value}).encode() for value in (None, [], {}, "../s1", "s" * 10_000)]
    for path in (
        f"/api/slides/s1/annotations/{uuid.uuid4()}",
        "/api/slides/s1/annotations/x",
        "/api/scans",
        "/api/patches/0",
    ):
        for body in wrong:
            assert 400 <= server.request(path, body, method)[0] < 500, (path, body[:50])
    assert server.get("/api/slides/s1/annotations")["features"] == []


def test_pn_is_given_when_all_nodes_of_a_patient_are_scanned(view_slide, results, tmp_path):
    slides, out = tmp_path / "slides", tmp_path / "out"
    slides.mkdir()
    nodes = [shutil.copy(view_slide, slides / f"patient_017_node_{node}.tif") for node in (0, 1)]
    for node, expected in zip(nodes, (None, "pN1mi"), strict=True):
        shutil.copytree(results / view_slide.stem, out / node.stem)
        for file in (out / node.stem).glob("s*.json"):
            file.write_text(file.read_text().replace(view_slide.name, node.name))
        with LocalServer([slides], out) as server:
            assert [each["pn"] for each in server.get("/api/slides")["slides"]] == [expected] * 2


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(view_slide, tmp_path):
    acknowledged = set()
    server = Server(view_slide, "--out", tmp_path)

    def save():
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                name = str(uuid.uuid4())
                if server.put(f"/api/slides/s1/annotations/{name}", **drawn())[0] == 200:
                    acknowledged.add(name)

    threads = [threading.Thread(target=save) for _ in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    while len(acknowledged) < 10 and time.monotonic() < end:
        time.sleep(0.05)
    server.process.kill()
    server.process.wait()
    for thread in threads:
        thread.join()
    content = json.loads((tmp_path / f"{view_slide.stem}.annotations.geojson").read_text())
    assert acknowledged <= {feature["id"] for feature in content["features"]}
    assert len(acknowledged) >= 10


@pytest.mark.slow
def test_fifty_clients_get_every_tile(server):
    failures = []

    def look(number):
        rng = random.Random(number)
        for _ in range(20):
            level = rng.randint(8, 11)
            most = 2 ** max(0, level - 9)
            status = server.request(f"/api/slides/s1/tiles/{level}/{rng.randrange(most)}_{rng.randrange(most)}.jpg")[0]
            if status != 200:
                failures.append(status)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def state_of(server):
    return server.get("/api/slides")["slides"][0]["state"]


@pytest.mark.slow
def test_a_scan_is_canceled_and_gives_its_slide_back(view_slide, tmp_path):
    with LocalServer([view_slide], tmp_path) as server:
        assert server.request("/api/scans", {"slide": "s1"})[0] == 202
        assert server.request("/api/scans", {"slide": "s1"})[0] == 409
        assert state_of(server) in ("waiting", "scanning")
        assert server.request("/api/scans/s1", method="DELETE")[0] == 200
        assert state_of(server) == "not scanned"
        assert server.request("/api/scans/s1", method="DELETE")[0] == 409
    assert list(tmp_path.glob("*.lease-*")) == []


@pytest.mark.slow
def test_a_canceled_scan_can_be_started_again_and_ends_by_itself(view_slide, tmp_path):
    with LocalServer([view_slide], tmp_path) as server:
        for pause in (0, 0.02, 0.2, 3):
            assert server.request("/api/scans", {"slide": "s1"})[0] == 202
            time.sleep(pause)
            assert server.request("/api/scans/s1", method="DELETE")[0] == 200
            assert state_of(server) == "not scanned"
        assert server.request("/api/scans", {"slide": "s1"})[0] == 202
        for _ in range(1200):
            if state_of(server) not in ("waiting", "scanning"):
                break
            time.sleep(0.1)
        # The process lived on to look at the patches: this drawing is refused, as it is unlike tissue.
        assert "out of distribution" in server.get("/api/slides")["slides"][0]["error"]


@pytest.mark.slow
def test_the_model_judges_the_patch_under_the_cursor(view_slide, results, tiny_run):
    with LocalServer([view_slide, results, tiny_run.path], results) as server:
        with open_slide(view_slide) as slide:
            pixels = slide.reader.read(0, 700 - 48, 600 - 48, 96, 96)
        found = server.get("/api/slides/s1/patch?x=700&y=600")
        [expected] = tiny_run.session().probabilities(pixels)
        assert found["probability"] == pytest.approx(expected, abs=1e-5)
        assert (found["warning"] or "") == tiny_run.warnings(pixels[None])[0]
        shown = np.asarray(Image.open(io.BytesIO(server.get("/api/slides/s1/patch.png?x=700&y=600"))))
        assert np.array_equal(shown, pixels)
        assert server.get("/api/slides/s1/attribution.png?x=700&y=600").startswith(b"\x89PNG")
        assert len(server.get("/api/queue?kind=informative&limit=3")["items"]) == 3
        assert server.request("/api/slides/s1/patch?x=9999&y=600")[0] == 422
