"""Batches for Keras: uint8 patches in an order that depends on seed and epoch alone."""

import keras
import numpy as np

from sentinode.data.patchset import PatchSet, Uint8


def epoch_order(count: int, seed: int | None, epoch: int) -> np.ndarray:
    """Return the order in which an epoch visits patches.

    Parameters
    ----------
    count
        How many patches there are.
    seed
        None keeps the source's order.
    epoch
        Counted from 0.

    Returns
    -------
    numpy.ndarray
        int64, shape ``(count,)``: a permutation, the same for the same arguments on every machine.

    Examples
    --------
    >>> epoch_order(5, seed=None, epoch=3).tolist()
    [0, 1, 2, 3, 4]
    >>> sorted(epoch_order(5, seed=1, epoch=3).tolist())
    [0, 1, 2, 3, 4]
    """
    if seed is None:
        return np.arange(count)
    return np.random.default_rng([seed, epoch]).permutation(count)


class Batches(keras.utils.PyDataset):
    """Patches (and labels) as Keras takes them.

    Parameters
    ----------
    patches
        Cached for training; any reader will do for one pass.
    batch_size
        Patches a batch; the last one may be smaller.
    outputs
        What the network has: 1 gives labels of shape ``(b, 1)``, 2 gives one-hot labels of shape ``(b, 2)``,
        both float32; 0 gives no labels.
    seed
        Shuffles; None keeps the source's order.
    epoch
        The epoch whose order is taken, counted from 0; `go_to` takes another.
    skip
        Leave out so many batches at the beginning of every epoch: a resumed training has seen them.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> x, y = Batches(open_patches("pcam-mini", split="test"), batch_size=8)[0]
    >>> x.shape, str(x.dtype), y.shape
    ((8, 96, 96, 3), 'uint8', (8, 1))
    """

    def __init__(
        self,
        patches: PatchSet,
        batch_size: int = 32,
        outputs: int = 1,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
    ) -> None:
        super().__init__()
        self._patches = patches
        self._batch_size = batch_size
        self._labels = targets(patches, outputs) if outputs else None
        self._seed = seed
        self._skip = skip
        self.go_to(epoch)

    def __len__(self) -> int:
        return -(-len(self._patches) // self._batch_size) - self._skip

    def __getitem__(self, index: int) -> tuple[Uint8, ...]:
        first = (self._skip + index) * self._batch_size
        rows = self._order[first : first + self._batch_size]
        pixels = self._patches.read(rows)
        return (pixels,) if self._labels is None else (pixels, self._labels[rows])

    def go_to(self, epoch: int) -> None:
        """Take the order of an epoch, counted from 0.

        It has to be said: Keras' own `on_epoch_begin` of a data set comes once too often on some backends.
        """
        self._order = epoch_order(len(self._patches), self._seed, epoch)


def targets(patches: PatchSet, outputs: int) -> np.ndarray:
    """Return what a network with so many outputs should say: float32, ``(n, 1)``, or one-hot ``(n, 2)``.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> targets(open_patches("pcam-mini", split="test").select([0, 1]), outputs=2).shape
    (2, 2)
    """
    labels = patches.labels.astype(np.float32)
    return labels[:, None] if outputs == 1 else np.stack([1 - labels, labels], axis=1)
