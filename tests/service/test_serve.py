"""The service in a process of its own, called over 127.0.0.1 as programs and browsers call it."""

import asyncio
import io
import json
import re
import runpy
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.commands import command, refused, sentinode

from sentinode import load_run, open_patches

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "serve.py"


class Service:
    """A running `sentinode serve`."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            command("serve", "--port", "0", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            if found := re.search(r"serving (\S+)", line):
                self.address = found[1]
                return
        raise AssertionError(self.process.stderr.read())

    def request(self, path, body=None, **headers):
        """Return status, headers and JSON."""
        request = urllib.request.Request(
            self.address + path, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.loads(error.read())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture(scope="module")
def service(tiny_run):
    running = Service("--model", tiny_run.path, "--engine", "keras", "--max-images", "20", "--max-mb", "1")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def patches():
    return open_patches("pcam-mini", split="test").read(np.arange(6))


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def form(*files):
    """Return the body and the content type of a form with files."""
    boundary = uuid.uuid4().hex
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="image"; filename="%b"\r\n\r\n%b\r\n'
        % (boundary.encode(), name.encode(), content)
        for name, content in files
    )
    return body + b"--%b--\r\n" % boundary.encode(), f"multipart/form-data; boundary={boundary}"


def test_posted_images_get_the_predictions_of_predict(service, patches, tiny_run):
    run = load_run(tiny_run.path)
    expected = run.session().probabilities(patches)
    body, kind = form(*((f"{i}.png", png(each)) for i, each in enumerate(patches)))
    status, _, answer = service.request("/predict", body, Content_Type=kind)
    assert status == 200
    assert [each["name"] for each in answer["results"]] == [f"{i}.png" for i in range(6)]
    np.testing.assert_allclose([each["probability"] for each in answer["results"]], expected, atol=2e-5)
    assert [each["prediction"] for each in answer["results"]] == (expected >= run.threshold).astype(int).tolist()
    single = service.request("/predict", png(patches[2]), Content_Type="image/png")[2]["results"]
    assert single[0]["probability"] == pytest.approx(expected[2], abs=2e-5)


def test_a_patch_unlike_the_training_patches_gets_a_warning(service, patches):
    inverted = service.request("/predict", png(255 - patches[0]))[2]["results"][0]
    assert inverted["warning"]
    assert service.request("/predict", png(patches[0]))[2]["results"][0]["warning"] is None


@pytest.mark.parametrize(
    ("body", "status", "fact"),
    [
        (b"", 400, "empty"),
        (b"no image", 422, "unreadable"),
        (png(np.zeros((96, 96, 3), np.uint8))[:-40], 422, "unreadable"),
        (png(np.zeros((96, 50, 3), np.uint8)), 422, "50 × 96"),
        (png(np.zeros((96, 96), np.uint8)), 422, "gray"),
        (png(np.zeros((5000, 4000, 3), np.uint8)), 413, "pixels"),
        (bytes(1_000_001), 413, "1 MB"),
    ],
)
def test_what_is_not_a_patch_is_refused(service, body, status, fact):
    found, _, answer = service.request("/predict", body)
    assert (found, fact in answer["error"]) == (status, True), answer


def test_forms_are_limited_and_name_the_image_that_is_wrong(service, patches):
    body, kind = form(*((f"{i}.png", png(patches[0])) for i in range(21)))
    assert service.request("/predict", body, Content_Type=kind)[0] == 413
    body, kind = form(("good.png", png(patches[0])), ("wrong.png", b"nothing"))
    status, _, answer = service.request("/predict", body, Content_Type=kind)
    assert (status, answer["error"].startswith("wrong.png:")) == (422, True)
    assert service.request("/predict", b"--x\r\nbroken", Content_Type="multipart/form-data; boundary=x")[0] == 400
    assert service.request("/predict", b"", Content_Type="multipart/form-data")[0] == 400


def test_a_body_of_unknown_length_is_limited_too(service):
    def chunks():
        for _ in range(40):
            yield bytes(50_000)

    assert service.request("/predict", chunks())[0] == 413
    assert service.request("/health")[2]["status"] == "ok"


def test_pages_of_other_sites_and_other_host_names_are_refused(service, patches):
    image = png(patches[0])
    assert service.request("/health", Host="attacker.example")[0] == 400
    assert service.request("/predict", image, Host="attacker.example:80")[0] == 400
    assert service.request("/predict", image, Origin="https://attacker.example")[0] == 403
    assert service.request("/predict", image, Origin="null")[0] == 403
    assert service.request("/predict", image, Origin="http://localhost:3000", Host="localhost")[0] == 200


def test_the_description_names_every_route_and_status(service, tiny_run):
    _, _, description = service.request("/openapi.json")
    assert description["openapi"].startswith("3.")
    assert set(description["paths"]) == {"/predict", "/health"}
    assert {"200", "400", "401", "403", "413", "422", "503"} <= set(
        description["paths"]["/predict"]["post"]["responses"]
    )
    text = json.dumps(description)
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in description["components"]["schemas"]
    with urllib.request.urlopen(service.address) as page:
        html = page.read().decode()
    assert "Research use only" in html and "<form" in html
    # Folders of the machine are nobody's business.
    assert f"Model: {tiny_run.name}" in html and str(tiny_run.path.parent) not in html


def test_unknown_paths_and_methods_are_refused(service):
    assert service.request("/../etc/passwd")[0] == 404
    assert service.request("/predict")[0] == 405


@pytest.mark.slow
def test_fifty_clients_get_answers_without_errors_in_little_memory(service):
    benchmark = runpy.run_path(str(BENCHMARK))
    images = benchmark["encoded_patches"](20)
    asyncio.run(benchmark["send_load"](service.address, images, 50, 2))
    before = benchmark["memory_mb"](service.process.pid)
    load = asyncio.run(benchmark["send_load"](service.address, images, 50, 4))
    assert load.errors == 0
    assert len(load.latency_ms) > 50
    assert benchmark["memory_mb"](service.process.pid) - before < 50


@pytest.mark.slow
def test_a_full_queue_is_refused_and_what_runs_is_answered_before_a_stop(tmp_path, patches):
    token = tmp_path / "token"
    token.write_text("secret\n")
    running = Service("--max-images", "32", "--token-file", token)
    assert running.request("/predict", png(patches[0]))[0] == 401
    assert running.request("/predict", png(patches[0]), Authorization="Bearer wrong")[0] == 401
    assert running.request("/health")[0] == 200
    assert "secret" not in Path(f"/proc/{running.process.pid}/cmdline").read_text()
    body, kind = form(*((f"{i}.png", png(patches[0])) for i in range(32)))
    answers = []

    def send():
        answers.append(running.request("/predict", body, Content_Type=kind, Authorization="Bearer secret"))

    clients = [threading.Thread(target=send) for _ in range(12)]
    for client in clients:
        client.start()
    deadline = time.monotonic() + 30
    while running.request("/health")[2]["waiting_patches"] < 64 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running.stop() == 0
    for client in clients:
        client.join()
    statuses = [status for status, _, _ in answers]
    assert set(statuses) <= {200, 503} and 200 in statuses and 503 in statuses, statuses
    for status, headers, answer in answers:
        assert len(answer["results"]) == 32 if status == 200 else headers["Retry-After"]


def test_a_port_in_use_a_wrong_token_and_wrong_options_are_refused(service, tmp_path):
    port = service.address.rpartition(":")[2]
    refused(sentinode("serve", "--port", port), "cannot listen", port)
    (tmp_path / "empty").touch()
    refused(sentinode("serve", "--token-file", tmp_path / "empty"), "empty", "token")
    refused(sentinode("serve", "--token-file", tmp_path / "none"), "none", "token")
    assert sentinode("serve", "--port", "99999").returncode == 2
    assert sentinode("serve", "--max-images", "0").returncode == 2
    refused(sentinode("serve", "--host", "no.such.host.invalid"), "no.such.host.invalid")
    refused(sentinode("serve", "--port", "0", "--model", tmp_path / "no-run"), "no-run")
