"""Batches for Keras: uint8 patches in an order that depends on seed and epoch alone."""

from dataclasses import dataclass

import keras
import numpy as np

from sentinode.data.patchset import PatchSet
from sentinode.data.types import UInt8Array

# Column of the table with probabilities of tumour that replace the labels in training.
TARGET = "target"


def epoch_order(count: int, seed: int | None, epoch: int) -> np.ndarray:
    """Compute the order in which an epoch visits patches.

    Parameters
    ----------
    count : int
        Number of patches.
    seed : int or None
        None keeps the order of the data.
    epoch : int
        Counted from 0.

    Returns
    -------
    ndarray of shape (count,)
        An int64 permutation, the same for the same arguments on every machine.

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
    """The part of every batch that one process reads.

    Attributes
    ----------
    devices : int
        Devices of all processes together. Each gets the same number of rows.
    processes : int
        Number of processes, each with the same number of devices.
    process : int
        Index of this process.
    """

    devices: int = 1
    processes: int = 1
    process: int = 0

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of this process; the parts of all processes in order are the padded batch.

        A batch that cannot be divided evenly between the devices is padded with copies of its last row.

        Parameters
        ----------
        rows : ndarray of shape (n,)

        Returns
        -------
        ndarray of shape (m,)

        Examples
        --------
        >>> [Share(2, 2, process).of(np.array([7, 8, 9])).tolist() for process in (0, 1)]
        [[7, 8], [9, 9]]
        """
        padded = np.append(rows, np.repeat(rows[-1:], -len(rows) % self.devices))
        size = len(padded) // self.processes
        return padded[self.process * size : (self.process + 1) * size]


class Batches(keras.utils.PyDataset):
    """Batches of patches, with or without labels.

    Parameters
    ----------
    patches : PatchSet
        Should be cached when it is read more than once.
    batch_size : int, default 32
        Patches per batch, of all processes together. The last batch may be smaller.
    outputs : {1, 2, 0}
        Outputs of the network. 1: float32 labels of shape ``(b, 1)``. 2: one-hot labels of shape ``(b, 2)``. 0: no
        labels.
    seed : int, optional
        Seed of the order; without it patches keep the order of the data.
    epoch : int, default 0
        Epoch whose order is used; see `set_epoch`.
    skip : int, default 0
        Number of batches to leave out at the beginning of the epoch, for a resumed training.
    share : Share, optional
        The part of each batch that this process reads.
    drop_remainder : bool, default False
        Leave out the last batch when it is incomplete. Otherwise it is padded when several devices share it.

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
        drop_remainder: bool = False,
    ) -> None:
        super().__init__()
        self._patches = patches
        self._batch_size = batch_size
        self._labels = targets(patches, outputs) if outputs else None
        self._seed = seed
        self._skip = skip
        self._share = share or Share()
        self._count = len(patches) // batch_size if drop_remainder else -(-len(patches) // batch_size)
        self.set_epoch(epoch)

    def __len__(self) -> int:
        return self._count - self._skip

    def __getitem__(self, index: int) -> tuple[UInt8Array, ...]:
        first = (self._skip + index) * self._batch_size
        rows = self._share.of(self._order[first : first + self._batch_size])
        pixels = self._patches.read(rows)
        return (pixels,) if self._labels is None else (pixels, self._labels[rows])

    def set_epoch(self, epoch: int) -> None:
        """Use the order of an epoch.

        Keras calls `on_epoch_begin` of a data set a different number of times on each backend.

        Parameters
        ----------
        epoch : int
            Counted from 0.
        """
        self._order = epoch_order(len(self._patches), self._seed, epoch)

    def epoch_callback(self) -> keras.callbacks.Callback:
        """Create a callback for `fit` that sets the order of each epoch."""
        return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: self.set_epoch(epoch))


def targets(patches: PatchSet, outputs: int) -> np.ndarray:
    """Convert labels, or the column `TARGET` where there is one, to the targets of a network.

    Parameters
    ----------
    patches : PatchSet
    outputs : {1, 2}
        Outputs of the network.

    Returns
    -------
    ndarray of shape (n, 1) or (n, 2)
        float32 P(tumour), for two outputs P(normal) and P(tumour); 0 or 1 where these are labels.

    Examples
    --------
    >>> from sentinode import open_patches
    >>> targets(open_patches("pcam-mini", split="test").select([0, 1]), outputs=2).shape
    (2, 2)
    """
    values = patches.table[TARGET].to_numpy() if TARGET in patches.table else patches.labels
    tumour = values.astype(np.float32)
    return tumour[:, None] if outputs == 1 else np.stack([1 - tumour, tumour], axis=1)
