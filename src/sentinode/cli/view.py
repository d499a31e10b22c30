"""View slides, heat maps and patches in the browser, and correct the network's predictions."""

import argparse
import html
import logging
import os
import secrets
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentinode.cli.common.listen_options import add_listening, address, allowed_hosts, is_local
from sentinode.cli.common.slide_options import Spacings, add_mpp
from sentinode.errors import ConfigError, plural
from sentinode.extras import optional

log = logging.getLogger("sentinode")


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("view", help="view slides and heat maps in the browser", description=__doc__)
    parser.add_argument(
        "target",
        nargs="+",
        metavar="TARGET",
        help="slides, folders of slides, output folders of sentinode scan, a run or the name of pretrained weights, "
        "and patches; no other files are read",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for decisions, and for scans started from the page (default: the first output folder of "
        "sentinode scan, else ./view)",
    )
    add_mpp(parser)
    parser.add_argument(
        "--user",
        default="anonymous",
        metavar="NAME",
        help="name of the reviewer, recorded with each decision (default: anonymous)",
    )
    parser.add_argument("--read-only", action="store_true", help="disable annotation and scanning")
    parser.add_argument("--show-names", action="store_true", help="show file names, which may identify patients")
    parser.add_argument(
        "--jpeg-quality",
        type=_quality,
        default=80,
        metavar="Q",
        help="JPEG quality of the tiles, 1 to 95 (default: 80)",
    )
    parser.add_argument(
        "--cache-mb", type=_megabytes, default=32, metavar="MB", help="memory for encoded tiles in MB (default: 32)"
    )
    add_listening(parser, port=0)
    parser.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Open the targets, and serve the page until the process is stopped."""
    for package in ("starlette", "uvicorn"):
        optional(package, "view")
    from sentinode.service.server import listen, serve
    from sentinode.viewer.application import create_viewer
    from sentinode.viewer.start import start_viewer
    from sentinode.viewer.targets import sort_targets

    user = arguments.user.strip()
    if not user.isprintable() or not 0 < len(user) <= 100:
        raise ConfigError(f"--user {arguments.user!r}: use a name of 1 to 100 printable characters")
    targets = sort_targets(arguments.target)
    out = arguments.out or (targets.results[0] if targets.results else Path("view"))
    if not is_local(arguments.host):
        log.warning(
            "%s is reachable from other machines, and traffic is not encrypted; an SSH tunnel is safer",
            arguments.host,
        )
    with listen(arguments.host, arguments.port) as listening:
        port = listening.getsockname()[1]
        viewer = start_viewer(
            targets,
            out,
            spacing=Spacings(arguments.mpp),
            user=user,
            read_only=arguments.read_only,
            show_names=arguments.show_names,
            jpeg_quality=arguments.jpeg_quality,
            cache_bytes=int(arguments.cache_mb * 1e6),
        )
        token = secrets.token_urlsafe(32)
        application = create_viewer(viewer, token=token, port=port, hosts=allowed_hosts(arguments))
        page = f"{address(arguments.host, port)}/?token={token}"
        with _private_link(page) as link:

            def started() -> None:
                viewer.readers.wait_until_started()
                saved = "nothing is saved" if arguments.read_only else f"decisions are saved in {out}"
                print(f"{plural(len(targets.slides), 'slide')}; {saved}; research use only", flush=True)
                print(f"viewing {page} (Ctrl-C stops it)", flush=True)
                if not arguments.no_browser and _has_screen():
                    webbrowser.open(link.as_uri())

            serve(application, listening, started, viewer.stop)


@contextmanager
def _private_link(page: str) -> Iterator[Path]:
    """Write a file that leads to the page: an address given to a browser is seen by all users in the process list."""
    with tempfile.TemporaryDirectory(prefix="sentinode-view-") as folder:  # For this user alone.
        link = Path(folder) / "open.html"
        target = html.escape(page)
        link.write_text(
            f'<!doctype html><meta charset="utf-8"><title>Sentinode</title>'
            f'<meta http-equiv="refresh" content="0; url={target}"><a href="{target}">Open the viewer</a>\n',
            encoding="utf-8",
        )
        yield link


def _has_screen() -> bool:
    """Tell whether a browser with windows can be opened; others would take over the terminal."""
    return sys.platform in ("win32", "darwin") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def _quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 95:
        raise argparse.ArgumentTypeError(f"{text!r} is not a JPEG quality; use a number from 1 to 95")
    return int(text)


def _megabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of megabytes; use 0 or more")
    return value
