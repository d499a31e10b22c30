"""Slides are opened with a known scale or refused, and read alike by all readers."""

import os
import re
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.slides.conftest import write_pyramid

from sentinode.cli.common.slide_options import Spacings
from sentinode.errors import ConfigError, DataError
from sentinode.slides import open_slide
from sentinode.slides.dicom import series_uid
from sentinode.slides.find import find_slides
from sentinode.slides.readers.with_openslide import OpenSlideReader, composite
from sentinode.slides.readers.with_tifffile import TiffReader

REAL = ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "ihc-crumbs-1065626.svs", "kidney-48-5.tif")


@pytest.fixture(scope="session")
def real_slides():
    folder = Path(os.environ.get("SENTINODE_TEST_DATA", "/nowhere"), "slides")
    if not folder.is_dir():
        pytest.skip("no real slides here")
    return folder


def test_the_fast_reader_gives_the_pixels_of_openslide(slide_file):
    reference, fast = OpenSlideReader(slide_file), TiffReader(slide_file)
    for place in ((0, 130, 200, 700, 300), (1, 10, 20, 400, 400), (0, -50, -60, 300, 300), (1, 400, 400, 500, 500)):
        np.testing.assert_array_equal(fast.read(*place), reference.read(*place))


def test_a_pyramid_is_read_by_the_fast_reader(slide_file):
    with open_slide(slide_file) as slide:
        assert slide.reader.name == "tifffile"
        assert slide.spacing_um_px == pytest.approx(0.972)


def test_striped_tiff_is_read_although_openslide_refuses_it(tmp_path, mosaic):
    file = write_pyramid(
        tmp_path / "striped.tif", mosaic, levels=1, tile=None, rowsperstrip=64, compression=None, compressionargs=None
    )
    with open_slide(file) as slide:
        np.testing.assert_array_equal(slide.reader.read(0, 300, 400, 200, 100), mosaic[400:500, 300:500])


@pytest.mark.parametrize("aperio", [True, False])
@pytest.mark.parametrize("shrink", [2, 1.9])
def test_a_tile_that_is_missing_from_a_coarse_level_has_the_pixels_of_openslide(tmp_path, mosaic, aperio, shrink):
    import tifffile

    pixels = mosaic[:1024, :1024]
    coarse = np.asarray(Image.fromarray(pixels).resize((int(1024 / shrink),) * 2))
    about = {"description": "Aperio Image Library v11\r\n|AppMag = 20|MPP = 0.5"} if aperio else {}
    file = tmp_path / "missing.svs"
    with tifffile.TiffWriter(file) as tiff:
        options = {"photometric": "rgb", "metadata": None, **about}
        tiff.write(pixels, tile=(256, 256), **options)
        if aperio:
            tiff.write(pixels[::16, ::16], **options)  # The thumbnail.
        tiff.write(coarse, tile=(256, 256), subfiletype=0 if aperio else 1, **options)
    with tifffile.TiffFile(file, mode="r+b") as tiff:
        page = tiff.pages[-1]
        for name, values in (("TileOffsets", page.dataoffsets), ("TileByteCounts", page.databytecounts)):
            page.tags[name].overwrite([0 if number == 1 else value for number, value in enumerate(values)])
    with open_slide(file, spacing_um_px=0.5) as slide:
        assert slide.reader.name == ("openslide" if aperio or shrink % 1 else "tifffile")
        read, expected = (each.read(1, 256, 0, 200, 200) for each in (slide.reader, OpenSlideReader(file)))
    np.testing.assert_array_equal(read, expected)
    assert (expected.std() > 10) == aperio


@pytest.mark.parametrize(
    ("mode", "photometric", "extra", "planes", "says"),
    [
        ("CMYK", "separated", [], "contig", "4 channels of the kind SEPARATED; save it as RGB"),
        ("LAB", "cielab", [], "contig", "3 channels of the kind CIELAB; save it as RGB"),
        ("RGB", "minisblack", [0, 0], "contig", "3 channels of the kind MINISBLACK; save it as RGB"),
        ("RGBA", "rgb", [0], "contig", "4 channels, of which none is said to be alpha; save it as RGB"),
        ("RGB", "rgb", [], "separate", "color planes are stored separately; save it as interleaved RGB"),
        ("L", "minisblack", [], "contig", "1 channels of uint8; .* save it as RGB"),
    ],
)
def test_striped_tiff_of_other_colors_is_refused(tmp_path, mosaic, mode, photometric, extra, planes, says):
    import tifffile

    pixels = np.asarray(Image.fromarray(mosaic[:300, :300]).convert(mode))
    if planes == "separate":
        pixels = np.moveaxis(pixels, 2, 0)
    options = {"photometric": photometric, "extrasamples": extra, "metadata": None}
    if pixels.ndim == 3:
        options["planarconfig"] = planes
    tifffile.imwrite(tmp_path / "other.tif", pixels, **options)
    with pytest.raises(DataError, match=rf"other\.tif: .*{says} \(OpenSlide does not read this format\)"):
        open_slide(tmp_path / "other.tif", spacing_um_px=0.5)


@pytest.mark.parametrize(("alpha", "premultiplied"), [("unassalpha", False), ("assocalpha", True)])
def test_transparent_pixels_of_striped_tiff_are_laid_over_the_background(tmp_path, mosaic, alpha, premultiplied):
    import tifffile

    share = np.linspace(0, 255, 300).astype(np.uint8)[:, None, None].repeat(300, axis=1)
    pixels = mosaic[300:600, 300:600]
    stored = np.rint(pixels * (share / 255)).astype(np.uint8) if premultiplied else pixels
    file = tmp_path / "alpha.tif"
    tifffile.imwrite(file, np.dstack([stored, share]), photometric="rgb", extrasamples=[alpha], metadata=None)
    with open_slide(file, spacing_um_px=0.5) as slide:
        read = slide.reader.read(0, 0, 0, 300, 300)
    expected = pixels * (share / 255) + 255 * (1 - share / 255)
    assert np.abs(read - expected).max() <= 1


def test_tiled_ome_tiff_is_read_with_its_coarse_levels(tmp_path, mosaic):
    import tifffile

    coarse = np.ascontiguousarray(mosaic[::2, ::2])
    with tifffile.TiffWriter(tmp_path / "slide.ome.tif") as file:
        options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
        file.write(mosaic, subifds=1, metadata={"axes": "YXS"}, **options)
        file.write(coarse, subfiletype=1, **options)
    with open_slide(tmp_path / "slide.ome.tif", spacing_um_px=0.5) as slide:
        assert (slide.reader.name, slide.notes) == ("tifffile", ())
        assert [level.downsample for level in slide.levels] == [1, 2]
        np.testing.assert_array_equal(slide.reader.read(1, 100, 200, 300, 250), coarse[200:450, 100:400])


def test_a_system_without_pread_reads_the_same_pixels(slide_file, mosaic, monkeypatch):
    with open_slide(slide_file) as slide:
        expected = slide.reader.read(0, 300, 400, 200, 100)
    monkeypatch.delattr(os, "pread")
    with open_slide(slide_file) as slide:
        assert slide.reader.name == "tifffile"
        np.testing.assert_array_equal(slide.reader.read(0, 300, 400, 200, 100), expected)


def test_places_outside_the_slide_have_the_background_color(slide_file):
    with open_slide(slide_file) as slide:
        assert (slide.reader.read(0, -100, -100, 50, 50) == 255).all()


def test_transparent_pixels_mix_with_the_background():
    rgba = np.random.default_rng(0).integers(0, 256, (256, 5, 4), dtype=np.uint8)
    rgba[..., 3] = np.arange(256)[:, None]
    share = np.arange(256)[:, None, None] / 255
    expected = rgba[..., :3] * share + np.array([240, 241, 7]) * (1 - share)
    assert np.abs(composite(rgba, (240, 241, 7)) - expected).max() <= 0.501


def test_a_single_transparent_pixel_is_laid_over_the_background():
    pixel = np.asarray(Image.new("RGBA", (1, 1)))  # Read-only, as the pixels of OpenSlide are.
    assert composite(pixel, (240, 241, 7)).tolist() == [[[240, 241, 7]]]


def test_a_folder_of_pictures_says_that_they_are_named_one_by_one(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="PNG and JPEG files must be named one by one"):
        find_slides([tmp_path])


def test_a_level_that_does_not_exist_is_refused_by_every_reader(slide_file):
    for reader in (OpenSlideReader(slide_file), TiffReader(slide_file)):
        with pytest.raises(DataError, match="no level 2"):
            reader.read(2, 0, 0, 10, 10)


@pytest.mark.parametrize(("spacing", "says"), [(None, "unknown pixel size"), (5.0, "outside 0.1 to 2")])
def test_an_unknown_or_absurd_scale_is_refused_until_it_is_stated(tmp_path, mosaic, spacing, says):
    file = write_pyramid(tmp_path / "slide.tif", mosaic, spacing_um_px=spacing)
    with pytest.raises(DataError, match=f"{says}.*--mpp"):
        open_slide(file)
    with open_slide(file, spacing_um_px=0.5) as slide:
        assert (slide.spacing_um_px, slide.spacing_source) == (0.5, "given")


@pytest.mark.parametrize("given", [0.25, 0.64, 1.5])
def test_a_given_scale_that_contradicts_the_file_is_refused_unless_forced(slide_file, given):
    with pytest.raises(DataError, match=rf"given pixel size of {given} µm contradicts 0\.972.*--mpp.*--force"):
        open_slide(slide_file, spacing_um_px=given)
    with open_slide(slide_file, spacing_um_px=given, force=True) as slide:
        assert slide.spacing_um_px == given
        assert f"the given pixel size of {given} µm overrides 0.972 µm of the file" in slide.notes


@pytest.mark.parametrize("given", [0.66, 1.4])
def test_a_given_scale_that_differs_less_is_taken_with_a_warning(slide_file, given, caplog):
    with open_slide(slide_file, spacing_um_px=given) as slide:
        assert slide.spacing_um_px == given
    assert f"the given pixel size of {given} µm overrides 0.972 µm of the file" in caplog.text


def test_png_needs_its_scale(tmp_path, mosaic):
    Image.fromarray(mosaic).save(tmp_path / "tile.png")
    with pytest.raises(DataError, match="--mpp"):
        open_slide(tmp_path / "tile.png")
    with open_slide(tmp_path / "tile.png", spacing_um_px=0.972) as slide:
        np.testing.assert_array_equal(slide.reader.read(0, 300, 400, 50, 60), mosaic[400:460, 300:350])


def test_gray_png_with_more_than_8_bits_is_refused(tmp_path):
    Image.fromarray(np.full((200, 200), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: a gray image of more than 8 bits; save it as RGB"):
        open_slide(tmp_path / "deep.png", spacing_um_px=0.5)


def test_png_that_pillow_takes_for_a_bomb_names_the_way_out(tmp_path, monkeypatch):
    Image.new("RGB", (300, 300)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)
    with pytest.raises(DataError, match=r"large\.png: an image of more than 80,000 pixels; save it as a tiled TIFF"):
        open_slide(tmp_path / "large.png", spacing_um_px=0.5)


@pytest.mark.parametrize(
    ("requested", "level", "effective", "shrink"),
    [
        (0.972, 0, 0.972, 1),
        (0.905, 0, 0.972, 1),
        (2.0, 1, 1.944, 1),
        (1.5, 0, 1.5, 1.5 / 0.972),
        (8.0, 1, 7.776, 4),
    ],
)
def test_a_level_within_a_tenth_is_taken_and_otherwise_a_finer_one_is_shrunk_by_a_whole_number_if_possible(
    slide_file, requested, level, effective, shrink
):
    with open_slide(slide_file) as slide:
        selection = slide.select_level(requested)
    assert (selection.level, selection.requested_um_px) == (level, requested)
    assert selection.effective_um_px == pytest.approx(effective, rel=1e-3)
    assert selection.shrink == pytest.approx(shrink, rel=1e-3)


def test_shrinking_averages_over_area(tmp_path):
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 200
    file = write_pyramid(
        tmp_path / "stripes.tif", stripes, spacing_um_px=0.486, levels=1, compression=None, compressionargs=None
    )
    with open_slide(file) as slide:
        assert (slide.read(slide.select_level(0.972), 0, 0, 200, 200) == 100).all()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.8, 0.99, 0.9999])
def test_a_truncated_slide_is_refused_when_it_is_opened(tmp_path, slide_file, kept):
    content = slide_file.read_bytes()
    broken = tmp_path / "broken.tif"
    broken.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"broken\.tif: .*(the file ends early|may be truncated)"):
        open_slide(broken, spacing_um_px=0.25)


def test_a_truncated_download_does_not_ask_for_its_scale(tmp_path, mosaic):
    """Without its last directory, OpenSlide takes a slide of Aperio for a TIFF without µm per pixel."""
    import tifffile

    file = write_pyramid(
        tmp_path / "slide.svs", mosaic, levels=2, description="Aperio Image Library v11\r\n|AppMag = 20|MPP = 0.5"
    )
    with tifffile.TiffFile(file) as tiff:
        last = tiff.pages[-1].offset
    file.write_bytes(file.read_bytes()[:last])
    with pytest.raises(DataError, match=r"slide\.svs: a TIFF with missing directories; the file ends early"):
        open_slide(file)


@pytest.mark.parametrize(("compression", "place"), [("jpeg2000", 8), ("jpeg", None)])
def test_a_tile_that_states_many_times_its_size_is_refused_before_it_is_decoded(tmp_path, mosaic, compression, place):
    import tifffile

    file = write_pyramid(
        tmp_path / "damaged.tif", mosaic[:512, :512], levels=1, compression=compression, compressionargs=None
    )
    with tifffile.TiffFile(file) as tiff:
        start, size = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    content = bytearray(file.read_bytes())
    if place is None:  # The height follows length and precision of the frame.
        place = content[start : start + size].index(bytes.fromhex("ffc00011")) + 5
    content[start + place] = 0x40
    file.write_bytes(content)
    reader = TiffReader(file)
    with pytest.raises(DataError, match=r"header with .* px; expected 256 × 256"):
        reader.read(0, 0, 0, 20, 20)
    assert reader.read(0, 300, 300, 20, 20).shape == (20, 20, 3)


@pytest.mark.parametrize("name", ["missing.svs", "folder"])
def test_what_is_no_file_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=name):
        open_slide(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["multi-channel.ome.tif", "openslide/unopenable.tiff", "openslide/unreadable.svs", "openslide/boxes.tiff"]
)
def test_real_files_that_are_no_brightfield_slides_are_refused(real_slides, name):
    with pytest.raises(DataError, match=re.escape(Path(name).name)), open_slide(real_slides / name) as slide:
        slide.thumbnail(8.0)


@pytest.mark.parametrize(
    "name", ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "ihc-crumbs-1065626.svs", "kidney-48-5.tif"]
)
def test_real_slides_open(real_slides, name):
    with open_slide(real_slides / name, spacing_um_px=0.5) as slide:
        pixels, _ = slide.thumbnail(16.0)
        assert pixels.std() > 1


@pytest.mark.parametrize("spacing", [0.243, 0.25])
def test_a_slide_without_a_level_near_is_shrunk_while_decoding(mosaic, tmp_path, spacing):
    with open_slide(write_pyramid(tmp_path / "fine.tif", mosaic, spacing, levels=1)) as slide:
        selection = slide.select_level(0.972)
        assert (selection.level, selection.shrink, slide.decode_factor(selection)) == (0, 4, 4)
        assert selection.effective_um_px == pytest.approx(4 * spacing)
        shrunk = slide.read(selection, 20, 30, 150, 120)
        full = replace(slide, shrinking=None).read(selection, 20, 30, 150, 120)
    assert np.abs(shrunk.astype(int) - full).mean() < 2
    assert full.std() > 10


def test_a_level_that_is_read_as_it_is_is_not_tried_to_be_shrunk(slide_file):
    class Refusing:
        def shrink_factors(self, level):
            raise AssertionError("tiles are decoded for nothing")

    with open_slide(slide_file) as slide:
        assert replace(slide, shrinking=Refusing()).decode_factor(slide.select_level(0.972)) == 1


def test_shrinking_while_decoding_is_not_used_where_it_gives_other_pixels(mosaic, tmp_path, monkeypatch):
    file = write_pyramid(tmp_path / "fine.tif", mosaic[:600, :600], 0.243, levels=1)
    monkeypatch.setattr("sentinode.slides.readers.with_tifffile._SHRINKING_TOLERANCE", 0.0)
    with open_slide(file) as slide:
        assert slide.reader.name == "tifffile"
        assert slide.decode_factor(slide.select_level(0.972)) == 1


def test_a_slide_that_is_given_twice_is_taken_once(slide_file, monkeypatch):
    monkeypatch.chdir(slide_file.parent)
    [found] = find_slides([slide_file, slide_file.parent, slide_file.name])
    assert found.samefile(slide_file)


def test_heat_maps_of_scans_are_no_slides(slide_file, tmp_path):
    scan = tmp_path / "scans" / "a"
    scan.mkdir(parents=True)
    (scan / "settings.json").write_text("{}")
    for place in (tmp_path, scan):
        shutil.copy(slide_file, place / "heatmap.tif")
    shutil.copy(slide_file, scan / ".sentinode-heatmap.tif-abcd1234.tif")  # Is written now, or was left.
    assert find_slides([tmp_path]) == [tmp_path / "heatmap.tif"]


def test_links_in_a_folder_of_slides_are_followed_and_broken_ones_found(tmp_path):
    slides, other = tmp_path / "slides", tmp_path / "other"
    for folder in (slides, other):
        folder.mkdir()
    for file in (other / "a.svs", other / "b.tif", slides / "metrics.json"):
        file.touch()
    (slides / "batch").symlink_to(other)
    (other / "circle").symlink_to(slides)
    for name in ("broken.svs", "broken.tif", "broken.txt"):
        (slides / name).symlink_to(tmp_path / "missing" / name)
    (slides / "circle.ndpi").symlink_to("circle.ndpi")
    expected = ["batch/a.svs", "batch/b.tif", "broken.svs", "broken.tif", "circle.ndpi"]
    assert [str(file.relative_to(slides)) for file in find_slides([slides])] == expected
    with pytest.raises(DataError, match=r"broken\.svs: there is no such file"):
        open_slide(slides / "broken.svs")


def dicom(path, uid, before=b""):
    series = b"\x20\0\x0e\0UI" + struct.pack("<H", len(uid)) + uid
    path.write_bytes(bytes(128) + b"DICM" + before + series)


def test_of_each_dicom_series_in_a_folder_one_file_is_taken(tmp_path):
    # A reference to another series in a sequence with an end marker comes before that of the file.
    nested = b"\x20\0\x0e\0UI\x02\0" + b"9\0"
    items = b"\xfe\xff\0\xe0" + b"\xff" * 4 + nested + b"\xfe\xff\x0d\xe0" + bytes(4)
    sequence = b"\x08\0\x15\x11SQ\0\0" + b"\xff" * 4 + items + b"\xfe\xff\xdd\xe0" + bytes(4)
    for name, uid in {"a": b"1.2 ", "b": b"1.3 ", "c": b"1.2 ", "d": b"1.3 "}.items():
        dicom(tmp_path / f"{name}.dcm", uid, sequence)
    (tmp_path / "below").mkdir()
    dicom(tmp_path / "below" / "a.dcm", b"1.2 ")
    (tmp_path / "e.dcm").write_bytes(b"not DICOM")
    (tmp_path / "f.dcm").write_bytes((tmp_path / "a.dcm").read_bytes()[:150])
    found = [str(file.relative_to(tmp_path)) for file in find_slides([tmp_path])]
    assert found == ["a.dcm", "b.dcm", "below/a.dcm", "e.dcm", "f.dcm"]


def test_series_of_dicom_files_are_those_that_openslide_reads(real_slides, tmp_path):
    openslide = pytest.importorskip("openslide")
    for name in ("camelyon-overview.dcm", "openslide/boxes_0.dcm", "openslide/boxes_1.dcm"):
        shutil.copy(real_slides / name, tmp_path)
        properties = openslide.OpenSlide(real_slides / name).properties
        assert series_uid(real_slides / name).strip(b" \0").decode() == properties["dicom.SeriesInstanceUID"]
    assert [file.name for file in find_slides([tmp_path])] == ["boxes_0.dcm", "camelyon-overview.dcm"]


def test_rows_of_a_table_of_scales_name_slides_in_any_case_and_once(tmp_path, caplog):
    file = tmp_path / "mpp.csv"
    file.write_text("slide,mpp\n/data/CASE-1.svs,0.25\ncase-2.SVS,0.5\nCase-3,0.3\ncase-3.svs,0.3\n")
    spacings, paths = Spacings(str(file)), [Path(f"slides/CASE-{number}.svs") for number in range(1, 5)]
    assert [spacings(path) for path in paths] == [0.25, 0.5, 0.3, None]
    spacings.check(paths)
    assert not caplog.records
    spacings.check(paths[2:])
    assert "mpp.csv: no slide found for 2 rows, such as case-1.svs" in caplog.text
    for rows in ("a.svs,0.25\nA.svs,0.5", "a.svs,0.25\n/data/a.svs,0.5", "a,0.25\na.svs,0.5"):
        file.write_text(f"slide,mpp\n{rows}\n")
        with pytest.raises(ConfigError, match="two values of mpp"):
            Spacings(str(file)).check([Path("a.svs")])
