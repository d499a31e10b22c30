"""The series of a DICOM file, from its header alone: OpenSlide reads all files of the folder for it."""

import struct
from pathlib import Path

# Value representations whose length has four bytes, after two reserved ones.
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_SERIES_UID, _UNDEFINED_LENGTH = (0x0020, 0x000E), 0xFFFFFFFF
# More elements than any header has before the series: a damaged file is not read to its end.
_MAX_ELEMENTS = 10_000


def series_uid(file: Path) -> bytes | None:
    """Return the SeriesInstanceUID of a DICOM file.

    Parameters
    ----------
    file : Path

    Returns
    -------
    bytes or None
        None where the file cannot be read, or is not in Explicit VR Little Endian, as compressed images are.
    """
    depth = 0  # Of sequences and items that end with a marker.
    try:
        with file.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return None
            for _ in range(_MAX_ELEMENTS):
                header = stream.read(8)
                tag = struct.unpack_from("<HH", header)
                if tag in (_ITEM, _ITEM_END, _SEQUENCE_END):
                    (length,) = struct.unpack_from("<I", header, 4)
                elif header[4:6] in _LONG:
                    (length,) = struct.unpack("<I", stream.read(4))
                else:
                    (length,) = struct.unpack_from("<H", header, 6)
                if depth == 0 and tag >= _SERIES_UID:
                    return stream.read(length) if tag == _SERIES_UID else None
                if tag in (_ITEM_END, _SEQUENCE_END):
                    depth -= 1
                elif length == _UNDEFINED_LENGTH:
                    depth += 1
                else:
                    stream.seek(length, 1)
    except (OSError, struct.error):
        pass
    return None
