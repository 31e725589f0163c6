"""Slides and references opened from files: memory-mapped through a sidecar."""

import functools
import hashlib
import mmap
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from section_files import LARGE, arrays_in, assert_same_bits, atlas, read_directly, section, write

from scr2st_env import CellReference, InputError, Slide, anndata_io, sidecar


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCR2ST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "slides"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(section(LARGE, 100), tmp_path / "C2.h5ad")


@st.composite
def sections(draw: st.DrawFn) -> tuple[AnnData, dict[str, Any]]:
    n_spots = draw(st.integers(1, 30))
    adata = section(n_spots, draw(st.integers(1, 4)), seed=draw(st.integers(0, 99)))
    adata.X = adata.X.astype(draw(st.sampled_from([np.float32, np.int32, np.int64, np.float64])))
    if draw(st.booleans()):
        adata.X = adata.X.toarray()
    if draw(st.booleans()):
        picture = np.random.default_rng(0).integers(0, 255, (9, 8, 3), dtype=np.uint8)
        adata.uns["spatial"] = {
            "lib": {
                "images": {"hires": picture},
                "scalefactors": {"tissue_hires_scalef": 0.1},
                "metadata": {"um_per_px_fullres": draw(st.floats(0.1, 2))},
            }
        }
    options = {
        "features": draw(st.sampled_from(["X_patch", None])),
        "embedding": draw(st.sampled_from(["X_cell", None])),
        "types": draw(st.sampled_from(["X_type", None])),
        "live": draw(st.booleans()),
        "min_counts": draw(st.integers(0, 3)),
    }
    return adata, options


@given(sections(), st.sampled_from([0, sidecar.MAPPED_FROM]))
@settings(max_examples=40, deadline=None)
def test_a_slide_from_its_sidecar_is_the_file_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[AnnData, dict[str, Any]],
    mapped_from: int,
) -> None:
    adata, options = drawn
    path = write(adata, tmp_path_factory.mktemp("drawn") / "C2.h5ad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sidecar, "MAPPED_FROM", mapped_from)
        direct = read_directly(path, **options)
        for _ in ("from the file", "from the sidecar"):
            opened = Slide.from_anndata(path, **options)
            assert_same_bits(opened, direct)
            assert not any(array.flags.writeable for array in arrays_in(opened).values())
            del opened


def test_what_is_made_of_a_mapped_slide_is_the_same(path: Path) -> None:
    mapped, direct = Slide.from_anndata(path), read_directly(path)
    assert mapped.public.fingerprint == direct.public.fingerprint
    for name in ("standardised_features", "scaled_coordinates", "pitch_coordinates"):
        np.testing.assert_array_equal(getattr(mapped.public, name), getattr(direct.public, name))
    np.testing.assert_array_equal(mapped.expression(["g3", "g1"]), direct.expression(["g3", "g1"]))


def test_large_arrays_are_the_pages_of_a_file_that_all_processes_share(
    path: Path, cache: Path
) -> None:
    array = Slide.from_anndata(path).public.features
    assert isinstance(array.base, mmap.mmap)  # which knows no path: agents hold public arrays
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(cache) in maps.read_text(encoding="utf-8")


def test_the_second_opening_reads_neither_the_file_nor_its_library(path: Path) -> None:
    Slide.from_anndata(path)
    statement = (
        "import sys; from scr2st_env import Slide; "
        f"slide = Slide.from_anndata({str(path)!r}); "
        "print(slide.n_spots, {'anndata', 'h5py', 'sklearn'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", statement], check=False, capture_output=True, text=True
    )
    assert ran.stdout == f"{LARGE} set()\n", ran.stderr


def test_the_file_is_never_touched(path: Path) -> None:
    before = hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns
    for _ in range(2):
        Slide.from_anndata(path)
    assert (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns) == before
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == [path.name]


def test_who_opens_a_file_again_gets_the_same_slide(path: Path, cache: Path) -> None:
    slide = Slide.from_anndata(path)
    assert Slide.from_anndata(str(path), features="X_patch", min_counts=5) is slide
    assert Slide.from_anndata(os.path.relpath(path)) is slide
    assert Slide.from_anndata(path, min_counts=0) is not slide
    assert len(list(cache.iterdir())) == 2


def test_a_link_names_the_slide_and_is_followed_when_it_leads_elsewhere(
    path: Path, tmp_path: Path
) -> None:
    link = tmp_path / "patient 7.h5ad"
    link.symlink_to(path)
    assert Slide.from_anndata(link).name == "patient 7"
    assert_same_bits(Slide.from_anndata(link, name="C2"), Slide.from_anndata(path))
    link.unlink()
    link.symlink_to(write(section(seed=1), tmp_path / "other.h5ad"))
    assert Slide.from_anndata(link).n_spots == 40


def test_a_changed_file_is_read_again_and_its_old_arrays_go(path: Path, cache: Path) -> None:
    old = Slide.from_anndata(path)
    features = old.public.features.copy()
    write(section(LARGE, 100, seed=1), path)
    new = Slide.from_anndata(path)
    assert_same_bits(new, read_directly(path))
    assert not np.array_equal(new.public.features, features)
    np.testing.assert_array_equal(old.public.features, features)
    assert len(list(cache.iterdir())) == 1


def test_a_change_that_keeps_size_and_time_is_seen(path: Path) -> None:
    state = path.stat()
    old = Slide.from_anndata(path)
    with h5py.File(path, "r+") as file:
        file["obsm/X_patch"][0, 0] = 77
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert old.public.features[0, 0] != 77
    assert Slide.from_anndata(path).public.features[0, 0] == 77


def test_a_file_that_changes_while_it_is_read_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = anndata_io.slide_arrays

    @functools.wraps(read)
    def overtaken(*arguments: Any, **options: Any) -> Any:
        arrays = read(*arguments, **options)
        write(section(seed=1), path)
        return arrays

    monkeypatch.setattr(anndata_io, "slide_arrays", overtaken)
    with pytest.raises(InputError, match=r"C2.h5ad changed while it was read"):
        Slide.from_anndata(path)


def test_a_file_too_young_for_its_times_to_tell_a_later_write_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, waited = path.stat().st_ctime, []
    monkeypatch.setattr(sidecar.time, "sleep", waited.append)
    for age in (0.005, 1.0):
        monkeypatch.setattr(sidecar.time, "time", lambda age=age: written + age)
        sidecar.FileVersion.of(path)
    assert waited == [pytest.approx(0.015, abs=1e-3)]


def test_arrays_of_files_that_are_gone_are_swept(path: Path, tmp_path: Path, cache: Path) -> None:
    Slide.from_anndata(path)
    other = write(section(), tmp_path / "other.h5ad")
    path.unlink()
    Slide.from_anndata(other)
    (kept,) = cache.iterdir()
    assert str(other) in (kept / "manifest.json").read_text()
    with pytest.raises(InputError, match=r"C2.h5ad does not exist"):
        Slide.from_anndata(path)


def test_folders_of_others_are_left_alone(path: Path, cache: Path) -> None:
    theirs = cache / "website"
    theirs.mkdir(parents=True)
    (theirs / "manifest.json").write_text('{"name": "website"}', "utf-8")
    Slide.from_anndata(path)
    assert (theirs / "manifest.json").exists()


def truncate(folder: Path) -> None:
    file = folder / "public.features.npy"
    os.truncate(file, file.stat().st_size // 2)


def change_a_value(folder: Path) -> None:
    with (folder / "public.features.npy").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\x00\x00\x80\x3f")


def swap_for_a_pickle(folder: Path) -> None:
    np.save(folder / "hidden.genes.npy", np.array([{}] * 7, dtype=object), allow_pickle=True)


DAMAGES: list[Callable[[Path], Any]] = [
    truncate,
    change_a_value,
    swap_for_a_pickle,
    lambda folder: (folder / "public.features.npy").unlink(),
    lambda folder: (folder / "public.measurable.npy").write_bytes(b""),
    lambda folder: (folder / "manifest.json").write_text("{}"),
    lambda folder: (folder / "manifest.json").write_text('{"content": '),
    lambda folder: (folder / "manifest.json").unlink(),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_sidecar_is_made_again_with_a_warning(
    path: Path, cache: Path, damage: Callable[[Path], Any]
) -> None:
    Slide.from_anndata(path)
    (folder,) = cache.iterdir()
    damage(folder)
    with pytest.warns(RuntimeWarning, match=r"C2.h5ad are damaged"):
        assert_same_bits(Slide.from_anndata(path), read_directly(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(Slide.from_anndata(path).public.features.base, mmap.mmap)
    assert list(cache.iterdir()) == [folder]


def test_a_sidecar_that_was_copied_is_sound(path: Path, cache: Path) -> None:
    Slide.from_anndata(path)
    (folder,) = cache.iterdir()
    later = (folder / "manifest.json").stat().st_mtime + 60
    for file in folder.glob("*.npy"):
        os.utime(file, (later, later))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_bits(Slide.from_anndata(path), read_directly(path))


def test_where_nothing_can_be_kept_slides_are_held_in_memory_with_a_warning(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCR2ST_CACHE", str(tmp_path / "file" / "no folder"))
    with pytest.warns(RuntimeWarning, match=r"C2.h5ad is held in memory.*SCR2ST_CACHE"):
        slide = Slide.from_anndata(path)
    assert_same_bits(slide, read_directly(path))
    assert not any(array.flags.writeable for array in arrays_in(slide).values())
    assert pickle.loads(pickle.dumps(slide)) is slide  # noqa: S301 - our own bytes


def test_the_cache_is_where_the_desktop_s_convention_says(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCR2ST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    Slide.from_anndata(path)
    assert len(list((tmp_path / "xdg" / "scr2st" / "slides").iterdir())) == 1


def open_at_once(path: Path, barrier: Any, digests: Any) -> None:
    warnings.simplefilter("error")
    barrier.wait(30)
    digests.put(Slide.from_anndata(path).origin.digest)


def test_processes_that_open_a_file_at_once_agree(path: Path, cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, digests = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=open_at_once, args=(path, barrier, digests)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    found = {digests.get(timeout=300) for _ in processes}
    for process in processes:
        process.join(60)
    assert found == {Slide.from_anndata(path).origin.digest}
    assert len(list(cache.iterdir())) == 1


def test_a_writer_that_was_killed_leaves_nothing_that_is_read(path: Path, cache: Path) -> None:
    statement = (
        "import os, signal, numpy as np\n"
        "from scr2st_env import Slide\n"
        "save, saved = np.save, []\n"
        "def killed(file, array, **options):\n"
        "    save(file, array * 0 if array.dtype.kind == 'f' else array, **options)\n"
        "    saved.append(file)\n"
        "    if len(saved) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "np.save = killed\n"
        f"Slide.from_anndata({str(path)!r})\n"
    )
    ended = subprocess.run([sys.executable, "-c", statement], check=False)
    assert ended.returncode == -signal.SIGKILL
    (rubbish,) = cache.iterdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_bits(Slide.from_anndata(path), read_directly(path))
    assert rubbish.exists()  # its writer might still be at work
    os.utime(rubbish, (0, 0))
    Slide.from_anndata(path, min_counts=0)
    assert not rubbish.exists()


def test_a_reference_is_kept_with_its_states(tmp_path: Path, cache: Path) -> None:
    path = write(atlas(), tmp_path / "atlas.h5ad")
    direct = CellReference.from_anndata(atlas(), n_states=5)
    for _ in ("from the file", "from the sidecar"):
        opened = CellReference.from_anndata(path, n_states=5)
        assert_same_bits(opened, direct)
        assert pickle.loads(pickle.dumps(opened)) is opened  # noqa: S301 - our own bytes
        del opened
    CellReference.from_anndata(path, n_states=6)
    assert len(list(cache.iterdir())) == 2
