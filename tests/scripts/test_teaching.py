"""The loop that teaches the weights that ship is the package's training in PyTorch."""

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import torch

from sentinode import build_model, open_patches
from sentinode.layers.augmentation import AUGMENTATIONS
from sentinode.layers.d4 import ORDER, turn
from sentinode.prediction.logits import logit_model
from sentinode.samples import sample_path
from sentinode.training.averaging import measure_statistics
from sentinode.training.muon import Muon

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture(scope="module")
def pixels():
    return open_patches("pcam-mini", split="test").read(range(0, 400, 4))


def as_input(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


def test_the_network_is_that_of_the_package(pixels):
    from teaching.loop import predict
    from teaching.network import Network

    torch.manual_seed(0)
    network, model = Network("s"), build_model("d4net", size="s")
    batches = (pixels[:50], pixels[50:])
    network.measure(as_input(batch) for batch in batches)
    arrays = network.to_arrays()
    assert [array.shape for array in arrays] == [array.shape for array in model.get_weights()]
    model.set_weights(arrays)
    logits = logit_model(model).predict_on_batch(pixels)[:, 0]
    assert np.ptp(logits) > 0.1
    np.testing.assert_allclose(predict(network, torch.from_numpy(pixels)).numpy(), logits, atol=1e-5)
    measure_statistics(model, batches)
    for mine, theirs in zip(arrays, model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["xl", "deep"])
def test_teachers_are_symmetric_as_well(name, pixels):
    from teaching.network import Network

    torch.manual_seed(0)
    network = Network(name)
    network.measure([as_input(pixels[:16])])
    with torch.no_grad():
        logits = [network(as_input(np.ascontiguousarray(turn(pixels[:4], number)))).numpy() for number in range(ORDER)]
    assert np.ptp(logits[0]) > 0.01
    np.testing.assert_allclose(logits, [logits[0]] * ORDER, atol=1e-4)


def test_a_step_is_that_of_the_package(pixels):
    from teaching.network import Network
    from teaching.optimiser import Optimiser

    torch.manual_seed(0)
    network, model = Network("s", dropout=0), build_model("d4net", size="s")
    model.set_weights(network.to_arrays())
    mine, theirs = Optimiser(network), Muon(learning_rate=0.02, momentum=0.9, weight_decay=0.1)
    mine.rate.fill_(0.02)
    theirs.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    labels = torch.arange(50) % 2
    order = [f"{part}_{number}" for number in range(7) for part in ("kernel", "gamma", "beta")] + ["head", "bias"]
    for _ in range(3):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(as_input(pixels[:50])), labels.float())
        gradients = dict(zip(mine.names, torch.autograd.grad(loss, mine.weights), strict=True))
        mine.apply(list(gradients.values()))
        theirs.apply([keras.ops.convert_to_tensor(gradients[name].numpy()) for name in order], model.trainable_weights)
    weights = {name: weight.detach().numpy() for name, weight in zip(mine.names, mine.weights, strict=True)}
    for name, weight in zip(order, model.trainable_weights, strict=True):
        np.testing.assert_allclose(weights[name], keras.ops.convert_to_numpy(weight), rtol=1e-4, atol=1e-5)


KINDS = ("placement", "focus", "stain", "light")
# Which of the random numbers of `Changes` each of them takes, in order.
DRAWN = {"placement": slice(0, 5), "focus": slice(5, 6), "stain": slice(6, 8), "light": slice(-2, None)}


@pytest.fixture
def drawn(monkeypatch):
    """What `torch.rand` gives, in order."""
    numbers, rand = [], torch.rand

    def kept(*shape, **about):
        numbers.append(rand(*shape, **about))
        return numbers[-1]

    monkeypatch.setattr("torch.rand", kept)
    torch.manual_seed(0)
    return numbers


def changed(pixels, **strengths):
    from teaching.changes import Changes

    return Changes(**{**dict.fromkeys(KINDS, 0.0), **strengths})(as_input(pixels)).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("strength", [0.8, 1.6])
@pytest.mark.parametrize("kind", KINDS)
def test_by_the_same_random_numbers_a_patch_changes_as_in_the_package(kind, strength, pixels, drawn):
    mine = changed(pixels, **{kind: strength})
    numbers = [number.numpy() for number in drawn[DRAWN[kind]]]

    class Given(AUGMENTATIONS[kind]):
        def draw(self, *shape):
            return keras.ops.convert_to_tensor(((numbers.pop(0) * 2 - 1) * self.strength).reshape(shape))

        def draw_whole(self, shape, below):
            assert below == 2
            return keras.ops.convert_to_tensor((numbers.pop(0) < 0.5).astype("int32").reshape(shape))

    theirs = keras.ops.convert_to_numpy(Given(strength, seed=0)(pixels.astype("float32"), training=True))
    theirs = np.clip(np.round(theirs), 0, 255)
    assert not numbers
    assert np.abs(mine - pixels).mean() > 1
    assert np.abs(mine - theirs).max() <= 1  # A value between two grey levels may be rounded to either.
    assert np.mean(mine != theirs) < 0.01


def test_without_strength_nothing_changes(pixels):
    np.testing.assert_array_equal(changed(pixels), pixels)


def test_colours_are_mixed_by_a_matrix_near_one(pixels, drawn):
    mine = changed(pixels, colours=1.0)
    mix = np.eye(3) + 0.1 * (drawn[-3].numpy() * 2 - 1)
    expected = np.einsum("nrci,nij->nrcj", pixels.astype("float64"), mix)
    assert np.abs(mine - np.clip(expected, 0, 255)).max() < 0.6


def test_a_network_learns_from_labels_and_another_from_it(monkeypatch):
    from teaching.changes import Changes
    from teaching.loop import learn, learn_from, predict

    monkeypatch.setattr("teaching.loop.BATCH", 32)
    monkeypatch.setattr("teaching.optimiser.EMA", 0.8)  # A few steps, so that the mean has to forget soon.
    rng = np.random.default_rng(0)
    shown = np.repeat(np.repeat(rng.integers(0, 256, (256, 12, 12, 3), dtype=np.uint8), 8, axis=1), 8, axis=2)
    labels = np.arange(256) % 2
    shown[labels == 1, 32:64, 32:64] //= 4
    pixels, still = torch.from_numpy(shown), Changes(placement=0, focus=0, stain=0, light=0)
    teacher = learn("s", still, pixels, torch.from_numpy(labels), epochs=4, seed=0)
    (pupil,) = learn_from([teacher], ["s"], still, pixels, epochs=4, seed=1)
    for network in (teacher, pupil):
        assert np.mean((predict(network, pixels).numpy() > 0) == labels) > 0.9


def test_of_exact_copies_one_is_read(tmp_path):
    from teaching.reading import read

    with zipfile.ZipFile(sample_path("pcam-mini")) as sample, zipfile.ZipFile(tmp_path / "twice.zip", "w") as twice:
        names = [name for name in sample.namelist() if name.startswith("train/")]
        for name in (*names[:4], *names[-4:]):
            *folders, file = name.split("/")
            for copy in (file, f"copy-of-{file}"):
                twice.writestr("/".join([*folders, copy]), sample.read(name))
    pixels, labels = read([tmp_path / "twice.zip"])
    assert pixels.shape == (8, 96, 96, 3)
    assert labels.tolist() == [0] * 4 + [1] * 4
