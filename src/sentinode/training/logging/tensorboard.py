"""Write TensorBoard event files without TensorFlow."""

import io
import time
from collections.abc import Mapping
from pathlib import Path

from PIL.Image import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class EventWriter:
    """Write scalars and images to one event file.

    Parameters
    ----------
    folder : str or Path
        TensorBoard shows each folder as one curve.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with EventWriter(folder) as writer:
    ...     writer.scalars({"loss": 0.5}, step=1)
    >>> len(list(folder.glob("events.out.tfevents.*")))
    1
    """

    def __init__(self, folder: str | Path) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # TensorBoard looks for "tfevents" in file names and reads files in the order of their names.
        # Unbuffered: after an error on a full disk, Python would write the buffer again when it closes the file.
        self._file = (Path(folder) / f"events.out.tfevents.{time.time_ns()}.sentinode").open("wb", buffering=0)
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one value per tag."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def image(self, tag: str, picture: Image, step: int) -> None:
        """Write one image."""
        png = io.BytesIO()
        picture.save(png, "png", compress_level=3)  # A quarter of the time for 5 % more bytes.
        # colorspace 3 is RGB.
        image = Summary.Image(
            width=picture.width, height=picture.height, colorspace=3, encoded_image_string=png.getvalue()
        )
        summary = Summary(value=[Summary.Value(tag=tag, image=image)])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, event: Event) -> None:
        try:
            self._records.write(event.SerializeToString())
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._file.name) from error
