"""Batches for Keras: uint8 patches in an order that depends on seed and epoch alone."""

import math
from dataclasses import dataclass

import keras
import numpy as np

from sentinode.data.patchset import PatchSet
from sentinode.data.types import UInt8Array


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


@dataclass(frozen=True)
class Share:
    """Which part of every batch a process takes.

    Attributes
    ----------
    devices
        Of all processes together; each takes the same number of rows.
    processes
        Each has the same number of devices.
    process
        This one, counted from 0.
    """

    devices: int = 1
    processes: int = 1
    process: int = 0

    def copies(self, rows: int) -> int:
        """Return how often rows have to be repeated until all devices have the same number.

        Examples
        --------
        >>> [Share(devices=4).copies(rows) for rows in (8, 6, 5)]
        [1, 2, 4]
        """
        return self.devices // math.gcd(rows, self.devices)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return this process' part of a batch: the parts of all processes, one after another, are the batch.

        Examples
        --------
        >>> [Share(2, 2, process).of(np.array([7, 8, 9])).tolist() for process in (0, 1)]
        [[7, 8, 9], [7, 8, 9]]
        """
        everything = np.tile(rows, self.copies(len(rows)))
        each = len(everything) // self.processes
        return everything[self.process * each : (self.process + 1) * each]


class Batches(keras.utils.PyDataset):
    """Patches (and labels) as Keras takes them.

    Parameters
    ----------
    patches
        Cached for training; any reader will do for one pass.
    batch_size
        Patches a batch, of all processes together; the last one may be smaller.
    outputs
        What the network has: 1 gives labels of shape ``(b, 1)``, 2 gives one-hot labels of shape ``(b, 2)``,
        both float32; 0 gives no labels.
    seed
        Shuffles; None keeps the source's order.
    epoch
        The epoch whose order is taken, counted from 0; `go_to` takes another.
    skip
        Leave out so many batches at the beginning of every epoch: a resumed training has seen them.
    share
        What this process takes of each batch. A batch that cannot be shared out evenly is repeated: the mean over its
        rows, and with it the step, stays the same.

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
        share: Share | None = None,
    ) -> None:
        super().__init__()
        self._patches = patches
        self._batch_size = batch_size
        self._labels = targets(patches, outputs) if outputs else None
        self._seed = seed
        self._skip = skip
        self._share = share or Share()
        self.go_to(epoch)

    def __len__(self) -> int:
        return -(-len(self._patches) // self._batch_size) - self._skip

    def __getitem__(self, index: int) -> tuple[UInt8Array, ...]:
        rows = self._share.of(self._rows(index))
        pixels = self._patches.read(rows)
        return (pixels,) if self._labels is None else (pixels, self._labels[rows])

    def copies(self, index: int) -> int:
        """Return how often the rows of a batch are repeated; 1 for all but a last, smaller one."""
        return self._share.copies(len(self._rows(index)))

    def go_to(self, epoch: int) -> None:
        """Take the order of an epoch, counted from 0.

        It has to be said: Keras' own `on_epoch_begin` of a data set comes once too often on some backends.
        """
        self._order = epoch_order(len(self._patches), self._seed, epoch)

    def _rows(self, index: int) -> np.ndarray:
        first = (self._skip + index) * self._batch_size
        return self._order[first : first + self._batch_size]


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
