"""ResNet-18: shapes of the paper, and identity shortcuts."""

import keras
import numpy as np

from sentinode import build_model


def test_it_has_the_layers_and_parameters_of_the_paper():
    model = build_model("resnet18")
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    main = [layer for layer in convolutions if not layer.name.endswith("_shortcut")]
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert len(main) + len(dense) == 18
    assert [layer.filters for layer in main] == [64] * 5 + [128] * 4 + [256] * 4 + [512] * 4
    # Torchvision's ResNet-18 has 11,689,512 with its 1,000 classes; here is one, with bias.
    learned = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert learned == 11_689_512 - 1_000 * 513 + 513
    assert model.get_layer("stage_4_block_2_relu_2").output.shape[1:] == (3, 3, 512)


def test_a_block_that_adds_nothing_passes_its_input_on():
    model = build_model("resnet18", width=2)
    model.get_layer("stage_2_block_2_conv_2").kernel.assign(np.zeros((3, 3, 4, 4), np.float32))
    names = ("stage_2_block_1_relu_2", "stage_2_block_2_relu_2")
    values = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    before, after = (keras.ops.convert_to_numpy(each) for each in values(np.full((1, 96, 96, 3), 90, np.uint8)))
    assert before.max() > 0
    np.testing.assert_array_equal(before, after)
