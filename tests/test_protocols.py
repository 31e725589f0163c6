"""Folds by patient, a test part that is never sold, genes chosen on training data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_slide
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.her2st import IMAGED, load_atlas, load_sections
from benchmarks.protocols import (
    genes_of_reference,
    genes_of_training_slides,
    held_out_spots,
    most_patterned_gene,
    patient_folds,
)
from scr2st_env import Slide
from scr2st_env.errors import InputError

PATIENTS = {"A1": "A", "A2": "A", "B1": "B", "C1": "C", "C2": "C"}


@given(st.dictionaries(st.text("abc", min_size=1), st.sampled_from("PQRS"), min_size=2))
def test_folds_never_share_a_patient_and_test_every_slide_once(patients: dict[str, str]) -> None:
    if len(set(patients.values())) == 1:
        with pytest.raises(InputError, match="no patient to learn from"):
            patient_folds(patients)
        return
    folds = patient_folds(patients)
    for fold in folds:
        assert not {patients[n] for n in fold.training} & {patients[n] for n in fold.test}
        assert set(fold.training) | set(fold.test) == set(patients)
    assert sorted(name for fold in folds for name in fold.test) == sorted(patients)


def test_a_fixed_fold_keeps_all_slides_of_its_patients_out_of_training() -> None:
    (fold,) = patient_folds(PATIENTS, ["A1"])
    assert fold.test == ("A1",)
    assert fold.training == ("B1", "C1", "C2")


def test_an_unknown_test_slide_is_named() -> None:
    with pytest.raises(InputError, match="'Z9' is not among A1, A2"):
        patient_folds(PATIENTS, ["Z9"])


@settings(max_examples=20, deadline=None)
@given(side=st.integers(4, 14), fraction=st.floats(0.1, 0.6))
def test_the_test_part_has_its_share_of_the_measurable_spots(side: int, fraction: float) -> None:
    slide = toy_slide(side=side).public
    measurable = np.random.default_rng(side).random(side * side) < 0.8
    measurable[0] = True
    part = held_out_spots(replace(slide, measurable=measurable), fraction)
    assert len(part) == round(fraction * measurable.sum())
    assert measurable[part].all()
    assert (np.diff(part) > 0).all()


def test_the_test_part_depends_on_nothing_but_the_slide_and_the_seed() -> None:
    slide = toy_slide(side=12, seed=1)
    other_expression = Slide(slide.public, toy_slide(side=12, seed=2).hidden)
    np.testing.assert_array_equal(
        held_out_spots(slide.public, 0.25), held_out_spots(other_expression.public, 0.25)
    )
    renamed = replace(slide.public, name="another")
    first = held_out_spots(slide.public, 0.25)
    assert not np.array_equal(first, held_out_spots(renamed, 0.25))
    assert not np.array_equal(first, held_out_spots(slide.public, 0.25, seed=1))


def test_the_test_part_is_spread_better_than_random_spots() -> None:
    slide = toy_slide(side=16).public
    part = held_out_spots(slide, 0.25)
    rng = np.random.default_rng(0)

    def hole(spots: NDArray[np.int64]) -> float:
        return cKDTree(slide.coordinates[spots]).query(slide.coordinates)[0].max() / slide.pitch

    random = [hole(rng.choice(256, len(part), replace=False)) for _ in range(50)]
    assert hole(part) < min(random)
    assert hole(part) < 2.0


def test_genes_come_from_the_training_slides_alone() -> None:
    training, test = [toy_slide("one", seed=1), toy_slide("two", seed=2)], toy_slide("t", seed=3)
    chosen = genes_of_training_slides(training, [test], 10, 4)
    counts = test.hidden.counts.copy()
    counts.data = np.random.default_rng(0).permutation(counts.data) * 7
    changed = Slide(test.public, replace(test.hidden, counts=counts))
    assert genes_of_training_slides(training, [changed], 10, 4) == chosen
    assert len(chosen.genes) == 10
    assert len(set(chosen.variable)) == 4


def test_genes_are_the_most_expressed_and_the_most_variable() -> None:
    training = [toy_slide("one", seed=1), toy_slide("two", seed=2)]
    chosen = genes_of_training_slides(training, training[:1], 6, 2)
    names = training[0].hidden.genes.tolist()
    means = np.mean([np.expm1(slide.expression(names)).mean(axis=0) for slide in training], axis=0)
    assert list(chosen.genes) == [names[index] for index in np.argsort(-means)[:6]]
    variance = np.mean([slide.expression(chosen.genes).var(axis=0) for slide in training], axis=0)
    assert list(chosen.variable) == np.argsort(-variance)[:2].tolist()


def test_a_gene_that_the_test_slide_lacks_is_not_chosen() -> None:
    training, test = [toy_slide("one", seed=1)], toy_slide("t", seed=3)
    hidden = replace(test.hidden, counts=test.hidden.counts[:, 5:], genes=test.hidden.genes[5:])
    chosen = genes_of_training_slides(training, [Slide(test.public, hidden)], 30, 5)
    assert set(chosen.genes) == {f"g{index}" for index in range(5, 30)}


def test_the_gene_of_clearest_pattern_is_found() -> None:
    slide = toy_slide(side=12)
    assert slide.hidden is not None
    counts = np.random.default_rng(0).poisson(20, (144, 5))
    counts[:, 3] = 10 + 20 * (slide.public.coordinates[:, 0] > 500)
    names = np.array([f"g{index}" for index in range(5)])
    hidden = replace(slide.hidden, counts=type(slide.hidden.counts)(counts), genes=names)
    striped = Slide(slide.public, hidden)
    assert most_patterned_gene([striped], ["g1", "g3", "g0"]) == 1
    assert most_patterned_gene([striped, toy_slide("two")], ["g1", "missing", "g3"]) == 2


@pytest.mark.real_data
@pytest.mark.usefixtures("real_data")
def test_reference_genes_of_a_real_section_are_measured_there() -> None:
    adata = load_sections(["C2"])["C2"]
    section = Slide.from_anndata(adata, name="C2", features=None, embedding=None, types=None)
    chosen = genes_of_reference(load_atlas(), [section], 300, 50)
    assert len(chosen.genes) == 300
    assert set(chosen.genes) <= set(adata.var_names)
    assert {"MALAT1", "ACTB"} & set(chosen.genes)


@pytest.mark.real_data
def test_imaged_sections_have_the_spots_of_their_counts(real_data: Path) -> None:
    assert {path.stem for path in (real_data / "her2st" / "patches").glob("*.npz")} == set(IMAGED)


def test_an_absent_data_folder_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SCR2ST_DATA", str(tmp_path))
    with pytest.raises(InputError, match="SCR2ST_DATA="):
        load_sections(["C2"])
