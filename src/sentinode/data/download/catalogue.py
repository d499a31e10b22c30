"""Data sets that can be downloaded: their files, sizes and checksums.

PatchCamelyon's own README exchanges the checksums of valid and test (its issues 1 and 4); these are the correct ones,
as in torchvision. Sizes are those of the record on Zenodo.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set.

    Attributes
    ----------
    name : str
        Name on the server; a ``.gz`` is unpacked after the download.
    md5 : str
        Checksum of the file on the server.
    size_bytes : int or None
        Its size; None where it is not known, so that the checksum alone decides.
    unpacked_md5 : str or None
        Checksum of the content of a ``.gz``.
    unpacked_bytes : int
        Approximate size of that content; more than 110 % is an error.
    """

    name: str
    md5: str
    size_bytes: int | None = None
    unpacked_md5: str | None = None
    unpacked_bytes: int = 0

    @property
    def final_name(self) -> str:
        """Name of the file on disk."""
        return self.name.removesuffix(".gz")


@dataclass(frozen=True)
class Catalogue:
    """A data set.

    Attributes
    ----------
    url : str
        Address that names of files are appended to.
    files : dict of str to tuple of RemoteFile
        Files of each split.
    """

    url: str
    files: dict[str, tuple[RemoteFile, ...]]


def _pcam(
    split: str, patches: int, x: tuple[int, str, str], y: tuple[int, str, str], meta_md5: str
) -> tuple[RemoteFile, ...]:
    base = f"camelyonpatch_level_2_split_{split}_"
    return (
        RemoteFile(f"{base}y.h5.gz", y[1], y[0], y[2], patches + 4096),
        RemoteFile(f"{base}meta.csv", meta_md5),
        RemoteFile(f"{base}x.h5.gz", x[1], x[0], x[2], patches * 96 * 96 * 3 + 4096),
    )


PCAM = Catalogue(
    url="https://zenodo.org/records/2546921/files/",
    files={
        "train": _pcam(
            "train",
            262_144,
            (6_421_353_462, "1571f514728f59376b705fc836ff4b63", "01844da899645b4d6f84946d417ba453"),
            (21_378, "35c2d7259d906cfc8143347bb8e05be7", "0781386bf6c2fb62d58ff18891466aca"),
            "5a3dd671e465cfd74b5b822125e65b0a",
        ),
        "valid": _pcam(
            "valid",
            32_768,
            (805_965_320, "d5b63470df7cfa627aeec8b9dc0c066e", "81cf9680f1724c40673f10dc88e909b1"),
            (3_038, "2b85f58b927af9964a4c15b8f7e8f179", "94d8aacc249253159ce2a2e78a86e658"),
            "67589e00a4a37ec317f2d1932c7502ca",
        ),
        "test": _pcam(
            "test",
            32_768,
            (800_875_929, "d8c2d60d490dbd479f8199bdfa0cf6ec", "2614b2e6717d6356be141d9d6dbfcb7e"),
            (3_040, "60a7035772fbdb7f34eb86d4420cf66a", "11ed647efe9fe457a4eb45df1dba19ba"),
            "3455fd69135b66734e1008f3af684566",
        ),
    },
)

CATALOGUES = {"pcam": PCAM}
