"""Rewards are increases of potentials, and every potential is what its equation says."""

import copy
import gc
import itertools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scr2st_env import CellReference, InputError, RewardWeights, Slide, SpotSamplingEnv
from scr2st_env.cell_states import nearest_states, sharing_width, state_shares, state_similarity
from scr2st_env.gaussian_process import Kernel, posterior_mean
from scr2st_env.rewards import (
    ExpectedStates,
    HardStates,
    InformationGain,
    Potential,
    PredictionGain,
    ReleasedReward,
    Setting,
    SoftStates,
    SpatialDensity,
    Term,
    TypeEntropy,
    make_reward,
)
from scr2st_env.rewards.density import POINTS_PER_DISC, quadrature, reach
from scr2st_env.rewards.information import most_variable_expression
from scr2st_env.rewards.states import attainable_similarity

SLIDE = toy_slide(side=6)
REFERENCE = toy_reference(n_states=10)
N_SPOTS = SLIDE.n_spots
KERNEL = Kernel(length=2.0, feature_weight=0.5, noise=0.7)
TERMS = [
    ExpectedStates(),
    HardStates(),
    SoftStates(),
    TypeEntropy(),
    SpatialDensity(),
    InformationGain(kernel=KERNEL),
    PredictionGain(kernel=KERNEL, n_genes=8),
]

unhurried = settings(max_examples=60, deadline=None)
selections = st.lists(st.integers(0, N_SPOTS - 1), unique=True, max_size=15)


def setting_of(
    slide: Slide = SLIDE,
    reference: CellReference | None = REFERENCE,
    budget: int = 8,
    initial: Sequence[int] = (),
) -> Setting:
    purchasable = np.ones(slide.n_spots, bool)
    purchasable[list(initial)] = False
    return Setting(slide, reference, budget, purchasable, np.array(initial, np.int32))


def phi(potential: Potential, spots: Sequence[int]) -> float:
    potential.reset(np.array(spots, np.int32))
    return potential.value


BOUND = {term.name: term.bind(setting_of()) for term in TERMS}
names = pytest.mark.parametrize("name", list(BOUND))


def toy_width(cells: Any) -> float:
    """The width at which typical ones of these cells are shared."""
    labels = ["a", *["b"] * (len(cells) - 1)]
    return CellReference.make(cells, labels, n_states=20).sharing_width


class TestTwins:
    """Each potential against its equation, written once more without any cleverness."""

    @unhurried
    @given(selections)
    def test_hard_states_count_the_nearest_states(self, spots: list[int]) -> None:
        covered = set()
        for spot in spots:
            gaps = [
                np.sum((SLIDE.hidden.embedding[spot] - state) ** 2) for state in REFERENCE.states
            ]
            covered.add(int(np.argmin(gaps)))
        assert phi(BOUND["hard_states"], spots) == len(covered) / min(10, 8)

    @unhurried
    @given(selections)
    def test_expected_states_are_the_chances_that_each_is_shown(self, spots: list[int]) -> None:
        width, expected = REFERENCE.sharing_width, 0.0
        for state in range(10):
            unseen = 1.0
            for spot in spots:
                gaps = [
                    np.sum((SLIDE.hidden.embedding[spot].astype(float) - other) ** 2)
                    for other in REFERENCE.states
                ]
                likelihood = [np.exp(-gap / (2 * width**2)) for gap in gaps]
                unseen *= 1 - likelihood[state] / sum(likelihood)
            expected += 1 - unseen
        assert phi(BOUND["states"], spots) == pytest.approx(expected / 8, abs=1e-6)

    def test_a_typical_cell_is_shared_by_a_tenth_of_the_states(self) -> None:
        reference = toy_reference(n_states=31)
        cells, states = reference.embedding, reference.states
        for shared_by, width in ((0.1, reference.sharing_width), (0.5, None)):
            shares = state_shares(cells, states, width or sharing_width(cells, states, shared_by))
            np.testing.assert_allclose(shares.sum(axis=1), 1.0)
            perplexity = np.exp(stats.entropy(shares, axis=1).mean())
            assert perplexity == pytest.approx(1 + 30 * shared_by, rel=1e-3)

    def test_a_cell_far_from_all_others_leaves_the_width_to_them(self) -> None:
        cells = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
        far = cells.copy()
        far[0] *= 1e6
        widths = [toy_width(each) for each in (cells[1:], far)]
        assert widths[1] == pytest.approx(widths[0], rel=0.2)

    def test_cells_halfway_between_states_have_a_width(self) -> None:
        cells, states = np.array([[-1.0], [0.0], [1.0]]), np.array([[-1.0], [1.0]])
        width = sharing_width(cells, states)
        np.testing.assert_allclose(
            state_shares(cells, states, width), [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-12
        )

    def test_a_single_state_is_shown_by_any_spot(self) -> None:
        assert sharing_width(REFERENCE.embedding[:1], REFERENCE.embedding[:1]) == 1.0
        one = toy_reference(n_states=1)
        assert phi(ExpectedStates().bind(setting_of(reference=one)), [3]) == 1.0

    @unhurried
    @given(selections)
    def test_narrow_expected_states_are_hard_states(self, spots: list[int]) -> None:
        embedding = SLIDE.hidden.embedding
        narrow = state_shares(embedding, REFERENCE.states, 1e-4)
        nearest = nearest_states(embedding, REFERENCE.states)
        shown = 1 - (1 - narrow[spots]).prod(axis=0)
        np.testing.assert_allclose(shown, np.isin(np.arange(10), nearest[spots]), atol=1e-9)

    @unhurried
    @given(selections)
    def test_soft_states_average_the_best_similarity(self, spots: list[int]) -> None:
        best = [
            max(
                (
                    np.exp(
                        -np.sum((SLIDE.hidden.embedding[spot] - state) ** 2)
                        / (2 * REFERENCE.bandwidth**2)
                    )
                    for spot in spots
                ),
                default=0.0,
            )
            for state in REFERENCE.states
        ]
        attainable = attainable_similarity(REFERENCE.states, REFERENCE.bandwidth, 8)
        assert phi(BOUND["soft_states"], spots) == pytest.approx(
            np.mean(best) / attainable, abs=1e-6
        )

    @unhurried
    @given(selections)
    def test_types_are_the_entropy_of_the_mean_composition(self, spots: list[int]) -> None:
        mean = SLIDE.hidden.types[spots].mean(axis=0) if spots else np.array([1.0, 0, 0])
        assert phi(BOUND["types"], spots) == pytest.approx(
            stats.entropy(mean) / np.log(3), abs=1e-6
        )

    @unhurried
    @given(selections)
    def test_density_is_the_tissue_within_reach(self, spots: list[int]) -> None:
        within = reach(SLIDE.public, 8) + 1e-3 * SLIDE.public.pitch
        xy = SLIDE.public.coordinates
        covered = [any(np.hypot(*(xy[spot] - place)) <= within for spot in spots) for place in xy]
        assert phi(BOUND["density"], spots) == pytest.approx(np.mean(covered), abs=1e-9)

    @unhurried
    @given(selections)
    def test_information_gain_is_the_variance_removed(self, spots: list[int]) -> None:
        prior = KERNEL.for_slide(SLIDE.public)
        cross = prior[:, spots]
        inner = prior[np.ix_(spots, spots)] + KERNEL.noise * np.eye(len(spots))
        left = np.trace(prior - cross @ np.linalg.solve(inner, cross.T)) / np.trace(prior)
        assert phi(BOUND["information"], spots) == pytest.approx(1 - left, abs=1e-9)

    @unhurried
    @given(selections.filter(len))
    def test_prediction_gain_is_the_squared_error_removed(self, spots: list[int]) -> None:
        prior = KERNEL.for_slide(SLIDE.public)
        truth = most_variable_expression(SLIDE, np.ones(N_SPOTS, bool), 8)
        centre = truth[spots].mean(axis=0)
        predicted = centre + posterior_mean(
            prior[np.ix_(spots, spots)], prior[:, spots], truth[spots] - centre, KERNEL.noise
        )
        left = ((truth - predicted) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum()
        assert phi(BOUND["prediction"], spots) == pytest.approx(1 - left, abs=1e-9)

    def test_similarities_add_up_to_the_same_in_any_order(self) -> None:
        rng = np.random.default_rng(0)
        states = rng.normal(size=(100, 4)).astype(np.float32)
        similarity = state_similarity(rng.normal(size=(50, 4)).astype(np.float32), states, 1.0)
        shuffled = similarity[:, rng.permutation(100)]
        totals = [np.add.accumulate(rows, axis=1)[:, -1] for rows in (similarity, shuffled)]
        np.testing.assert_array_equal(*totals)

    @pytest.mark.parametrize("n_measured", [1, 2, 3, 4, 9])
    def test_the_attainable_similarity_is_close_to_the_best_choice(self, n_measured: int) -> None:
        states, bandwidth = REFERENCE.states, REFERENCE.bandwidth
        squares = ((states[:, None] - states[None]) ** 2).sum(axis=2)
        similarity = np.exp(-squares / (2 * bandwidth**2))
        best = max(
            similarity[list(chosen)].max(axis=0).mean()
            for chosen in itertools.combinations(range(10), n_measured)
        )
        greedy = attainable_similarity(states, bandwidth, n_measured)
        assert (1 - 1 / np.e) * best <= greedy <= best + 1e-6

    def test_with_as_many_spots_as_states_all_similarity_is_attainable(self) -> None:
        assert attainable_similarity(REFERENCE.states, REFERENCE.bandwidth, 10) == 1.0


class TestPotentials:
    @names
    def test_nothing_measured_is_worth_nothing(self, name: str) -> None:
        assert phi(BOUND[name], []) == 0.0

    @names
    @unhurried
    @given(spots=selections, shuffled=st.randoms(use_true_random=False), cut=st.integers(0, 15))
    def test_only_the_set_matters(
        self, name: str, spots: list[int], shuffled: Any, cut: int
    ) -> None:
        """Neither the order of purchases nor how they are split into rounds changes Phi."""
        potential = BOUND[name]
        at_once = phi(potential, spots)
        other = shuffled.sample(spots, len(spots))
        potential.reset(np.array(other[:cut], np.int32))
        potential.add(other[cut:])
        assert potential.value == pytest.approx(at_once, abs=1e-9)

    @pytest.mark.parametrize("name", ["states", "hard_states", "types", "density", "information"])
    @unhurried
    @given(spots=selections)
    def test_lies_between_nothing_and_everything(self, name: str, spots: list[int]) -> None:
        spots = spots[:8] if name in {"states", "hard_states"} else spots
        assert -1e-12 <= phi(BOUND[name], spots) <= 1 + 1e-12

    @unhurried
    @given(spots=selections)
    def test_soft_states_never_exceed_their_ceiling(self, spots: list[int]) -> None:
        ceiling = 1 / attainable_similarity(REFERENCE.states, REFERENCE.bandwidth, 8)
        assert 0 <= phi(BOUND["soft_states"], spots) <= ceiling + 1e-9

    @unhurried
    @given(spots=selections)
    def test_prediction_never_beats_the_truth(self, spots: list[int]) -> None:
        assert phi(BOUND["prediction"], spots) <= 1

    @pytest.mark.parametrize("name", ["states", "hard_states", "soft_states", "density"])
    @unhurried
    @given(spots=selections, cut=st.integers(0, 15), spot=st.integers(0, N_SPOTS - 1))
    def test_a_spot_earns_less_the_more_is_measured(
        self, name: str, spots: list[int], cut: int, spot: int
    ) -> None:
        """Submodular and monotone: gain(A, i) >= gain(B, i) >= 0 for A in B."""
        many = [other for other in spots if other != spot]
        few = many[:cut]
        potential = BOUND[name]
        early = phi(potential, [*few, spot]) - phi(potential, few)
        late = phi(potential, [*many, spot]) - phi(potential, many)
        assert early >= late - 1e-9
        assert late >= -1e-9

    @unhurried
    @given(spots=selections, spot=st.integers(0, N_SPOTS - 1))
    def test_information_never_falls(self, spots: list[int], spot: int) -> None:
        fewer = [other for other in spots if other != spot]
        potential = BOUND["information"]
        assert phi(potential, [*fewer, spot]) > phi(potential, fewer)

    @names
    def test_a_shallow_copy_follows_an_episode_of_its_own(self, name: str) -> None:
        one = BOUND[name]
        one.reset(np.array([0, 1], np.int32))
        before = one.value
        other = copy.copy(one)
        other.reset(np.zeros(0, np.int32))
        other.add([20, 30])
        assert one.value == before
        assert other.value != before


class TestNovelty:
    def test_one_cell_type_has_no_entropy(self) -> None:
        hidden = SLIDE.hidden
        pure = SLIDE.with_embedding(
            hidden.embedding, np.tile([1.0, 0, 0], (N_SPOTS, 1)), ["a", "b", "c"]
        )
        assert phi(TypeEntropy().bind(setting_of(pure)), [0, 1, 2]) == 0.0

    def test_two_balanced_types_of_three_are_not_the_maximum(self) -> None:
        types = np.eye(3)[[0, 1] * (N_SPOTS // 2)]
        slide = SLIDE.with_embedding(SLIDE.hidden.embedding, types, ["a", "b", "c"])
        potential = TypeEntropy().bind(setting_of(slide))
        assert phi(potential, [0, 1]) == pytest.approx(np.log(2) / np.log(3))

    def test_types_are_matched_by_name(self) -> None:
        hidden = SLIDE.hidden
        turned = SLIDE.with_embedding(hidden.embedding, hidden.types[:, [2, 0, 1]], ["c", "a", "b"])
        one, other = (setting_of(slide).types("types") for slide in (SLIDE, turned))
        np.testing.assert_allclose(one, other, rtol=1e-6)

    def test_different_type_names_are_refused(self) -> None:
        hidden = SLIDE.hidden
        other = SLIDE.with_embedding(hidden.embedding, hidden.types, ["a", "b", "tumour"])
        with pytest.raises(InputError, match="different cell types"):
            TypeEntropy().check(setting_of(other))

    def test_an_embedding_of_another_width_is_refused(self) -> None:
        hidden = SLIDE.hidden
        narrow = SLIDE.with_embedding(hidden.embedding[:, :2], hidden.types, hidden.type_names)
        for term in (ExpectedStates(), HardStates(), SoftStates()):
            with pytest.raises(InputError, match="width 2 but the reference one of 4"):
                term.check(setting_of(narrow))

    def test_spots_on_the_states_attain_everything(self) -> None:
        """k spots that sit on k states score 1 for hard states and at most 1 for soft ones."""
        embedding = np.resize(REFERENCE.states, (N_SPOTS, 4))
        slide = SLIDE.with_embedding(embedding, SLIDE.hidden.types, ["a", "b", "c"])
        for budget in (4, 10, 20):
            spots = range(min(budget, 10))
            assert phi(HardStates().bind(setting_of(slide, budget=budget)), spots) == 1.0
        everything = SoftStates().bind(setting_of(slide, budget=10))
        assert phi(everything, range(10)) == pytest.approx(1.0)

    def test_scales_come_from_the_reference_and_the_budget_alone(self) -> None:
        """Other hidden data, same spots measured: the same Phi."""
        rng = np.random.default_rng(0)
        embedding, types = SLIDE.hidden.embedding.copy(), SLIDE.hidden.types.copy()
        embedding[10:] = rng.normal(size=embedding[10:].shape)
        types[10:] = rng.dirichlet(np.ones(3), size=len(types) - 10)
        other = SLIDE.with_embedding(embedding, types, ["a", "b", "c"])
        for term in TERMS[:6]:
            values = [phi(term.bind(setting_of(slide)), [1, 4, 9]) for slide in (SLIDE, other)]
            assert values[0] == values[1]


class TestDensity:
    def test_a_lattice_beats_a_clump(self) -> None:
        slide = toy_slide(side=12)
        lattice = [12 * row + column for row in (2, 5, 8, 11) for column in (2, 5, 8, 11)]
        clump = [12 * row + column for row in range(4) for column in range(4)]
        potential = SpatialDensity().bind(setting_of(slide, budget=16))
        assert phi(potential, lattice) > 2.5 * phi(potential, clump)

    def test_a_hexagonal_lattice_just_covers_the_tissue(self) -> None:
        """The reach follows from the budget: that many spots, ideally placed, cover a plane."""
        side, budget = 60, 90
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
        slide = Slide.make("plane", grid * 100.0)
        spacing = np.sqrt(2 * side**2 / (np.sqrt(3) * budget))
        rows = np.arange(-1, side / (spacing * np.sqrt(3) / 2) + 1)
        ideal = np.array(
            [
                (spacing * (column + 0.5 * (row % 2)), spacing * np.sqrt(3) / 2 * row)
                for row in rows
                for column in np.arange(-1, side / spacing + 1)
            ]
        )
        inside = ideal[((ideal >= 0) & (ideal < side)).all(axis=1)]
        spots = np.unique(np.rint(inside).clip(0, side - 1) @ [1, side]).astype(int)
        potential = SpatialDensity().bind(setting_of(slide, budget=budget))
        covered = phi(potential, spots.tolist())
        assert len(spots) == pytest.approx(budget, abs=10)
        assert covered > 0.93  # the picture's edge is served from one side only
        rng = np.random.default_rng(0)
        assert phi(potential, rng.choice(side**2, budget, replace=False).tolist()) < 0.75

    def test_never_reaches_less_than_one_pitch(self) -> None:
        assert reach(SLIDE.public, N_SPOTS) == SLIDE.public.pitch

    @pytest.mark.parametrize("budget", [1, 5, 40])
    def test_a_disc_never_holds_more_than_64_points(self, budget: int) -> None:
        slide = toy_slide(side=50)
        radius = reach(slide.public, budget)
        reached, weights = quadrature(slide.public, radius)
        assert reached.shape[1] <= POINTS_PER_DISC
        assert weights.sum() == pytest.approx(1.0)
        assert weights[-1] == 0
        rng = np.random.default_rng(budget)
        spots = rng.choice(2500, budget, replace=False)
        xy = slide.public.coordinates
        gaps = np.linalg.norm(xy[:, None] - xy[None, spots], axis=2).min(axis=1)
        exact = np.mean(gaps <= radius + 0.1)
        potential = SpatialDensity().bind(setting_of(slide, budget=budget))
        assert phi(potential, spots.tolist()) == pytest.approx(exact, abs=0.05)

    @pytest.mark.parametrize("budget", [3, 12, 50])
    def test_merging_spots_into_points_loses_little(self, budget: int) -> None:
        tissue = Slide.make("fine", [(x, y) for x in range(60) for y in range(60)])
        setting = setting_of(tissue, None, budget)
        spots = np.random.default_rng(0).choice(3600, budget, replace=False)
        gaps = tissue.public.coordinates[:, None] - tissue.public.coordinates[spots]
        is_reached = np.hypot(*gaps.T).min(axis=0) <= reach(tissue.public, budget)
        found = phi(SpatialDensity().bind(setting), spots.tolist())
        assert found == pytest.approx(is_reached.mean(), abs=0.015)

    def test_tissue_density_weighs_the_places(self) -> None:
        weights = np.zeros(N_SPOTS)
        weights[:6] = [1, 0, 0, 0, 0, 3]
        slide = Slide.make("w", SLIDE.public.coordinates, tissue_density=weights)
        potential = SpatialDensity().bind(setting_of(slide, budget=36))
        assert phi(potential, [0]) == 0.25
        assert phi(potential, [5]) == 0.75

    def test_the_lattice_is_recognised(self) -> None:
        rows, columns = np.mgrid[0:12, 0:12]
        hexagonal = np.stack([columns + 0.5 * (rows % 2), rows * np.sqrt(3) / 2], -1).reshape(-1, 2)
        assert Slide.make("square", toy_slide().public.coordinates).public.cell_area == 100**2
        assert Slide.make("visium", hexagonal * 100).public.cell_area == pytest.approx(
            np.sqrt(3) / 2 * 100**2, rel=1e-4
        )

    @pytest.mark.real_data
    def test_random_buying_reaches_six_tenths_of_real_tissue(self, real_data: Path) -> None:
        rng = np.random.default_rng(0)
        for name in ("C2", "E1"):
            path = real_data / "her2st" / f"{name}.h5ad"
            slide = Slide.from_anndata(path, features=None, embedding=None, types=None)
            budget = round(0.1 * slide.n_spots)
            potential = SpatialDensity().bind(setting_of(slide, budget=budget))
            draws = [rng.choice(slide.n_spots, budget, replace=False) for _ in range(30)]
            assert np.mean([phi(potential, draw.tolist()) for draw in draws]) == pytest.approx(
                0.6, abs=0.05
            )


class TestEpisodes:
    @settings(max_examples=40, deadline=None)
    @given(
        weights=st.lists(st.floats(0, 3), min_size=6, max_size=6).filter(any),
        actions=st.lists(st.integers(0, N_SPOTS - 1), min_size=9, max_size=9),
        initial=selections.map(lambda spots: spots[:3]),
        round_size=st.integers(1, 10),
    )
    def test_rewards_add_up_to_the_increase_of_the_potentials(
        self, weights: list[float], actions: list[int], initial: list[int], round_size: int
    ) -> None:
        """The undiscounted sum is Phi(S) - Phi(S0), wasted picks and short rounds included."""
        worth = RewardWeights(*weights)
        env = SpotSamplingEnv(
            [SLIDE],
            REFERENCE,
            budget=9,
            round_size=round_size,
            initial={SLIDE.name: initial},
            reward=worth,
        )
        env.reset()
        steps = [env.step(action) for action in actions]
        bought = sorted(set(actions) - set(initial))
        expected, privileged = 0.0, 0.0
        for term in worth.terms():
            potential = term.bind(setting_of(budget=9, initial=initial))
            gain = phi(potential, [*initial, *bought]) - phi(potential, initial)
            expected += term.weight * gain
            privileged += term.weight * gain * term.privileged
        total = sum(step[1] for step in steps)
        parts = sum(sum(step[-1]["reward_terms"].values()) for step in steps)
        assert steps[-1][2]
        assert total == pytest.approx(expected, abs=1e-9)
        assert parts == pytest.approx(expected - privileged, abs=1e-9)

    def test_privileged_parts_are_kept_apart(self) -> None:
        env = SpotSamplingEnv(
            [SLIDE], REFERENCE, budget=3, reward={"prediction": 2.0, "states": 0, "types": 0}
        )
        env.reset()
        _, reward, _, _, info = env.step(14)
        assert set(info["reward_terms"]) == {"density"}
        assert set(info["privileged"]) == {"prediction"}
        parts = info["reward_terms"]["density"] + info["privileged"]["prediction"]
        assert reward == pytest.approx(parts)

    def test_prediction_gain_ignores_spots_that_cannot_be_bought(self) -> None:
        """The test part's expression may be anything."""
        counts = SLIDE.hidden.counts.toarray()
        counts[:9] = np.random.default_rng(0).poisson(5, size=counts[:9].shape)
        other = replace(
            SLIDE, hidden=replace(SLIDE.hidden, counts=type(SLIDE.hidden.counts)(counts))
        )
        rewards = []
        for slide in (SLIDE, other):
            env = SpotSamplingEnv(
                [slide],
                REFERENCE,
                budget=5,
                excluded={SLIDE.name: range(9)},
                reward={"prediction": 1.0},
            )
            env.reset()
            rewards.append([env.step(spot)[1] for spot in (10, 14, 22, 28, 35)])
        assert rewards[0] == rewards[1]

    def test_a_user_adds_a_term_without_touching_the_environment(self) -> None:
        @dataclass(frozen=True)
        class LeftHalf(Term):
            """How many measured spots lie in the left half."""

            name: ClassVar[str] = "left_half"

            def bind(self, setting: Setting) -> Any:
                is_left = setting.slide.public.scaled_coordinates[:, 0] < 0.5

                class Count:
                    def reset(self, initial: Any) -> None:
                        self.value = float(is_left[initial].sum())

                    def add(self, spots: Sequence[int]) -> None:
                        self.value += float(is_left[list(spots)].sum())

                return Count()

        env = SpotSamplingEnv([SLIDE], REFERENCE, budget=4, terms=[LeftHalf(weight=10.0)])
        env.reset()
        parts = [env.step(spot)[-1]["reward_terms"] for spot in (0, 5, 6, 11)]
        assert [part["left_half"] for part in parts] == [10.0, 0.0, 10.0, 0.0]
        assert set(parts[0]) == {"states", "types", "density", "left_half"}

    def test_a_term_of_weight_zero_is_not_built(self) -> None:
        reward = make_reward({"states": 0.0, "information": 0.5}, [HardStates(0.0)])
        assert reward.names == ("types", "density", "information")

    def test_terms_have_distinct_names(self) -> None:
        with pytest.raises(InputError, match="distinct names"):
            make_reward(None, [ExpectedStates(2.0)])

    @pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), "much"])
    def test_weights_are_numbers_that_are_not_negative(self, weight: Any) -> None:
        with pytest.raises(InputError, match="'types' must be a number >= 0"):
            RewardWeights(types=weight)

    def test_a_mapping_keeps_the_default_of_what_it_leaves_out(self) -> None:
        assert RewardWeights.of({"density": 2.0}) == RewardWeights(density=2.0)


class TestReleased:
    """By hand: four spots on a line, one pitch apart, two states, three types."""

    def reward(self) -> Any:
        reference = CellReference.make(
            [[0.0], [0.1], [10.0], [10.1]], ["a", "b", "c", "c"], n_states=2
        )
        slide = Slide.make(
            "line",
            [[0, 0], [100, 0], [200, 0], [300, 0]],
            counts=np.ones((4, 1)),
            genes=["g"],
            embedding=[[0.0], [1.0], [9.0], [11.0]],
            types=[[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]],
            type_names=["a", "b", "c"],
            pitch=100,
        )
        return ReleasedReward().bind(setting_of(slide, reference, budget=4))

    def test_one_type_costs_one_and_two_balanced_types_score_the_maximum(self) -> None:
        assert self.reward().settle([1, 2])["types"] == -1.0
        assert self.reward().settle([0, 1])["types"] == pytest.approx(1.0)

    def test_states_are_counted_per_round(self) -> None:
        bound = self.reward()
        assert bound.settle([0, 1])["states"] == 0.5
        assert bound.settle([0, 3])["states"] == 1.0
        assert bound.settle([0, 1])["states"] == 0.5  # nothing is remembered

    def test_clumps_are_paid_more_than_spread_spots(self) -> None:
        bound = self.reward()
        assert bound.settle([0, 1])["density"] == pytest.approx(3 / 4)  # gaps 0 0 1 2
        assert bound.settle([0, 3])["density"] == pytest.approx(2 / 4)  # gaps 0 1 1 0

    def test_plays_in_the_environment(self) -> None:
        env = SpotSamplingEnv([SLIDE], REFERENCE, budget=6, round_size=3, reward="released")
        env.reset()
        rewards = [env.step(spot)[1] for spot in (0, 7, 14, 14, 14, 14)]
        assert [reward != 0 for reward in rewards] == [False, False, True, False, False, False]
        with pytest.raises(InputError, match="no further terms"):
            SpotSamplingEnv([SLIDE], REFERENCE, reward="released", terms=[HardStates()])


class TestTables:
    def test_environments_share_the_tables_of_a_slide(self) -> None:
        slide = toy_slide(side=5)
        one, other = (InformationGain(kernel=KERNEL).bind(setting_of(slide)) for _ in range(2))
        assert one._covariance is other._covariance
        finer = InformationGain(kernel=Kernel(length=1.0)).bind(setting_of(slide))
        assert finer._covariance is not one._covariance

    def test_tables_of_two_references_or_budgets_are_two(self) -> None:
        other = toy_reference(seed=4, n_states=7)
        for spots in ([0, 5], [3, 9, 30]):
            pairs = [
                (ExpectedStates(), setting_of(), setting_of(reference=other)),
                (SoftStates(), setting_of(), setting_of(reference=other)),
                (HardStates(), setting_of(), setting_of(reference=other)),
                (SpatialDensity(), setting_of(budget=4), setting_of(budget=20)),
            ]
            for term, one, another in pairs:
                assert phi(term.bind(one), spots) != phi(term.bind(another), spots)

    def test_tables_go_with_their_slide(self) -> None:
        slide = toy_slide(side=5)
        table = weakref.ref(SpatialDensity()._tables(setting_of(slide))[0])
        potential = SpatialDensity().bind(setting_of(slide))
        assert table() is not None
        del slide, potential
        gc.collect()
        assert table() is None
