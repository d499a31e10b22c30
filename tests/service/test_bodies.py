"""What clients send, well formed and not, to the service in this process; the network is a stand-in."""

import logging
import socket
import time

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.service.clients import FORM, answer, part, png, post, read, stand_in, start

from sentinode.service import Limits, bodies, create_application


@pytest.fixture(scope="module")
def port():
    return start(create_application(stand_in(), limits=Limits(images=3, body_bytes=200_000, held_bytes=400_000)))


@pytest.mark.parametrize(
    ("header", "body", "name"),
    [
        (b"Content-Type: Multipart/Form-Data; Boundary=xx", part() + b"--xx--", "a.png"),
        (b"Content-Type: multipart/form-data; charset=unicode_escape; boundary=xx", part() + b"--xx--", "a.png"),
        (FORM, part(b'; filename="\\ud800 \xff.png"') + b"--xx--", "\\ud800 ÿ.png"),
        (FORM, part('; filename="日本 ä.png"'.encode()) + b"--xx--\r\n", "日本 ä.png"),
        (FORM, part(b'; filename=""') + b"--xx--", "0"),
        (b"Content-Type: application/x-www-form-urlencoded", png(), "0"),
        (b"X: none", png(), "0"),
    ],
)
def test_images_of_usual_and_unusual_clients_are_read(port, header, body, name):
    status, found = answer(port, post(body, header))
    assert (status, found["results"][0]["name"], found["results"][0]["logit"]) == (200, name, 7.0)


@pytest.mark.parametrize(
    ("body", "status", "fact"),
    [
        (part() + part()[:-9], 400, "truncated"),
        (part(), 400, "truncated"),
        (part(b"") + b"--xx--", 400, "without a file name"),
        (part(b"; filename*=UTF-8''a.png") + b"--xx--", 400, "without a file name"),
        (part(b"", b"a note") + part() + b"--xx--", 400, "nothing else"),
        (4 * part() + b"--xx--", 413, "3 image files"),
        (b"--xx\r\nX: " + bytes(100_000) + b"\r\n\r\n\r\n--xx--", 400, "invalid"),
        (part(b'; filename="a; b.png"', b"text") + b"--xx--", 422, "a; b.png: unreadable image"),
    ],
)
def test_broken_forms_are_refused_for_what_is_wrong(port, body, status, fact):
    found = answer(port, post(body, FORM))
    assert (found[0], fact in found[1]["error"]) == (status, True), found


def test_a_client_that_goes_away_leaves_no_trace_in_the_log(port, caplog):
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)  # It does not pass its messages on.
    chunked = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n"
    for sent in (chunked, post(png())[:-50], post(part(), FORM)[:200], post(png())):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(sent)
        time.sleep(0.05)
        connection.close()
    assert answer(port, post(png()))[0] == 200
    time.sleep(0.1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_body_that_does_not_arrive_is_given_up_and_its_memory_given_back(port, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_S", 2)
    slow = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(2)]
    for each in slow:
        each.sendall(post(bytes(190_000))[:-1000])
    while answer(port, post(bytes(30_000)))[0] != 503:  # Until what the slow clients sent has been read.
        time.sleep(0.05)
    for each in slow:
        assert read(each)[0] == 408
        assert each.recv(1) == b""
        each.close()
    assert answer(port, post(png()))[0] == 200


def test_a_full_queue_is_refused_for_now():
    port = start(create_application(stand_in(0.3), limits=Limits(images=3, waiting_patches=3)))
    clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(5)]
    for client in clients:
        client.sendall(post(3 * part() + b"--xx--", FORM))
    answers = [read(client) for client in clients]
    assert {status for status, _ in answers} == {200, 503}
    assert all("at most 3 may wait" in found["error"] for status, found in answers if status == 503)


def test_inside_another_application_the_description_names_the_place(port):
    def description(port, path):
        return answer(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())[1]

    mounted = start(Starlette(routes=[Mount("/tumour", create_application(stand_in()))]))
    assert description(mounted, "/tumour/openapi.json")["servers"] == [{"url": "/tumour"}]
    assert answer(mounted, post(png(), path="/tumour/predict"))[0] == 200
    assert description(port, "/openapi.json")["servers"] == [{"url": "/"}]
