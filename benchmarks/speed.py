"""Measure training and prediction speed by backend, precision and optimization, and the share of the processor's peak.

    python benchmarks/speed.py                      # cnn
    python benchmarks/speed.py --model d4net --size m --batch-size 64 --patches 512

Every configuration is a process of its own; all of them run in turn, several times. Patches are random pixels in
memory. The peak is a product of 2048 × 2048 matrices in the same precision on TensorFlow; a training step counts as
three times the FLOPs of the forward pass.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from typing import Any

from sentinode.machine import processor_name

# Configurations, as differences from TensorFlow in float32 with all optimizations.
LINES: dict[str, dict[str, Any]] = {
    "TensorFlow, float32": {},
    "TensorFlow, bfloat16": {"precision": "bfloat16"},
    "TensorFlow, float32, oneDNN off": {"environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
    "TensorFlow, float32, activation before pooling": {"activation_after_pooling": False},
    "TensorFlow, float32, unfused batch normalization": {"fused": False},
    "TensorFlow, float32, freed memory returned": {"keep": False},
    "TensorFlow, float32, jit_compile": {"jit": True},
    "TensorFlow, bfloat16, jit_compile": {"jit": True, "precision": "bfloat16"},
    "TensorFlow, float32, 8 steps per execution": {"steps": 8},
    "TensorFlow, float32, one inter-op thread": {"environment": {"TF_NUM_INTEROP_THREADS": "1"}},
    "TensorFlow, float32, one thread": {"threads": 1},
    "JAX, float32": {"backend": "jax"},
    "JAX, float32, freed memory returned": {"backend": "jax", "keep": False},
    "JAX, bfloat16": {"backend": "jax", "precision": "bfloat16"},
    "PyTorch, float32": {"backend": "torch"},
    "PyTorch, float32, unfused batch normalization": {"backend": "torch", "fused": False},
    "PyTorch, float32, freed memory returned": {"backend": "torch", "keep": False},
    "PyTorch, bfloat16": {"backend": "torch", "precision": "bfloat16"},
}


def main() -> None:
    """Run every configuration several times and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--patches", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", help="size of d4net: s, m or l")
    parser.add_argument("--only", default="", help="only configurations whose name starts with this")
    parser.add_argument(
        "--but", default="nothing", help="skip configurations whose name contains this, such as bfloat16"
    )
    parser.add_argument("--child")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(json.loads(arguments.child), arguments)))
        return
    lines = {name: LINES[name] for name in LINES if name.startswith(arguments.only) and arguments.but not in name}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in lines}
    peaks: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        peaks.append(child({"peak": True}, arguments))
        for name, line in lines.items():
            found[name].append(child(line, arguments))
    most = {name: max(each[name] for each in peaks) for name in ("float32", "bfloat16")}
    print("| configuration | train, patches/s | share of peak | predict, patches/s |")
    print("|---|---|---|---|")
    for name, values in found.items():
        train = [value["train"] for value in values]
        predict = statistics.median(value["predict"] for value in values)
        precision = lines[name].get("precision", "float32")
        share = 3 * values[0]["gflop"] * statistics.median(train) / most[precision]
        share_text = "" if lines[name].get("threads") else f"{share:.0%}"
        spread = f"{statistics.median(train):.0f} ({min(train):.0f}–{max(train):.0f})"
        print(f"| {name} | {spread} | {share_text} | {predict:.0f} |")
    gflop, network = next(iter(found.values()))[0]["gflop"], f"{arguments.model} {arguments.size or ''}".strip()
    print(
        f"\n{network}, {gflop * 1e3:.1f} MFLOP per patch forward; batch {arguments.batch_size}, prediction 128; "
        f"{arguments.patches:,} patches, {arguments.rounds} rounds in turn: median (min–max). "
        f"Peak: {most['float32']:.0f} GFLOP/s in float32, {most['bfloat16']:.0f} in bfloat16. "
        f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores, {processor_name()}"
    )


def child(line: dict[str, Any], arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one configuration in a process of its own."""
    options = [
        "--model",
        arguments.model,
        "--patches",
        str(arguments.patches),
        "--batch-size",
        str(arguments.batch_size),
        *(["--size", arguments.size] if arguments.size else []),
    ]
    done = subprocess.run(
        [sys.executable, __file__, *options, "--child", json.dumps(line)],
        env={
            **os.environ,
            "KERAS_BACKEND": line.get("backend", "tensorflow"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **line.get("environment", {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(line: dict[str, Any], arguments: argparse.Namespace) -> dict[str, float]:
    """Return patches/s of training and prediction, the better of two passes, and GFLOP per patch."""
    from sentinode.machine import keep_freed_memory, limit_processors

    if line.get("peak"):
        return matrix_peak()
    if line.get("threads"):
        limit_processors(line["threads"])
    if line.get("keep", True):
        keep_freed_memory()
    import keras
    import numpy as np

    from sentinode import build_model
    from sentinode.keras_compat.training_speed import activation_after_pooling, fused_batch_normalization
    from sentinode.models.flops import flops
    from sentinode.models.precision import mixed_precision

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (arguments.patches, 96, 96, 3), dtype=np.uint8)
    y = rng.integers(0, 2, (len(x), 1)).astype(np.float32)
    model = build_model(arguments.model, **({"size": arguments.size} if arguments.size else {}))
    size = arguments.batch_size
    late = activation_after_pooling(model) if line.get("activation_after_pooling", True) else nullcontext()
    fused = fused_batch_normalization(model) if line.get("fused", True) else nullcontext()
    with mixed_precision(model, line.get("precision", "float32")), late, fused:
        model.compile(
            keras.optimizers.SGD(0.01, momentum=0.95),
            "binary_crossentropy",
            metrics=["accuracy"],
            jit_compile=line.get("jit", "auto" if line.get("backend") == "jax" else False),
            steps_per_execution=line.get("steps", 1),
        )
        model.fit(x[: 16 * size], y[: 16 * size], batch_size=size, shuffle=False, verbose=0)
        model.predict(x[:256], batch_size=128, verbose=0)
        train, predict = [], []
        for _ in range(2):
            started = time.perf_counter()
            model.fit(x, y, batch_size=size, shuffle=False, verbose=0)
            train.append(time.perf_counter() - started)
            started = time.perf_counter()
            model.predict(x, batch_size=128, verbose=0)
            predict.append(time.perf_counter() - started)
    return {"train": len(x) / min(train), "predict": len(x) / min(predict), "gflop": flops(model) / 1e9}


def matrix_peak() -> dict[str, float]:
    """Return GFLOP/s of a large matrix product in both precisions."""
    import tensorflow as tf

    side, peak = 2048, {}
    for precision in ("float32", "bfloat16"):
        a = tf.cast(tf.random.normal((side, side)), precision)
        multiply = tf.function(lambda a: tf.linalg.matmul(a, a))
        multiply(a)
        seconds = []
        for _ in range(12):
            started = time.perf_counter()
            multiply(a).numpy()
            seconds.append(time.perf_counter() - started)
        peak[precision] = 2 * side**3 / min(seconds) / 1e9
    return peak


if __name__ == "__main__":
    main()
