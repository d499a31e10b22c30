"""The command line: what it prints, what it writes, and how it refuses."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.commands import command, refused, sentinode, sentinode_process, succeeded

from sentinode import load_run
from sentinode.cli.main import COMMANDS
from sentinode.models.build import MODELS
from sentinode.version import __version__

DATA_COMMANDS = ("info", "split", "match", "normalize", "fetch", "cache")
EVERY_COMMAND = ["", "demo", "train", "tune", "cross-validate", "watch", "evaluate", "compare", "stress", "explain"]
EVERY_COMMAND += [
    "report",
    "audit",
    "predict",
    "embed",
    "export",
    "models",
    "data",
    "doctor",
    "scan",
    "evaluate-slides",
    "view",
    "serve",
    "extract",
]
EVERY_COMMAND += [f"data {name}" for name in DATA_COMMANDS]


def imported_by(*arguments, wanted: str) -> set[str]:
    """Run a command in a process of its own and return which of the wanted modules it imported."""
    script = (
        "import sys\nfrom sentinode.cli.main import main\n"
        "try: main(sys.argv[2:])\nexcept SystemExit: pass\n"
        "print('\\n' + ' '.join(name for name in sys.argv[1].split() if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, wanted, *arguments], capture_output=True, text=True, timeout=180
    )
    return set(succeeded(done).splitlines()[-1].split())


def files_named(output: str) -> list[Path]:
    """Return the files that a command ends by naming."""
    shown = output.split("\nfiles:\n")[1].split("\nnext:\n")[0]
    return [Path(line.strip().split("  ")[0]) for line in shown.splitlines()]


@pytest.fixture(scope="module")
def images(mini, tmp_path_factory) -> Path:
    """A small Kaggle: labeled train, unlabeled test; beside it, the test patches as HDF5."""
    folder = tmp_path_factory.mktemp("forms") / "kaggle"
    patches = mini.select(range(0, len(mini), 40))
    ids = [hashlib.sha1(pixels.tobytes()).hexdigest() for pixels in patches.read()]
    test = patches.table["split"] == "test"
    for name, pixels, is_test in zip(ids, patches.read(), test, strict=True):
        place = folder / ("test" if is_test else "train")
        place.mkdir(exist_ok=True, parents=True)
        Image.fromarray(pixels).save(place / f"{name}.tif")
    table = pd.DataFrame({"id": ids, "label": patches.labels})[~test]
    table.to_csv(folder / "train_labels.csv", index=False, lineterminator="\r\n")
    with h5py.File(folder.parent / "camelyonpatch_level_2_split_test_x.h5", "w") as file:
        file["x"] = patches.read(np.flatnonzero(test))
    return folder


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_every_command_explains_itself(command):
    output = succeeded(sentinode(*command.split(), "--help"))
    assert output.startswith(f"usage: sentinode {command}".rstrip())
    assert len(output.splitlines()) > 5


def test_the_help_names_every_command():
    output = succeeded(sentinode("--help"))
    names = [module.__name__.rsplit(".", 1)[1].replace("_", "-") for module in COMMANDS]
    assert set(names) <= set(output.split()) and set(names) <= set(EVERY_COMMAND)
    assert succeeded(sentinode("--version")) == f"sentinode {__version__}\n"


def test_the_script_is_installed_next_to_python():
    script = next(Path(sys.executable).parent.glob("sentinode*"), None)
    assert script is not None
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"sentinode {__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["train", "x", "--model", "cnn", "--epochs", "a"]])
def test_an_invalid_command_line_exits_with_2(arguments):
    done = sentinode(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: sentinode")


@pytest.mark.skipif(os.name == "nt", reason="there is no such pipe")
def test_results_are_complete_when_nobody_reads_the_summary(tmp_path):
    split = command("data", "split", "pcam-mini", "--split", "valid", "--out", tmp_path / "splits.csv")
    process = subprocess.Popen(
        split,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    process.stdout.readline()
    process.stdout.close()
    errors, status = process.stderr.read(), process.wait()
    assert status == 0 and "rror" not in errors, errors
    assert len(pd.read_csv(tmp_path / "splits.csv")) == 180


def test_no_command_writes_over_a_file_that_it_reads(tmp_path, tiny_run, images):
    first, second = (str(path) for path in sorted((images / "test").rglob("*.tif"))[:2])
    picture = tmp_path / "pictures" / "0" / "first.png"
    picture.parent.mkdir(parents=True)
    Image.open(first).save(picture)
    table = tmp_path / "table.csv"
    succeeded(sentinode("data", "split", images, "--out", table))
    own_labels = tmp_path / "labeled" / "labels.csv"
    own_labels.parent.mkdir()
    shutil.copy(first, own_labels.parent / "0.tif")
    own_labels.write_text("path,label\n0.tif,1\n")
    model = tmp_path / "own.keras"
    shutil.copy(tiny_run.path / "model.keras", model)
    arrays = tmp_path / "arrays.npz"
    np.savez(arrays, x=np.zeros((1, 96, 96, 3), np.uint8))
    lines = {
        str(arrays): [("embed", arrays, "--out", arrays)],
        first: [("predict", "--out", first, second)],
        str(picture): [("data", "info", tmp_path / "pictures", "--sheet", picture)],
        str(table): [
            ("predict", table, "--out", table),
            ("data", "match", images, "--reference", table, "--out", table),
            ("data", "split", images, "--table", table, "--out", table),
            ("data", "match", images, "--table", table, "--reference", images, "--out", table),
        ],
        str(own_labels): [("data", "split", tmp_path / "labeled", "--out", own_labels)],
        str(model): [("export", "--model", model, "--format", "keras", "--out", model)],
        str(tiny_run.path / "model.keras"): [
            ("export", "--model", tiny_run.path, "--format", "keras", "--out", tiny_run.path / "model.keras")
        ],
    }
    for file, commands in lines.items():
        before = Path(file).read_bytes()
        for line in commands:
            refused(sentinode(*line), Path(file).name)
            assert Path(file).read_bytes() == before, line


@pytest.mark.parametrize("line", ["predict {} --out p.csv", "data info {}", "predict {here} --out {}"])
def test_an_empty_name_is_not_the_current_folder(line, images):
    words = [word.format("", here=images / "test") for word in line.split()]
    refused(sentinode(*words), "is empty; specify")


def test_a_closed_standard_output_is_no_error(images):
    done = subprocess.run(
        ["bash", "-c", '"$@" >&-', "bash", *command("data", "info", images)],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0 and "rror" not in done.stderr, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_standard_output_is_named(images):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("data", "info", images), stdout=full, stderr=subprocess.PIPE, text=True, timeout=180
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: standard output: No space left")


def test_predictions_go_to_standard_output_and_text_to_standard_error(tmp_path, tiny_run, images):
    predict = ("predict", images / "test", "--model", tiny_run.path)
    done = sentinode(*predict, "--out", "-")
    succeeded(sentinode(*predict, "--out", tmp_path / "it.csv"))
    assert succeeded(done) == (tmp_path / "it.csv").read_text()
    assert "10 patches" in done.stderr and "files:" not in done.stderr
    refused(sentinode(*predict, "--out", "-", "--json"), "--json", "standard output")
    refused(sentinode(*predict, "--out", "/dev/stdout"), "/dev/stdout", "--out -")
    refused(sentinode("data", "split", "pcam-mini", "--out", "-"), "standard output")


@pytest.mark.parametrize(
    "line",
    [
        "predict x --out {}",
        "embed x --out {}",
        "data split x --out {}",
        "train x --model cnn --out {}/a",
        "evaluate x --out {}",
        "tune x --model cnn --search seed=1,2 --out {}",
        "compare x --out {}",
        "stress x --out {}",
        "explain x --out {}",
        "audit x --out {}",
        "demo --out {}",
        "export --format wsinfer --out {}",
        "data fetch pcam --out {}",
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(line):
    refused(sentinode(*line.format(os.devnull).split()), os.devnull)


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("train nowhere --model cnm --out run", ["--model cnm", "sentinode models"]),
        ("train nowhere --model cnn --out run --threads 0", ["--threads", "0"]),
        ("train nowhere --model cnn --out run --input-scale 1/255", ["--input-scale", "cnn is not one"]),
        ("train nowhere --model d4net-m --out run --model-output logit", ["--model-output", "d4net-m is not one"]),
        ("train nowhere --model d4net-m --out run --option output=softmax", ["--option", "d4net-m"]),
        ("train nowhere --model cnn --out run --devices x", ["--devices", "x"]),
        ("train nowhere --model cnn --out run --teacher no-run", ["no-run"]),
        ("train nowhere --model cnn --out run --metrics f1", ["metrics", "f1"]),
        ("tune nowhere --model cnm --out study --search seed=1", ["seed=1"]),
        ("tune nowhere --model cnm --out study --search momentum=0.1,0.2", ["--model cnm"]),
        ("evaluate nowhere --model no-run", ["no-run"]),
        ("stress nowhere --model no-run", ["no-run"]),
        ("explain nowhere --model no-run", ["no-run"]),
        ("audit nowhere --folds 1", ["--folds", "1"]),
        ("predict nowhere --model no-run --out it.csv", ["no-run"]),
        ("predict nowhere --out it.csv --engine onnxruntime --precision bfloat16", ["onnxruntime", "bfloat16"]),
        ("embed nowhere --model no-run --out it.npz", ["no-run"]),
        ("data split nowhere --out it.csv --valid 2", ["fractions", "2"]),
        ("data info nowhere --sheet it.jpg", ["--sheet it.jpg", ".png"]),
    ],
)
def test_options_are_checked_before_the_data(tmp_path, monkeypatch, line, facts):
    monkeypatch.chdir(tmp_path)
    refused(sentinode(*line.split()), *facts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_commands_draw_without_a_display(tmp_path):
    sheet = ("data", "info", "pcam-mini", "--sheet", tmp_path / "sheet.png")
    succeeded(sentinode_process(*sheet, MPLBACKEND="module://of.a.notebook"))
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize("command", ["", "data"])
def test_without_a_command_the_help_is_printed(command):
    assert succeeded(sentinode(*command.split())) == succeeded(sentinode(*command.split(), "--help"))


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("trian", "train"),
        ("data inof", "info"),
        ("models --jsn", "--json"),
        ("train x --model cnn --out y --epocs=3", "--epochs"),
        ("train x --model cnn --out y --schedule cosin", "cosine"),
    ],
)
def test_a_misspelled_name_gets_a_suggestion(line, nearest):
    done = sentinode(*line.split())
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"; did you mean {nearest}?")


HEAVY = "keras tensorflow jax torch"


def test_the_help_and_inspection_import_no_backend():
    assert imported_by("--help", wanted=f"{HEAVY} numpy pandas matplotlib") == set()
    assert imported_by("data", "info", "pcam-mini", "--json", wanted=HEAVY) == set()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("data info nowhere.zip", ["nowhere.zip", "no such file"]),
        ("data info pcam-mini --sheet sheet.jpg", ["--sheet sheet.jpg", ".png"]),
        ("data info pcam-mini --page page.htm", ["--page page.htm", ".html"]),
        ("data split pcam-mini --out splits", ["--out splits", ".csv"]),
        ("data split pcam-mini --out splits.csv --valid 0.9", ["sum to 1"]),
        ("data match pcam-mini --reference pcam-mini --out matched.csv", ["pcam-mini", "no slides"]),
        ("data fetch pcam --out pcam --mirror pcam", ["pcam: not a web address", "http://"]),
        ("train nowhere --model cnn --out run", ["nowhere", "no such file"]),
        ("train pcam-mini --model cnn --out run --epochs 0", ["epochs must be at least 1; got 0"]),
        ("train pcam-mini --model cnn --out run --class-weight heavy", ["class_weight", "heavy"]),
        ("train pcam-mini --model cnn --out run --option softmax", ["--option softmax", "KEY=VALUE"]),
        ("predict nowhere.png --out out.csv", ["nowhere.png"]),
        ("predict pcam-mini --split none --out out.csv", ["no split 'none'", "train, valid, test"]),
    ],
)
def test_a_refusal_is_one_line(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    refused(sentinode(*arguments.split()), *words)
    assert list(tmp_path.iterdir()) == []


def test_an_image_of_another_size_is_refused_by_name(tmp_path):
    (tmp_path / "0").mkdir()
    Image.new("RGB", (97, 96)).save(tmp_path / "0" / "wide.png")
    refused(sentinode("data", "info", tmp_path), "wide.png", "97 × 96 px")
    succeeded(sentinode("data", "info", tmp_path, "--resize", "crop"))


def test_a_missing_run_and_a_missing_backend_are_refused(tmp_path, images):
    arguments = ["--model", tmp_path / "no-run", "--out", tmp_path / "out.csv"]
    refused(sentinode("predict", images / "test", *arguments), "no-run", "no such run directory")
    done = sentinode_process("predict", images / "test", "--out", tmp_path / "out.csv", KERAS_BACKEND="nonsense")
    refused(done, "nonsense", "sentinode doctor")


def test_data_info_shows_and_draws(tmp_path):
    output = succeeded(sentinode("data", "info", "pcam-mini", "--sheet", tmp_path / "sheet.png"))
    assert "class folders in a zip; 1,660 patches" in output
    assert re.search(r"train +540 +540", output)
    assert files_named(output) == [tmp_path / "sheet.png"]
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 1000


def test_data_info_and_the_cache_speak_json(tmp_path, images):
    cache = tmp_path / "cache"
    found = json.loads(succeeded(sentinode("data", "info", images, "--json", "--cache", cache)))
    assert found["kind"] == "Kaggle's histopathologic-cancer-detection"
    assert found["counts"]["test"] == {"normal": 0, "tumour": 0, "unlabeled": 10}
    listed = json.loads(succeeded(sentinode("data", "cache", "--json", "--cache", cache)))
    assert sorted(entry["patches"] for entry in listed["entries"]) == [10, 32]
    assert {entry["source"] for entry in listed["entries"]} == {str(images)}
    assert "2 entries" in succeeded(sentinode("data", "cache", "--list", SENTINODE_CACHE=str(cache)))
    cleared = json.loads(succeeded(sentinode("data", "cache", "--clear", "--json", "--cache", cache)))
    assert cleared["freed_bytes"] == sum(entry["size_bytes"] for entry in listed["entries"])
    assert "0 entries" in succeeded(sentinode("data", "cache", "--cache", cache))


def test_the_cache_lists_and_clears_what_was_exported_for_engines(tmp_path):
    export, other = tmp_path / "exports" / ("0" * 32), tmp_path / "exports" / "notes"
    for folder in (export, other):
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(bytes(2_000_000))
    environment = {"SENTINODE_CACHE": str(tmp_path)}
    (export / "entry.json").write_text('{"source": "runs/first"}')
    assert "1 entry, 2 MB" in succeeded(sentinode("data", "cache", **environment))
    (listed,) = json.loads(succeeded(sentinode("data", "cache", "--json", **environment)))["entries"]
    assert (listed["kind"], listed["source"], listed["path"]) == ("exports", "runs/first", str(export))
    cleared = json.loads(succeeded(sentinode("data", "cache", "--clear", "--json", **environment)))
    assert cleared["freed_bytes"] == listed["size_bytes"] > 2_000_000
    assert (export.exists(), (other / "model.onnx").is_file()) == (False, True)


@pytest.mark.slow
def test_the_demo_ends_by_naming_files_that_are_there(tmp_path):
    done = sentinode("demo", "--out", tmp_path / "demo")
    output = succeeded(done)
    assert re.search(r"AUC +0\.\d{3} \(", output)
    assert len(output[output.index("AUC") :].splitlines()) <= 25
    named = files_named(output)
    assert {path.name for path in named} >= {"roc.png", "curves.png", "predictions.csv"}
    assert all(path.stat().st_size > 0 for path in named)
    # Where no test has opened the sample before, it is decoded first.
    told = [line for line in done.stderr.splitlines() if not line.startswith(("decoding ", "epoch "))]
    assert len(told) == 1 and "400 of these patches were used to choose the threshold of d4net-m" in told[0]


@pytest.mark.slow
def test_train_takes_options_and_does_nothing_when_it_is_done(tmp_path, images):
    out = tmp_path / "run"
    said = ["train", images, "--model", "cnn", "--out", out, "--epochs", 2, "--optimizer", "adam"]
    said += ["--batch-size", 8, "--metrics", "accuracy,auc", "--class-weight", "balanced", "--seed", 3]
    said += ["--schedule", "cosine", "--option", "output=softmax", "--option", "dense_units=4"]
    done = sentinode(*said)
    output = succeeded(done)
    assert "become the validation split" in done.stderr
    assert all(path.is_file() for path in files_named(output))
    run = load_run(out)
    assert run.model.output_shape == (None, 2)
    assert (run.settings.optimizer, run.settings.seed, run.settings.metrics) == ("adam", 3, ("accuracy", "auc"))
    assert {"accuracy", "auc", "val_auc"} <= set(run.history.columns)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = sentinode(*said, "--json")
    assert json.loads(succeeded(again)) == {"run": str(out), **run.summary}
    assert "nothing to do" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.slow
def test_train_starts_from_a_run_and_says_so(tmp_path, tiny_run):
    train = ("train", "pcam-mini", "--model", tiny_run.path, "--out", tmp_path / "run", "--epochs", "1", "--json")
    done = sentinode(*train, "--learning-rate", "1e-9")
    assert done.returncode == 0, done.stderr
    run = load_run(tmp_path / "run")
    assert run.provenance.starting_weights.weights_sha256 == tiny_run.identity["weights_sha256"]
    for before, after in zip(tiny_run.model.get_weights(), run.model.get_weights(), strict=True):
        assert np.allclose(before, after, atol=1e-6)  # At this rate nothing is learned.
    refused = sentinode(*train, "--option", "kernel_size=5")
    assert refused.returncode == 1
    assert "leave out --option" in refused.stderr


@pytest.mark.slow
def test_models_counts_every_network():
    found = json.loads(succeeded(sentinode("models", "--json")))["models"]
    assert {each["model"] for each in found} == set(MODELS)
    of = {(each["model"], *each["options"].values()): each for each in found}
    assert (of["cnn",]["parameters"], of["cnn",]["gflop_per_patch"]) == (166_977, 0.037453952)
    assert of["d4net", "s"]["parameters"] < of["d4net", "m"]["parameters"] < of["d4net", "l"]["parameters"]
    output = succeeded(sentinode("models"))
    assert re.search(r"resnet18 +11,186,625 +0\.\d{3} +\w", output)


def test_evaluate_speaks_json(tmp_path, tiny_run):
    done = sentinode("evaluate", "pcam-mini", "--model", tiny_run.path, "--out", tmp_path / "it", "--json")
    assert json.loads(succeeded(done)) == json.loads((tmp_path / "it" / "metrics.json").read_text())


@pytest.mark.slow
def test_compare_accepts_predictions_of_other_software(tmp_path, tiny_run, images):
    ids = [path.stem for path in sorted((images / "train").iterdir())]
    pd.DataFrame({"id": ids, "probability": np.linspace(0, 1, len(ids))}).to_csv(tmp_path / "theirs.csv", index=False)
    said = ["compare", images, "--split", "train", "--model", f"ours={tiny_run.path}"]
    said += ["--model", tmp_path / "theirs.csv", "--out", tmp_path / "out"]
    done = sentinode(*said)
    output = succeeded(done)
    assert re.search(r"ours +166,977 +0\.037", output)
    assert re.search(r"ours - theirs +-?0\.\d{3}", output)
    assert "slides are unknown" in output
    assert "matched to patches by path without file ending" in done.stderr
    assert all(path.is_file() for path in files_named(output))
    found = json.loads(succeeded(sentinode(*said, "--json")))
    assert found == json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [model["name"] for model in found["models"]] == ["ours", "theirs"]
    (tmp_path / "theirs.csv").write_text("id,probability\nx,0.5\n")
    done = sentinode(*said)
    assert done.returncode == 1
    assert re.search(rf"theirs.csv: .*{len(ids)}", done.stderr)


def test_stress_shows_every_level_and_speaks_json(tmp_path, tiny_run, images):
    said = ["stress", images, "--split", "train", "--model", tiny_run.path, "--out", tmp_path / "out", "--quick"]
    output = succeeded(sentinode(*said))
    assert len(re.findall(r"\d %$", output, re.MULTILINE)) == 13
    assert re.search(r"AUC, mean over perturbations +0\.\d{3}", output)
    assert all(path.is_file() for path in files_named(output))
    found = json.loads(succeeded(sentinode(*said, "--json")))
    assert found == json.loads((tmp_path / "out" / "stress.json").read_text())


@pytest.mark.slow
def test_report_needs_only_a_run_and_ends_by_naming_the_page(tmp_path, tiny_run, monkeypatch):
    monkeypatch.setattr("sentinode.report.attribution_overlays.CHECKED_PATCHES", 1)  # Of several seconds each.
    run = shutil.copytree(tiny_run.path, tmp_path / "run")
    output = succeeded(sentinode("report", run, "--split", "valid", "--model-card"))
    assert files_named(output) == [run / "report.html", run / "model-card.md"]
    assert all(path.stat().st_size > 1000 for path in files_named(output))
    refused(sentinode("report", "d4net-m"), "pcam-small.zip + pcam-extra.zip, were not found", "report d4net-m DATA")


def test_a_submission_is_the_same_from_images_and_from_hdf5(tmp_path, tiny_run, images):
    tables = []
    for source, name in ((images, "images"), (next(images.parent.glob("*_x.h5")), "hdf5")):
        out = tmp_path / f"{name}.csv"
        output = succeeded(sentinode("predict", source, "--model", tiny_run.path, "--out", out, "--kaggle"))
        assert files_named(output) == [out, Path(f"{out}.json")]
        tables.append(pd.read_csv(out).set_index("id").sort_index())
    assert list(tables[0].columns) == ["label"]
    assert list(tables[0].index) == sorted(path.stem for path in (images / "test").iterdir())
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_ensembles_and_tta_are_named_in_the_output(tmp_path, tiny_run, other_run, images):
    both = ["--model", tiny_run.path, "--model", other_run.path]
    done = sentinode("predict", images / "test", *both, "--tta", "d4", "--out", tmp_path / "it.csv")
    output = succeeded(done)
    assert f"{tiny_run.path}, {other_run.path}" in output
    assert "eight times the cost" in done.stderr
    made = json.loads((tmp_path / "it.csv.json").read_text())
    assert made["tta"] == {"requested": "d4", "effective": "d4"}
    assert [each["model"] for each in made["ensemble"]] == [str(tiny_run.path), str(other_run.path)]
    refused(sentinode("evaluate", images, *both), "an ensemble has no folder of its own", "--out DIR")
    output = succeeded(sentinode("evaluate", images, *both, "--split", "train", "--out", tmp_path / "both"))
    assert f"--model {tiny_run.path} --model {other_run.path} --out" in output
    assert all(path.is_file() for path in files_named(output))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_processes_of_a_command_take_no_module_from_the_working_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "pickle.py").write_text("raise SystemExit('run')")
    (tmp_path / "it.py").write_text(
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    from sentinode.cli.main import main\n"
        "    try: main(['--version'])\n"
        "    except SystemExit: pass\n"
        "    process = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    process.start()\n    process.join()\n    raise SystemExit(process.exitcode)"
    )
    order = [sys.executable, tmp_path / "it.py"]
    succeeded(subprocess.run(order, cwd=tmp_path / "folder", capture_output=True, text=True, timeout=180))


def test_another_backend_never_imports_tensorflow(tmp_path, monkeypatch, images):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    script = (
        "import sys\nfrom sentinode.cli.main import main\n"
        "data, folder = sys.argv[1:]\n"
        "run = folder + '/run'\n"
        "assert main(['train', data, '--model', 'cnn', '--epochs', '1', '--out', run]) == 0\n"
        "assert main(['evaluate', data, '--model', run]) == 0\n"
        "assert main(['predict', data, '--split', 'test', '--model', run, '--out', folder + '/out.csv']) == 0\n"
        "assert 'jax' in sys.modules and sys.modules.get('tensorflow') is None"
    )
    done = subprocess.run([sys.executable, "-c", script, images, tmp_path], capture_output=True, text=True, timeout=180)
    succeeded(done)
    assert len(pd.read_csv(tmp_path / "out.csv")) == 10
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["environment"]["backend"] == "jax"
    assert (tmp_path / "run" / "evaluations" / "valid" / "roc.png").is_file()
