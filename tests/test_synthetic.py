"""The synthetic tissue: grown from a seed, drawn, sequenced, embedded in the package."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import scr2st_env
from scr2st_env import InputError, Kernel, Slide
from scr2st_env.encoders import HistologyEncoder
from scr2st_env.patches import read_patches
from scr2st_env.synthetic import (
    TEST,
    TRAINING,
    SyntheticTissue,
    load_reference,
    load_slide,
    load_slides,
)
from scr2st_env.synthetic.calibration import (
    gene_correlation,
    most_expressed,
    neighbour_agreement,
    transfer,
    within_slide,
)
from scr2st_env.synthetic.cells import Cells
from scr2st_env.synthetic.fields import GRID_UM, Canvas, at_pixels, at_points
from scr2st_env.synthetic.making import embed_tissue
from scr2st_env.synthetic.programs import ADIPOCYTE, STROMA, TUMOUR, TYPE_NAMES
from scr2st_env.synthetic.regions import PITCH_UM, REGIONS, SPOT_UM, Rings
from scr2st_env.synthetic.sequencing import (
    SPOT_OVERDISPERSION,
    _negative_binomial,
    sequence_spots,
    visible_rna,
)
from scr2st_env.synthetic.tissue import TRUTH


@pytest.fixture(scope="module")
def tissue() -> SyntheticTissue:
    return SyntheticTissue(seed=3, n_spots=(50, 60))


@pytest.fixture(scope="module")
def section(tissue: SyntheticTissue) -> AnnData:
    return tissue.section(2, 1)


def test_a_section_depends_on_the_seed_and_not_on_what_was_drawn_before(
    tissue: SyntheticTissue, section: AnnData
) -> None:
    fresh = SyntheticTissue(seed=3, n_spots=(50, 60)).section(2, 1)
    assert (fresh.X != section.X).nnz == 0
    np.testing.assert_array_equal(fresh.obsm["patches"], section.obsm["patches"])
    other = SyntheticTissue(seed=4, n_spots=(50, 60)).sequenced(2, 1)
    assert other.counts.shape != section.shape or (other.counts != section.X.toarray()).any()
    twin = tissue.sequenced(2, 2)
    assert (twin.counts != section.X.toarray()).any()


def test_spots_lie_on_a_lattice_inside_the_tissue(tissue: SyntheticTissue) -> None:
    grown = tissue.sequenced(1, 1)
    spots = grown.anatomy.spots
    assert 50 <= len(spots) <= 60
    assert (at_points(grown.anatomy.outline, spots) > 0).all()
    steps = (spots - spots[0]) / PITCH_UM
    np.testing.assert_allclose(steps, np.rint(steps))


@given(st.tuples(st.integers(1, 60), st.integers(0, 10)))
@settings(max_examples=6, deadline=None)
def test_the_outline_holds_exactly_as_many_spots_as_asked_for(sizes: tuple[int, int]) -> None:
    least, more = sizes
    tissue = SyntheticTissue(seed=least, n_spots=(least, least + more))
    grown = tissue.sequenced(1, 1)
    assert least <= len(grown.counts) <= least + more
    assert grown.composition.shape == (len(grown.counts), len(TYPE_NAMES))
    np.testing.assert_allclose(grown.composition.sum(axis=1), 1)


def test_sections_of_a_patient_resemble_each_other_and_those_of_two_patients_do_not() -> None:
    tissue = SyntheticTissue(seed=0, n_spots=(100, 100))
    nests = {who: tissue.sequenced(*who).anatomy.nests for who in [(1, 1), (1, 2), (2, 1)]}

    def likeness(one: tuple[int, int], other: tuple[int, int]) -> float:
        return np.corrcoef(nests[one].ravel(), nests[other].ravel())[0, 1]

    assert likeness((1, 1), (1, 2)) > 0.6
    assert abs(likeness((1, 1), (2, 1))) < 0.2


def test_the_cells_under_a_spot_make_its_counts(section: AnnData) -> None:
    truth = section.obsm["truth_types"]
    counts = section.X.toarray()
    share = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    for kind, prefix in [(TUMOUR, "TUM"), (STROMA, "STR")]:
        markers = [gene.startswith(prefix) for gene in section.var_names]
        # Without any relation this would lie within 0.2 of zero for most slides of 50 spots.
        assert np.corrcoef(truth[:, kind], share[:, markers].mean(axis=1))[0, 1] > 0.4


def test_the_cells_under_a_spot_change_what_is_seen() -> None:
    tissue = SyntheticTissue(seed=0, n_spots=(150, 150))
    section = tissue.section(3, 1)
    patches = section.obsm["patches"].astype(float)
    whiteness = (patches.min(axis=-1) > 220).mean(axis=(1, 2))
    nuclei = (patches[..., 0] < 110).mean(axis=(1, 2))
    fat, tumour = section.obsm["truth_types"][:, [ADIPOCYTE, TUMOUR]].T
    assert np.corrcoef(fat, whiteness)[0, 1] > 0.5
    assert np.corrcoef(tumour, nuclei)[0, 1] > 0.3


def test_every_patient_has_their_own_stains_and_tumour(tissue: SyntheticTissue) -> None:
    one, two = tissue.patient(1), tissue.patient(2)
    assert np.abs(one.stains - two.stains).max() > 0.02
    assert np.abs(one.program_shift - two.program_shift)[TUMOUR].mean() > 0.3
    np.testing.assert_array_equal(one.stains, tissue.patient(1).stains)


def test_a_section_is_read_as_a_slide_with_its_picture(section: AnnData) -> None:
    section = section.copy()
    section.obsm["X_patch"] = section.obsm["patches"].mean(axis=(1, 2))
    slide = Slide.from_anndata(section, embedding=None, types="truth_types")
    assert (slide.name, slide.patient, slide.public.pitch) == ("p2s1", "p2", PITCH_UM)
    assert slide.hidden.type_names == TYPE_NAMES
    image = slide.public.image
    middle = slide.public.coordinates * image.scale
    for (x, y), patch in zip(middle, section.obsm["patches"], strict=True):
        seen = image.pixels[round(y - 2) : round(y + 2), round(x - 2) : round(x + 2)]
        drawn = patch[30:50, 30:50]
        # The spot's middle is the same in both, up to what averaging to another scale changes.
        assert np.abs(seen.mean(axis=(0, 1)) - drawn.mean(axis=(0, 1))).max() < 45


def test_the_reference_holds_all_types_of_other_donors(tissue: SyntheticTissue) -> None:
    reference = tissue.reference(400)
    assert set(reference.obs["cell_type"]) == set(TYPE_NAMES)
    assert reference.var_names.tolist() == list(tissue.programs.genes)
    assert reference.obs["donor"].nunique() > 1
    assert (tissue.reference(400).X != reference.X).nnz == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SyntheticTissue(n_spots=(5, 2)), "n_spots"),
        (lambda: SyntheticTissue(n_genes=3), "n_genes=3"),
        (lambda: SyntheticTissue(depth=0.0), "depth=0.0 must be above 0"),
        (lambda: SyntheticTissue(depth=1e5), "depth=100000.0 must be above 0 and at most 10000"),
        (lambda: SyntheticTissue().sequenced(0, 1), "numbered from 1"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_field_has_unit_variance_and_the_length_asked_for() -> None:
    rng = np.random.default_rng(0)
    draws = np.stack([Canvas(60).field(rng, 50.0) for _ in range(60)])
    assert draws.var() == pytest.approx(1, abs=0.1)
    step = 5  # cells of 10 um: exp(-d^2 / (4 l^2)) with d = l
    likeness = (draws[:, :, :-step] * draws[:, :, step:]).mean()
    assert likeness == pytest.approx(np.exp(-0.25), abs=0.1)


def test_fields_are_read_where_they_were_drawn() -> None:
    canvas = Canvas(12)
    field = canvas.field(np.random.default_rng(1), 20.0)
    read = at_points(field, canvas.centres.reshape(-1, 2)).reshape(field.shape)
    np.testing.assert_allclose(read, field)
    large = at_pixels(field, GRID_UM / 5)
    blocks = large.reshape(12, 5, 12, 5)
    np.testing.assert_allclose(blocks[:, 2, :, 2], field, atol=1e-5)


def test_cells_in_spots_equals_a_search_over_all_pairs() -> None:
    rng = np.random.default_rng(2)
    places, spots = rng.uniform(0, 500, (200, 2)), rng.uniform(-200, 700, (20, 2))
    cells = Cells(places, np.zeros(200, int), np.zeros((200, 2)))
    distance = np.linalg.norm(spots[:, None] - places, axis=-1)
    near = (distance <= SPOT_UM / 2) | (distance == distance.min(axis=1, keepdims=True))
    spot, cell = cells.in_spots(spots)
    np.testing.assert_array_equal(np.argwhere(near), np.stack([spot, cell], axis=1))


def test_depth_in_rings_is_the_distance_from_the_wall() -> None:
    rings = Rings(np.array([[0.0, 0.0], [100.0, 0.0]]), np.array([20.0, 30.0]), wall=5.0)
    depth = rings.depth(np.array([[0.0, 0.0], [15.0, 0.0], [100.0, 40.0]]))
    np.testing.assert_allclose(depth, [20.0, 5.0, -10.0])
    assert (Rings(np.empty((0, 2)), np.empty(0), 5.0).depth(np.zeros((1, 2))) < 0).all()


def test_counts_are_negative_binomial() -> None:
    mean = 20.0
    counts = _negative_binomial(
        np.full((400, 50), mean), SPOT_OVERDISPERSION, np.random.default_rng(0)
    )
    assert counts.mean() == pytest.approx(mean, rel=0.02)
    assert counts.var() == pytest.approx(mean + SPOT_OVERDISPERSION * mean**2, rel=0.05)


def test_sequencing_a_section_again_and_again_averages_to_its_truth() -> None:
    rng = np.random.default_rng(0)
    rna, efficiency = rng.gamma(1.0, size=(4, 6)), rng.gamma(1.0, size=6)
    seen = visible_rna(rna, efficiency)
    total = sum(sequence_spots(seen, 500.0, rng).astype(float) for _ in range(4000))
    shares = total / total.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, seen / seen.sum(axis=1, keepdims=True), rtol=0.05)
    # Four fifths of what a spot shows is its own: all of it would differ by 1.25 times as much.
    own = rna * efficiency
    np.testing.assert_allclose(seen - seen.mean(axis=0), 0.8 * (own - own.mean(axis=0)))


def test_depth_changes_the_counts_and_neither_the_tissue_nor_its_truth() -> None:
    sections = {
        depth: SyntheticTissue(seed=3, n_spots=(60, 60), depth=depth).section(2, 1, picture=False)
        for depth in (0.25, 1.0, 40.0)
    }
    calibrated = sections[1.0]
    truth = calibrated.layers[TRUTH]
    likeness = []
    for depth, section in sections.items():
        counts = section.X.toarray()
        assert counts.sum() / calibrated.X.sum() == pytest.approx(depth, rel=0.02)
        np.testing.assert_array_equal(section.layers[TRUTH], truth)
        np.testing.assert_array_equal(section.obsm["truth_types"], calibrated.obsm["truth_types"])
        seen = Slide.from_anndata(section, features=None, embedding=None, types=None)
        expression = seen.expression(section.var_names.tolist())
        likeness.append(gene_correlation(truth, expression).mean())
    # 0.3, 0.5 and 0.75 on whole sections; what is left at any depth is overdispersion.
    assert likeness[0] + 0.1 < likeness[1] < likeness[2] - 0.1
    assert counts.max() > np.iinfo(np.uint16).max  # and no count is cut


def test_a_section_without_a_picture_is_the_same_section(
    tissue: SyntheticTissue, section: AnnData
) -> None:
    plain = tissue.section(2, 1, picture=False)
    assert "patches" not in plain.obsm
    assert (plain.X != section.X).nnz == 0
    np.testing.assert_array_equal(plain.layers[TRUTH], section.layers[TRUTH])
    keys = {"features": None, "embedding": None, "types": None}
    slide, pictured = (Slide.from_anndata(own, **keys) for own in (plain, section))
    np.testing.assert_array_equal(slide.public.coordinates, pictured.public.coordinates)
    assert (slide.public.image, slide.public.pitch) == (None, PITCH_UM)
    assert pictured.public.image is not None


def test_regions_share_the_tissue(tissue: SyntheticTissue) -> None:
    shares = tissue.sequenced(1, 1).anatomy.regions
    assert len(shares) == len(REGIONS)
    np.testing.assert_allclose(shares.sum(axis=0), 1)


def test_the_embedded_tissue_loads_fast_and_without_heavy_packages() -> None:
    program = """
import sys, time
import numpy, scipy.sparse, scipy.spatial, PIL.Image
from scr2st_env import synthetic
start = time.process_time()
slides, reference = synthetic.load_slides(), synthetic.load_reference()
took = time.process_time() - start
heavy = {"anndata", "torch", "sklearn", "pandas", "skimage", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
print(took)
"""
    runs = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        for _ in range(3)
    ]
    assert min(float(run.stdout) for run in runs) < 0.3


def test_the_embedded_sections_are_complete_and_shared() -> None:
    slides, reference = load_slides(), load_reference()
    assert [slide.name for slide in slides] == list(TRAINING + TEST)
    assert all(one is other for one, other in zip(slides, load_slides(), strict=True))
    assert load_reference() is reference
    train = {slide.patient for slide in load_slides(TRAINING)}
    test = {slide.patient for slide in load_slides(TEST)}
    assert (len(train), len(test), train & test) == (4, 2, set())
    for slide in slides:
        assert 250 <= slide.n_spots <= 350
        assert slide.hidden.type_names == reference.type_names
        assert slide.hidden.embedding.shape[1] == reference.n_dimensions
        assert slide.public.encoder == "histology-v1"
        assert slide.public.measurable.mean() > 0.97
        reach = slide.public.coordinates * slide.public.image.scale
        assert (reach < slide.public.image.pixels.shape[0]).all()
    assert reference.n_states == 100
    distance = cdist(reference.embedding, reference.states).min(axis=1)
    assert np.sqrt((distance**2).mean()) == pytest.approx(reference.bandwidth, rel=1e-3)


def test_the_embedded_files_stay_small() -> None:
    folder = Path(scr2st_env.__file__).parent / "data"
    assert sum(path.stat().st_size for path in folder.glob("*.npz")) < 2.5e6


def test_an_unknown_section_is_named() -> None:
    with pytest.raises(InputError, match="'p9s9'"):
        load_slide("p9s9")


def test_the_embedded_sections_are_what_the_model_grows_today() -> None:
    tissue = SyntheticTissue()
    for name in ("p1s1", "p5s2"):
        grown = tissue.sequenced(int(name[1]), int(name[3]))
        slide = load_slide(name)
        np.testing.assert_array_equal(slide.hidden.counts.toarray(), grown.counts)
        np.testing.assert_array_equal(slide.public.coordinates, grown.anatomy.spots)
        assert tuple(slide.hidden.genes) == tissue.programs.genes
        order = [slide.hidden.type_names.index(kind) for kind in TYPE_NAMES]
        error = slide.hidden.types[:, order] - grown.composition
        # An even guess of all types errs by 0.21.
        assert np.sqrt((error**2).mean()) < 0.15


def test_the_embedded_features_are_what_the_encoder_makes_today() -> None:
    patches = SyntheticTissue().section(6, 1).obsm["patches"][:20]
    features = load_slide("p6s1").public.features[:20]
    np.testing.assert_allclose(features, HistologyEncoder().encode(patches), rtol=2e-3, atol=2e-3)


def test_the_embedded_tissue_is_about_as_hard_as_a_real_one() -> None:
    # HER2ST: 0.14, 0.23, 0.12; pure noise scores 0, noise-free counts above 0.5.
    slides = load_slides(["p1s1", "p3s1", "p5s1"])
    genes = slides[0].hidden.genes.tolist()
    kernel = Kernel(length=3, noise=1.5)
    few = np.mean([within_slide(slide, genes, 0.1, kernel) for slide in slides])
    every = np.mean([within_slide(slide, genes, None, kernel) for slide in slides])
    assert 0.08 < few < every < 0.35
    assert 0.05 < transfer(load_slides(TRAINING), load_slide("p6s1"), genes) < 0.25
    same, chance = neighbour_agreement(slides[0], genes)
    assert same > 1.5 * chance


@pytest.mark.real_data
def test_real_sections_score_of_the_same_size_by_the_same_measurements(real_data: Path) -> None:
    kernel = Kernel(length=3, noise=1.5)
    scores = {"real": [], "synthetic": []}
    for name in ("A2", "B1", "G1"):
        path = real_data / "her2st" / f"{name}.h5ad"
        slide = Slide.from_anndata(path, features=None, embedding=None, types=None)
        scores["real"].append(within_slide(slide, most_expressed([slide]), None, kernel))
    for slide in load_slides(["p1s1", "p2s1", "p5s1"]):
        scores["synthetic"].append(within_slide(slide, most_expressed([slide]), None, kernel))
    assert 0.6 < np.mean(scores["synthetic"]) / np.mean(scores["real"]) < 1.7


def test_gene_correlation_is_numpys() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=(2, 30, 4))
    predicted[:, 3] = 1.0
    wanted = [np.corrcoef(truth[:, gene], predicted[:, gene])[0, 1] for gene in range(3)]
    np.testing.assert_allclose(gene_correlation(truth, predicted), [*wanted, 0.0])


def test_remaking_gives_the_same_bytes_and_test_sections_do_not_shape_the_embedding(
    tmp_path: Path,
) -> None:
    for run, test in (("one", ["p2s1"]), ("two", ["p3s1"])):
        tissue = SyntheticTissue(seed=5, n_spots=(25, 25))
        embed_tissue(tissue, tmp_path / run, training=["p1s1"], test=test, n_cells=200, n_states=10)
    for name in ("reference.npz", "p1s1.npz"):
        one, other = (tmp_path / run / name for run in ("one", "two"))
        assert one.read_bytes() == other.read_bytes()
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        "reference.npz",
        "p1s1.npz",
        "p3s1.npz",
    }


def test_the_command_writes_files_that_the_readers_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scr2st_env.synthetic", "--h5ad", str(tmp_path)]
    command += ["--sections", "2", "--spots", "30", "--cells", "150"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    written = [Path(line) for line in run.stdout.split()]
    assert [path.name for path in written] == ["reference.h5ad", "p1s1.h5ad", "p2s1.h5ad"]
    slide = Slide.from_anndata(written[1], features=None, embedding=None, types="truth_types")
    assert (slide.name, slide.patient, slide.n_spots) == ("p1s1", "p1", 30)
    names, patches = read_patches(tmp_path / "patches" / "p1s1.npz")
    assert names == slide.public.spot_names.tolist()
    drawn = SyntheticTissue(n_spots=(30, 30)).section(1, 1).obsm["patches"]
    assert np.abs(patches[0:30].astype(int) - drawn).mean() < 6  # JPEG's loss


def test_the_command_reports_wrong_input_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scr2st_env.synthetic", "--check", "--her2st", str(tmp_path)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("error: ")
