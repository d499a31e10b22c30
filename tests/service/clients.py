"""Clients of the service that send any bytes, and a service in this process with a stand-in for the network."""

import io
import json
import re
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
from PIL import Image

from sentinode.inference.predictor import Session
from sentinode.service.server import listen, serve

FORM = b"Content-Type: multipart/form-data; boundary=xx"


def stand_in(seconds=0.0):
    """Return a session whose logit is the mean gray level, after a while."""

    def compute(pixels):
        time.sleep(seconds)
        return pixels.reshape(len(pixels), -1).mean(axis=1)

    return Session(SimpleNamespace(name="stand-in", threshold=0.5, warnings=lambda pixels: None), compute)


def start(application):
    """Serve an application in a thread until the end of the tests; return its port."""
    listening = listen("127.0.0.1", 0)
    port, ready = listening.getsockname()[1], threading.Event()
    threading.Thread(target=serve, args=(application, listening, ready.set), daemon=True).start()
    assert ready.wait(10)
    return port


def png(pixels=None):
    buffer = io.BytesIO()
    Image.fromarray(np.full((96, 96, 3), 7, np.uint8) if pixels is None else pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def part(name=b'; filename="a.png"', content=None):
    content = png() if content is None else content
    return b'--xx\r\nContent-Disposition: form-data; name="image"%b\r\n\r\n%b\r\n' % (name, content)


def post(body, *headers, path="/predict", host=b"Host: localhost"):
    lines = [f"POST {path} HTTP/1.1".encode(), host, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answer(port, *parts):
    """Send bytes; return the status and the JSON of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for each in parts:
            connection.sendall(each)
        return read(connection)


def read(connection):
    content = b""
    while not (found := re.search(rb"content-length: (\d+)\r\n.*?\r\n\r\n(.*)", content, re.S | re.I)) or len(
        found[2]
    ) < int(found[1]):
        received = connection.recv(1 << 16)
        assert received, content
        content += received
    return int(content.split()[1]), json.loads(found[2])
