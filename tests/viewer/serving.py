"""A running viewer for tests."""

import json
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import uvicorn
from tests.commands import command

from sentinode.viewer.application import create_viewer
from sentinode.viewer.start import start_viewer
from sentinode.viewer.targets import sort_targets


class Client:
    """Calls a viewer at `address` with `token`."""

    address: str
    token: str

    def request(self, path, body=None, method=None, token=True, **headers):
        """Return status, headers and content; JSON is parsed."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            given["Authorization"] = f"Bearer {self.token}"
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.address + path, data, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, found, content = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, found, content = error.code, error.headers, error.read()
        if "json" in found.get("content-type", ""):
            content = json.loads(content)
        return status, found, content

    def get(self, path):
        status, _, content = self.request(path)
        assert status == 200, content
        return content

    def put(self, path, **body):
        return self.request(path, body, "PUT")


class Server(Client):
    """A running `sentinode view`."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            command("view", "--no-browser", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for line in self.process.stdout:
            if found := re.search(r"viewing (\S+)/\?token=(\S+)", line):
                self.address, self.token = found.groups()
                return
        raise AssertionError(self.process.stderr.read())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


class LocalServer(Client):
    """A viewer in a thread of this process, which starts at once."""

    def __init__(self, targets, out, **options):
        self.viewer = start_viewer(sort_targets(targets), out, **{"processes": 1, **options})
        self.token = "token-of-the-tests"
        self.listening = socket.create_server(("127.0.0.1", 0))
        port = self.listening.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        application = create_viewer(self.viewer, token=self.token, port=port)
        self.server = uvicorn.Server(uvicorn.Config(application, log_level="warning", access_log=False))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.viewer.stop()
        self.server.should_exit = True
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()
