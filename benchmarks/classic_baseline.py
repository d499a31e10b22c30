"""Compare `sentinode train --model cnn` with a plain Keras script that trains the same network.

    python benchmarks/classic_baseline.py pcam-small.zip

Both train from the same folder of JPEG files, as whole processes in turn. The Keras baseline uses
`ImageDataGenerator(rescale=1/255).flow_from_directory` and `fit` with a checkpoint and a TensorBoard callback: three
epochs of SGD(0.01, momentum 0.95) at batch 32, then the AUC on the validation patches. Sentinode runs in float32 with
a filled cache, once with an empty one, and in bfloat16 where the processor supports it. Where TensorFlow does not
enable oneDNN, the baseline also runs with oneDNN enabled. Prints wall time, peak memory and AUC of every run,
speed-ups, and AUC differences by pair.
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

from sentinode.machine import processor_count, processor_name

DECODING = "Sentinode, including decoding"
WITH_ONEDNN = "Keras baseline, oneDNN enabled"
BASELINE = """
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
    """Run all pairs and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a zip of class folders: train/0, train/1, valid/0, valid/1")
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with zipfile.ZipFile(arguments.data) as archive:
            archive.extractall(work / "images")
        images = next(path for path in (work / "images", *(work / "images").iterdir()) if (path / "train").is_dir())
        print("| seed | method | wall time, s | peak memory, MB | AUC | speed-up |")
        print("|---|---|---|---|---|---|")
        ratios: dict[str, list[float]] = {}
        differences: dict[str, list[float]] = {}
        for seed in range(arguments.pairs):
            baseline_s = baseline_auc = 0.0
            for method, command in methods(images, work, seed):
                if method == DECODING:
                    shutil.rmtree(work / "cache", ignore_errors=True)
                shutil.rmtree(work / "run", ignore_errors=True)
                (work / "run").mkdir()
                seconds, peak_mb, auc = timed(command, work / "cache", onednn=method == WITH_ONEDNN)
                baseline_s, baseline_auc = baseline_s or seconds, baseline_auc or auc
                if method != "Keras baseline":
                    ratios.setdefault(method, []).append(baseline_s / seconds)
                    differences.setdefault(method, []).append(auc - baseline_auc)
                print(
                    f"| {seed} | {method} | {seconds:.1f} | {peak_mb:.0f} | {auc:.3f} | {baseline_s / seconds:.2f} |",
                    flush=True,
                )
    for method, values in ratios.items():
        print(
            f"\n{method}: {statistics.median(values):.2f} times as fast ({min(values):.2f}–{max(values):.2f})", end=""
        )
        if len(values) > 1:
            error = statistics.stdev(differences[method]) / len(values) ** 0.5
            print(f"; AUC {statistics.mean(differences[method]):+.3f}, standard error {error:.3f}", end="")
    print()
    machine = f"{processor_count()} cores, {processor_name()}"
    print(f"\n{time.strftime('%Y-%m-%d')}; {machine}; {arguments.pairs} rounds in turn")


def methods(images: Path, work: Path, seed: int) -> list[tuple[str, list[str]]]:
    """Return the name and command of each method, the baseline first."""
    ours = [sys.executable, "-m", "sentinode", "train", str(images), "--model", "cnn", "--json"]
    ours += ["--out", str(work / "run"), "--seed", str(seed)]
    baseline, processor = [sys.executable, "-c", BASELINE, str(images), str(work / "run"), str(seed)], processor_name()
    return [
        ("Keras baseline", baseline),
        *([(WITH_ONEDNN, baseline)] if "avx512" not in processor else []),
        *([(DECODING, ours)] if seed == 0 else []),
        ("Sentinode", ours),
        *([("Sentinode, bfloat16", [*ours, "--precision", "bfloat16"])] if "bf16" in processor else []),
    ]


def timed(command: list[str], cache: Path, onednn: bool) -> tuple[float, float, float]:
    """Run a process and return its wall time, its peak resident memory in MB, and the AUC that it prints."""
    # Importing Sentinode has enabled oneDNN here; the baseline must not inherit that.
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
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command[:4]} ended with {child.returncode}")
    auc = json.loads(output)["valid_auc"] if output.startswith("{") else float(output.split("AUC")[1])
    return seconds, peak_mb(usage), auc


def peak_mb(usage: resource.struct_rusage) -> float:
    """Return the peak resident memory in MB, mapped cache pages included."""
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
