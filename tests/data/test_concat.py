"""Several sources as one set: nothing lost, nothing mixed up."""

from pathlib import Path

import numpy as np
import pytest
from tests import forms

from sentinode import PatchSet, open_patches
from sentinode.data.open import open_sources
from sentinode.data.quality.inspection import inspect_patches


@pytest.fixture(scope="module")
def few(mini) -> PatchSet:
    return mini.select(range(0, len(mini), 40))


@pytest.fixture(scope="module")
def paths(few, tmp_path_factory) -> list[Path]:
    """Sources of different forms and containers, each of other patches."""
    folder = tmp_path_factory.mktemp("sources")
    chosen = [("splits of png", "folder"), ("kaggle", "stored"), ("pcam_hdf5", "deflated"), ("images", "folder")]
    return [
        forms.write(forms.FORMS[form](few.select(range(start, len(few), 4)))[0], folder / form, container)
        for start, (form, container) in enumerate(chosen)
    ]


def test_one_source_is_opened_as_if_it_were_alone(paths):
    for path in paths:
        assert open_sources([path]).table.equals(open_patches(path).table)


def test_several_sources_follow_one_another_and_each_id_names_its_source(paths):
    joined = open_sources(paths)
    parts = [open_patches(path) for path in paths]
    assert joined.table["id"].tolist() == [
        f"{Path(part.path).name}/{name}" for part in parts for name in part.table["id"]
    ]
    assert joined.table["id"].is_unique
    assert np.array_equal(joined.read(), np.concatenate([part.read() for part in parts]))
    for column in ("label", "split", "slide", "centre", "x", "y"):
        values = [value for part in parts for value in part.table[column].astype(object).fillna("?")]
        assert joined.table[column].astype(object).fillna("?").tolist() == values
    assert joined.kind.startswith("4 sources") and all(part.kind in joined.kind for part in parts)
    assert all(str(path) in joined.path for path in paths)


def test_rows_of_a_joined_set_are_read_in_any_order(paths):
    joined = open_sources(paths)
    whole = joined.read()
    rows = np.random.default_rng(0).integers(len(joined), size=100)
    assert np.array_equal(joined.read(rows), whole[rows])
    assert np.array_equal(joined.select(rows).read(range(50)), whole[rows[:50]])
    for name in joined.split_names:
        chosen = np.flatnonzero((joined.table["split"] == name).fillna(False))
        assert np.array_equal(joined.split(name).read(), whole[chosen])


def test_a_joined_set_is_decoded_like_any_other(paths, tmp_path):
    joined = open_sources(paths)
    cached = joined.cached(tmp_path)
    assert np.array_equal(cached.read(), joined.read())
    assert cached.table.drop(columns="sha1").equals(joined.table)
    assert cached.table["sha1"].tolist() == [forms.sha1(pixels) for pixels in joined.read()]


def test_decoded_sets_can_be_joined_and_copies_between_sources_are_found(few, tmp_path):
    train = few.split("train")
    sources = [forms.write(forms.images(part)[0], tmp_path / str(n)) for n, part in enumerate([train, train])]
    found = inspect_patches(open_sources(sources).cached(tmp_path / "cache"))
    assert len(found.duplicates) == 2 * len(train)


def test_several_images_keep_their_names_and_their_order(few, tmp_path):
    files, rows = forms.images(few)
    folder = forms.write(files, tmp_path / "images")
    images = [str(folder / row.id) for row in rows][::-1]
    opened = open_sources(images)
    assert opened.table["id"].tolist() == [row.id for row in rows][::-1], "without the absolute folder they share"
    assert [row.sha1 for row in forms.rows_of(opened)] == [row.sha1 for row in rows][::-1]


def test_an_image_and_a_folder_are_two_sources(few, tmp_path):
    files, rows = forms.images(few)
    folder = forms.write(dict(list(files.items())[1:]), tmp_path / "images")
    image = tmp_path / rows[0].id
    image.write_bytes(files[rows[0].id])
    opened = open_sources([image, folder])
    assert [row.sha1 for row in forms.rows_of(opened)] == [row.sha1 for row in rows]


def test_the_resize_option_applies_to_every_source(few, tmp_path):
    pixels = np.tile(few.read([0])[0], (2, 2, 1))
    sources = [forms.write({"a.png": forms.encode(pixels)}, tmp_path / name) for name in ("a", "b")]
    forms.refused(open_sources(sources).read, str(sources[0] / "a.png"), "192 × 192 px")
    assert np.array_equal(open_sources(sources, resize="crop").read(), [pixels[48:144, 48:144]] * 2)


def test_notes_of_every_source_are_kept(few, tmp_path):
    files, _ = forms.kaggle_with_odd(few)
    whole = forms.write(forms.images(few)[0], tmp_path / "images")
    for odd in (forms.BLACK, forms.OFTEN_DROPPED):
        without = {name: content for name, content in files.items() if odd not in name}
        forms.write(without, tmp_path / odd)
    notes = open_sources([tmp_path / forms.BLACK, whole, tmp_path / forms.OFTEN_DROPPED]).notes
    assert len(notes) == 2 and forms.BLACK in notes[0] and forms.OFTEN_DROPPED in notes[1]


def test_a_source_that_cannot_be_opened_is_named_among_the_others(paths, tmp_path):
    gone, text = tmp_path / "gone", forms.write({"README.txt": b"soon"}, tmp_path / "text")
    forms.refused(lambda: open_sources([*paths, gone]), str(gone), "no such file or folder")
    forms.refused(lambda: open_sources([text, *paths]), str(text), "no patches recognized")
    forms.refused(lambda: open_sources([]), "list of files is empty")


@pytest.mark.parametrize("spell", [str, lambda path: f"{path}/", lambda path: path / ".." / path.name])
def test_a_source_that_comes_twice_is_refused_however_it_is_spelt(paths, spell):
    forms.refused(lambda: open_sources([paths[0], paths[1], spell(paths[0])]), "given twice")
