"""The words of `sentinode train` for settings and options that are known as values."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sentinode.training.config import TrainConfig


def setting_arguments(config: TrainConfig) -> list[str]:
    """Return what has to be said for every setting that differs from the classic recipe.

    Examples
    --------
    >>> setting_arguments(TrainConfig(epochs=5, nesterov=True, augment=("stain", "blur")))
    ['--epochs', '5', '--nesterov', '--augment', 'stain,blur']
    """
    words, default = [], TrainConfig()
    for setting in fields(TrainConfig):
        value = getattr(config, setting.name)
        if value == getattr(default, setting.name):
            continue
        flag = setting.metadata.get("flag") or "--" + setting.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [flag, (",".join(value) or "none") if isinstance(value, tuple) else str(value)]
    return words


def option_arguments(options: Mapping[str, Any]) -> list[str]:
    """Return what has to be said for options of a network.

    Examples
    --------
    >>> option_arguments({"output": "softmax", "weights": None})
    ['--option', 'output=softmax', '--option', 'weights=null']
    """
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}
    return [word for name, text in texts.items() for word in ("--option", f"{name}={text}")]
