"""Patch encoders and their cache."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scr2st_env import InputError
from scr2st_env.encoders import (
    HistologyEncoder,
    PatchEncoder,
    encode_cached,
    get_encoder,
    register_encoder,
)
from scr2st_env.encoders.nuclei import NUCLEUS_NAMES, nucleus_features

PINK, PURPLE = np.array([236, 190, 214]), np.array([92, 62, 140])


def tissue(n_nuclei: int, side: int = 112, radius: float = 4.0, seed: int = 0) -> NDArray[np.uint8]:
    """One patch: pink background with round purple nuclei on a jittered lattice."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    pixels = np.broadcast_to(PINK, (side, side, 3)) + rng.normal(0, 3, (side, side, 1))
    per_row = int(np.ceil(np.sqrt(n_nuclei))) or 1
    step = side / per_row
    for index in range(n_nuclei):
        y, x = (np.array(divmod(index, per_row)) + 0.5) * step + rng.uniform(-1, 1, 2)
        pixels[np.hypot(rows - y, columns - x) < radius] = PURPLE
    return np.clip(pixels, 0, 255).astype(np.uint8)


class MeanColour:
    """The smallest encoder; counts its calls."""

    name = "mean-colour"
    dim = 3

    def __init__(self) -> None:
        self.n_encoded = 0

    def encode(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.n_encoded += len(patches)
        return patches.mean(axis=(1, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> HistologyEncoder:
    return HistologyEncoder()


def column(encoder: HistologyEncoder, features: NDArray[np.float32], name: str) -> NDArray:
    return features[:, encoder.feature_names.index(name)]


def test_the_default_encoder_is_found_by_its_name(encoder: HistologyEncoder) -> None:
    found = get_encoder(encoder.name)
    assert isinstance(found, PatchEncoder)
    assert found.dim == encoder.dim == len(set(encoder.feature_names))
    assert 100 <= encoder.dim <= 170


def test_an_unknown_encoder_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(InputError, match="is named 'uni3'; there is histology-v1, uni, "):
        get_encoder("uni3")


def test_an_encoder_can_be_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scr2st_env.encoders.base._FACTORIES", {})
    register_encoder("mean-colour", MeanColour)
    assert get_encoder("mean-colour").dim == 3
    with pytest.raises(InputError, match="exists already"):
        register_encoder("mean-colour", MeanColour)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(16, 70),
    width=st.integers(16, 70),
    fill=st.sampled_from(["white", "black", "noise", "one pixel"]),
    seed=st.integers(0, 2**16),
)
def test_features_are_finite_for_every_patch(height: int, width: int, fill: str, seed: int) -> None:
    patch = np.full((1, height, width, 3), 0 if fill == "black" else 255, np.uint8)
    if fill == "noise":
        patch = np.random.default_rng(seed).integers(0, 256, patch.shape, dtype=np.uint8)
    if fill == "one pixel":
        patch[0, height // 2, width // 2] = 0
    features = HistologyEncoder().encode(patch)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_a_patch_is_encoded_the_same_alone_and_among_others(encoder: HistologyEncoder) -> None:
    patches = np.stack([tissue(n) for n in (4, 9, 25)])
    before = patches.copy()
    together = encoder.encode(patches)
    alone = np.concatenate([encoder.encode(patch[None]) for patch in patches[::-1]])[::-1]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(patches, before)


def test_no_patches_give_no_rows(encoder: HistologyEncoder) -> None:
    assert encoder.encode(np.empty((0, 32, 32, 3), np.uint8)).shape == (0, encoder.dim)


def test_a_quarter_turn_or_a_mirror_hardly_changes_the_features(encoder: HistologyEncoder) -> None:
    patch = tissue(16)
    shown = np.stack([patch, np.rot90(patch), patch[:, ::-1]])
    features = encoder.encode(shown).astype(np.float64)
    other = encoder.encode(tissue(36)[None])[0]
    scale = np.abs(features[0] - other) + np.abs(features[0]) + 1e-3
    assert np.median(np.abs(features[1:] - features[0]) / scale, axis=1).max() < 0.02


@pytest.mark.parametrize("n_nuclei", [4, 9, 25, 49])
def test_nuclei_are_counted(encoder: HistologyEncoder, n_nuclei: int) -> None:
    features = encoder.encode(tissue(n_nuclei)[None])
    per_1000_pixels = column(encoder, features, "nuclei_density")[0]
    assert per_1000_pixels * 112 * 112 / 1000 == pytest.approx(n_nuclei)
    assert column(encoder, features, "nuclei_area_mean")[0] == pytest.approx(np.pi * 16, rel=0.2)


def test_the_ellipse_of_a_blob_has_the_right_eccentricity() -> None:
    rows, columns = np.indices((120, 120)) - 60.0
    stretched = (((rows / 16) ** 2 + (columns / 40) ** 2) < 1).astype(float)
    eccentricity = nucleus_features(stretched)[NUCLEUS_NAMES.index("eccentricity_mean")]
    assert eccentricity == pytest.approx(np.sqrt(1 - (16 / 40) ** 2), abs=0.01)


def test_a_flat_channel_has_no_nuclei() -> None:
    assert not nucleus_features(np.full((32, 32), 0.7)).any()


def test_stains_are_separated(encoder: HistologyEncoder) -> None:
    patches = np.stack([np.full((32, 32, 3), c, np.uint8) for c in (PURPLE, (240, 128, 170))])
    features = encoder.encode(patches)
    purple, pink = column(encoder, features, "haematoxylin_mean")
    assert purple > pink
    purple, pink = column(encoder, features, "eosin_mean")
    assert pink > purple


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        (np.zeros((2, 32, 32, 3), np.float32), "must be uint8 RGB values 0..255, got float32"),
        (np.zeros((32, 32, 3), np.uint8), "must have shape"),
        (np.zeros((2, 32, 32, 4), np.uint8), "must have shape"),
        (np.zeros((2, 15, 32, 3), np.uint8), "15 x 32 pixels are too small"),
    ],
)
def test_wrong_patches_are_refused(
    encoder: HistologyEncoder, patches: NDArray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        encoder.encode(patches)


def test_what_was_encoded_is_read_back_and_not_encoded_again(tmp_path: Path) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3), dtype=np.uint8)
    fresh, again = MeanColour(), MeanColour()
    first = encode_cached(fresh, patches, tmp_path)
    second = encode_cached(again, patches, tmp_path)
    assert (fresh.n_encoded, again.n_encoded) == (300, 0)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, patches.mean(axis=(1, 2)), rtol=1e-6)


def test_one_changed_pixel_is_noticed(tmp_path: Path) -> None:
    patches = np.zeros((2, 16, 16, 3), np.uint8)
    encode_cached(MeanColour(), patches, tmp_path)
    patches[1, 3, 3] = 255
    changed = encode_cached(MeanColour(), patches, tmp_path)
    assert changed[0].max() == 0 < changed[1].min()


def test_two_encoders_do_not_share_their_cache(tmp_path: Path) -> None:
    patches = np.full((2, 16, 16, 3), 7, np.uint8)
    encode_cached(MeanColour(), patches, tmp_path)
    other = MeanColour()
    other.name = "another"
    encode_cached(other, patches, tmp_path)
    assert other.n_encoded == 2


def test_a_damaged_cache_file_is_made_anew(tmp_path: Path) -> None:
    patches = np.full((2, 16, 16, 3), 7, np.uint8)
    expected = encode_cached(MeanColour(), patches, tmp_path)
    (stored,) = tmp_path.glob("*.npy")
    stored.write_bytes(stored.read_bytes()[:-5])
    np.testing.assert_array_equal(encode_cached(MeanColour(), patches, tmp_path), expected)
    assert np.load(stored).shape == (2, 3)


def test_the_cache_never_unpickles(tmp_path: Path) -> None:
    patches = np.full((2, 16, 16, 3), 7, np.uint8)
    expected = encode_cached(MeanColour(), patches, tmp_path)
    (stored,) = tmp_path.glob("*.npy")
    np.save(stored, np.array([[{}, 1, 2], [3, 4, 5]], dtype=object), allow_pickle=True)
    np.testing.assert_array_equal(encode_cached(MeanColour(), patches, tmp_path), expected)


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCR2ST_CACHE", str(tmp_path / "named"))
    encode_cached(MeanColour(), np.zeros((1, 16, 16, 3), np.uint8))
    assert len(list((tmp_path / "named").glob("*.npy"))) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_cache_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write"):
        encode_cached(MeanColour(), np.zeros((1, 16, 16, 3), np.uint8), tmp_path / "cache")


def test_parallel_encoding_equals_serial(tmp_path: Path) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (260, 16, 16, 3), dtype=np.uint8)
    serial = encode_cached(MeanColour(), patches, tmp_path / "a")
    parallel = encode_cached(MeanColour(), patches, tmp_path / "b", n_jobs=2)
    np.testing.assert_array_equal(serial, parallel)


def test_a_standard_patch_takes_less_than_60_ms(encoder: HistologyEncoder) -> None:
    patches = np.stack([tissue(100, side=224)] * 5)
    encoder.encode(patches[:1])
    start = time.process_time()
    encoder.encode(patches)
    assert (time.process_time() - start) / len(patches) < 0.06
