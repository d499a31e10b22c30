"""Random numbers of layers, drawn from generators that a seed fixes and a checkpoint holds, on every backend."""

import keras


def use_own_generators(model: keras.Model) -> None:
    """Make layers that were given no seed draw from their own generators.

    They do so already on TensorFlow and JAX. On PyTorch Keras takes a shorter way for dropout without a seed: the
    generator of the whole process, which differs from process to process and is in no checkpoint.

    Parameters
    ----------
    model
        Changed in place; what its generators have drawn so far stays drawn.
    """
    for layer in model._flatten_layers():
        for generator in layer._seed_generators:
            if generator._initial_seed is None:  # What Keras asks before it takes the shorter way.
                generator._initial_seed = int(keras.ops.convert_to_numpy(generator.state)[0])
