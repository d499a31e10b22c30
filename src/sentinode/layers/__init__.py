"""Keras layers: equivariant convolutions, augmentation, preprocessing of backbones."""
