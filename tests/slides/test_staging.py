"""Stages of CAMELYON17 follow the published rule."""

import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from sentinode.errors import DataError
from sentinode.slides.staging import LESION_CLASSES, STAGES, pn_stage, stage_kappa

nodes = st.lists(st.sampled_from(LESION_CLASSES), min_size=1, max_size=9)


@pytest.mark.parametrize("name", ["stage_labels_first.csv", "stage_labels_corrected.csv"])
def test_all_hundred_patients_of_both_label_files_are_reproduced(name):
    file = Path(os.environ.get("SENTINODE_TEST_DATA", "/nowhere"), "camelyon", name)
    if not file.is_file():
        pytest.skip(f"{name} is not here")
    table = pd.read_csv(file).apply(lambda column: column.str.strip())
    is_patient = table["patient"].str.endswith(".zip")
    node = table[~is_patient].assign(patient=table["patient"].str.extract(r"(patient_\d+)", expand=False))
    classes = node.groupby("patient")["stage"].agg(list)
    stages = table[is_patient].set_index(table["patient"].str.removesuffix(".zip")[is_patient])["stage"]
    assert len(stages) == 100
    assert {patient: pn_stage(classes[patient]) for patient in stages.index} == stages.to_dict()


@pytest.mark.parametrize(
    ("nodes", "stage"),
    [
        (["negative"] * 5, "pN0"),
        (["itc"] * 5, "pN0(i+)"),
        (["micro"] * 5, "pN1mi"),
        (["macro", "itc", "itc", "itc", "itc"], "pN1"),
        (["macro", "micro", "micro", "negative", "negative"], "pN1"),
        (["macro", "macro", "macro", "macro", "negative"], "pN2"),
    ],
)
def test_stages_of_known_patients(nodes, stage):
    assert pn_stage(nodes) == stage


@given(nodes)
def test_the_order_of_nodes_and_further_negative_ones_change_nothing(classes):
    assert pn_stage(classes[::-1]) == pn_stage(classes) == pn_stage([*classes, "negative"])


@given(nodes)
def test_a_further_macrometastasis_never_lowers_the_stage(classes):
    assert STAGES.index(pn_stage([*classes, "macro"])) >= STAGES.index(pn_stage(classes))


@given(st.lists(st.tuples(st.sampled_from(STAGES), st.sampled_from(STAGES)), min_size=2, max_size=30))
def test_kappa_is_scikit_learns(pairs):
    truth = {str(number): pair[0] for number, pair in enumerate(pairs)}
    predicted = {str(number): pair[1] for number, pair in enumerate(pairs)}
    if len(set(truth.values()) | set(predicted.values())) < 2:
        assert stage_kappa(truth, predicted) == 1.0
        return
    expected = cohen_kappa_score(*zip(*pairs, strict=True), labels=STAGES, weights="quadratic")
    assert stage_kappa(truth, predicted) == pytest.approx(expected)


def test_a_patient_without_a_predicted_stage_is_refused():
    with pytest.raises(DataError, match="patient_7"):
        stage_kappa({"patient_7": "pN0"}, {})


def test_an_unknown_class_is_refused():
    with pytest.raises(DataError, match="Macro"):
        pn_stage(["Macro"])
