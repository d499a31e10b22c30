"""A running viewer for tests."""

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request

from tests.commands import command


class Server:
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

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode
