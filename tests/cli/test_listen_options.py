"""Names and addresses of the commands that listen for connections."""

import argparse

import pytest

from sentinode.cli.common.listen_options import add_listening, allowed_hosts, is_local


def hosts(*words):
    parser = argparse.ArgumentParser()
    add_listening(parser, port=8000)
    return allowed_hosts(parser.parse_args(words))


@pytest.mark.parametrize(
    ("text", "host"),
    [("a.example", "a.example"), ("a.example:8443", "a.example"), ("[::1]:80", "::1"), ("fe80::2", "fe80::2")],
)
def test_an_allowed_host_may_have_a_port(text, host):
    assert host in hosts("--allow-host", text)


def test_any_host_may_be_allowed():
    assert hosts("--allow-host", "*") == ("*",)


@pytest.mark.parametrize("text", ["http://a.example", "a.example/path", "", "[::1", ":80"])
def test_what_no_host_header_can_hold_is_refused(text):
    """It would never match, and nobody would know why."""
    with pytest.raises(SystemExit):
        hosts("--allow-host", text)


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.2", True), ("::1", True), ("LOCALHOST", True), ("::", False), ("a.example", False)]
)
def test_addresses_that_other_machines_reach_are_known(host, expected):
    assert is_local(host) is expected
