"""The compiled potentials are their NumPy twins, and are built wherever there is a compiler."""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from conftest import has_compiler, toy_reference, toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st

from scr2st_env import InputError
from scr2st_env.rewards import (
    ExpectedStates,
    HardStates,
    Potential,
    Setting,
    SoftStates,
    SpatialDensity,
    TypeEntropy,
    compiled,
    density,
    entropy,
    novelty,
    states,
)

if not has_compiler() and compiled.load_kernels(None) is None:
    pytest.skip("no C compiler to build them with", allow_module_level=True)

kernels: Any = compiled.load_kernels("1")  # fails where they could have been built and were not
SLIDE = toy_slide(side=7)
N_SPOTS = SLIDE.n_spots
REFERENCES = [toy_reference(n_states=n_states) for n_states in (1, 4, 10, 30)]
NOTHING = np.zeros(0, np.int32)
MANY = range(5, 40, 2)
FORMS: dict[str, tuple[Any, Callable[..., Potential], Callable[..., Potential]]] = {
    "states": (ExpectedStates()._tables, novelty._ExpectedStates, kernels.ExpectedStates),
    "hard_states": (HardStates()._tables, states._HardStates, kernels.HardStates),
    "soft_states": (SoftStates()._tables, states._SoftStates, kernels.SoftStates),
    "types": (
        lambda setting: (TypeEntropy()._table(setting),), entropy._TypeEntropy, kernels.TypeEntropy
    ),
    "narrow discs": (SpatialDensity()._tables, density._NarrowDiscs, kernels.SpatialDensity),
    "wide discs": (SpatialDensity()._tables, density._WideDiscs, kernels.SpatialDensity),
}  # fmt: skip

names = pytest.mark.parametrize("name", list(FORMS))


def setting_of(budget: int = 8, reference: Any = REFERENCES[2]) -> Setting:
    return Setting(SLIDE, reference, budget, np.ones(N_SPOTS, bool), NOTHING)


def tables_of(name: str) -> tuple[Any, ...]:
    return FORMS[name][0](setting_of())


def playing(name: str, spots: Sequence[int] = (3, 20, 41)) -> Any:
    potential = FORMS[name][2](*tables_of(name))
    potential.reset(np.array(spots, np.int32))
    return potential


@names
@settings(max_examples=80, deadline=None)
@given(
    reference=st.sampled_from(REFERENCES),
    budget=st.integers(1, N_SPOTS),
    order=st.permutations(range(N_SPOTS)),
    n_initial=st.integers(0, 5),
    rounds=st.lists(st.integers(0, 6), min_size=1, max_size=7),
)
def test_pays_what_numpy_pays(
    name: str, reference: Any, budget: int, order: list[int], n_initial: int, rounds: list[int]
) -> None:
    tables, numpy_form, compiled_form = FORMS[name]
    arguments = tables(setting_of(budget, reference))
    twin, potential = numpy_form(*arguments), compiled_form(*arguments)
    for _ in range(2):  # the second episode finds nothing of the first
        left = iter(order)
        initial = np.array([next(left) for _ in range(n_initial)], np.int32)
        for each in (twin, potential):
            each.reset(initial)
        values = [(twin.value, potential.value)]
        for n_spots in rounds:
            spots = [next(left) for _ in range(n_spots)]
            for each in (twin, potential):
                each.add(spots)
            values.append((twin.value, potential.value))
        expected, found = np.transpose(values)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=0, atol=1e-12)


@names
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("kind", [np.int32, np.intp])
def test_tables_may_be_read_only_and_of_either_width(
    name: str, read_only: bool, kind: type
) -> None:
    def stored(table: Any) -> Any:
        if not isinstance(table, np.ndarray):
            return table
        is_points = name.endswith("discs") and table.dtype.kind == "i"
        other = table.astype(kind if is_points else table.dtype)
        other.flags.writeable = not read_only
        return other

    potential = FORMS[name][2](*map(stored, tables_of(name)))
    potential.reset(np.array([3, 20, 41], np.int32))
    assert potential.value == playing(name).value


@names
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]  # noqa: S301
)  # fmt: skip
def test_a_copy_goes_on_with_an_episode_of_its_own(name: str, duplicate: Any) -> None:
    one = playing(name)
    before = one.value
    other = duplicate(one)
    assert other.value == before
    other.add(MANY)
    assert one.value == before != other.value
    one.add(MANY)
    assert one.value == other.value
    other.reset(np.array([7], np.int32))
    assert one.value != other.value


@names
def test_a_shallow_copy_shares_the_tables(name: str) -> None:
    one = playing(name)
    tables = [each.__reduce__()[1][0] for each in (one, copy.copy(one))]
    assert tables[0] is tables[1] is tables_of(name)[0]


@names
@pytest.mark.parametrize("spot", [-1, N_SPOTS, 10**12, -(10**12)])
def test_a_spot_that_is_not_there_is_refused(name: str, spot: int) -> None:
    potential = playing(name)
    before = potential.value
    with pytest.raises(IndexError, match=rf"spot {spot} is not in 0\.\.{N_SPOTS - 1}"):
        potential.add([spot])
    with pytest.raises(IndexError, match="is not in"):
        potential.reset(np.array([spot], np.int64))
    potential.reset(np.array([3, 20, 41], np.int32))
    assert potential.value == before


@names
def test_an_episode_of_another_size_is_refused(name: str) -> None:
    one = playing(name)
    memory, *others = one.__reduce__()[2]
    with pytest.raises(ValueError, match="an episode is remembered in"):
        one.__setstate__((memory[:-1], *others))
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        one.__setstate__((memory.astype(np.int16), *others))


@pytest.mark.parametrize("name", ["hard_states", "narrow discs"])
@pytest.mark.parametrize("entry", [-1, 10**6])
def test_a_table_that_points_nowhere_is_refused(name: str, entry: int) -> None:
    first, *others = tables_of(name)
    wrong = first.copy()
    wrong.flat[5] = entry
    with pytest.raises(IndexError, match="entries outside"):
        FORMS[name][2](wrong, *others)


@names
def test_a_table_of_another_kind_is_refused(name: str) -> None:
    first, *others = tables_of(name)
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        FORMS[name][2](first.astype(np.int8), *others)
    if first.ndim == 2:
        with pytest.raises(ValueError, match="not C-contiguous"):
            FORMS[name][2](np.asfortranarray(first), *others)


@pytest.mark.parametrize(
    "term", [ExpectedStates(), HardStates(), SoftStates(), TypeEntropy(), SpatialDensity()]
)
def test_every_term_that_has_a_compiled_form_plays_it(term: Any) -> None:
    is_compiled = isinstance(term.bind(setting_of()), kernels.Kernel)
    assert is_compiled is compiled.COMPILED
    assert compiled.COMPILED is (os.environ.get(compiled.SWITCH) != "0")


def test_the_switch_turns_them_off() -> None:
    script = (
        "import gymnasium, sys, scr2st_env; from scr2st_env.rewards import COMPILED;"
        "env = gymnasium.make('SpotSampling-v0', budget=3); env.reset(seed=1, options={'slide':"
        "env.unwrapped.slides[0].name}); steps = [env.step(spot) for spot in (5, 9, 200)];"
        "is_loaded = 'scr2st_env.rewards._kernels' in sys.modules;"
        "print(COMPILED, is_loaded, *[step[1] for step in steps])"
    )
    said = []
    for wish in ("0", "1"):
        result = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True, text=True, check=True, env=os.environ | {compiled.SWITCH: wish},
        )  # fmt: skip
        said.append(result.stdout.split())
    assert [words[:2] for words in said] == [["False", "False"], ["True", "True"]]
    rewards = [np.array(words[2:], float) for words in said]
    assert len(rewards[0]) == 3
    np.testing.assert_allclose(*rewards, rtol=0, atol=1e-12)


def test_a_wish_that_cannot_be_met_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="SCR2ST_COMPILED must be 0, 1 or not set, got 'yes'"):
        compiled.load_kernels("yes")
    monkeypatch.setattr(compiled, "find_spec", {}.get)
    assert compiled.load_kernels(None) is None
    with pytest.raises(InputError, match="install a C compiler"):
        compiled.load_kernels("1")
