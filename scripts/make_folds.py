"""Group the training patches by stain and brightness, and divide whole groups into four folds.

The slides of the training patches are unknown, so patches of one slide may be on both sides of a random split, which
makes its figures optimistic. Clusters of similar stain and brightness replace slides: each is held out as a whole.

    python scripts/make_folds.py pcam-small.zip pcam-extra.zip pcam-more.zip --out scripts/folds.npz

The file contains the cluster and the fold of every training patch, in the order of the patches' ids, and a SHA-256 of
these ids. `read_folds` returns them as a table.
"""

import argparse
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from sentinode import PatchSet, open_patches
from sentinode.data.concat import concat
from sentinode.data.map_patches import map_patches

CLUSTERS, FOLDS, SEED = 30, 4, 0
QUANTILES = (0.1, 0.5, 0.9)


def appearance(pixels: np.ndarray) -> np.ndarray:
    """Return mean and quantiles of the optical density of each channel, float64, ``(n, 12)``."""
    density = -np.log((pixels.reshape(len(pixels), -1, 3) + 1.0) / 256.0)
    return np.concatenate([density.mean(axis=1), *np.quantile(density, QUANTILES, axis=1)], axis=1)


def stain_clusters(values: np.ndarray) -> np.ndarray:
    """Return a cluster for each patch, uint8, from its appearance."""
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    return KMeans(CLUSTERS, n_init=4, random_state=SEED).fit_predict(scaled).astype(np.uint8)


def training_table(sources: list[str]) -> tuple[pd.DataFrame, list[PatchSet]]:
    """Return id, label and source of every training patch, sorted by source and id."""
    parts = [open_patches(source, split="train") for source in sources]
    tables = [
        pd.DataFrame(
            {
                "source": Path(source).stem,
                "id": part.table["id"].str.replace(r".*/", "", regex=True),
                "label": part.labels,
                "part": number,
                "row": np.arange(len(part)),
            }
        )
        for number, (source, part) in enumerate(zip(sources, parts, strict=True))
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values(["source", "id"], ignore_index=True), parts


def assign_folds(clusters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a fold for each patch: whole clusters, large ones first, each to the fold that most lacks its classes."""
    counts = np.stack([np.bincount(clusters[labels == label], minlength=CLUSTERS) for label in (0, 1)], axis=1)
    aim, have, fold_of = counts.sum(axis=0) / FOLDS, np.zeros((FOLDS, 2)), np.zeros(CLUSTERS, np.uint8)
    for cluster in np.argsort(-counts.sum(axis=1), kind="stable"):
        excess = [
            np.square((have + counts[cluster] * np.eye(FOLDS)[:, [fold]] - aim) / aim).sum() for fold in range(FOLDS)
        ]
        fold_of[cluster] = int(np.argmin(excess))
        have[fold_of[cluster]] += counts[cluster]
    return fold_of[clusters]


def digest(table: pd.DataFrame) -> str:
    """Return a SHA-256 over sources and ids."""
    return hashlib.sha256("\n".join(table["source"] + "/" + table["id"]).encode()).hexdigest()


def read_folds(path: str | Path, sources: list[str]) -> tuple[pd.DataFrame, list[PatchSet]]:
    """Return the table of training patches with the columns ``cluster`` and ``fold``, and the sets they are in."""
    table, parts = training_table(sources)
    with np.load(path) as stored:
        if str(stored["ids_sha256"]) != digest(table):
            raise SystemExit(f"{path}: made for other patches; run scripts/make_folds.py again")
        return table.assign(cluster=stored["cluster"], fold=stored["fold"]), parts


def read_training_patches(path: str | Path, sources: list[str]) -> tuple[pd.DataFrame, PatchSet]:
    """Return the table of `read_folds` with the column ``hard``, and all patches in its order.

    Hard negatives of the last source were chosen because another network took them for tumour; all of them are normal.
    """
    table, parts = read_folds(path, sources)
    with zipfile.ZipFile(sources[-1]) as archive, archive.open("selection.csv") as file:
        chosen = pd.read_csv(file)
    hard = chosen.loc[chosen["selection"] == "hard", "id"]
    starts = np.cumsum([0, *map(len, parts)])[:-1]
    patches = concat(parts).select((starts[table["part"]] + table["row"]).to_numpy())
    return table.assign(hard=table["id"].str.removesuffix(".jpg").isin(hard)), patches


def unseen_rows(table: pd.DataFrame, fold: int) -> np.ndarray:
    """Return the rows of the last source in a fold, without its hard negatives.

    Neither `d4net-m`, which was trained on the other sources, nor a teacher of the other folds has seen them.
    """
    return np.flatnonzero((table["part"] == table["part"].max()) & (table["fold"] == fold) & ~table["hard"])


def main() -> None:
    """Cluster, divide, write, and print the sizes of the folds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help="sets whose split train is divided")
    parser.add_argument("--out", default="scripts/folds.npz")
    arguments = parser.parse_args()
    table, parts = training_table(arguments.sources)
    measured = [np.concatenate(list(map_patches(part, appearance, "measuring"))) for part in parts]
    values = np.stack([measured[part][row] for part, row in zip(table["part"], table["row"], strict=True)])
    clusters = stain_clusters(values)
    folds = assign_folds(clusters, table["label"].to_numpy())
    np.savez_compressed(arguments.out, cluster=clusters, fold=folds, ids_sha256=np.array(digest(table)))
    print(pd.crosstab([table["source"], table["label"]], folds, margins=True))


if __name__ == "__main__":
    main()
