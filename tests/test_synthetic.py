"""The synthetic tissue: grown from a seed, drawn, sequenced, embedded in the package."""

from collections.abc import Callable

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

from scr2st_env import InputError, Slide
from scr2st_env.synthetic import SyntheticTissue
from scr2st_env.synthetic.cells import Cells
from scr2st_env.synthetic.fields import GRID_UM, Canvas, at_pixels, at_points
from scr2st_env.synthetic.programs import ADIPOCYTE, STROMA, TUMOUR, TYPE_NAMES
from scr2st_env.synthetic.regions import PITCH_UM, REGIONS, SPOT_UM, Rings
from scr2st_env.synthetic.sequencing import SPOT_OVERDISPERSION, _negative_binomial


@pytest.fixture(scope="module")
def tissue() -> SyntheticTissue:
    return SyntheticTissue(seed=3, n_spots=(90, 110))


@pytest.fixture(scope="module")
def section(tissue: SyntheticTissue) -> AnnData:
    return tissue.section(2, 1)


def test_a_section_depends_on_the_seed_and_not_on_what_was_drawn_before(
    tissue: SyntheticTissue, section: AnnData
) -> None:
    fresh = SyntheticTissue(seed=3, n_spots=(90, 110)).section(2, 1)
    assert (fresh.X != section.X).nnz == 0
    np.testing.assert_array_equal(fresh.obsm["patches"], section.obsm["patches"])
    other = SyntheticTissue(seed=4, n_spots=(90, 110)).sequenced(2, 1)
    assert other.counts.shape != section.shape or (other.counts != section.X.toarray()).any()
    twin = tissue.sequenced(2, 2)
    assert (twin.counts != section.X.toarray()).any()


def test_spots_lie_on_a_lattice_inside_the_tissue(tissue: SyntheticTissue) -> None:
    grown = tissue.sequenced(1, 1)
    spots = grown.anatomy.spots
    assert 90 <= len(spots) <= 110
    assert (at_points(grown.anatomy.outline, spots) > 0).all()
    steps = (spots - spots[0]) / PITCH_UM
    np.testing.assert_allclose(steps, np.rint(steps))


@given(st.tuples(st.integers(1, 60), st.integers(0, 10)))
@settings(max_examples=10, deadline=None)
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
        # Without any relation this would lie within 0.2 of zero for 100 spots.
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


def test_regions_share_the_tissue(tissue: SyntheticTissue) -> None:
    shares = tissue.sequenced(1, 1).anatomy.regions
    assert len(shares) == len(REGIONS)
    np.testing.assert_allclose(shares.sum(axis=0), 1)
