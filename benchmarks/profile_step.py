"""Profile a training step on TensorFlow: its operations and their time.

    python benchmarks/profile_step.py                           # the classic network, operation by operation
    python benchmarks/profile_step.py --model transfer --kinds  # MobileNetV2 from random weights, by kind of operation

Operations run in parallel, so their times add up to more than the step.
"""

import argparse
import collections
import os
import re
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

STEPS, BATCH_SIZE = 20, 32


def main() -> None:
    """Train under TensorFlow's profiler and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("cnn", "transfer"), default="cnn")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--unfused-normalization", action="store_true", help="use Keras' own batch normalization")
    parser.add_argument("--kinds", action="store_true", help="sum operations of the same kind")
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from sentinode.machine import keep_freed_memory, processor_count, processor_name

    keep_freed_memory()
    import numpy as np
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    from sentinode import TrainConfig, build_model
    from sentinode.keras_compat.training_speed import activation_after_pooling, fused_batch_normalization
    from sentinode.models.precision import mixed_precision
    from sentinode.training.recipe.compile import compile_model

    x = np.random.default_rng(0).integers(0, 256, (STEPS * BATCH_SIZE, 96, 96, 3), dtype=np.uint8)
    y = np.zeros((len(x), 1), np.float32)
    model = build_model(arguments.model)
    fused = nullcontext() if arguments.unfused_normalization else fused_batch_normalization(model)
    with (
        mixed_precision(model, arguments.precision),
        activation_after_pooling(model),
        fused,
        tempfile.TemporaryDirectory() as folder,
    ):
        compile_model(model, TrainConfig(), STEPS)
        model.fit(x, y, batch_size=BATCH_SIZE, verbose=0)
        tf.profiler.experimental.start(folder)
        model.fit(x, y, batch_size=BATCH_SIZE, verbose=0)
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    spent: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                spent[plane.event_metadata[event.metadata_id].name] += event.duration_ps / 1e9 / STEPS
    print(f"| {arguments.model}, {arguments.precision}, ms per step | operation |\n|---|---|")
    kinds: collections.Counter[str] = collections.Counter()
    for name, ms in spent.most_common():
        if name == "multi_step_on_iterator":
            print(f"| {ms:.1f} | the whole step |")
        found = re.fullmatch(r"StatefulPartitionedCall/(.*):(\w+)", name)
        if found:
            kinds[f"`{found[2]}`" if arguments.kinds else f"`{found[2]}` {found[1]}"] += ms
    for name, ms in kinds.most_common():
        if ms >= 0.2:
            print(f"| {ms:.1f} | {name} |")
    print(f"\n{time.strftime('%Y-%m-%d')}; {processor_count()} cores, {processor_name()}")


if __name__ == "__main__":
    main()
