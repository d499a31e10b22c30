"""Sentinode against the way in which a course trains the same network: whole processes, in turn, on one folder.

    python benchmarks/classic_baseline.py pcam-small.zip

The course: `ImageDataGenerator(rescale=1/255).flow_from_directory` and `fit`, with a checkpoint and a TensorBoard
callback, three epochs of SGD(0.01, momentum 0.95) at batch 32, then the AUC on the validation patches. Sentinode:
`sentinode train FOLDER --model cnn`, which does the same and more, in float32 and, where the processor has it, with
`--precision bfloat16`, with a filled cache and, once, with an empty one. Where TensorFlow does not use oneDNN by
itself, the course runs with it as well, to tell what of the gain is that. Prints wall time, peak memory and AUC of
every run, ratios by pair, and differences of AUC by pair.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from sentinode.machine import processor_name, processors

DECODING = "Sentinode, first decode included"
WITH_ONEDNN = "course, oneDNN switched on"
COURSE = """
import sys, os
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator
from sklearn.metrics import roc_auc_score

data, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
keras.utils.set_random_seed(seed)
images = ImageDataGenerator(rescale=1 / 255)
flow = dict(target_size=(96, 96), batch_size=32, class_mode="binary")
train = images.flow_from_directory(f"{data}/train", **flow)
valid = images.flow_from_directory(f"{data}/valid", shuffle=False, **flow)
model = keras.Sequential([
    layers.Input((96, 96, 3)),
    layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(4),
    layers.Conv2D(64, 3, padding="same", activation="relu"), layers.MaxPooling2D(4),
    layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(1, activation="sigmoid"),
])
model.compile(keras.optimizers.SGD(0.01, momentum=0.95), "binary_crossentropy", metrics=["accuracy"])
model.fit(train, validation_data=valid, epochs=3, verbose=0, callbacks=[
    keras.callbacks.ModelCheckpoint(f"{out}/best.weights.h5", save_best_only=True, save_weights_only=True),
    keras.callbacks.TensorBoard(f"{out}/logs"),
])
model.load_weights(f"{out}/best.weights.h5")
model.save(f"{out}/model.keras")
print("AUC", roc_auc_score(valid.classes, model.predict(valid, verbose=0)[:, 0]))
"""


def main() -> None:
    """Run the pairs and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a zip of class folders: train/0, train/1, valid/0, valid/1")
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with zipfile.ZipFile(arguments.data) as archive:
            archive.extractall(work / "images")
        images = next(path for path in (work / "images", *(work / "images").iterdir()) if (path / "train").is_dir())
        print("| seed | way | wall time, s | peak memory, MB | AUC | times as fast as the course |")
        print("|---|---|---|---|---|---|")
        ratios: dict[str, list[float]] = {}
        differences: dict[str, list[float]] = {}
        for seed in range(arguments.pairs):
            course_s = course_auc = 0.0
            for way, command in ways(images, work, seed):
                if way == DECODING:
                    shutil.rmtree(work / "cache", ignore_errors=True)
                shutil.rmtree(work / "run", ignore_errors=True)
                (work / "run").mkdir()
                seconds, peak_mb, auc = timed(command, work / "cache", onednn=way == WITH_ONEDNN)
                course_s, course_auc = course_s or seconds, course_auc or auc
                if way != "course":
                    ratios.setdefault(way, []).append(course_s / seconds)
                    differences.setdefault(way, []).append(auc - course_auc)
                print(
                    f"| {seed} | {way} | {seconds:.1f} | {peak_mb:.0f} | {auc:.3f} | {course_s / seconds:.2f} |",
                    flush=True,
                )
    for way, values in ratios.items():
        print(f"\n{way}: {statistics.median(values):.2f} times as fast ({min(values):.2f}–{max(values):.2f})", end="")
        if len(values) > 1:
            error = statistics.stdev(differences[way]) / len(values) ** 0.5
            print(f"; AUC {statistics.mean(differences[way]):+.3f}, standard error {error:.3f}", end="")
    print()
    print(f"\n{time.strftime('%Y-%m-%d')}; {processors()} cores, {processor_name()}; {arguments.pairs} rounds in turn")


def ways(images: Path, work: Path, seed: int) -> list[tuple[str, list[str]]]:
    """Return what is compared, the course first."""
    ours = [sys.executable, "-m", "sentinode.cli.main", "train", str(images), "--model", "cnn", "--json"]
    ours += ["--out", str(work / "run"), "--seed", str(seed)]
    course, processor = [sys.executable, "-c", COURSE, str(images), str(work / "run"), str(seed)], processor_name()
    return [
        ("course", course),
        *([(WITH_ONEDNN, course)] if "avx512" not in processor else []),
        *([(DECODING, ours)] if seed == 0 else []),
        ("Sentinode", ours),
        *([("Sentinode, bfloat16", [*ours, "--precision", "bfloat16"])] if "bf16" in processor else []),
    ]


def timed(command: list[str], cache: Path, onednn: bool) -> tuple[float, float, float]:
    """Run a process; return its wall time, its peak resident memory in MB, and the AUC that it prints."""
    # What importing Sentinode has set here is not for the course.
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**environment, "SENTINODE_CACHE": str(cache), **({"TF_ENABLE_ONEDNN_OPTS": "1"} if onednn else {})},
    ) as child:
        assert child.stdout is not None
        said = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command[:4]} ended with {child.returncode}")
    auc = json.loads(said)["valid_auc"] if said.startswith("{") else float(said.split("AUC")[1])
    return seconds, peak_mb(usage), auc


def peak_mb(usage: resource.struct_rusage) -> float:
    """Return peak resident memory; mapped cache pages count in it."""
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
