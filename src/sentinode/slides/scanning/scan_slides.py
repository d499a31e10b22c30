"""Scan many slides, in a process of their own or on a Dask cluster; slides that fail do not stop the others.

What only the processes that read slides need is imported there: the one that starts them stays small.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinode.errors import ConfigError, DataError, SentinodeError
from sentinode.output_paths import check_output_folder
from sentinode.slides.find import check_names_differ, find_slides
from sentinode.slides.isolation import map_isolated
from sentinode.slides.scanning.cluster import map_on_dask
from sentinode.slides.scanning.queue import Rows, SlideQueue
from sentinode.slides.slide import Slide, open_slide
from sentinode.slides.tissue import Tissue, find_tissue, tissue_in

if TYPE_CHECKING:
    from sentinode.slides.scanning.estimate import DurationEstimate
    from sentinode.slides.scanning.scanner import Scanner

LoadScanner = Callable[[], "Scanner"]
Progress = Callable[[dict[str, Any], int], None]


@dataclass(frozen=True)
class SlideScans:
    """Results of scanning several slides.

    Attributes
    ----------
    summaries : list of dict
        For each scanned slide what its ``summary.json`` holds, and ``folder``, its result folder.
    failures : list of (str, str)
        Slides that were not scanned, and why.
    elsewhere : list of str
        Slides that other processes scan to the same folder.
    """

    summaries: list[dict[str, Any]]
    failures: list[tuple[str, str]]
    elsewhere: list[str]


@dataclass(frozen=True)
class _Opening:
    """How slides are opened, and which part of them is scanned."""

    spacing_um_px: float | Callable[[Path], float | None] | None
    tissue: str | Path | None
    force: bool

    @contextmanager
    def open(self, path: Path) -> Iterator[tuple[Slide, Tissue | None]]:
        """Open a slide, and give it with its tissue; None where this is to be found."""
        spacing = self.spacing_um_px(path) if callable(self.spacing_um_px) else self.spacing_um_px
        with open_slide(path, spacing_um_px=spacing, force=self.force) as slide:
            yield slide, _stated_tissue(self.tissue, slide)


def scan_slides(
    slides: Sequence[str | Path],
    out: str | Path,
    load: LoadScanner,
    *,
    spacing_um_px: float | Callable[[Path], float | None] | None = None,
    tissue: str | Path | None = None,
    force: bool = False,
    tables: Collection[str] = (),
    dask: str | None = None,
    progress: Progress | None = None,
) -> SlideScans:
    """Scan slides and write a result folder for each.

    Slides that fail do not stop the others. Finished results are kept, interrupted scans continue, and slides that
    another process scans to the same folder are passed over. Slides are read in a process of its own, which a damaged
    file may crash.

    Parameters
    ----------
    slides : sequence of str or Path
        Files of slides with different names, and folders of slides.
    out : str or Path
        Folder for the results, one folder for each slide.
    load : callable
        Returns the scanner, from `load_scanner`. It is called in the process that reads the slides, so it must be
        picklable, such as a function of a module.
    spacing_um_px : float, callable or None
        µm per level-0 pixel, instead of what the files say; or a picklable function that returns it for a slide's path.
    tissue : str, Path or None
        Regions to scan: the annotations of a single slide, or a folder of annotations named like the slides, see
        `read_tissue`; ``"none"``: the whole slides. None detects the tissue.
    force : bool
        See `open_slide` and `scan_slide`.
    tables : collection of {"parquet", "wsinfer", "clam", "tiles"}
        Additional tables to write.
    dask : str or None
        Scan on a Dask cluster: the address of its scheduler, the number of workers of a local cluster, or an empty
        string for one worker per four processors.
    progress : callable, optional
        Called for each scanned slide with its summary and the number of slides that are done, including those that
        failed or that another process scans.

    Returns
    -------
    SlideScans

    Raises
    ------
    DataError
        None of the slides exists, or a folder has none.
    ConfigError
        Two slides have the same name, or an option is not possible.
    OutputError
        `out` cannot be written.

    Notes
    -----
    As with all processes that Python starts, a script must call this below ``if __name__ == "__main__":``.

    Examples
    --------
    >>> from sentinode import load_run
    >>> from sentinode.slides import load_scanner, scan_slides
    >>> def load():
    ...     return load_scanner(load_run("d4net-m"), step_px=32)
    >>> scans = scan_slides(["slides"], "scans", load)  # doctest: +SKIP
    """
    paths = find_slides(slides)
    check_scans(paths, out, tissue)
    if tables:
        from sentinode.slides.results.tables import check_tables

        check_tables(tables)
    opening = _Opening(spacing_um_px, tissue, force)
    return _map(paths, Path(out), partial(_prepare_scan, load, opening, Path(out), tables), dask, progress)


def estimate_scans(
    slides: Sequence[str | Path],
    load: LoadScanner,
    *,
    spacing_um_px: float | Callable[[Path], float | None] | None = None,
    tissue: str | Path | None = None,
    force: bool = False,
    dask: str | None = None,
    progress: Progress | None = None,
) -> SlideScans:
    """Estimate time and disk space of the scans of slides, and scan nothing.

    Parameters
    ----------
    slides, load, spacing_um_px, tissue, force, dask, progress
        See `scan_slides`.

    Returns
    -------
    SlideScans
        Its summaries hold ``slide``, ``spacing_um_px``, ``spacing_source``, ``tissue_mm2``, ``pen_mm2``,
        ``estimated_s`` and ``mb_needed``.
    """
    paths = find_slides(slides)
    check_scans(paths, None, tissue)
    return _map(paths, None, partial(_prepare_estimate, load, _Opening(spacing_um_px, tissue, force)), dask, progress)


def check_scans(paths: Sequence[Path], out: str | Path | None, tissue: str | Path | None) -> None:
    """Check the arguments of `scan_slides`, before a model is loaded.

    Raises
    ------
    DataError, ConfigError, OutputError
        See `scan_slides`.
    """
    if not any(path.exists() for path in paths):
        raise DataError(f"{paths[0]}: no such file; check the name")
    check_names_differ(paths, "scan them one by one, with different --out")
    if tissue not in (None, "none"):
        if not Path(tissue).exists():
            raise ConfigError(f"--tissue {tissue}: no such file or folder; check the name")
        if len(paths) > 1 and not Path(tissue).is_dir():
            raise ConfigError(
                f"--tissue {tissue}: one file, but {len(paths)} slides; use a folder with a file for each"
            )
    if out is not None:
        check_output_folder(out)


def _map(
    paths: Sequence[Path],
    out: Path | None,
    prepare: Callable[[], Callable[[Any], dict[str, Any]]],
    dask: str | None,
    progress: Progress | None,
) -> SlideScans:
    summaries: list[dict[str, Any]] = []
    map_jobs = map_isolated if dask is None else partial(map_on_dask, where=dask)
    with SlideQueue(paths, out, divide=dask is not None) as queue:
        for job, result in map_jobs(prepare, queue):
            if isinstance(job, Rows):
                continue  # Another worker reports the result of its slide, even if this job failed.
            queue.done(job, result if isinstance(result, SentinodeError) else None)
            if not isinstance(result, SentinodeError):
                summaries.append(result)
                if progress is not None:
                    progress(result, len(queue.finished))
    return SlideScans(summaries, queue.failures, queue.elsewhere)


def _prepare_scan(
    load: LoadScanner, opening: _Opening, out: Path, tables: Collection[str]
) -> Callable[[Path | Rows], dict[str, Any]]:
    """Load what all slides share, in the process that reads them; return the function that scans one."""
    return partial(_scan, load(), opening, out, tables)


def _scan(
    scanner: "Scanner", opening: _Opening, out: Path, tables: Collection[str], job: Path | Rows
) -> dict[str, Any]:
    from sentinode.slides.scanning.folder import help_scan, scan_to_folder

    path = job.path if isinstance(job, Rows) else job
    with opening.open(path) as (slide, tissue):
        if isinstance(job, Rows):
            help_scan(slide, scanner, out / path.stem, job.start, tissue=tissue, force=opening.force)
            return {}
        result = scan_to_folder(slide, scanner, out / path.stem, tissue=tissue, force=opening.force, tables=tables)
    return {**result.summary, "folder": str(result.folder)}


def _prepare_estimate(load: LoadScanner, opening: _Opening) -> Callable[[Path], dict[str, Any]]:
    from sentinode.slides.scanning.estimate import DurationEstimate

    scanner = load()
    return partial(_estimate, DurationEstimate(scanner), scanner.step_px, opening)


def _estimate(duration: "DurationEstimate", step_px: int, opening: _Opening, path: Path) -> dict[str, Any]:
    from sentinode.slides.scanning.estimate import bytes_needed

    with opening.open(path) as (slide, stated):
        tissue = stated or find_tissue(slide)
        return {
            "estimated_s": duration(slide, tissue),
            "mb_needed": bytes_needed(slide, tissue, step_px) / 1e6,
            "slide": path.name,
            "spacing_um_px": slide.spacing_um_px,
            "spacing_source": slide.spacing_source,
            "tissue_mm2": tissue.area_mm2,
            "pen_mm2": tissue.pen_mm2,
        }


def _stated_tissue(given: str | Path | None, slide: Slide) -> Tissue | None:
    """Return the tissue that is stated; None where it is to be found."""
    from sentinode.slides.annotations.read import find_annotations, read_tissue

    if given is None:
        return None
    if given == "none":
        return tissue_in(slide)
    file = find_annotations(slide.path, Path(given)) if Path(given).is_dir() else Path(given)
    if file is None:
        raise DataError(f"{given}: contains no file named like {slide.path.name}; add one, or leave out --tissue")
    return tissue_in(slide, read_tissue(file, slide))
