import numpy as np
import pytest

from sentinode import TrainConfig, build_model
from sentinode.data.batches import Batches, epoch_order
from sentinode.errors import RunError
from sentinode.training.recipe.compile import compile_model
from sentinode.training.state.checkpoint import Checkpoint, initial_checkpoint, read_variables, write_variables


def compiled(name: str = "cnn", optimizer: str = "sgd", seed: int = 0, **options):
    model = build_model(name, seed=seed, **options)
    compile_model(model, TrainConfig(optimizer=optimizer), steps_per_epoch=4)
    return model


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    before = Checkpoint(2, 17, [{"epoch": 1, "val_loss": 0.5}], 12.5, {"model_0": np.arange(6.0).reshape(2, 3)})
    before.save(tmp_path / "it.npz")
    after = Checkpoint.load(tmp_path / "it.npz")
    assert (after.epoch, after.batch, after.rows, after.duration_s) == (2, 17, [{"epoch": 1, "val_loss": 0.5}], 12.5)
    assert list(after.arrays) == ["model_0"]
    assert np.array_equal(after.arrays["model_0"], before.arrays["model_0"])


@pytest.mark.slow
def test_the_state_of_another_process_is_restored_by_position(mini, tmp_path):
    trained = compiled(optimizer="adam", seed=1)
    trained.train_on_batch(*Batches(mini, 8)[0])
    Checkpoint(arrays=read_variables(trained)).save(tmp_path / "it.npz")
    other = compiled(optimizer="adam", seed=2)
    other.optimizer.build(other.trainable_variables)
    write_variables(other, Checkpoint.load(tmp_path / "it.npz").arrays, tmp_path / "it.npz", metrics=False)
    batch = Batches(mini, 8)[1]
    assert trained.train_on_batch(*batch)[0] != compiled(optimizer="adam", seed=2).train_on_batch(*batch)[0]
    other.train_on_batch(*batch)
    for one, two in zip(trained.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(one, two)


def test_generators_of_dropout_are_part_of_the_state():
    with_dropout = initial_checkpoint(compiled("transfer"))
    assert any(array.shape == (2,) and array.dtype.kind in "iu" for array in with_dropout.arrays.values())


@pytest.mark.parametrize(
    "other", [{"dense_units": 32}, {"optimizer": "adam"}, {"output": "softmax"}, {"name": "mlp"}], ids=str
)
def test_the_checkpoint_of_another_model_is_refused_and_changes_nothing(other, tmp_path):
    model = compiled()
    model.optimizer.build(model.trainable_variables)
    before = read_variables(model)
    with pytest.raises(RunError, match="belongs to another model"):
        write_variables(model, initial_checkpoint(compiled(**other)).arrays, tmp_path / "it.npz", metrics=False)
    for name, array in read_variables(model).items():
        assert np.array_equal(array, before[name])


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_broken_checkpoint_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "it.npz"
    initial_checkpoint(compiled()).save(path)
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"not a checkpoint"}[damage])
    with pytest.raises(RunError, match="not a readable checkpoint") as refusal:
        Checkpoint.load(path)
    assert "\n" not in str(refusal.value)


def test_a_resumed_epoch_sees_the_remaining_batches(mini):
    few = mini.select(range(50))
    whole, rest = Batches(few, 8, seed=4, epoch=2), Batches(few, 8, seed=4, epoch=2, skip=3)
    assert len(rest) == len(whole) - 3
    for index in range(len(rest)):
        for one, two in zip(rest[index], whole[index + 3], strict=True):
            assert np.array_equal(one, two)
    assert np.array_equal(whole[0][0], few.read(epoch_order(50, 4, 2)[:8]))
