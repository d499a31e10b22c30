"""A comparison: which numbers, from which patches, and what is written."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score, recall_score, roc_auc_score

from sentinode import Comparison, compare
from sentinode.errors import ConfigError, DataError
from sentinode.evaluation.formatting import format_comparison
from sentinode.serialize import to_json

WRITTEN = {"compare.json", "compare.csv", "compare.png"}


def csv_of(patches, folder, name, noise, seed):
    """Write what another software might: better the less noise there is."""
    logits = 2 * patches.labels - 1 + noise * np.random.default_rng(seed).normal(size=len(patches))
    pd.DataFrame({"id": patches.table["id"], "logit": logits}).to_csv(folder / f"{name}.csv", index=False)
    return logits


@pytest.fixture(scope="module")
def tables(mini, tmp_path_factory):
    """Five csvs for the test patches: a good one, a poor one, three seeds between them."""
    folder, test = tmp_path_factory.mktemp("tables"), mini.split("test")
    noises = {"good": 1.0, "poor": 4.0, "seed-1": 2.0, "seed-2": 2.2, "seed-3": 2.4}
    return folder, {name: csv_of(test, folder, name, noise, i) for i, (name, noise) in enumerate(noises.items())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def comparison(tables, mini, folder) -> Comparison:
    where, _ = tables
    return compare([where / "good.csv", where / "poor.csv", f"seeds={where}/seed-*.csv"], mini, out=folder)


def test_the_result_is_written_whole(comparison, folder):
    assert {path.name for path in folder.iterdir()} == WRITTEN
    assert to_json(comparison) == json.loads((folder / "compare.json").read_text())
    with Image.open(folder / "compare.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000
    table = pd.read_csv(folder / "compare.csv")
    assert list(table["model"]) == ["good", "poor", "seeds"]
    assert list(table["seeds"]) == [1, 1, 3]
    assert table["auc"].tolist() == [model.auc.estimate for model in comparison.models]


def test_the_numbers_of_each_model_follow_from_its_csvs(comparison, tables, mini):
    labels, logits = mini.split("test").labels, tables[1]
    good, poor, seeds = comparison.models
    for model, name in ((good, "good"), (poor, "poor")):
        assert model.auc.estimate == pytest.approx(roc_auc_score(labels, logits[name]))
        assert model.sensitivity.estimate == pytest.approx(recall_score(labels, logits[name] >= 0))
        assert model.specificity.estimate == pytest.approx(recall_score(labels, logits[name] >= 0, pos_label=0))
        assert model.auc_sd is None and model.overlap.trained_on is None
    areas = [roc_auc_score(labels, logits[f"seed-{seed}"]) for seed in (1, 2, 3)]
    assert [curve.auc for curve in seeds.curves] == pytest.approx(areas)
    assert (seeds.auc.estimate, seeds.auc_sd) == pytest.approx((np.mean(areas), np.std(areas, ddof=1)))


def test_each_pair_is_tested_and_corrected(comparison, tables):
    assert [(pair.auc.first, pair.auc.second) for pair in comparison.pairs] == [
        ("good", "poor"),
        ("good", "seeds"),
        ("poor", "seeds"),
    ]
    pair = comparison.pairs[0]
    good, poor = (tables[1][name] >= 0 for name in ("good", "poor"))
    assert pair.kappa.estimate == pytest.approx(cohen_kappa_score(good, poor))
    for test in (pair.auc, pair.bootstrap):
        assert test.difference.low < test.difference.estimate < test.difference.high
        assert test.p_value < 0.01
    assert pair.bootstrap.difference.low == pytest.approx(pair.auc.difference.low, abs=0.02)
    for p_values in (
        [(each.auc.p_value, each.auc.p_holm) for each in comparison.pairs],
        [(each.bootstrap.p_value, each.bootstrap.p_holm) for each in comparison.pairs],
        [(each.accuracy.p_value, each.accuracy_p_holm) for each in comparison.pairs],
    ):
        least, corrected = min(p_values)
        assert corrected == pytest.approx(min(1, 3 * least))
    assert comparison.p_value < 0.001


def test_the_split_is_that_of_an_evaluation_and_patches_count_as_independent(comparison):
    assert (comparison.split, comparison.normal, comparison.tumour) == ("test", 200, 200)
    assert comparison.clusters is None
    assert comparison.models[0].auc.clusters is None


def test_patients_are_drawn_where_all_are_known_else_slides(tables, mini, tmp_path):
    where, _ = tables
    test = mini.split("test")
    slides = np.arange(400) % 12
    table = test.table.assign(slide=slides.astype(str), patient=(slides // 2).astype(str))
    found = compare([where / "good.csv", where / "poor.csv"], replace(test, table=table), out=tmp_path)
    assert (found.clusters, found.models[0].auc.clusters) == ("patient", 6)
    assert found.pairs[0].bootstrap.difference.clusters == found.pairs[0].accuracy.difference.clusters == 6
    table.loc[0, "patient"] = None
    found = compare([where / "good.csv", where / "poor.csv"], replace(test, table=table), out=tmp_path)
    assert (found.clusters, found.models[0].sensitivity.clusters) == ("slide", 12)


def test_a_run_is_compared_with_a_csv_and_has_its_cost_and_overlap(tiny_run, mini, tmp_path, caplog):
    few = mini.split("train").select(range(0, 1080, 20))
    csv_of(few, tmp_path, "other", 1.0, 0)
    found = compare([tiny_run, tmp_path / "other.csv"], few, "train", out=tmp_path / "out")
    run, other = found.models
    assert run.overlap.trained_on == 54 and other.overlap.trained_on is None
    assert "split train: tiny was trained on 54 of these patches" in caplog.text
    assert (run.cost.parameters, other.cost.parameters) == (166_977, None)
    assert run.thresholds == (tiny_run.threshold,)
    assert found.table()["parameters"].tolist()[0] == 166_977


def test_an_operating_point_by_name_is_that_of_all(tables, mini, tmp_path):
    where, logits = tables
    found = compare([where / "good.csv", where / "poor.csv"], mini, out=tmp_path, point=0.9)
    assert [model.thresholds for model in found.models] == [(0.9,), (0.9,)]
    labels = mini.split("test").labels
    assert found.models[0].specificity.estimate == pytest.approx(
        np.mean(logits["good"][labels == 0] < np.log(9)), abs=1e-12
    )


def test_models_that_call_everything_the_same_have_no_kappa(tables, mini, tmp_path):
    where, _ = tables
    found = compare([where / "good.csv", where / "poor.csv"], mini, out=tmp_path, point=0)
    assert found.pairs[0].kappa is None
    assert found.pairs[0].accuracy_p_holm == 1.0


def test_invalid_comparisons_are_refused_and_nothing_is_written(tables, mini, tmp_path):
    where, _ = tables
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="at least two models; got 1"):
        compare([where / "good.csv"], mini, out=out)
    with pytest.raises(DataError, match="180 of the 180 patches of pcam-mini"):
        compare([where / "good.csv", where / "poor.csv"], mini, "valid", out=out)
    normal = mini.split("test").select(np.flatnonzero(mini.split("test").labels == 0))
    with pytest.raises(DataError, match="needs both classes"):
        compare([where / "good.csv", where / "poor.csv"], normal, out=out)
    assert not out.exists()


def test_each_model_has_the_full_evaluation_of_each_seed(comparison, tables, mini):
    good, _, seeds = comparison.models
    assert [len(model.evaluations) for model in comparison.models] == [1, 1, 3]
    [evaluation] = good.evaluations
    assert evaluation.ranking.auc == good.auc and evaluation.operating_point.accuracy == good.accuracy
    assert [each.auc for each in seeds.evaluations] == list(seeds.auc_by_seed)
    assert {each["matched_by"] for model in comparison.models for each in model.made_by} == {"id"}


def test_the_text_names_every_model_and_pair(comparison):
    text = format_comparison(comparison)
    for model in comparison.models:
        assert f"{model.auc:.3f}" in text and model.name in text
    for pair in comparison.pairs:
        assert f"{pair.auc.first} - {pair.auc.second}" in text and f"{pair.auc.difference:.3f}" in text
