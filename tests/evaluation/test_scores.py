"""What may stand for a model, and how another software's csv finds its patches."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from sentinode import predict
from sentinode.errors import ConfigError, DataError, RunError
from sentinode.evaluation.prediction_files import PredictionsFile
from sentinode.evaluation.scores import open_entries, open_entry, score


@pytest.fixture(scope="module")
def few(mini):
    return mini.split("test").select(range(0, 400, 20))


def written(folder, name="it.csv", **columns):
    pd.DataFrame(columns).to_csv(folder / name, index=False)
    return PredictionsFile(folder / name)


def probabilities(patches):
    return np.random.default_rng(0).uniform(size=len(patches)).round(3)


def test_a_run_is_scored_as_predict_does(tiny_run, few):
    [scores] = score([open_entry(tiny_run.path)], few)
    assert np.array_equal(scores.logits[0], predict(tiny_run, few).table["logit"])
    assert np.array_equal(scores.labels, few.labels)
    assert (scores.name, list(scores.thresholds)) == (tiny_run.path.name, [tiny_run.threshold])
    assert np.array_equal(scores.calls[0], predict(tiny_run, few).table["prediction"])
    facts = scores.facts
    assert (facts.parameters, facts.flops) == (166_977, 37_453_952)
    assert facts.size_bytes > 4 * 166_977 and facts.patches_per_s > 0


def test_what_predict_writes_is_scored_as_its_run(tiny_run, few, tmp_path):
    predict(tiny_run, few).write(tmp_path / "predictions.csv")
    [run, csv] = score([open_entry(tiny_run.path), open_entry(f"csv={tmp_path / 'predictions.csv'}")], few)
    assert np.array_equal(run.logits, csv.logits)
    assert np.array_equal(run.calls, csv.calls)
    assert csv.facts.parameters is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (lambda name: name, ""),
        (lambda name: name.split("/")[-1], "matched by file name"),
        (lambda name: "C:\\elsewhere\\" + name.split("/")[-1], "matched by file name"),
        (lambda name: name.split("/")[-1].rsplit(".", 1)[0], "matched by file name without its ending"),
    ],
)
def test_ids_are_found_whole_by_file_name_and_by_stem_in_any_order(few, tmp_path, caplog, key, said):
    caplog.set_level("INFO", logger="sentinode")
    given, order = probabilities(few), np.random.default_rng(1).permutation(len(few))
    ids = few.table["id"].map(key)
    file = written(tmp_path, id=ids[order], probability=given[order])
    assert 1 / (1 + np.exp(-file.logits(few))) == pytest.approx(given)
    assert said in caplog.text
    assert said or not caplog.text


def test_rows_of_other_patches_are_left_out_and_counted(few, tmp_path, caplog):
    caplog.set_level("INFO", logger="sentinode")
    file = written(tmp_path, id=[*few.table["id"], "x.png", "y.png"], logit=np.arange(len(few) + 2.0))
    assert np.array_equal(file.logits(few), np.arange(len(few)))
    assert "2 rows are of other patches, the first 'x.png', 'y.png'" in caplog.text


def test_labels_of_a_csv_that_are_others_than_the_patches_are_told(few, tmp_path, caplog):
    labels = np.where(np.arange(len(few)) < 2, 1 - few.labels, few.labels)
    file = written(tmp_path, id=few.table["id"], probability=probabilities(few), label=labels)
    assert len(file.logits(few)) == len(few)
    assert "for 2 patches, the first" in caplog.text


def test_the_same_labels_and_labels_in_words_are_left_alone(few, tmp_path, caplog):
    for labels in (few.labels, ["normal"] * len(few)):
        written(tmp_path, id=few.table["id"], probability=probabilities(few), label=labels).logits(few)
    assert not caplog.text


def test_a_missing_patch_is_refused_with_the_count_and_the_first(few, tmp_path):
    ids = list(few.table["id"])
    file = written(tmp_path, id=ids[2:], logit=np.arange(len(few) - 2.0))
    with pytest.raises(DataError, match=f"for 2 of the 20 patches of pcam-mini, the first '{ids[0]}', '{ids[1]}'"):
        file.logits(few)


def test_a_file_name_that_two_rows_have_is_no_match(few, tmp_path):
    names = [name.split("/")[-1] for name in few.table["id"]]
    file = written(tmp_path, id=[*(f"a/{name}" for name in names), f"b/{names[3]}"], logit=np.arange(len(few) + 1.0))
    with pytest.raises(DataError, match="no row, or no single one, for 1 of the 20 patches"):
        file.logits(few)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,probability\na,0.5\nb,1.2\n", "row 3: probability 1.2 is not between 0 and 1 .*logit"),
        ("id,probability\na,0.5\nb,nan\n", "row 3: probability 'nan' is not a finite number"),
        ("id,logit\na,high\n", "row 2: logit 'high' is not a finite number"),
        ("id,logit\na,1\nb,2\na,3\n", "row 4: id 'a' stands in row 2 too"),
        ("id,logit\na,1,2\n", "row 2: 3 values, where the header names 2"),
        ("name,score\na,1\n", "columns id, and probability or logit, are needed; there are: name, score"),
        ("", "there are: none"),
    ],
)
def test_a_csv_that_cannot_be_right_is_refused(few, tmp_path, text, words):
    (tmp_path / "it.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        PredictionsFile(tmp_path / "it.csv").logits(few)


def test_certain_probabilities_stay_in_order_and_finite(tmp_path):
    table = written(tmp_path, id=list("abcd"), probability=[0, 1e-300, 1 - 1e-16, 1]).table["logit"]
    assert np.isfinite(table).all()
    assert table.is_monotonic_increasing and table["a"] < table["b"]


def test_a_header_may_have_a_mark_of_byte_order_capitals_and_more_columns(tmp_path):
    (tmp_path / "it.csv").write_bytes("\ufeffID, Probability,note\r\na,0.5,x\r\n".encode())
    assert PredictionsFile(tmp_path / "it.csv").table.loc["a", "logit"] == 0


def test_the_threshold_is_that_of_the_json_beside_it_else_one_half(tmp_path):
    file = written(tmp_path, id=["a"], logit=[1.0])
    assert file.threshold == 0.5
    for content, threshold in (({"threshold": 0.3}, 0.3), ({"threshold": 7}, 0.5), ([], 0.5)):
        (tmp_path / "it.csv.json").write_text(json.dumps(content))
        assert file.threshold == threshold


def test_seeds_are_named_by_commas_or_by_a_pattern(tmp_path):
    for name in ("a", "b", "c"):
        written(tmp_path, f"{name}.csv", id=[name], logit=[1.0])
    by_commas = open_entry(f"cnn={tmp_path / 'a.csv'},{tmp_path / 'b.csv'}")
    by_pattern = open_entry(f"cnn={tmp_path}/[ab].csv")
    assert by_commas == by_pattern
    assert (by_commas.name, len(by_commas.members)) == ("cnn", 2)
    with pytest.raises(ConfigError, match="give several seeds of one recipe a name, as in NAME="):
        open_entry(f"{tmp_path / 'a.csv'},{tmp_path / 'b.csv'}")
    with pytest.raises(ConfigError, match="no run matches this pattern"):
        open_entry(f"cnn={tmp_path}/[xy].csv")
    with pytest.raises(ConfigError, match="an empty name between commas"):
        open_entry(f"cnn={tmp_path / 'a.csv'},")


def test_a_path_that_exists_is_that_path_whatever_is_in_its_name(tmp_path):
    written(tmp_path, "lr=0.1,0.2.csv", id=["a"], logit=[1.0])
    assert open_entry(tmp_path / "lr=0.1,0.2.csv").name == "lr=0.1,0.2"
    assert len(open_entry(f"mine={tmp_path / 'lr=0.1,0.2.csv'}").members) == 1


def test_the_same_network_twice_and_the_same_name_twice_are_refused(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.path, tmp_path / tiny_run.path.name)
    with pytest.raises(ConfigError, match="are the same network, and no two seeds"):
        open_entry(f"cnn={tiny_run.path},{copy}")
    with pytest.raises(ConfigError, match="are both named 'tiny'; name them, as in --model NAME="):
        open_entries([tiny_run.path, copy])


def test_seeds_of_different_networks_are_refused(tiny_run, few):
    with pytest.raises(ConfigError, match="which are no two seeds of one recipe"):
        score([open_entry(f"mixed={tiny_run.path},d4net-m")], few)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such csv of predictions"):
        open_entry(tmp_path / "none.csv")
    with pytest.raises(RunError, match="there is no such run directory"):
        open_entry(tmp_path / "none")


def test_a_rule_needs_validation_predictions_and_a_number_does_not(few, tmp_path):
    file = written(tmp_path, id=few.table["id"], probability=probabilities(few))
    entry = open_entry(file.path)
    assert list(score([entry], few, "0.25")[0].thresholds) == [0.25]
    with pytest.raises(ConfigError, match=r"it.csv keeps no predictions of them; give a number"):
        score([entry], few, "youden")
