"""A stress test: which patches a run sees, which numbers follow, and what is written."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sentinode import Ensemble, RobustnessResult, predict, stress
from sentinode.data.stain.perturbations import PERTURBATIONS
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.stress import _balanced, perturbed, settings_of
from sentinode.metrics.auc import auc

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


def test_everything_is_written_and_what_is_returned_is_what_is_written(found, folder):
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert found.to_json() == json.loads((folder / "stress.json").read_text())
    with Image.open(folder / "stress.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000
    table = pd.read_csv(folder / "stress.csv", keep_default_na=False)
    assert table["shift"].tolist() == ["none", *(s.shift for s in settings_of()[1:])]
    assert len(table) == 1 + sum(len(shift.levels) - 1 for shift in PERTURBATIONS.values())


@pytest.mark.parametrize(("name", "level"), [("blur", 2.0), ("JPEG", 10.0), ("brightness", 1.3)])
def test_each_level_is_what_the_shift_makes_of_the_patches(found, tiny_run, few, name, level):
    class Changed:
        def read(self, rows):
            return PERTURBATIONS[name](few.pixels.read(rows), level)

    predictions = predict(tiny_run, replace(few, pixels=Changed()))
    [point] = [point for point in found.shifts[name].points if point.level == level]
    table = predictions.table
    assert point.auc.estimate == pytest.approx(auc(few.labels, table["logit"]).estimate, abs=1e-9)
    assert point.sensitivity.estimate == pytest.approx(table["prediction"][few.labels == 1].mean())
    assert point.specificity.estimate == pytest.approx(1 - table["prediction"][few.labels == 0].mean())
    assert point.warned == pytest.approx((table["warning"] != "").mean())


def test_patches_as_they_are_come_first_and_unchanged(found, tiny_run, few):
    table = predict(tiny_run, few).table
    assert found.unshifted.auc.estimate == pytest.approx(auc(few.labels, table["logit"]).estimate, abs=1e-9)
    read = perturbed(few, settings_of()).read([0, 5, 20, 25])
    assert (read[:2] == few.read([0, 5])).all()
    first = settings_of()[1]
    assert (read[2:] == PERTURBATIONS[first.shift](few.read([0, 5]), first.level)).all()


def test_the_one_number_is_the_mean_over_shifts_of_the_mean_over_their_levels(found):
    means = [np.mean([point.auc.estimate for point in curve.points]) for curve in found.shifts.values()]
    assert [curve.mean.estimate for curve in found.shifts.values()] == pytest.approx(means)
    assert found.perturbed.estimate == pytest.approx(np.mean(means))
    assert found.lost.estimate == pytest.approx(found.unshifted.auc.estimate - np.mean(means))
    assert found.worst.name == list(found.shifts)[int(np.argmin(means))]
    assert found.perturbed.low < found.perturbed.estimate < found.perturbed.high
    summary = found.to_json()["summary"]
    assert summary["worst_level"] == found.worst.lowest.level


def test_a_curve_has_the_neutral_level_in_its_place(found):
    for name, curve in found.shifts.items():
        points = curve.ordered_map(found.unshifted)
        assert [point.level for point in points] == list(PERTURBATIONS[name].levels)
        neutral = points[PERTURBATIONS[name].levels.index(PERTURBATIONS[name].neutral)]
        assert neutral.auc == found.unshifted.auc


def test_quick_takes_the_extremes_of_a_balanced_draw_that_the_seed_fixes(mini):
    levels = {}
    for setting in settings_of(quick=True)[1:]:
        levels.setdefault(setting.shift, []).append(setting.level)
    assert levels == {
        name: [level for level in (shift.levels[0], shift.levels[-1]) if level != shift.neutral]
        for name, shift in PERTURBATIONS.items()
    }
    one, again, other = (_balanced(mini, seed) for seed in (0, 0, 1))
    assert (one.labels.sum(), len(one)) == (250, 500)
    assert one.table["id"].equals(again.table["id"]) and not one.table["id"].equals(other.table["id"])
    assert len(_balanced(mini.select(range(10)), 0)) == 10


def test_intervals_are_over_slides_where_they_are_known(tiny_run, few, tmp_path):
    table = few.table.assign(slide=[f"slide {number % 5}" for number in range(len(few))])
    found = stress(tiny_run, replace(few, table=table), out=tmp_path, quick=True)
    assert (found.clusters, found.perturbed.clusters, found.unshifted.auc.clusters) == ("slide", 5, 5)


def test_patches_that_were_trained_on_are_met_with_a_warning(tiny_run, mini, tmp_path, caplog):
    few = mini.split("train").select([0, 20, 1060, 1079])
    stress(tiny_run, few, "train", out=tmp_path, quick=True)
    assert "3 of these patches were trained on" in caplog.text


def test_the_runs_own_validation_patches_are_met_with_a_warning(tiny_run, mini, tmp_path, caplog):
    stress(tiny_run, mini.select(range(0, len(mini), 20)), "valid", out=tmp_path, quick=True)
    assert "threshold and best epoch chosen on 9 of these patches" in caplog.text


def test_what_cannot_be_measured_is_refused(tiny_run, other_run, few, tmp_path):
    with pytest.raises(ConfigError, match="an ensemble has no folder of its own"):
        stress(Ensemble((tiny_run, other_run)), few)
    with pytest.raises(DataError, match="needs both classes"):
        stress(tiny_run, few.select(np.flatnonzero(few.labels == 1)), out=tmp_path, quick=True)
    assert list(tmp_path.iterdir()) == []
