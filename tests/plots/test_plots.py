"""Every figure is a readable png of a sensible size, and the same numbers give the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sentinode.plots.examples import draw_examples
from sentinode.plots.learning import draw_learning_curves
from sentinode.plots.roc import draw_confusion, draw_roc
from sentinode.plots.sheet import draw_sheet
from sentinode.plots.terminal import draw_curves

CURVE = (np.array([0, 0.1, 0.4, 1]), np.array([0, 0.6, 0.9, 1]), 0.84)
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [0.7, 0.6, 0.5],
        "val_loss": [0.65, 0.58, 0.61],
        "accuracy": [0.5, 0.6, 0.7],
        "val_accuracy": [0.5, 0.7, 0.65],
    }
)
PATCHES = np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
SHEET = [("normal: 5 of 9", "normal", PATCHES), ("tumour: 2 of 2", "tumour", PATCHES[:2])]

DRAWINGS = {
    "one ROC curve": lambda path: draw_roc({"model": CURVE}, path),
    "many ROC curves": lambda path: draw_roc(
        {f"curve {number}": CURVE for number in range(6)},
        path,
        [("threshold 0.5", 0.1, 0.6)],
        title="valid, 20 patches",
    ),
    "confusion": lambda path: draw_confusion([[1200, 30], [5, 0]], path, title="valid\nthreshold 0.4"),
    "confusion without tumour": lambda path: draw_confusion([[3, 1], [0, 0]], path),
    "learning": lambda path: draw_learning_curves(HISTORY, 2, path),
    "learning, one epoch": lambda path: draw_learning_curves(HISTORY[:1], 1, path),
    "sheet": lambda path: draw_sheet(SHEET, path, title="a folder", columns=4),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_a_png_that_is_the_same_each_time(name, tmp_path):
    one, other = tmp_path / "one.png", tmp_path / "deep" / "other.png"
    DRAWINGS[name](one)
    DRAWINGS[name](other)
    assert one.read_bytes() == other.read_bytes()
    with Image.open(one) as picture:
        assert picture.format == "PNG"
        assert all(300 < side < 2500 for side in picture.size)
        grey = np.asarray(picture.convert("L"))
    assert grey.max() - grey.min() > 100
    assert 5_000 < one.stat().st_size < 1_000_000
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["one.png"]


def bytes_of(draw, path: Path) -> bytes:
    draw(path)
    return path.read_bytes()


def test_other_numbers_give_another_picture(tmp_path):
    file = tmp_path / "it.png"
    lower = (CURVE[0], CURVE[1] * 0.9, 0.7)
    assert bytes_of(lambda p: draw_roc({"model": CURVE}, p), file) != bytes_of(
        lambda p: draw_roc({"model": lower}, p), file
    )
    assert bytes_of(lambda p: draw_confusion([[2, 1], [1, 2]], p), file) != bytes_of(
        lambda p: draw_confusion([[2, 1], [1, 3]], p), file
    )
    assert bytes_of(lambda p: draw_learning_curves(HISTORY, 2, p), file) != bytes_of(
        lambda p: draw_learning_curves(HISTORY, 3, p), file
    )


def test_a_metric_that_was_measured_gets_a_panel(tmp_path):
    with_auc = HISTORY.assign(auc=[0.5, 0.6, 0.7], val_auc=[0.5, 0.6, 0.65])
    widths = []
    for history in (HISTORY.drop(columns=["accuracy", "val_accuracy"]), HISTORY, with_auc):
        draw_learning_curves(history, 2, tmp_path / "it.png")
        with Image.open(tmp_path / "it.png") as picture:
            widths.append(picture.width)
    assert widths == [widths[0], 2 * widths[0], 3 * widths[0]]


def test_an_auc_measured_on_validation_alone_gets_a_panel(tmp_path):
    draw_learning_curves(HISTORY, 2, tmp_path / "two.png")
    draw_learning_curves(HISTORY.assign(val_auc=[0.5, 0.6, 0.65]), 2, tmp_path / "three.png")
    with Image.open(tmp_path / "two.png") as two, Image.open(tmp_path / "three.png") as three:
        assert three.width == 1.5 * two.width


def test_examples_show_every_patch_and_how_far_its_probability_goes():
    pixels = np.empty((3, 96, 96, 3), np.uint8)
    pixels[:] = np.array([(200, 30, 60), (20, 180, 90), (40, 60, 220)])[:, None, None]
    orange = []
    for probability in (0.0, 0.5, 1.0):
        sheet = np.asarray(draw_examples(pixels, np.array([0, 1, 1]), np.array([probability] * 3)))
        for patch in pixels:
            # Twice as large, without the frames.
            assert (sheet == patch[0, 0]).all(axis=2).sum() > 0.95 * 4 * 96 * 96
        orange.append((sheet == (0xD5, 0x5E, 0x00)).all(axis=2).sum())
    assert orange[1] - orange[0] == pytest.approx(orange[2] - orange[1], rel=0.05)


def test_curves_in_a_terminal_fit_and_stand_where_they_should():
    curves = {"training": [0.9, 0.5, 0.5], "validation": [0.5, 0.5, 0.1]}
    for width, height in ((24, 5), (80, 14)):
        lines = draw_curves("loss", curves, 5, width, height, ascii_only=True).plain.splitlines()
        assert len(lines) == height
        assert all(len(line) <= width for line in lines[1:])
    column = lines[1].index("o")
    assert lines[1].startswith("    0.900 |o")
    assert lines[-3].startswith("    0.100 |")
    assert [line[column] for line in lines[2:-3]].count("x") == 1
    half_way = lines[-3].index("x")
    assert (half_way - column) / (len(lines[-2]) - 1 - column) == pytest.approx(0.5, abs=0.02)
    assert any("8" in line for line in lines[2:-3])


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5]])
def test_a_flat_curve_in_a_terminal_lies_in_the_middle(values):
    lines = draw_curves("AUC", {"validation": values}, len(values), 40, 8).plain.splitlines()
    assert ["●" in line for line in lines[1:6]] == [False, False, True, False, False]


def test_a_sheet_shows_its_patches_pixel_by_pixel(tmp_path):
    grey = np.full((3, 96, 96, 3), 10, np.uint8)
    for number, colour in enumerate([(200, 30, 60), (20, 180, 90), (40, 60, 220)]):
        grey[number] = colour
    draw_sheet([("normal: 3", "normal", grey)], tmp_path / "it.png", columns=3)
    with Image.open(tmp_path / "it.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for patch in grey:
        # Without the frames, more than four fifths of each patch are seen unchanged.
        assert (pixels == patch[0, 0]).all(axis=1).sum() > 0.8 * 96 * 96
    assert len(pixels) > 3 * 96 * 96


def test_a_sheet_grows_with_its_rows(tmp_path):
    heights = []
    for count in (4, 5):
        draw_sheet([("tumour", "tumour", PATCHES[:count])], tmp_path / "it.png", columns=4)
        with Image.open(tmp_path / "it.png") as picture:
            heights.append(picture.height)
    assert heights[1] - heights[0] == pytest.approx(102, abs=1)


def test_a_title_may_hold_dollar_signs_and_be_long(tmp_path):
    line = (np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.5)
    draw_roc({"model": line}, tmp_path / "roc.png", title="cost $x_{$ & " + "long/" * 40)
    assert (tmp_path / "roc.png").stat().st_size > 10_000
