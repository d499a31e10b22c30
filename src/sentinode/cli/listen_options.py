"""Options that the commands which listen for connections share."""

import argparse


def add_listening(parser: argparse.ArgumentParser, port: int) -> None:
    """Add ``--host``, ``--port`` and ``--allow-host``."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="NAME",
        help="address to listen on; 0.0.0.0 for all of this machine (default: 127.0.0.1, which only it can reach)",
    )
    default = f"default: {port}" if port else "the default"
    parser.add_argument(
        "--port", type=_port, default=port, metavar="N", help=f"port to listen on; 0 for any free one ({default})"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="host name under which clients call the service, besides localhost and --host; can be repeated",
    )


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


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return int(text)
