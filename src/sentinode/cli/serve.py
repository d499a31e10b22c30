"""Serve predictions over HTTP: images are posted, probabilities are returned as JSON."""

import argparse
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.cli.common.listen_options import add_listening, address, allowed_hosts, is_local
from sentinode.cli.common.options import add_models, add_pixel_options, add_precision
from sentinode.cli.common.start import load_models, start_keras
from sentinode.errors import ConfigError, first_line
from sentinode.extras import optional
from sentinode.inference.engines import ENGINES, check_options

if TYPE_CHECKING:
    from sentinode.inference.predictor import Predictor

log = logging.getLogger("sentinode")

TOKEN_VARIABLE = "SENTINODE_TOKEN"
# Of the largest size.
_WAITING_REQUESTS = 4


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("serve", help="serve predictions over HTTP", description=__doc__)
    add_models(parser)
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="inference engine; onnxruntime and openvino start faster; the model is exported to the cache on first use "
        "(default: onnxruntime; for external files, the engine that their format requires)",
    )
    add_precision(parser)
    add_listening(parser, port=8000)
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file with the bearer token that clients must send (default: the value of ${TOKEN_VARIABLE}, else none)",
    )
    parser.add_argument(
        "--max-images",
        type=_above_0(int),
        default=256,
        metavar="N",
        help="maximum images per request; up to four times as many can be queued (default: 256)",
    )
    parser.add_argument(
        "--max-mb", type=_above_0(float), default=32, metavar="MB", help="maximum size of a request in MB (default: 32)"
    )
    add_pixel_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Load the model, and serve until the process is stopped."""
    check_options(arguments.engine or "onnxruntime", "none", arguments.precision)
    for package in ("starlette", "uvicorn"):
        optional(package, "serve")
    from sentinode.data.grouping import check_read_options
    from sentinode.data.types import ReadOptions
    from sentinode.service.application import create_application
    from sentinode.service.images import Limits
    from sentinode.service.server import listen, serve

    options = check_read_options(
        ReadOptions(
            resize=arguments.resize, spacing_um_px=arguments.mpp, flatten=arguments.flatten, gray=arguments.gray
        )
    )
    token = _token(arguments.token_file)
    if not is_local(arguments.host) and token is None:
        log.warning("%s is reachable from other machines, and there is no --token-file", arguments.host)
    limits = Limits(
        images=arguments.max_images,
        body_bytes=int(arguments.max_mb * 1e6),
        held_bytes=int(_WAITING_REQUESTS * arguments.max_mb * 1e6),
        waiting_patches=_WAITING_REQUESTS * arguments.max_images,
    )
    with listen(arguments.host, arguments.port) as listening:
        model = load_models(arguments)
        engine = arguments.engine or _default_engine(model)
        if model.needs_keras(engine, arguments.precision):
            start_keras()
        application = create_application(
            model.session(engine, precision=arguments.precision),
            limits=limits,
            options=options,
            hosts=allowed_hosts(arguments),
            token=token,
        )

        def started() -> None:
            at = address(arguments.host, listening.getsockname()[1])
            print(f"{model.describe()}\nserving {at} (Ctrl-C stops it)", flush=True)

        serve(application, listening, started)


def _default_engine(model: "Predictor") -> str:
    """Return ONNX Runtime, but the engine that external files bring where it is another."""
    from sentinode.external.model import ArrayFile
    from sentinode.inference.ensemble import Ensemble

    members = model.members if isinstance(model, Ensemble) else (model,)
    return "keras" if any(isinstance(each, ArrayFile) and each.kind != "onnx" for each in members) else "onnxruntime"


def _above_0(kind: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError
        return value

    read.__name__ = "number above 0"  # argparse names it: invalid number above 0 value: '0'.
    return read


def _token(file: Path | None) -> str | None:
    """Return the token of a file or of the environment; not of the command line, which other users can read."""
    if file is None:
        token, source = os.environ.get(TOKEN_VARIABLE), f"${TOKEN_VARIABLE}"
    else:
        try:
            token, source = file.read_text().strip(), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: the token cannot be read ({first_line(error)})") from error
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise ConfigError(f"{source}: the token must be one line of printable ASCII without leading or trailing spaces")
    return token
