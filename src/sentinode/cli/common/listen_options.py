"""Options that the commands which listen for connections share."""

import argparse
import ipaddress
from urllib.parse import urlsplit


def add_listening(parser: argparse.ArgumentParser, port: int) -> None:
    """Add ``--host``, ``--port`` and ``--allow-host``."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="NAME",
        help="address to listen on; 0.0.0.0: all network interfaces (default: 127.0.0.1, reachable from this machine "
        "only)",
    )
    default = f"default: {port}" if port else "the default"
    parser.add_argument(
        "--port", type=_port, default=port, metavar="N", help=f"port to listen on; 0: any free port ({default})"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        type=_host,
        metavar="NAME",
        help="host name under which clients reach the service, besides localhost and --host; may be repeated",
    )


def is_local(host: str) -> bool:
    """Tell whether only programs on this machine reach an address.

    Examples
    --------
    >>> is_local("localhost"), is_local("127.0.0.2"), is_local("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def allowed_hosts(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the host names under which clients may call."""
    from sentinode.service.access import LOOPBACK

    return ("*",) if "*" in arguments.allow_host else (*LOOPBACK, arguments.host, *arguments.allow_host)


def address(host: str, port: int) -> str:
    """Return the address of a page.

    Examples
    --------
    >>> address("::1", 80)
    'http://[::1]:80'
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _host(text: str) -> str:
    """Return a host name without the port that may follow it."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        host = "" if "/" in text else urlsplit(f"//{text}").hostname
    except ValueError:
        host = ""
    if not host:
        raise argparse.ArgumentTypeError(f"{text!r} is not a host name; use a name such as scanner.example.org, or *")
    return host


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use a number from 0 to 65535")
    return int(text)
