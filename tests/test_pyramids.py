"""Patches of images too large to be read at once: pyramidal TIFF and scanners' formats."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from scr2st_env import InputError
from scr2st_env.patches import cut_patches, image_patches, open_image, patches_for
from scr2st_env.patches.pyramid import ArrayPyramid, level_for
from scr2st_env.patches.tiff import TiffPyramid
from scr2st_env.patches.whole_slide import WholeSlide

UM_PER_PX = 0.25
SIDE = 1024
CENTRES = [[130.0, 200.5], [700.0, 511.0], [3.0, 1020.0]]


def picture(side: int = SIDE) -> NDArray[np.uint8]:
    """Smooth, so that all ways of scaling it agree."""
    y, x = np.indices((side, side)) / side
    waves = [np.sin(7 * x + 3 * y), np.cos(5 * y - x), np.sin(9 * x * y)]
    return np.rint(127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def write_pyramid(path: Path, image: NDArray[np.uint8] | None = None, *, ome: bool = False) -> Path:
    """Three levels of tiles, as scanners and converters write them."""
    pixels = picture() if image is None else image
    per_cm = 1e4 / UM_PER_PX
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib"}
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.125, "PhysicalSizeXUnit": "µm"} if ome else None
    scale = {} if ome else {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path, ome=ome) as file:
        file.write(pixels, subifds=2 if ome else 0, metadata=metadata, **scale, **options)
        for factor in (2, 4):
            means = pixels.reshape(SIDE // factor, factor, SIDE // factor, factor, 3).mean((1, 3))
            smaller = np.rint(means).astype(np.uint8)
            file.write(smaller, subfiletype=1, metadata=None, **options)
    return path


def section() -> anndata.AnnData:
    library = {"scalefactors": {"spot_diameter_fullres": 100.0}, "metadata": {}}
    return anndata.AnnData(
        obsm={"spatial": np.array(CENTRES)}, uns={"spatial": {"s": library}}, obs={"a": ["x"] * 3}
    )


@pytest.mark.parametrize("ome", [False, True])
def test_a_pyramid_is_cut_like_the_whole_image(tmp_path: Path, *, ome: bool) -> None:
    path = write_pyramid(tmp_path / ("s.ome.tif" if ome else "s.tif"), ome=ome)
    pyramid = open_image(path)
    assert isinstance(pyramid, TiffPyramid)
    assert pyramid.sizes == [(1024, 1024), (512, 512), (256, 256)]
    assert pyramid.um_per_px == pytest.approx(0.125 if ome else UM_PER_PX)
    fine = cut_patches(path, CENTRES, 64, 64)
    np.testing.assert_array_equal(fine, cut_patches(picture(), CENTRES, 64, 64))


@pytest.mark.parametrize(
    ("size", "level"), [(63, 0), (64, 0), (120, 0), (128, 1), (200, 1), (256, 2)]
)
def test_the_coarsest_level_that_is_fine_enough_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, level: int
) -> None:
    pyramid = open_image(write_pyramid(tmp_path / "s.tif"))
    read = []
    original = TiffPyramid.read

    def watched(self: TiffPyramid, at: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        read.append((at, rows.stop - rows.start))
        return original(self, at, rows, columns)

    monkeypatch.setattr(TiffPyramid, "read", watched)
    (patch,) = image_patches(pyramid, [[500, 400]], size, 64)[:]
    assert read == [(level, round(size / 2**level))]
    (whole,) = cut_patches(picture(), [[500, 400]], size, 64)
    assert np.abs(patch.astype(float) - whole).max() <= 6  # half a pixel of a coarse level


def test_only_the_tiles_that_are_needed_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pyramid(tmp_path / "s.tif")
    decoded = []
    original = tifffile.TiffPage.decode.func

    def counted(page: tifffile.TiffPage) -> object:
        decode = original(page)

        def one(*args: object, **options: object) -> object:
            decoded.append(args)
            return decode(*args, **options)

        return one

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(counted))
    image_patches(path, [[64, 64]], 100, 100)[:]
    assert 1 <= len(decoded) <= 4


def test_every_level_of_an_image_is_considered_once() -> None:
    assert level_for(ArrayPyramid(picture(64)), 7.0) == (0, 1.0)


def test_a_patch_has_the_resolution_asked_for(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "s.tif")
    patches = patches_for(section(), image=path, size_um=32.0, um_per_px=0.5)[:]
    assert patches.shape == (3, 64, 64, 3)
    expected = cut_patches(picture(), CENTRES, 128, 64)
    assert np.abs(patches[:2].astype(float) - expected[:2]).max() <= 4
    by_spots = patches_for(section(), image=path, um_per_px=0.5)[:]
    assert by_spots.shape == (3, 75, 75, 3)
    with pytest.raises(InputError, match="um_per_px must be positive"):
        patches_for(section(), image=path, um_per_px=0)


def test_a_scale_that_nobody_states_is_asked_for(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", picture(), tile=(128, 128), photometric="rgb")
    with pytest.raises(InputError, match="does not state its scale, nor does an image"):
        patches_for(section(), image=tmp_path / "s.tif", size_um=32.0)


def test_planes_and_transparency_are_understood(tmp_path: Path) -> None:
    alpha = np.dstack([picture(), np.full((SIDE, SIDE), 255, np.uint8)])
    tifffile.imwrite(tmp_path / "a.tif", alpha, tile=(128, 128), photometric="rgb")
    planes = np.moveaxis(picture(), -1, 0)
    options = {"tile": (128, 128), "photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "p.tif", planes, **options)
    expected = cut_patches(picture(), CENTRES, 40, 40)
    np.testing.assert_array_equal(cut_patches(tmp_path / "a.tif", CENTRES, 40, 40), expected)
    np.testing.assert_array_equal(cut_patches(tmp_path / "p.tif", CENTRES, 40, 40), expected)


def test_a_plain_tiff_is_read_by_pillow(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "plain.tif")
    assert isinstance(open_image(tmp_path / "plain.tif"), ArrayPyramid)


def test_images_that_are_not_rgb_bytes_or_are_damaged_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "grey.tif", picture()[..., 0], tile=(128, 128))
    with pytest.raises(InputError, match=r"grey\.tif holds uint8 YX .*not an 8-bit RGB"):
        open_image(tmp_path / "grey.tif")
    path = write_pyramid(tmp_path / "cut.tif")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[0]
    content[offset : offset + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cut\.tif cannot be decoded .*export the image anew"):
        cut_patches(path, [[10, 10]], 10, 10)
    (tmp_path / "text.tif").write_text("text")
    with pytest.raises(InputError, match=r"text\.tif cannot be read as an image"):
        open_image(tmp_path / "text.tif")


def test_a_scan_is_read_through_openslide(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "scan.svs")  # OpenSlide goes by content, not by suffix
    pyramid = open_image(path)
    assert isinstance(pyramid, WholeSlide)
    assert pyramid.sizes == [(1024, 1024), (512, 512), (256, 256)]
    assert pyramid.um_per_px == pytest.approx(UM_PER_PX)
    for size in (64, 128):
        scan, whole = (cut_patches(each, CENTRES, size, 64) for each in (path, picture()))
        assert np.abs(scan[:2].astype(float) - whole[:2]).max() <= 4
    (tmp_path / "text.svs").write_text("text")
    with pytest.raises(InputError, match=r"text\.svs is no scan that OpenSlide reads"):
        open_image(tmp_path / "text.svs")


def test_a_scan_without_openslide_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(InputError, match=r"needs OpenSlide; pip install 'scr2st\[openslide\]'"):
        open_image(write_pyramid(tmp_path / "scan.svs"))


ENCODE = """
import sys, time
import numpy as np
from scr2st_env.encoders import encode_cached
from scr2st_env.patches import image_patches

class Slow:
    name, dim = "slow", 3
    def encode(self, patches):
        time.sleep(float(sys.argv[3]))
        print("encoded", flush=True)
        return patches.mean(axis=(1, 2)).astype(np.float32)

centres = np.random.default_rng(0).uniform(0, 1024, (600, 2))
features = encode_cached(Slow(), image_patches(sys.argv[1], centres, 32, 16), sys.argv[2])
print("checksum", features.sum())
"""


def test_what_was_encoded_before_a_kill_is_not_encoded_again(tmp_path: Path) -> None:
    path, cache = write_pyramid(tmp_path / "s.tif"), tmp_path / "cache"
    command = [sys.executable, "-c", ENCODE, str(path), str(cache)]
    running = subprocess.Popen([*command, "0.4"], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while len(list(cache.glob("[0-9a-f]*.npy"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    running.stdout.close()
    kept = len(list(cache.glob("[0-9a-f]*.npy")))
    assert 2 <= kept < 5
    again = subprocess.run([*command, "0"], capture_output=True, text=True, check=True).stdout
    assert again.count("encoded") == 5 - kept
    whole = [sys.executable, "-c", ENCODE, str(path), str(tmp_path / "other"), "0"]
    fresh = subprocess.run(whole, capture_output=True, text=True, check=True).stdout
    assert again.splitlines()[-1] == fresh.splitlines()[-1]
