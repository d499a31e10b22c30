"""Train large networks on labels and small ones on what those say, on a GPU: the weights that ship.

    python scripts/teach.py pcam-small.zip pcam-extra.zip --work DIR

A plain loop of PyTorch, in which a whole step is one graph of the GPU; with Keras it waits for the host, which hands
it some hundred operations of a few microseconds each. Networks, steps and changes are the package's, and tests hold
that, but for wider and deeper networks and a mix of colours for the teachers. Teachers and pupils see the same changed
patches, mixtures of two among them, for many epochs (Hinton et al. 2015, Distilling the knowledge in a neural network;
Beyer et al. 2022, https://arxiv.org/abs/2106.05237).

DIR gets the weights of each network, in the order of Keras' `get_weights`; a network whose file is there is not trained
again. Needs days without a GPU.
"""

import argparse
import multiprocessing
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import torch

from sentinode.storage import whole_file
from teaching.changes import Changes
from teaching.loop import DEVICE, learn, learn_from, predict
from teaching.network import Network
from teaching.reading import read

STRONG = Changes(stain=1.6, colours=1.0)
TEACHERS = (
    *(("l", seed) for seed in range(3)),
    *(("xl", seed) for seed in range(2)),
    *(("deep", seed) for seed in range(2)),
)
TEACHER_EPOCHS = 30
PUPILS, PUPIL_EPOCHS = ("m", "l", "s"), 80
AT_ONCE = 3


def main() -> None:
    """Read, train the teachers, a few at a time, then the pupils."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    pixels, labels = read(arguments.data)
    np.save(work / "pixels.npy", pixels)
    np.save(work / "labels.npy", labels)
    with multiprocessing.get_context("spawn").Pool(AT_ONCE, maxtasksperchild=1) as pool:
        pool.starmap(teach_one, [(work, *teacher) for teacher in TEACHERS], chunksize=1)
    teachers = [load(work / f"teacher-{name}-{seed}.npz", name) for name, seed in TEACHERS]
    shown = torch.from_numpy(pixels).to(DEVICE)
    pupils = learn_from(teachers, PUPILS, Changes(), shown, epochs=PUPIL_EPOCHS, seed=0)
    for name, pupil in zip(PUPILS, pupils, strict=True):
        logits = predict(pupil, shown[:64]).numpy()
        np.savez(work / f"pupil-{name}.npz", *pupil.to_arrays(), logits=logits)


def teach_one(work: Path, name: str, seed: int) -> None:
    """Train a teacher and write its weights, unless they are there."""
    file = work / f"teacher-{name}-{seed}.npz"
    if file.exists():
        return
    pixels, labels = (torch.from_numpy(np.load(work / f"{what}.npy")).to(DEVICE) for what in ("pixels", "labels"))
    network = learn(name, STRONG, pixels, labels, epochs=TEACHER_EPOCHS, seed=seed)
    with whole_file(file) as beside:
        np.savez(beside, *network.to_arrays())


def load(file: Path, name: str) -> Network:
    """Return a network with the weights of a file, ready to predict."""
    network = Network(name)
    with np.load(file) as kept:
        network.set_arrays([kept[key] for key in kept.files])
    return network.to(DEVICE).eval()


if __name__ == "__main__":
    main()
