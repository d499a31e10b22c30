"""TensorFlow, JAX and PyTorch run one battery, each in a process of its own; the results are compared here.

Initial weights of a seed and the masks of dropout and augmentation differ: each backend has its own random generators.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from tests.once import made_once

BATTERY = Path(__file__).with_name("battery.py")

pytestmark = pytest.mark.slow
BACKENDS = [name for name in ("tensorflow", "jax", "torch") if find_spec(name)]
OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(name not in BACKENDS, reason=f"{name} is not installed"))
    for name in ("jax", "torch")
]
ALL = ["tensorflow", *OTHERS]
# Largest difference between the changes of a variable, relative to the largest change. Rounding errors grow in 27
# normalization layers, and processors differ: 0.055 was observed without AVX-512. A wrong step differs by its length.
NETWORKS = {
    "cnn-sigmoid": 0.0005,
    "cnn-softmax": 0.0005,
    "mlp-sigmoid": 0.0005,
    "transfer-sigmoid": 0.15,
    "d4net-sigmoid": 0.01,
}
RUNS = [*NETWORKS, "whole"]
START = """
import sys
from pathlib import Path
import battery
for network in battery.NETWORKS:
    battery.save_start(network, battery.few_patches()[0].read(), Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def made(shared_folder) -> Path:
    """The results of the battery, one folder per backend; each backend read the runs of all."""
    return made_once(shared_folder / "backends", run_battery)


def run_battery(folder: Path) -> None:
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(BATTERY.parent), *sys.path])}
    subprocess.run([sys.executable, "-c", START, str(folder)], check=True, env=environment, capture_output=True)
    children: dict[str, subprocess.Popen[str]] = {}
    try:
        for backend in BACKENDS:  # One after the other, since they share the processors.
            children[backend] = subprocess.Popen(
                [sys.executable, str(BATTERY), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(folder / f"{backend}.log").open("w"),
                text=True,
                env={**environment, "KERAS_BACKEND": backend},
            )
            assert children[backend].stdout.readline() == "made\n", (folder / f"{backend}.log").read_text()
        for backend, child in children.items():
            child.communicate("go on\n", timeout=300)
            assert child.returncode == 0, (folder / f"{backend}.log").read_text()
    finally:
        for child in children.values():
            child.kill()
            child.wait()


def facts(made: Path, backend: str) -> dict[str, Any]:
    return json.loads((made / backend / "facts.json").read_text())


def arrays(path: Path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[name] for name in file.files]


def history(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "history.csv").drop(columns=["train_s", "patches_per_s"])


def layout(run: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and dtype of everything in a weight file, in its order."""
    found = []
    with h5py.File(run / "final.weights.h5") as file:
        file.visititems(
            lambda name, item: found.append((name, item.shape, str(item.dtype))) if hasattr(item, "dtype") else None
        )
    return found


@pytest.mark.parametrize("backend", ALL)
def test_a_seed_fixes_weights_and_dropout(made, backend):
    for network in NETWORKS:
        built, again = (arrays(made / backend / f"{network}-{which}.npz") for which in ("built", "built-again"))
        assert len(built) == len(again) > 0
        assert all(np.array_equal(one, two) for one, two in zip(built, again, strict=True))
    one, two = facts(made, backend)["dropout"]
    assert one == two
    assert set(one) == {0, 2}


@pytest.mark.parametrize("network", RUNS)
@pytest.mark.parametrize("backend", OTHERS)
def test_the_same_variables_in_the_same_order(made, backend, network):
    assert len(layout(made / "tensorflow" / network)) >= 4
    assert layout(made / backend / network) == layout(made / "tensorflow" / network)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("backend", OTHERS)
def test_one_step_from_the_same_weights_changes_them_equally(made, backend, network):
    one, two = made / "tensorflow" / network, made / backend / network
    for loss in ("loss", "val_loss"):
        assert history(two)[loss].tolist() == pytest.approx(history(one)[loss].tolist(), rel=2e-5)
    before = arrays(made / f"{network}-start.npz")
    ours, theirs = (arrays(made / name / f"{network}-after.npz") for name in ("tensorflow", backend))
    changed = 0
    for start, one_after, two_after in zip(before, ours, theirs, strict=True):
        largest = np.abs(one_after - start).max()
        rounding = 2 * np.spacing(np.abs(start).max())
        changed += largest > 100 * rounding
        assert np.abs(one_after - two_after).max() <= NETWORKS[network] * largest + rounding
    assert changed >= 4


@pytest.mark.parametrize("network", RUNS)
@pytest.mark.parametrize("reader", ALL)
@pytest.mark.parametrize("maker", ALL)
def test_a_run_gives_the_same_logits_on_every_backend(made, maker, reader, network):
    at_home, abroad = (np.load(made / where / f"logits-{maker}-{network}.npy") for where in (maker, reader))
    # A hundredth of the spread between patches, and never more than the rounding of a whole network.
    spread = np.ptp(at_home)
    assert spread > 5e-4
    assert abroad == pytest.approx(at_home, rel=0, abs=min(1e-4, spread / 100))


@pytest.mark.parametrize("backend", ALL)
def test_an_interrupted_training_ends_with_the_same_weights(made, backend):
    whole, interrupted = made / backend / "whole", made / backend / "interrupted"
    within, validating, after = facts(made, backend)["interrupted_at"]
    assert within[0] == 0 and 1 <= within[1] <= 3
    assert validating[0] == 0 and within[1] <= validating[1] <= 5  # At the latest before the last step.
    assert after == [1, 0]
    for name in ("best.weights.h5", "final.weights.h5"):
        assert (interrupted / name).read_bytes() == (whole / name).read_bytes()
    assert history(interrupted).equals(history(whole))


@pytest.mark.parametrize("backend", OTHERS)
def test_tensorflow_is_never_imported_on_another_backend(made, backend):
    assert backend in facts(made, backend)["imported"]
    assert "tensorflow" not in facts(made, backend)["imported"]


@pytest.mark.parametrize("backend", OTHERS)
def test_d4net_is_invariant_and_scans_a_region_as_it_predicts_patches(made, backend):
    found = facts(made, backend)["d4nets"]
    assert len(found) >= 2
    for name, largest in found.items():
        assert largest["spread"] > 1e-3, name
        assert largest["turned"] <= 1e-4, name
        assert largest["scanned"] <= 1e-4, name


@pytest.mark.parametrize("backend", OTHERS)
def test_underexposed_patches_are_brightened_alike(made, backend):
    bright, dark = facts(made, "tensorflow")["underexposed"]
    assert np.corrcoef(bright, dark)[0, 1] > 0.9
    np.testing.assert_allclose(facts(made, backend)["underexposed"], [bright, dark], atol=1e-3)


@pytest.mark.parametrize("backend", OTHERS)
def test_gradients_are_those_of_every_backend(made, backend):
    with np.load(made / "tensorflow" / "slopes.npz") as ours, np.load(made / backend / "slopes.npz") as theirs:
        assert sorted(ours.files) == sorted(theirs.files)
        for name in ours.files:
            largest = np.abs(ours[name]).max()
            assert largest > 0
            np.testing.assert_allclose(theirs[name], ours[name], atol=1e-4 * largest, err_msg=name)


@pytest.mark.skipif("torch" not in BACKENDS, reason="torch is not installed")
def test_faster_layers_and_muon_hold_on_pytorch():
    tests = Path(__file__).parents[1] / "test_keras_compat.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(
        command, env={**os.environ, "KERAS_BACKEND": "torch"}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
