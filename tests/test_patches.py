"""Patches: files of them, cutting them from images, and finding those of an AnnData."""

import io
import warnings
from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from scr2st_env import InputError
from scr2st_env.encoders import featurise_anndata
from scr2st_env.patches import cut_patches, patches_for, patches_of, read_image, read_patches

UM_PER_PX = 0.5
SPOT_PX = 20.0


class MeanColour:
    name = "mean-colour"
    dim = 3

    def encode(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        return patches.mean(axis=(1, 2)).astype(np.float32)


def jpeg(colour: int, side: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (colour,) * 3).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_patches(path: Path, colours: dict[str, int], **changes: object) -> Path:
    """A file whose patches are plain grey, one colour per spot."""
    jpegs = [jpeg(colour) for colour in colours.values()]
    arrays = {
        "data": np.frombuffer(b"".join(jpegs), np.uint8),
        "offsets": np.cumsum([0, *map(len, jpegs)]),
        "obs_name": np.array(list(colours)),
    }
    np.savez(path, **(arrays | changes))
    return path


def section(image: NDArray[np.uint8] | None = None, hires_factor: float = 0.25) -> anndata.AnnData:
    """Three spots on a 200 x 160 image; each spot's place in the picture has its own grey."""
    library = {"scalefactors": {"spot_diameter_fullres": SPOT_PX}}
    library["metadata"] = {"um_per_px_fullres": UM_PER_PX}
    if image is not None:
        library["images"] = {"hires": image}
        library["scalefactors"]["tissue_hires_scalef"] = hires_factor
    return anndata.AnnData(
        obsm={"spatial": np.array([[40.0, 40.0], [160.0, 40.0], [100.0, 120.0]])},
        obs={"patient": ["p", "p", "p"]},
        uns={"spatial": {"s1": library}},
    )


def picture() -> NDArray[np.uint8]:
    image = np.full((160, 200, 3), 255, np.uint8)
    image[20:60, 20:60], image[20:60, 140:180], image[100:140, 80:120] = 10, 90, 170
    return image


def test_patches_are_read_in_the_order_of_the_spots_asked_for(tmp_path: Path) -> None:
    path = write_patches(tmp_path / "p.npz", {"a": 10, "b": 120, "c": 240})
    names, patches = read_patches(path)
    assert names == ["a", "b", "c"]
    np.testing.assert_allclose(patches[:].mean(axis=(1, 2, 3)), [10, 120, 240], atol=2)
    chosen = patches_of(path, ["c", "a"])
    assert len(chosen) == 2
    np.testing.assert_allclose(chosen[:].mean(axis=(1, 2, 3)), [240, 10], atol=2)


def test_a_spot_without_a_patch_is_named(tmp_path: Path) -> None:
    path = write_patches(tmp_path / "p.npz", {"a": 10, "b": 120})
    with pytest.raises(InputError, match=r"no patch for 2 of 3 spots \(first: 'x'; .*'a'"):
        patches_of(path, ["a", "x", "y"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": np.array([0, 5])}, "is damaged"),
        ({"offsets": np.array([0, 900, 10])}, "is damaged"),
        ({"obs_name": np.array(["a", "a"])}, "names a spot twice"),
        ({"obs_name": np.array(["a", None], dtype=object)}, "is not a file of patches"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    path = write_patches(tmp_path / "p.npz", {"a": 10, "b": 120}, **changes)
    with pytest.raises(InputError, match=message):
        read_patches(path)


def test_foreign_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no.npz does not exist"):
        read_patches(tmp_path / "no.npz")
    for content in (b"text", b"PK\x03\x04 not a zip"):
        (tmp_path / "foreign.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"foreign.npz is not a file of patches"):
            read_patches(tmp_path / "foreign.npz")
    np.savez(tmp_path / "other.npz", data=np.zeros(3))
    with pytest.raises(InputError, match=r"other.npz is not a file of patches: it needs data"):
        read_patches(tmp_path / "other.npz")


def test_what_is_no_jpeg_or_has_another_size_is_refused_when_it_is_read(tmp_path: Path) -> None:
    jpegs = [jpeg(10), jpeg(20, side=32), b"not a jpeg"]
    np.savez(
        tmp_path / "p.npz",
        data=np.frombuffer(b"".join(jpegs), np.uint8),
        offsets=np.cumsum([0, *map(len, jpegs)]),
        obs_name=np.array(["a", "b", "c"]),
    )
    _, patches = read_patches(tmp_path / "p.npz")
    with pytest.raises(InputError, match=r"p.npz holds patches of different sizes"):
        patches[:2]
    with pytest.raises(InputError, match=r"patch 2 of .*p.npz is not a JPEG"):
        patches[2:]


@given(x=st.floats(0, 39), y=st.floats(0, 29), side=st.integers(1, 50))
def test_a_patch_is_the_padded_crop_around_its_centre(x: float, y: float, side: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    (patch,) = cut_patches(image, [[x, y]], size_px=side, out_px=side)
    left, top = round(x - side / 2), round(y - side / 2)
    for row in range(side):
        for column in range(0, side, 7):
            inside = 0 <= top + row < 30 and 0 <= left + column < 40
            expected = image[top + row, left + column] if inside else (255, 255, 255)
            assert tuple(patch[row, column]) == tuple(expected)


def test_patches_are_scaled_to_the_size_asked_for() -> None:
    patches = cut_patches(picture(), [[40, 40], [160, 40]], size_px=36.0, out_px=18)
    assert patches.shape == (2, 18, 18, 3)
    assert (patches[0] == 10).all()
    assert (patches[1] == 90).all()


def test_no_centres_give_no_patches() -> None:
    assert cut_patches(picture(), np.empty((0, 2)), 10, 16).shape == (0, 16, 16, 3)


def test_a_spot_outside_the_image_is_named() -> None:
    with pytest.raises(
        InputError, match=r"200 x 160 pixels, but 1 of 2 spots lie outside it \(first: row 1"
    ):
        cut_patches(picture(), [[40, 40], [40, 190]], 10, 16)
    with pytest.raises(InputError, match="outside it"):
        cut_patches(picture(), [[np.nan, 40]], 10, 16)


@pytest.mark.parametrize(
    ("image", "centres", "size", "message"),
    [
        (np.zeros((5, 5), np.uint8), [[1, 1]], 4, "must be uint8"),
        (np.zeros((5, 5, 3)), [[1, 1]], 4, "must be uint8"),
        (np.zeros((5, 5, 3), np.uint8), [1, 1], 4, r"shape \(n, 2\)"),
        (np.zeros((5, 5, 3), np.uint8), [[1, 1]], 0, "must be positive"),
    ],
)
def test_wrong_input_to_cutting_is_refused(
    image: NDArray, centres: list, size: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        cut_patches(image, centres, size, 16)


def test_an_image_larger_than_pillow_s_guard_is_read_and_the_guard_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(picture()).save(tmp_path / "section.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_image(tmp_path / "section.png"), picture())
    assert Image.MAX_IMAGE_PIXELS == 100


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.png does not exist"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(InputError, match=r"text.png cannot be read as an image"):
        read_image(tmp_path / "text.png")


def test_a_file_of_patches_comes_first(tmp_path: Path) -> None:
    adata = section(picture())
    path = write_patches(tmp_path / "p.npz", {"2": 200, "1": 100, "0": 0})
    greys = patches_for(adata, patches=path)[:].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(greys, [0, 100, 200], atol=2)
    with pytest.raises(InputError, match="not both"):
        patches_for(adata, patches=path, image=picture())


def test_the_full_resolution_image_is_cut_at_one_and_a_half_spots(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "section.png")
    patches = patches_for(section(), image=tmp_path / "section.png", out_px=30)
    assert [set(np.unique(patch)) for patch in patches[:]] == [{10}, {90}, {170}]


def test_the_size_of_a_patch_can_be_given_in_micrometres() -> None:
    patches = patches_for(section(), image=picture(), size_um=30.0, out_px=60)[:]
    np.testing.assert_array_equal(patches[0], picture()[10:70, 10:70])


def test_the_picture_inside_the_file_is_a_last_resort_with_a_warning() -> None:
    small = picture()[::4, ::4]
    with pytest.warns(UserWarning, match=r"8 pixels across instead of 30; name the full"):
        patches = patches_for(section(small), out_px=16)
    np.testing.assert_allclose(patches[:].mean(axis=(1, 2, 3)), [10, 90, 170], atol=1)


def test_a_float_picture_of_scanpy_is_understood() -> None:
    small = picture()[::4, ::4] / 255
    with pytest.warns(UserWarning, match="small picture"):
        patches = patches_for(section(small), out_px=16)
    np.testing.assert_allclose(patches[:].mean(axis=(1, 2, 3)), [10, 90, 170], atol=2)


def test_what_is_missing_for_cutting_is_named() -> None:
    with pytest.raises(InputError, match="holds no picture"):
        patches_for(section())
    unscaled = section()
    del unscaled.uns["spatial"]["s1"]["metadata"]
    with pytest.raises(InputError, match="does not state its scale"):
        patches_for(unscaled, image=picture(), size_um=30)
    del unscaled.uns["spatial"]["s1"]["scalefactors"]["spot_diameter_fullres"]
    with pytest.raises(InputError, match="has no spot_diameter_fullres"):
        patches_for(unscaled, image=picture())
    del unscaled.obsm["spatial"]
    with pytest.raises(InputError, match="has no obsm"):
        patches_for(unscaled, image=picture())
    two = section()
    two.uns["spatial"]["s2"] = {}
    with pytest.raises(InputError, match="has 2 libraries"):
        patches_for(two, image=picture())


def test_featurising_puts_the_features_into_a_copy(tmp_path: Path) -> None:
    adata = section()
    before = adata.copy()
    patches = patches_for(adata, image=picture(), out_px=16)
    result = featurise_anndata(adata, patches, MeanColour(), folder=tmp_path)
    np.testing.assert_allclose(result.obsm["X_patch"][:, 0], [10, 90, 170])
    assert result.uns["X_patch_encoder"] == "mean-colour"
    assert set(adata.obsm) == set(before.obsm)
    assert set(adata.uns) == set(before.uns)
    named = featurise_anndata(adata, patches[:], folder=tmp_path, key="X_histology")
    assert named.uns["X_histology_encoder"] == "histology-v1"
    result.write_h5ad(tmp_path / "written.h5ad")


def test_featurising_counts_the_patches(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 3 spots, but there are 2 patches"):
        featurise_anndata(section(), np.zeros((2, 16, 16, 3), np.uint8), folder=tmp_path)
    path = write_patches(tmp_path / "p.npz", {"0": 1})
    with pytest.raises(InputError, match="no patch for 2 of 3 spots"):
        featurise_anndata(section(), path, folder=tmp_path)


@pytest.mark.real_data
def test_patches_cut_from_the_slide_image_equal_the_stored_ones(real_data: Path) -> None:
    adata = anndata.read_h5ad(real_data / "her2st" / "C3.h5ad")[:12]
    stored = patches_of(real_data / "her2st" / "patches" / "C3.npz", adata.obs_names.tolist())[:]
    (image,) = (real_data / "her2st" / "raw").glob("data/ST-imgs/C/C3/*.jpg")
    cut = cut_patches(image, adata.obsm["spatial"], size_px=224, out_px=224)
    difference = np.abs(stored.astype(float) - cut).mean(axis=(1, 2, 3))
    assert difference.max() < 3  # JPEG noise; shifted by one pixel, the least is 3.3
