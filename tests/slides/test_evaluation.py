"""Slides are evaluated from the folders of their scans."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from tests.commands import refused, sentinode, succeeded

from sentinode.errors import DataError
from sentinode.metrics import auc
from sentinode.slides.evaluation import evaluate_slides, read_scans

RNG = np.random.default_rng(0)


def write_scan(folder, name, score, diameters):
    lesions = [{"area_mm2": 0.6 * each**2, "diameter_mm": each} for each in diameters]
    summary = {"slide": f"{name}.tif", "slide_score": score, "largest_lesion_mm": max(diameters, default=0.0)}
    (folder / name).mkdir(parents=True)
    (folder / name / "summary.json").write_text(json.dumps({**summary, "lesions": lesions}))
    (folder / name / "settings.json").write_text("{}")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """30 patients of 2 nodes; the score is noise, the size of lesions tells the truth."""
    folder, rows = tmp_path_factory.mktemp("evaluation"), []
    for patient in range(30):
        for node in range(2):
            name, label = f"patient_{patient:03}_node_{node}", (patient + node) % 2
            sizes = RNG.uniform(1, 4, 2) if label else RNG.uniform(0.05, 1.2, 1)
            write_scan(folder, name, float(RNG.uniform(0.2, 0.9)), sizes.tolist())
            rows.append((f"{name}.tif", label))
    pd.DataFrame(rows, columns=["slide", "label"]).to_csv(folder / "truth.csv", index=False)
    return folder


def test_the_logistic_model_uses_what_the_score_does_not_say(scans):
    found = evaluate_slides(read_scans(scans), scans / "truth.csv")
    table = found.slides
    assert found.score_auc.estimate == pytest.approx(auc(table["label"], table["slide_score"]).estimate)
    assert found.score_auc.clusters == 30
    assert found.model_auc.estimate > 0.95 > found.score_auc.estimate + 0.2
    assert found.model_auc.low < found.model_auc.estimate


def test_probabilities_of_labels_without_relation_are_not_better_than_chance(scans, tmp_path):
    truth = pd.read_csv(scans / "truth.csv")
    truth["label"] = np.random.default_rng(1).permutation(truth["label"])
    truth.to_csv(tmp_path / "truth.csv", index=False)
    assert evaluate_slides(read_scans(scans), tmp_path / "truth.csv").model_auc.estimate < 0.7


def test_positives_of_a_single_patient_leave_the_logistic_model_out(tmp_path):
    patients = [0] * 12 + list(range(1, 13))
    for number, patient in enumerate(patients):
        write_scan(tmp_path, f"slide-{number:02}", 0.9 if patient == 0 else 0.1, [3.0] if patient == 0 else [])
    truth = pd.DataFrame({"slide": [f"slide-{number:02}" for number in range(24)], "label": [1] * 12 + [0] * 12})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    table = read_scans(tmp_path).assign(patient=[f"{patient}" for patient in patients])
    found = evaluate_slides(table, tmp_path / "truth.csv")
    assert found.score_auc.estimate == 1
    assert found.model_auc is None


def test_slides_of_unknown_truth_get_a_probability(scans, tmp_path):
    pd.read_csv(scans / "truth.csv")[:50].to_csv(tmp_path / "truth.csv", index=False)
    table = evaluate_slides(read_scans(scans), tmp_path / "truth.csv").slides
    assert table["model_probability"].notna().all() and table["label"].isna().sum() == 10


def test_patients_are_staged_and_compared_with_camelyon17s_table(tmp_path):
    for node, size in enumerate((3.0, 1.0, 1.0, 0.5, 0.0)):
        write_scan(tmp_path, f"patient_001_node_{node}", 0.5, [size] if size else [])
    write_scan(tmp_path, "patient_002_node_0", 0.1, [])
    (tmp_path / "stages.csv").write_text(
        "patient,stage\npatient_001.zip,pN2\npatient_001_node_0.tif,macro\npatient_002.zip,pN0\n"
        "patient_002_node_0.tif,negative\n"
    )
    done = succeeded(sentinode("evaluate-slides", tmp_path, "--truth", tmp_path / "stages.csv", "--json"))
    answer = json.loads(done)
    assert [(each["stage"], each["true_stage"]) for each in answer["stages"]] == [("pN2", "pN2"), ("pN0", "pN0")]
    assert answer["kappa"] == 1.0
    assert answer["model_auc"] is None


def test_the_stages_of_some_patients_or_of_one_alone_suffice(tmp_path):
    write_scan(tmp_path / "scans", "patient_001_node_0", 0.9, [3.0])
    write_scan(tmp_path / "scans", "patient_001_node_1", 0.1, [])
    (tmp_path / "truth.csv").write_text(
        "patient,stage\npatient_001.zip,pN1\npatient_001_node_0.tif,macro\npatient_001_node_1.tif,negative\n"
    )
    found = evaluate_slides(read_scans(tmp_path / "scans"), tmp_path / "truth.csv")
    assert found.score_auc is None and found.kappa == 1
    write_scan(tmp_path / "scans", "patient_002_node_0", 0.1, [])
    done = sentinode("evaluate-slides", tmp_path / "scans", "--truth", tmp_path / "truth.csv", "--json")
    assert [each["true_stage"] for each in json.loads(succeeded(done))["stages"]] == ["pN1", None]


def test_patients_with_a_node_that_is_not_scanned_are_named_and_left_out_of_kappa(tmp_path):
    rows = ["patient,stage"]
    for patient, stage in ((1, "pN1"), (2, "pN0"), (3, "pN0"), (4, "pN2")):
        rows.append(f"patient_{patient:03}.zip,{stage}")
        rows += [f"patient_{patient:03}_node_{node}.tif,negative" for node in range(2) if patient < 4]
    rows[2] = rows[2].replace("negative", "macro")
    (tmp_path / "truth.csv").write_text("\n".join(rows))
    for name in ("patient_001_node_1", "patient_002_node_0", "patient_002_node_1"):
        write_scan(tmp_path / "scans", name, 0.1, [])
    command = "evaluate-slides", tmp_path / "scans", "--truth", tmp_path / "truth.csv"
    answer = json.loads(succeeded(sentinode(*command, "--json")))
    assert [(each["patient"], each["nodes"], each["missing"]) for each in answer["stages"]] == [
        ("001", 1, 1),
        ("002", 2, 0),
    ]
    assert (answer["kappa"], answer["kappa_patients"], answer["true_patients"]) == (1.0, 1, 4)
    missing = ["patient_001_node_0.tif", "patient_003_node_0.tif", "patient_003_node_1.tif", "patient 004"]
    assert answer["not_scanned"] == missing
    printed = succeeded(sentinode(*command))
    assert "kappa of the stages of 1 of 4 patients: 1.000" in printed
    assert f"not scanned: {', '.join(missing)}" in printed
    shutil.rmtree(tmp_path / "scans" / "patient_002_node_0")
    assert "kappa of the stages needs" in succeeded(sentinode(*command))


def test_other_results_in_the_folder_are_left_out_and_damaged_summaries_named(tmp_path):
    write_scan(tmp_path, "a", 0.5, [])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text('{"best_epoch": 3}')
    assert read_scans(tmp_path)["slide"].tolist() == ["a.tif"]
    for content in ("{}", "[1]", '{"slide_score": null}', '{"slide_score": 0.5, "slide": "b.tif"}'):
        (tmp_path / "a" / "summary.json").write_text(content)
        with pytest.raises(DataError, match=r"a/summary\.json: not the summary of a scan .*scan the slide again"):
            read_scans(tmp_path)


def test_dots_within_the_name_of_a_slide_belong_to_it(tmp_path):
    names = ["case", "case.2", "case.3", "TCGA-CR-7395-01A-01-TS1.1a2b-0"]
    for name in names:
        write_scan(tmp_path / "scans", name, 0.5, [])
    for ending in ("", ".tif"):
        rows = "".join(f"{name}{ending},{label}\n" for name, label in zip(names, (0, 1, 1, 0), strict=True))
        (tmp_path / "truth.csv").write_text(f"slide,label\n{rows}")
        table = evaluate_slides(read_scans(tmp_path / "scans"), tmp_path / "truth.csv").slides
        assert dict(zip(table["slide"], table["label"], strict=True)) == {
            f"{name}.tif": label for name, label in zip(names, (0, 1, 1, 0), strict=True)
        }
    (tmp_path / "truth.csv").write_text("slide,label\ncase,1\ncase.2,0\n\n")
    assert evaluate_slides(read_scans(tmp_path / "scans"), tmp_path / "truth.csv").slides["label"].sum() == 1
    (tmp_path / "truth.csv").write_text("slide,label\ncase,1\ncase.tif,0\n")
    with pytest.raises(DataError, match=r"line 3: case\.tif has another label"):
        evaluate_slides(read_scans(tmp_path / "scans"), tmp_path / "truth.csv")


def test_slides_of_another_kind_of_name_have_patients_but_no_stage(tmp_path):
    for number in range(4):
        write_scan(tmp_path, f"TCGA-CR-7395-01A-01-TS{number}", 0.9, [3.0])
    found = evaluate_slides(read_scans(tmp_path))
    assert found.slides["patient"].unique().tolist() == ["TCGA-CR-7395"]
    assert found.stages.empty


def test_the_command_prints_both_areas_and_writes_the_table(scans, tmp_path):
    done = sentinode("evaluate-slides", scans, "--truth", scans / "truth.csv", "--out", tmp_path / "slides.csv")
    assert "AUC of the logistic model, out of fold" in succeeded(done)
    table = pd.read_csv(tmp_path / "slides.csv")
    assert len(table) == 60
    first = json.loads((scans / "patient_000_node_1" / "summary.json").read_text())
    row = table[table["slide"] == first["slide"]].iloc[0]
    assert row["lesion_count"] == len(first["lesions"])
    assert row["largest_lesion_mm"] == pytest.approx(first["largest_lesion_mm"])
    assert row["lesion_area_mm2"] == pytest.approx(sum(each["area_mm2"] for each in first["lesions"]))
    before = (scans / "truth.csv").read_bytes()
    refused(
        sentinode("evaluate-slides", scans, "--truth", scans / "truth.csv", "--out", scans / "truth.csv"), "reads this"
    )
    assert (scans / "truth.csv").read_bytes() == before
    (tmp_path / "truth.csv").write_text("slide,label\nother.tif,1\n")
    refused(sentinode("evaluate-slides", scans, "--truth", tmp_path / "truth.csv"), "truth.csv", "none of the 60")
    (tmp_path / "truth.csv").write_text("slide,label\nother.tif,maybe\n")
    refused(sentinode("evaluate-slides", scans, "--truth", tmp_path / "truth.csv"), "line 2", "maybe")
    refused(sentinode("evaluate-slides", tmp_path), "no finished scan")


def test_the_table_of_the_command_is_named_and_refused_before_work(scans, tmp_path):
    out, missing = tmp_path / "slides.csv", tmp_path / "no scans"
    assert f"files:\n  {out}  features" in succeeded(sentinode("evaluate-slides", scans, "--out", out))
    assert json.loads(succeeded(sentinode("evaluate-slides", scans, "--out", out, "--json")))["out"] == str(out)
    (tmp_path / "file").write_text("")
    refused(sentinode("evaluate-slides", missing, "--out", tmp_path / "slides.xlsx"), "ends in .csv")
    refused(sentinode("evaluate-slides", missing, "--out", tmp_path / "file" / "slides.csv"), "is a file, not a folder")
    refused(sentinode("evaluate-slides", missing, "--out", "-"), "standard output")
