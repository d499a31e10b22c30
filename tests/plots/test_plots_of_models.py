"""Pictures of comparisons and stress tests: readable, the same each time, following the numbers."""

import numpy as np
import pytest
from PIL import Image

from sentinode.metrics.interval import Interval
from sentinode.plots.comparison import draw_comparison
from sentinode.plots.stress import draw_stress


def interval(estimate: float) -> Interval:
    return Interval(estimate, estimate - 0.05, estimate + 0.05, "by hand", 100)


def comparison(path, models=2, seeds=1, last=0.8):
    names = [f"a model with a long name, number {number}" for number in range(models)]
    areas = dict.fromkeys(names, (interval(0.8), 0.01 if seeds > 1 else None)) | {names[-1]: (interval(last), None)}
    draw_comparison(
        {name: [(np.array([0, 0.2, 1]), np.array([0, 0.7, 1]))] * seeds for name in names},
        areas,
        dict.fromkeys(names, (0.2, 0.7)),
        {(a, b): (interval(0.01), 0.2) for a in names for b in names if a < b},
        path,
        title="cost $x_{$ of " + "many/" * 40,
    )


def stresses(path, shifts=8, levels=5, estimate=0.8):
    found = (interval(estimate), interval(0.7), interval(0.9))
    points = [(float(level), found) for level in range(levels)]
    draw_stress({f"shift {number}": ("by a part", 0.0, points) for number in range(shifts)}, path, title="patches")


DRAWINGS = {
    "two models": comparison,
    "many models": lambda path: comparison(path, models=9),
    "seeds": lambda path: comparison(path, seeds=3),
    "eight shifts": stresses,
    "three shifts of two levels": lambda path: stresses(path, 3, 2),
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


def test_other_numbers_give_another_picture(tmp_path):
    file, found = tmp_path / "it.png", []
    for draw in (
        comparison,
        lambda path: comparison(path, last=0.7),
        stresses,
        lambda path: stresses(path, estimate=0.7),
    ):
        draw(file)
        found.append(file.read_bytes())
    assert len(set(found)) == 4
