"""The real data sets: what is known of them is what is read."""

import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.quality.inspection import Inspection, inspect_patches

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pcam(pcam_small) -> PatchSet:
    return open_patches(pcam_small).cached()


@pytest.fixture(scope="module")
def found(pcam) -> Inspection:
    return inspect_patches(pcam)


@pytest.fixture(scope="module")
def kaggle(kaggle_mini) -> PatchSet:
    return open_patches(kaggle_mini).cached()


def counts(patches: PatchSet) -> dict[str, list[int]]:
    return {str(split): row.tolist() for split, row in patches.counts().iterrows()}


def test_pcam_small_has_its_23_000_patches(pcam):
    assert counts(pcam) == {"train": [10_000, 10_000, 0], "valid": [1_500, 1_500, 0]}
    assert pcam.kind == "class folders in a zip" and pcam.notes == ()


def test_pcam_small_has_its_known_copies_and_shares_none(pcam, found):
    assert found.duplicates_within_splits == {"train": 829, "valid": 93}
    assert found.duplicates_across_splits == 0 and found.label_conflicts == 0
    assert (found.duplicates["label"] == 1).all()
    for split, copied, different in [("train", 607, 19_171), ("valid", 80, 2_907)]:
        copies = found.duplicates[found.duplicates["split"] == split]
        assert copies["sha1"].nunique() == copied
        assert pcam.split(split).table["sha1"].nunique() == different
    assert found.duplicates["sha1"].value_counts().max() == 7


def test_pcam_small_looks_like_stained_tissue(found):
    for split in ("train", "valid"):
        red, green, blue = found.gray_levels.loc[split, ["mean_red", "mean_green", "mean_blue"]]
        assert green < min(red, blue) and 100 < green < 230
    assert len(found.near_blank) < 0.01 * 23_000


def test_decoded_pixels_are_those_of_the_files(pcam, pcam_small):
    rows = np.arange(0, len(pcam), 997)
    opened = open_patches(pcam_small)
    assert opened.table["id"].equals(pcam.table["id"])
    assert np.array_equal(pcam.read(rows), opened.read(rows))
    assert [forms.sha1(pixels) for pixels in pcam.read(rows)] == pcam.table["sha1"][rows].tolist()


def test_kaggle_mini_has_its_618_files(kaggle):
    assert counts(kaggle) == {"train": [300, 300, 0], "test": [0, 0, 18]}
    assert kaggle.notes == ()


def test_every_kaggle_id_is_the_hash_of_its_pixels(kaggle):
    ids = [name.rsplit("/", 1)[1].removesuffix(".tif") for name in kaggle.table["id"]]
    assert ids == kaggle.table["sha1"].tolist() == [forms.sha1(pixels) for pixels in kaggle.read()]


def test_kaggle_mini_shares_no_patch_with_pcam_small(kaggle, pcam):
    assert not set(kaggle.table["sha1"]) & set(pcam.table["sha1"])


@pytest.mark.parametrize("container", forms.CONTAINERS)
def test_kaggle_mini_as_pcam_hdf5_has_the_same_pixels(kaggle, container, tmp_path):
    train = kaggle.split("train")
    files, _ = forms.pcam_hdf5(train)
    hdf5 = open_patches(forms.write(files, tmp_path / "hdf5", container)).cached()
    assert np.array_equal(hdf5.read(), train.read())
    assert np.array_equal(hdf5.labels, train.labels)
    assert hdf5.fingerprint == train.fingerprint
