"""Connections and headers of clients, well formed and not."""

import socket
import time
from contextlib import suppress

import pytest
from tests.commands import refused, sentinode
from tests.service.clients import answer, png, post, read, stand_in, start

from sentinode.service import create_application, server


@pytest.fixture(scope="module")
def port():
    return start(create_application(stand_in(0.05)))


def get(path=b"/health", *headers):
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: localhost", *headers, b"", b""])


def first_line(port, *parts):
    """Send bytes; return the first line of the answer, empty if the connection ends without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            for each in parts:
                connection.sendall(each)
            return connection.recv(1 << 16).partition(b"\r\n")[0].decode()
        except ConnectionError:
            return ""


@pytest.mark.parametrize(
    "head",
    [
        [b"GET /health HTTP/1.1\r\nX: ", *[b"a" * 10_000] * 100],
        [b"GET /health HTTP/1.1\r\n", *[b"a: b\r\n" * 2000] * 100],
        [b"GET /", *[b"a" * 10_000] * 100],
    ],
)
def test_endless_heads_of_requests_are_refused(port, head):
    assert "200" not in first_line(port, *head, b"\r\n\r\n")
    assert answer(port, get(b"/health", b"X: " + b"a" * 8000))[0] == 200


CHUNKED = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("part", [b"a: b\r\n" * 2000, b"a" * 10_000])
def test_endless_trailers_after_a_body_are_refused(port, part):
    body = CHUNKED + b"1\r\nx\r\n0\r\nx: "
    assert first_line(port, body, *[part] * 100, b"\r\n\r\n") in ("HTTP/1.1 431 Request Header Fields Too Large", "")


def test_trailers_and_small_chunks_are_accepted(port):
    image = png()
    chunks = b"".join(b"1;extension=x\r\n%c\r\n" % byte for byte in image * 40)  # More framing than headers may have.
    assert answer(port, CHUNKED + chunks + b"0\r\nHost: elsewhere\r\n\r\n")[0] in (200, 422)
    chunk = b"%x\r\n%b\r\n0\r\nHost: elsewhere\r\n\r\n" % (len(image), image)
    assert answer(port, CHUNKED + chunk)[0] == 200


def test_connections_that_send_nothing_or_half_a_head_are_closed(port, monkeypatch):
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    for sent in (b"", b"GET /hea", get() + b"GET /hea", post(png()) + b"P"):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(sent)
            if sent.endswith((b"\r\n\r\nGET /hea", b"P")):
                assert read(connection)[0] == 200
            assert b"408" in connection.recv(1000)
            assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("request_head", "rest"),
    [(get(), b"\r\n"), (b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"x")],
)
def test_connections_that_send_what_no_request_needs_are_closed(port, monkeypatch, request_head, rest):
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
        connection.sendall(request_head)
        received, end = b"", time.monotonic() + 10
        while b" 408 " not in received and time.monotonic() < end:
            connection.sendall(rest)
            with suppress(TimeoutError):
                received += connection.recv(1000)
    assert b" 408 " in received
    assert received.count(b"HTTP/1.1") == 2


def test_requests_in_one_connection_are_answered_one_by_one(port, monkeypatch):
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for _ in range(3):  # Together longer than a head may take.
            connection.sendall(post(png())[:-10])
            time.sleep(0.4)
            connection.sendall(post(png())[-10:])
            assert read(connection)[0] == 200
        connection.sendall(post(png()) + post(png(), b"Connection: close"))
        assert b"".join(iter(lambda: connection.recv(1 << 16), b"")).count(b"200 OK") == 2


@pytest.mark.parametrize(
    ("headers", "status", "fact"),
    [
        (b"X: y", 400, "Host header is missing"),
        (b"Host: [::1", 400, "Host header is missing or invalid"),
        (b"Host: a.example", 400, "--allow-host a.example"),
        (b"Host: localhost\r\nOrigin: http://[", 403, "not allowed"),
        (b"Host: localhost\r\nOrigin: null", 403, "null"),
        (b"Host: localhost\r\nOrigin: http://localhost.attacker.example", 403, "attacker"),
        (b"Host: localhost\r\nOrigin: http://[::1]:9", 200, ""),
    ],
)
def test_hosts_and_origins_are_checked_whatever_their_form(port, headers, status, fact):
    found = answer(port, post(png(), host=headers))
    assert (found[0], fact in found[1].get("error", "")) == (status, True), found


@pytest.mark.parametrize(
    "host", ["no.such.host.invalid", "a" * 70, "a..b", "http://localhost", "127.0.0.1:80", "::1%no"]
)
def test_hosts_to_listen_on_that_do_not_exist_are_refused(host):
    refused(sentinode("serve", "--port", "0", "--host", host), host, "--host")


def test_the_scale_of_images_is_checked_before_the_model_is_loaded():
    refused(sentinode("serve", "--port", "0", "--mpp", "-1"), "-1", "between 0.05 and 20")
