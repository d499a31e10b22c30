"""A robustness test: which patches a run sees, which numbers follow, and what is written."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sentinode import RobustnessResult, predict, stress
from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.errors import DataError
from sentinode.evaluation.stress import perturbed, settings_of
from sentinode.metrics import auc
from sentinode.serialize import to_json

WRITTEN = {"stress.json", "stress.csv", "stress.png"}


@pytest.fixture(scope="module")
def few(mini):
    return mini.split("test").select(range(0, 400, 20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stress")


@pytest.fixture(scope="module")
def found(tiny_run, few, folder) -> RobustnessResult:
    return stress(tiny_run, few, out=folder)


def test_the_result_is_written_whole_and_loads_equal(found, folder):
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert to_json(found) == json.loads((folder / "stress.json").read_text())
    assert to_json(RobustnessResult.load(folder)) == to_json(found)
    with Image.open(folder / "stress.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000
    table = pd.read_csv(folder / "stress.csv", keep_default_na=False)
    assert table["perturbation"].tolist() == ["none", *(s.perturbation for s in settings_of()[1:])]
    assert len(table) == 1 + sum(len(shift.levels) - 1 for shift in PERTURBATIONS.values())


@pytest.mark.parametrize(("name", "level"), [("blur", 2.0), ("JPEG", 10.0), ("brightness", 1.3)])
def test_each_level_is_evaluated_on_perturbed_patches(found, tiny_run, few, name, level):
    class Changed:
        def read(self, rows):
            return PERTURBATIONS[name](few.pixels.read(rows), level)

    predictions = predict(tiny_run, replace(few, pixels=Changed()))
    [point] = [point for point in found.perturbations[name].points if point.level == level]
    table = predictions.table
    assert point.auc.estimate == pytest.approx(auc(few.labels, table["logit"]).estimate, abs=1e-9)
    assert point.sensitivity.estimate == pytest.approx(table["prediction"][few.labels == 1].mean())
    assert point.specificity.estimate == pytest.approx(1 - table["prediction"][few.labels == 0].mean())
    assert point.ood_rate == pytest.approx((table["warning"] != "").mean())


def test_patches_as_they_are_come_first_and_unchanged(found, tiny_run, few):
    table = predict(tiny_run, few).table
    assert found.unperturbed.auc.estimate == pytest.approx(auc(few.labels, table["logit"]).estimate, abs=1e-9)
    read = perturbed(few, settings_of()).read([0, 5, 20, 25])
    assert (read[:2] == few.read([0, 5])).all()
    first = settings_of()[1]
    assert (read[2:] == PERTURBATIONS[first.perturbation](few.read([0, 5]), first.level)).all()


def test_the_perturbed_auc_is_the_mean_over_perturbations_of_the_mean_over_levels(found):
    means = [np.mean([point.auc.estimate for point in curve.points]) for curve in found.perturbations.values()]
    assert [curve.mean_auc.estimate for curve in found.perturbations.values()] == pytest.approx(means)
    assert found.perturbed_auc.estimate == pytest.approx(np.mean(means))
    assert found.auc_loss.estimate == pytest.approx(found.unperturbed.auc.estimate - np.mean(means))
    assert found.worst == list(found.perturbations)[int(np.argmin(means))]
    assert found.perturbed_auc.low < found.perturbed_auc.estimate < found.perturbed_auc.high
    worst = found.perturbations[found.worst]
    assert worst.worst.auc.estimate == min(point.auc.estimate for point in worst.points)


def test_a_curve_has_the_neutral_level_in_its_place(found):
    for name in found.perturbations:
        points = found.points_of(name)
        assert [point.level for point in points] == list(PERTURBATIONS[name].levels)
        neutral = points[PERTURBATIONS[name].levels.index(PERTURBATIONS[name].neutral)]
        assert neutral.auc == found.unperturbed.auc


def test_a_quick_test_has_the_extreme_levels():
    levels = {}
    for setting in settings_of(quick=True)[1:]:
        levels.setdefault(setting.perturbation, []).append(setting.level)
    assert levels == {
        name: [level for level in (shift.levels[0], shift.levels[-1]) if level != shift.neutral]
        for name, shift in PERTURBATIONS.items()
    }


def test_intervals_are_over_slides_where_they_are_known(tiny_run, few, tmp_path):
    table = few.table.assign(slide=[f"slide {number % 5}" for number in range(len(few))])
    found = stress(tiny_run, replace(few, table=table), out=tmp_path, quick=True)
    assert (found.clusters, found.perturbed_auc.clusters, found.unperturbed.auc.clusters) == ("slide", 5, 5)


def test_one_class_is_refused_and_nothing_is_written(tiny_run, few, tmp_path):
    with pytest.raises(DataError, match="needs both classes"):
        stress(tiny_run, few.select(np.flatnonzero(few.labels == 1)), out=tmp_path, quick=True)
    assert list(tmp_path.iterdir()) == []
