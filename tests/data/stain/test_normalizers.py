"""Stain normalization: what it reaches, what it leaves alone, and that another's code says the same."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sentinode.data.stain.normalizers import Macenko, Reinhard
from sentinode.errors import DataError

BOTH = pytest.mark.parametrize("kind", [Macenko, Reinhard])
HEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11])


def mixed(amounts: np.ndarray, *colors: np.ndarray) -> np.ndarray:
    """A 96 px patch of stains in these amounts, ``(96 * 96, stains)``."""
    unit = np.stack([color / np.linalg.norm(color) for color in colors])
    return np.clip(np.round(240 * np.exp(-amounts @ unit) - 1), 0, 255).astype(np.uint8).reshape(96, 96, 3)


def two_stains(seed: int, strength: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return mixed(strength * rng.gamma(2.0, 0.3, (96 * 96, 2)) * rng.integers(0, 2, (96 * 96, 2)), HEMATOXYLIN, EOSIN)


def unmeasurable() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    speck = np.full((96, 96, 3), 240, np.uint8)
    speck[:2, :2] = (90, 40, 120)
    return {
        "white": np.full((96, 96, 3), 255, np.uint8),
        "black": np.zeros((96, 96, 3), np.uint8),
        "one color": np.full((96, 96, 3), (150, 80, 160), np.uint8),
        "glass with noise": rng.integers(235, 246, (96, 96, 3), dtype=np.uint8),
        "a speck on glass": speck,
    }


@BOTH
def test_the_target_does_not_change(kind):
    patch = two_stains(0, 1.0)[None]
    assert np.abs(kind().fit(patch).transform(patch).astype(int) - patch).max() <= 1


@BOTH
def test_patches_of_one_tissue_get_the_same_stain(kind):
    """The same tissue stained twice as strongly, and a target that is another tissue."""
    weak, strong, target = two_stains(1, 0.6), two_stains(1, 1.2), two_stains(2, 0.9)
    before = np.abs(weak.astype(int) - strong).mean()
    one, other = kind().fit(target).transform(np.stack([weak, strong])).astype(int)
    assert np.abs(one - other).mean() < before / 4
    assert np.abs(one.mean((0, 1)) - target.mean((0, 1))).max() < 8


def test_macenko_exchanges_the_colors_of_both_stains():
    rng = np.random.default_rng(3)
    amounts = rng.gamma(2.0, 0.3, (96 * 96, 2)) * rng.integers(0, 2, (96 * 96, 2))
    patch = mixed(amounts, HEMATOXYLIN, EOSIN)
    target = mixed(amounts, np.array([0.50, 0.50, 0.70]), np.array([0.10, 0.60, 0.80]))
    reached = Macenko().fit(target).transform(patch[None])[0]
    assert np.abs(reached.astype(int) - target).mean() < np.abs(patch.astype(int) - target).mean() / 8


def lab(pixels: np.ndarray) -> np.ndarray:
    """Convert patches to CIELAB with Little CMS, ``(pixels, 3)``."""
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = Image.fromarray(pixels.reshape(-1, 96, 3))
    found = np.asarray(ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))).reshape(-1, 3)
    return np.column_stack([found[:, 0] * (100 / 255), found[:, 1:].astype(np.int8)])


def test_reinhard_matches_means_and_deviations(mini):
    target, patches = mini.read([3]), mini.read(range(40, 60))
    wanted = lab(target)
    for patch in Reinhard().fit(target).transform(patches):
        assert np.abs(lab(patch).mean(axis=0) - wanted.mean(axis=0)).max() < 2.5
        assert np.abs(lab(patch).std(axis=0) - wanted.std(axis=0)).max() < 2.5


@BOTH
@pytest.mark.parametrize("name", unmeasurable())
def test_patches_that_cannot_be_measured_are_unchanged(kind, name, mini):
    patch = unmeasurable()[name]
    with warnings.catch_warnings(action="error"):
        assert np.array_equal(kind().fit(mini.read(range(10))).transform(patch[None])[0], patch)


def test_the_signs_of_eigenvectors_have_no_effect(mini, monkeypatch):
    """Of a patch whose amounts vary most against each other, so that an angle may lie on either side of 180°."""
    share = np.random.default_rng(0).uniform(0, 1, (96 * 96, 1))
    patch = mixed(np.hstack([0.4 + share, 1.4 - share]), HEMATOXYLIN, EOSIN)[None]
    normalizer, eigh = Macenko().fit(mini.read(range(10))), np.linalg.eigh
    made = normalizer.transform(patch)
    assert not np.array_equal(made, patch)
    for signs in ([1, -1, 1], [1, 1, -1], [1, -1, -1]):
        monkeypatch.setattr(np.linalg, "eigh", lambda matrix, signs=signs: (None, eigh(matrix)[1] * signs))
        assert np.abs(normalizer.transform(patch).astype(int) - made).max() <= 1


def test_faint_stains_are_unchanged(mini):
    """A hundredth of the patch is tissue, so that 99 of 100 pixels hold less than any of it."""
    patch = np.full((96 * 96, 3), 240, np.uint8)
    patch[:95] = two_stains(0, 1.0).reshape(-1, 3)[two_stains(0, 1.0).reshape(-1, 3).max(axis=1) < 200][:95]
    patch = patch.reshape(1, 96, 96, 3)
    assert np.array_equal(Macenko().fit(mini.read(range(10))).transform(patch), patch)


@pytest.mark.parametrize("color", [HEMATOXYLIN, EOSIN])
def test_a_single_stain_is_unchanged(color, mini):
    patch = mixed(np.random.default_rng(0).gamma(3.0, 0.3, (96 * 96, 1)), color)
    assert np.array_equal(Macenko().fit(mini.read(range(10))).transform(patch[None])[0], patch)


@BOTH
@given(seed=st.integers(0, 10_000), low=st.integers(0, 255), high=st.integers(0, 255))
@settings(deadline=None, max_examples=25)
def test_any_pixels_give_valid_pixels(kind, seed, low, high, mini):
    low, high = min(low, high), max(low, high)
    patch = np.random.default_rng(seed).integers(low, high, (1, 16, 16, 3), dtype=np.uint8, endpoint=True)
    normalizer = kind().fit(mini.read(range(4)))
    before = patch.copy()
    with warnings.catch_warnings(action="error"):
        made = normalizer.transform(patch)
    assert (made.dtype, made.shape) == (np.uint8, patch.shape)
    assert np.array_equal(patch, before)


@BOTH
def test_each_patch_is_normalized_on_its_own(kind, mini):
    normalizer = kind().fit(mini.read(range(20)))
    together = normalizer.transform(mini.read(range(30, 36)))
    alone = [normalizer.transform(mini.read([row]))[0] for row in range(30, 36)]
    assert np.array_equal(together, np.stack(alone))
    assert normalizer.transform(np.empty((0, 96, 96, 3), np.uint8)).shape == (0, 96, 96, 3)


@BOTH
def test_a_target_without_stain_and_arrays_that_are_no_patches_are_refused(kind):
    with pytest.raises(DataError, match=f"the target of {kind.__name__} has too little tissue or one color only"):
        kind().fit(np.full((96, 96, 3), 255, np.uint8))
    with pytest.raises(DataError, match="call fit"):
        kind().transform(np.zeros((1, 96, 96, 3), np.uint8))
    with pytest.raises(DataError, match=r"got float64 \(1, 96, 96, 3\)"):
        kind().fit(np.zeros((1, 96, 96, 3)))
    with pytest.raises(
        DataError, match=r"patches must be a uint8 array of shape \(n, h, w, 3\); got uint8 \(96, 96, 3\)"
    ):
        kind().fit(two_stains(0, 1.0)).transform(two_stains(0, 1.0))


@pytest.mark.slow
@BOTH
def test_results_equal_torchstain(kind, mini):
    pytest.importorskip("torchstain")
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

    theirs = {Macenko: NumpyMacenkoNormalizer, Reinhard: NumpyReinhardNormalizer}[kind]()
    target, patches = mini.read([7])[0], mini.read(range(100, 1600, 15))
    ours = kind().fit(target).transform(patches)
    theirs.fit(target)
    moved = [not np.array_equal(patch, made) for patch, made in zip(patches, ours, strict=True)]
    assert sum(moved) >= 95  # The rest has too little tissue for ours; theirs moves it all the same.
    for patch, made in zip(patches[moved], ours[moved], strict=True):
        said = theirs.normalize(patch)
        said = said[0] if isinstance(said, tuple) else said
        # Theirs cuts decimals off, ours rounds.
        assert np.abs(made.astype(int) - said).max() <= 1
