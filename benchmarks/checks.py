"""What can be known to be wrong before an hour of training is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.baselines.feedback import FeedbackAgent
from benchmarks.ablations import sees_cohort
from benchmarks.buying import LEARNABLE, LEARNED, LOOKAHEAD, is_fitted, make_buyer
from benchmarks.judging import make_judge
from benchmarks.protocols import Fold, held_out_spots, patient_folds
from benchmarks.synthetic_patients import COHORT, slides_to_test
from scr2st_env.errors import InputError
from scr2st_env.gaussian_process import Kernel

if TYPE_CHECKING:
    from benchmarks.cohort import Study
    from benchmarks.config import BenchmarkConfig
    from scr2st_env.slide import Slide

MIN_TEST_SPOTS = 10  # a correlation over fewer says nothing


def study_folds(config: BenchmarkConfig, study: Study) -> list[Fold]:
    """Return the folds of a study.

    Raises
    ------
    InputError
        If there are none, or a section of the embedded tissue is tested whose patient its
        embedding was fitted on.
    """
    if config.slides == [COHORT]:
        tested = config.test_slides or [n for n in slides_to_test(config) if n in study.slides]
        return patient_folds(study.patients, tested)
    if config.slides != ["synthetic"]:
        return patient_folds(study.patients, config.test_slides)
    from scr2st_env.synthetic.embedded import TEST

    tested = config.test_slides or [name for name in TEST if name in study.slides]
    unfit = [name for name in tested if name not in TEST]
    if unfit or not tested:
        wrong = f"test_slides: {unfit[0]!r}" if unfit else "sections"
        raise InputError(
            f"{wrong} leaves the patients that the embedded tissue keeps for tests, and its "
            f"embedding was fitted on the others; test some of {', '.join(TEST)}"
        )
    return patient_folds(study.patients, tested)


def check_study(config: BenchmarkConfig, study: Study) -> None:
    """Check that every agent can play on every slide and be judged there.

    Raises
    ------
    InputError
        If an agent or judge does not exist, the primary agent is an oracle, a saved agent has
        seen a tested patient, a slide has too few spots for a budget or for the test part, or the
        slides or the reference cannot do what the configuration asks.
    """
    folds = study_folds(config, study)
    played = {name for fold in folds for name in fold.test}
    if config.protocol == "cross-patient":
        played |= {name for fold in folds for name in fold.training}
    for spec, player in check_names(config).items():
        _check_primary(config, spec, player)
        _check_origin(study, played, spec, getattr(player, "record", None))
    _check_reference(config, study)
    _check_truth(config, study, folds)
    if config.protocol == "cross-patient":
        _check_across(config, study, folds)
        return
    for name in sorted({name for fold in folds for name in fold.test}):
        slide = study.slides[name]
        n_test = _check_test_part(slide, config.test_fraction)
        for budget in config.all_budgets:
            _check_budget(slide, "budget", budget, n_test)
    training = sorted({name for fold in folds for name in fold.training})
    for objective, field in (("reward", "training_budgets"), ("prediction", "training_budget")):
        for budget in config.learned_at(objective) if LEARNED + objective in config.agents else ():
            for name in training:
                _check_budget(study.slides[name], field, budget, 0)


def _check_test_part(slide: Slide, fraction: float) -> int:
    n_test = len(held_out_spots(slide.public, fraction))
    if n_test < MIN_TEST_SPOTS:
        raise InputError(
            f"slide {slide.name!r}: test_fraction {fraction} leaves {n_test} spots to "
            f"score, fewer than {MIN_TEST_SPOTS}; raise it or leave the slide out"
        )
    return n_test


def _check_across(config: BenchmarkConfig, study: Study, folds: list[Fold]) -> None:
    """Refuse what would need, or know, more than is bought on the training patients' slides."""
    if not study.imaged:
        raise InputError(
            "protocol 'cross-patient' needs patch features: the places of one slide say nothing "
            "about another; name them with features="
        )
    for judge in config.judges:
        if not sees_cohort(judge):
            raise InputError(
                f"judge {judge!r} has nothing to learn from under protocol 'cross-patient', where "
                "all that is bought is its cohort"
            )
    for fold in folds:
        patients = {study.patients[name] for name in fold.training}
        if study.reference is None and len(patients) < 2:
            raise InputError(
                f"fold {fold.name!r} has one patient to buy on, {patients.pop()!r}, whose slides "
                "can be embedded with another training patient's statistics only; add slides"
            )
        for name in fold.test:
            _check_test_part(study.slides[name], 1.0)
        for name in fold.training:
            for budget in config.all_budgets:
                _check_budget(study.slides[name], "budget", budget, 0)


def check_names(config: BenchmarkConfig) -> dict[str, Any]:
    """Make every agent and judge once, so that an unknown one is known before hours are spent.

    Returns
    -------
    dict
        The agents that need no training, by their specification.

    Raises
    ------
    InputError
        Naming the agent or judge that does not exist or lacks feedback.
    """
    players = {}
    for spec in config.agents:
        if config.protocol == "cross-patient" and (spec.startswith(LEARNED) or is_fitted(spec)):
            raise InputError(
                f"agent {spec!r} learns from fully measured slides of the patients that protocol "
                "'cross-patient' lets it buy on; use 'new-slide' or leave it out"
            )
        if spec.startswith(LEARNED):
            _check_learnable(config, spec)
            continue
        players[spec] = make_buyer(spec, Path(), [], Kernel(), execute_code=config.execute_code)
        settings = getattr(players[spec], "settings", None)  # of a saved policy
        if isinstance(players[spec], FeedbackAgent) or getattr(settings, "feedback", False):
            _check_feedback(config, spec)
    for judge in config.judges:
        make_judge(judge, Kernel(), config.training_seed)
    return players


def _check_learnable(config: BenchmarkConfig, spec: str) -> None:
    name = spec.removeprefix(LEARNED)
    if name not in LEARNABLE:
        known = ", ".join(LEARNED + learnable for learnable in LEARNABLE)
        raise InputError(f"there is no agent {spec!r}; agents that learn are {known}")
    if name == LOOKAHEAD:
        _check_feedback(config, spec)


def _check_primary(config: BenchmarkConfig, spec: str, player: Any) -> None:
    for field, named in (
        ("primary_agent", [config.primary_agent]),
        ("primary_against", config.primary_against),
    ):
        if spec in named and getattr(player, "is_oracle", False):
            raise InputError(f"{field} {spec!r} is an oracle, an upper bound; name an agent")


def _check_feedback(config: BenchmarkConfig, spec: str) -> None:
    if not config.feedback:
        raise InputError(f"agent {spec!r} learns from measured spots; set feedback = true")


def _check_origin(study: Study, tested: set[str], spec: str, record: Any) -> None:
    """Refuse a saved agent that was trained on what it is to be tested on, or to buy on."""
    if record is None:
        return
    known = [study.patients[name] for name in record.slides if name in study.patients]
    seen_patients = {*known, *getattr(record, "patients", ())}
    seen = sorted(tested & set(record.slides))
    seen += sorted(name for name in tested if study.patients[name] in seen_patients)
    if seen:
        raise InputError(
            f"agent {spec!r} was trained on slide {seen[0]!r}, which is tested, or on its patient; "
            "test other patients with test_slides"
        )


def _check_budget(slide: Slide, field: str, budget: float, n_kept: int) -> None:
    n_bought = round(budget * slide.n_spots)
    n_sold = int(np.count_nonzero(slide.public.measurable)) - n_kept
    if n_bought == 0:
        raise InputError(
            f"slide {slide.name!r}: {field} {budget} is less than one of {slide.n_spots} spots; "
            "raise it"
        )
    if n_bought > n_sold:
        raise InputError(
            f"slide {slide.name!r}: {field} {budget} asks for {n_bought} spots but only {n_sold} "
            "are for sale; lower it"
        )


def _check_truth(config: BenchmarkConfig, study: Study, folds: list[Fold]) -> None:
    unknown = [name for fold in folds for name in fold.test if name not in study.truth]
    if config.score == "truth" and unknown:
        raise InputError(
            f"slide {unknown[0]!r}: what it expresses without noise is known of slides = "
            f"['{COHORT}'] alone; set score = 'measured'"
        )


def _check_reference(config: BenchmarkConfig, study: Study) -> None:
    if config.protocol == "within-slide" and study.atlas is None:
        raise InputError(
            "protocol 'within-slide' takes its gene list from the single-cell reference's counts, "
            "which these slides came without; use 'new-slide' or name a reference"
        )
    if study.reference is None and study.atlas is not None and study.n_states > study.atlas.n_obs:
        raise InputError(
            f"n_states {study.n_states} is more than the reference's {study.atlas.n_obs} cells; "
            "lower it"
        )
