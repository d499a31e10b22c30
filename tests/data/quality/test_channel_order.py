"""Exchanged red and blue channels are detected; real stains are not mistaken for them."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pytest

from sentinode import TrainConfig
from sentinode.data.patchset import PatchSet
from sentinode.data.quality.channel_order import MAX_INVERTED_FRACTION, inverted_fraction, warn_of_exchanged_channels
from sentinode.data.quality.inspection import inspect_patches
from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.training.splits import training_and_validation


@dataclass
class Exchanged:
    patches: PatchSet

    def read(self, rows):
        return np.ascontiguousarray(self.patches.pixels.read(rows)[..., ::-1])

    def stamps(self, rows):
        return self.patches.pixels.stamps(rows)


@pytest.fixture(scope="module")
def exchanged(mini) -> PatchSet:
    return replace(mini, pixels=Exchanged(mini))


def test_exchanged_channels_are_reported_by_inspection_and_training(mini, exchanged, caplog):
    caplog.set_level(logging.WARNING, "sentinode")
    assert not warn_of_exchanged_channels(mini) and not caplog.records
    assert inspect_patches(exchanged.select(range(0, len(mini), 10))).channels_exchanged
    assert "red and blue appear to be swapped" in caplog.text
    caplog.clear()
    training_and_validation(exchanged, TrainConfig(), None)
    assert "red and blue appear to be swapped" in caplog.text


@pytest.mark.parametrize("name", ["stain strength", "stain balance", "brightness", "blur"])
def test_other_stains_and_scanners_give_no_channel_warning(name, mini):
    pixels = mini.read(range(0, len(mini), 8))
    for level in (PERTURBATIONS[name].levels[0], PERTURBATIONS[name].levels[-1]):
        assert inverted_fraction(PERTURBATIONS[name](pixels, level)) <= MAX_INVERTED_FRACTION


def test_few_patches_or_glass_give_no_channel_warning(mini):
    assert inverted_fraction(mini.read(range(10))) is None
    assert inverted_fraction(np.full((50, 96, 96, 3), 245, np.uint8)) is None
