"""Random generators of layers."""

import random

import keras
from keras import ops

from sentinode.keras_compat.graph import flatten_layers


def use_own_generators(model: keras.Model) -> None:
    """Make layers that were given no seed draw from their own generators on every backend.

    On TensorFlow and JAX they always do. On PyTorch, Keras lets dropout without a seed draw from the global generator,
    whose state differs between processes and is not part of a checkpoint.

    Parameters
    ----------
    model : keras.Model
        Changed in place. The states of its generators are kept.
    """
    for layer in flatten_layers(model):
        for generator in layer._seed_generators:
            if generator._initial_seed is None:  # The condition for which Keras checks.
                generator._initial_seed = int(ops.convert_to_numpy(generator.state)[0])


def seed_generators(model: keras.Model, seed: int) -> None:
    """Seed the generators of layers that were given no seed, such as dropout of a model that was loaded from a file.

    Parameters
    ----------
    model : keras.Model
        Changed in place.
    seed : int
    """
    seeds = random.Random(seed)
    for layer in flatten_layers(model):
        for generator in layer._seed_generators:
            if generator._initial_seed is None:
                generator.state.assign(ops.convert_to_tensor([seeds.randrange(1, 10**9), 0], generator.state.dtype))
