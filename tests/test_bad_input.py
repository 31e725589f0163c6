"""What cannot be used is refused at once: the right exception, one line, the thing, the way out."""

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata
import gymnasium as gym
import h5py
import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from gymnasium.error import ResetNeeded

from scr2st_env import (
    CellReference,
    InputError,
    Slide,
    SlideImage,
    SpotSamplingEnv,
    SpotSamplingVectorEnv,
)
from scr2st_env.rewards import SpatialDensity, Term

NAN, INF = float("nan"), float("inf")
SLIDE, REFERENCE = toy_slide(), toy_reference()
CELLS, LABELS = np.random.default_rng(0).normal(size=(20, 4)), ["a", "b"] * 10


@dataclass(frozen=True)
class Row:
    """A wrong call, and the fragments of what it must say."""

    call: Callable[[], Any]
    says: tuple[str, ...]
    raises: type[Exception] = InputError


class Nameless(Term):
    """A term whose author forgot its name."""

    def bind(self, setting: Any) -> Any:
        raise NotImplementedError


def env(**arguments: Any) -> SpotSamplingEnv:
    chosen = {"slides": [SLIDE], "reference": REFERENCE, "budget": 5} | arguments
    return SpotSamplingEnv(**chosen)


def playing(**arguments: Any) -> SpotSamplingEnv:
    started = env(**arguments)
    started.reset(seed=0)
    return started


def after_the_end() -> SpotSamplingEnv:
    over = playing(budget=1)
    over.step(0)
    return over


def batched(**arguments: Any) -> SpotSamplingVectorEnv:
    chosen = {"num_envs": 3, "slides": [SLIDE], "reference": REFERENCE, "budget": 5} | arguments
    return SpotSamplingVectorEnv(**chosen)


def batched_playing(**arguments: Any) -> SpotSamplingVectorEnv:
    started = batched(**arguments)
    started.reset(seed=0)
    return started


def batched_after_the_end() -> SpotSamplingVectorEnv:
    over = batched_playing(budget=1, autoreset_mode="Disabled")
    over.step(np.zeros(3, int))
    return over


def slide(**arrays: Any) -> Slide:
    return Slide.make(**({"name": "s1", "coordinates": [[0, 0], [1, 0], [0, 1]]} | arrays))


def sequenced(**arrays: Any) -> Slide:
    return slide(**({"counts": np.ones((3, 2)), "genes": ["g", "h"]} | arrays))


def cells(embedding: Any = CELLS, labels: Any = LABELS, **options: Any) -> CellReference:
    return CellReference.make(embedding, labels, **({"n_states": 5} | options))


def section(change: Callable[[anndata.AnnData], Any] = id) -> anndata.AnnData:
    """Four sequenced spots as AnnData, after a change."""
    adata = anndata.AnnData(np.full((4, 3), 9.0, np.float32))
    adata.obsm["spatial"] = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
    for key in ("X_patch", "X_cell", "X_type"):
        adata.obsm[key] = np.arange(1.0, 9.0).reshape(4, 2)
    adata.uns |= {"X_type_names": ["a", "b"], "spatial": {"s1": {}}}
    change(adata)
    return adata


def read(change: Callable[[anndata.AnnData], Any]) -> SpotSamplingEnv:
    return env(slides=[section(change)])


def atlas(change: Callable[[anndata.AnnData], Any]) -> SpotSamplingEnv:
    adata = anndata.AnnData(np.ones((20, 3), np.float32))
    adata.obsm["X_cell"] = CELLS
    adata.obs["cell_type"] = LABELS
    change(adata)
    return env(reference=adata, n_states=5)


def without(part: str) -> Slide:
    return Slide(SLIDE.public, replace(SLIDE.hidden, **{part: None}))


SLIDES = {
    "no spots": Row(lambda: slide(coordinates=np.zeros((0, 2))), ("s1", "N >= 1", "(0, 2)")),
    "positions in space": Row(
        lambda: slide(coordinates=np.zeros((3, 3))), ("s1", "coordinates must be (N, 2)", "(3, 3)")
    ),
    "positions in a row": Row(
        lambda: slide(coordinates=[1, 2, 3]), ("s1", "coordinates", "two dimensions")
    ),
    "a position is NaN": Row(
        lambda: slide(coordinates=[[0, 0], [NAN, 1]]), ("s1", "coordinates", "NaN", "row 1")
    ),
    "a position is too large for float32": Row(
        lambda: slide(coordinates=[[0, 0], [1e300, 1]]), ("s1", "coordinates", "infinite")
    ),
    "positions are text": Row(lambda: slide(coordinates=[["a", "b"]]), ("table of numbers",)),
    "all spots at one place": Row(
        lambda: slide(coordinates=[[1, 1]] * 3),
        ("s1", "spots 0 and 1 lie at one place", "drop or merge"),
    ),
    "too few rows of features": Row(
        lambda: slide(features=np.ones((2, 2))), ("s1", "features has 2 rows", "3 spots")
    ),
    "a feature is infinite": Row(
        lambda: slide(features=[[1], [INF], [1]]),
        ("s1", "features", "row 1", "remove or fill"),
    ),
    "features are text": Row(lambda: slide(features=[["x"]] * 3), ("s1", "table of numbers")),
    "no distance between spots": Row(lambda: slide(pitch=0), ("s1", "pitch", "positive", "0")),
    "the distance is text": Row(lambda: slide(pitch="x"), ("s1", "pitch", "positive", "'x'")),
    "a mask of another slide": Row(
        lambda: slide(measurable=[True]), ("s1", "measurable has shape (1,)", "(3,)")
    ),
    "negative tissue": Row(
        lambda: slide(tissue_density=[1, -1, 1]), ("s1", "tissue_density", "non-negative")
    ),
    "no tissue at all": Row(
        lambda: slide(tissue_density=[0, 0, 0]), ("s1", "tissue_density", "not all zero")
    ),
    "tissue is text": Row(
        lambda: slide(tissue_density=["a", "b", "c"]), ("s1", "tissue_density", "numbers")
    ),
    "two spots of one name": Row(
        lambda: slide(spot_names=["a", "a", "b"]), ("s1", "'a'", "obs_names_make_unique")
    ),
    "NaN counts": Row(
        lambda: sequenced(counts=np.full((3, 2), NAN)), ("s1", "NaN", "give raw counts")
    ),
    "negative counts": Row(
        lambda: sequenced(counts=-np.ones((3, 2))), ("s1", "negative", "give raw counts")
    ),
    "counts are text": Row(lambda: sequenced(counts=[["a", "b"]] * 3), ("s1", "counts", "numbers")),
    "ragged counts": Row(
        lambda: sequenced(counts=[[1, 2], [1], [1]]), ("s1", "counts", "table of numbers")
    ),
    "counts of another slide": Row(
        lambda: sequenced(counts=np.ones((2, 2))), ("s1", "counts have 2 rows", "3 spots")
    ),
    "counts without gene names": Row(
        lambda: sequenced(genes=None), ("s1", "0 gene names", "2 columns")
    ),
    "genes of one name": Row(
        lambda: sequenced(genes=["g", "g"]), ("s1", "gene names repeat", "var_names_make_unique")
    ),
    "an embedding that nobody measured": Row(
        lambda: slide(embedding=np.ones((3, 2))), ("s1", "embedding without counts", "pass counts=")
    ),
    "an infinite embedding": Row(
        lambda: sequenced(embedding=np.full((3, 2), INF)), ("s1", "embedding", "remove or fill")
    ),
    "negative cell types": Row(
        lambda: sequenced(types=[[-1]] * 3, type_names=["a"]), ("s1", "types", "non-negative")
    ),
    "unnamed cell types": Row(
        lambda: sequenced(types=[[1, 1]] * 3, type_names=["a"]), ("s1", "1 type names", "2 columns")
    ),
    "cell types of one name": Row(
        lambda: sequenced(types=[[1, 1]] * 3, type_names=["a", "a"]),
        ("s1", "type names repeat", "a"),
    ),
    "an image of fractions": Row(
        lambda: SlideImage(np.zeros((2, 2, 3)), 1.0), ("image", "uint8", "float64")
    ),
    "an image without scale": Row(
        lambda: SlideImage(np.zeros((2, 2, 3), np.uint8), 0), ("scale", "positive", "0")
    ),
}

REFERENCES = {
    "one cell type": Row(
        lambda: cells(labels=["a"] * 20), ("reference", "two cell types", "['a']")
    ),
    "no cell": Row(lambda: cells(np.zeros((0, 4)), []), ("reference", "two cell types", "[]")),
    "a cell without a type": Row(
        lambda: cells(labels=[*LABELS[:19], None]), ("reference", "cell 19", "leave them out")
    ),
    "too few labels": Row(
        lambda: cells(labels=["a", "b"]), ("reference", "2 cell-type labels for 20 cells")
    ),
    "a type that is not listed": Row(
        lambda: cells(type_names=["a", "c"]), ("reference", "'b'", "type_names")
    ),
    "fewer cells than states": Row(
        lambda: cells(n_states=21), ("reference", "n_states=21", "20 cells", "between 1 and 20")
    ),
    "fewer different cells than states": Row(
        lambda: cells(np.ones((20, 4))), ("reference", "1 of them different", "n_states=")
    ),
    "no state": Row(lambda: cells(n_states=0), ("reference", "n_states=0", "pass n_states=")),
    "half a state": Row(lambda: cells(n_states=2.5), ("n_states", "count >= 1", "2.5")),
    "states in words": Row(lambda: cells(n_states="many"), ("n_states", "count >= 1", "'many'")),
    "NaN cells": Row(
        lambda: cells(np.full((20, 4), NAN)), ("reference", "embedding", "remove or fill")
    ),
    "an atlas without embedding": Row(
        lambda: atlas(lambda adata: adata.obsm.pop("X_cell")),
        ("reference", "obsm['X_cell']", "scr2st embed"),
    ),
    "an atlas without labels": Row(
        lambda: atlas(lambda adata: adata.obs.pop("cell_type")),
        ("reference", "obs['cell_type']", "it has no columns"),
    ),
    "an atlas that is a number": Row(lambda: env(reference=5), ("int", "h5ad")),
    "an atlas that is a slide": Row(lambda: env(reference=SLIDE), ("Slide", "h5ad")),
    "an atlas in a list": Row(lambda: env(reference=[REFERENCE]), ("list", "h5ad")),
    "no atlas where a term needs one": Row(
        lambda: env(reference=None), ("'states' needs a reference", "pass reference=")
    ),
    "an atlas of another width": Row(
        lambda: env(reference=cells(np.ones((20, 7)) * np.arange(20)[:, None])),
        ("'toy'", "width 4", "7", "same embedder"),
    ),
    "an atlas of other cell types": Row(
        lambda: env(reference=cells(labels=["x", "y"] * 10)),
        ("'toy'", "different cell types", "'a'", "use the reference's names"),
    ),
}

ARGUMENTS = {
    **{
        f"budget {budget!r}": Row(
            lambda budget=budget: env(budget=budget),
            ("budget must be a count >= 1 or a fraction in (0, 1]", repr(budget)),
        )
        for budget in (0, -1, -0.1, 0.0, 1.5, NAN, INF, True, "10%", None)
    },
    "budget above N": Row(lambda: env(budget=65), ("'toy'", "65", "64 of 64", "lower the budget")),
    "a share of what is excluded": Row(
        lambda: env(budget=0.9, excluded={"toy": range(32)}),
        ("'toy'", "58 spots", "32 of 64", "lower the budget"),
    ),
    **{
        f"round_size {size!r}": Row(
            lambda size=size: env(round_size=size), ("round_size must be a count >= 1", repr(size))
        )
        for size in (0, -1, True, 2.0, "5", None)
    },
    **{
        f"observation {mode!r}": Row(
            lambda mode=mode: env(observation=mode),
            ("observation must be one of", "'full', 'compact', 'picks'", repr(mode)),
        )
        for mode in ("fast", None, ["full"])
    },
    "feedback in words": Row(lambda: env(feedback="no"), ("feedback", "True or False", "'no'")),
    "info_mask in words": Row(lambda: env(info_mask="no"), ("info_mask", "True or False", "'no'")),
    "a window": Row(lambda: env(render_mode="human"), ("render_mode", "'rgb_array'", "'human'")),
    "an argument that does not exist": Row(
        lambda: env(rounds=3), ("unexpected keyword argument 'rounds'",), TypeError
    ),
    "no slide": Row(
        lambda: gym.make("SpotSampling-v0", slides=[]), ("slides is empty", "at least one slide")
    ),
    "one slide": Row(lambda: env(slides=SLIDE), ("slides must be a list", "pass slides=[...]")),
    "one path": Row(lambda: env(slides="c2.h5ad"), ("slides must be a list", "pass slides=[...]")),
    "a number for a slide": Row(lambda: env(slides=[3]), ("int", "h5ad")),
    "an array for a slide": Row(lambda: env(slides=[np.ones((3, 2))]), ("ndarray", "h5ad")),
    "half a slide": Row(lambda: env(slides=[SLIDE.public]), ("PublicSlide", "h5ad")),
    "two slides of one name": Row(
        lambda: env(slides=[SLIDE, toy_slide(seed=1)]), ("two slides", "'toy'", "distinct names")
    ),
    "slides of different encoders": Row(
        lambda: env(slides=[SLIDE, toy_slide("two", n_features=3)]),
        ("'two'", "3 features", "'toy' has 6", "one encoder"),
    ),
    "a slide without embedding": Row(
        lambda: env(slides=[without("embedding")]),
        ("'toy'", "no embedding", "'states'", "weight 0"),
    ),
    "a slide without cell types": Row(
        lambda: env(slides=[without("types")]), ("'toy'", "no cell types", "'types'", "weight 0")
    ),
    "feedback of nothing": Row(
        lambda: env(slides=[without("embedding")], feedback=True, reward={"states": 0}),
        ("'toy'", "no embedding", "feedback=False"),
    ),
    "feedback of unknown width": Row(
        lambda: env(slides=[SLIDE.live()], reference=None, feedback=True),
        ("feedback=True", "reference="),
    ),
}

SPOT_SETS = {
    "excluded without names": Row(
        lambda: env(excluded=[1, 2]), ("excluded must map slide names", "list")
    ),
    "excluded on no slide": Row(
        lambda: env(excluded={"nobody": [1]}), ("excluded", "'nobody'", "the slides are ['toy']")
    ),
    "initial on no slide": Row(
        lambda: env(initial={"nobody": [1]}), ("initial", "'nobody'", "the slides are ['toy']")
    ),
    "names that are no names": Row(
        lambda: env(excluded={3: [1], "x": [1]}), ("excluded", "the slides are ['toy']")
    ),
    **{
        f"excluded {spots!r}": Row(
            lambda spots=spots: env(excluded={"toy": spots}),
            ("'toy'", "excluded", "list of spot indices or a bool mask"),
        )
        for spots in ([0.5], ["a"], [[1, 2]], [[1, 2], [1]], {1, 2}, 1, None)
    },
    "excluded beyond the slide": Row(
        lambda: env(excluded={"toy": [64]}), ("'toy'", "excluded has spot 64", "0..63")
    ),
    "excluded from the end": Row(
        lambda: env(excluded={"toy": [-1]}), ("'toy'", "excluded has spot -1", "0..63")
    ),
    "the mask of another slide": Row(
        lambda: env(excluded={"toy": np.ones(3, bool)}), ("'toy'", "shape (3,)", "64 spots")
    ),
    "everything excluded": Row(
        lambda: env(excluded={"toy": range(64)}), ("'toy'", "nothing can be bought", "excluded")
    ),
    "everything initial": Row(
        lambda: env(initial={"toy": range(64)}), ("'toy'", "nothing can be bought", "initial")
    ),
    "excluded leaves too little": Row(
        lambda: env(excluded={"toy": range(61)}), ("'toy'", "3 of 64", "lower the budget")
    ),
    "initial and excluded": Row(
        lambda: env(initial={"toy": [7]}, excluded={"toy": [7]}),
        ("'toy'", "initial spot 7", "excluded", "initial="),
    ),
}

REWARDS = {
    **{
        f"weight {weight!r}": Row(
            lambda weight=weight: env(reward={"density": weight}),
            ("'density'", "number >= 0", repr(weight)),
        )
        for weight in (-1, NAN, INF, "a", None)
    },
    "every weight is 0": Row(
        lambda: env(reward={"states": 0, "types": 0, "density": 0}),
        ("every reward weight is 0", "positive weight"),
    ),
    "an unknown weight": Row(
        lambda: env(reward={"novelty": 1}), ("'novelty'", "weights are", "'states'")
    ),
    "an unknown preset": Row(lambda: env(reward="relased"), ("'relased'", "'released'")),
    "a number for weights": Row(lambda: env(reward=5), ("reward must be", "RewardWeights", "5")),
    "a term that is none": Row(lambda: env(terms=["density"]), ("'density'", "scr2st_env.Term")),
    "the class of a term": Row(
        lambda: env(terms=[SpatialDensity]), ("SpatialDensity", "an instance of a subclass")
    ),
    "a term whose weight is text": Row(
        lambda: SpatialDensity("much"), ("'density'", "number >= 0", "'much'")
    ),
    "a term without a name": Row(Nameless, ("Nameless has no name", "give it one")),
    "a term twice": Row(lambda: env(terms=[SpatialDensity()]), ("distinct names", "'density'")),
    "a negative term": Row(lambda: SpatialDensity(-1.0), ("'density'", "number >= 0", "-1.0")),
    "a term beside the published formula": Row(
        lambda: env(reward="released", terms=[SpatialDensity()]), ("'released'", "terms=")
    ),
}

EPISODES = {
    **{
        f"action {action!r}": Row(
            lambda action=action: playing().step(action),
            (f"action {action} is not in 0..63", "action_masks()"),
        )
        for action in (64, -1)
    },
    **{
        f"action {action!r}": Row(
            lambda action=action: playing().step(action),
            ("an action is the index of a spot, an integer", repr(action)),
        )
        for action in (1.0, NAN, "1", None, True, np.array([1]), np.array([1, 2]))
    },
    "step before reset": Row(lambda: env().step(0), ("call reset() first",), ResetNeeded),
    "masks before reset": Row(lambda: env().action_masks(), ("call reset() first",), ResetNeeded),
    "picture before reset": Row(
        lambda: env(render_mode="rgb_array").render(), ("call reset() first",), ResetNeeded
    ),
    "step after the end": Row(
        lambda: after_the_end().step(1), ("the episode is over", "call reset()"), ResetNeeded
    ),
    "an unknown option": Row(
        lambda: env().reset(options={"slides": "toy"}), ("'slides'", "'slide', 'excluded'")
    ),
    "options that are no names": Row(
        lambda: env().reset(options={1: 1, "x": 2}), ("unknown reset option", "'slide', 'excluded'")
    ),
    "options in a list": Row(
        lambda: env().reset(options=["slide"]), ("options must be a dict", "list")
    ),
    **{
        f"slide {name!r}": Row(
            lambda name=name: env().reset(options={"slide": name}),
            (f"no slide is named {name!r}", "the slides are ['toy']"),
        )
        for name in ("nobody", 0, ["toy"])
    },
    "an option beyond the slide": Row(
        lambda: env().reset(options={"excluded": [64]}), ("'toy'", "options['excluded']", "0..63")
    ),
    "an option by slide": Row(
        lambda: env().reset(options={"excluded": {"toy": [1]}}),
        ("'toy'", "options['excluded']", "list of spot indices"),
    ),
    "options leave nothing": Row(
        lambda: env().reset(options={"excluded": range(64)}),
        ("'toy'", "nothing to buy", "exclude fewer"),
    ),
    "a negative seed": Row(
        lambda: env().reset(seed=-1),
        ("Seed must be greater or equal to zero", "-1"),
        gym.error.Error,
    ),
}

FILES = {
    "no file": Row(lambda: env(slides=["none.h5ad"]), ("none.h5ad does not exist", ".h5ad")),
    "no atlas": Row(lambda: env(reference="none.h5ad"), ("none.h5ad does not exist", ".h5ad")),
    "a folder": Row(lambda: env(slides=["folder"]), ("folder", ".h5ad")),
    "text": Row(lambda: env(slides=["text.h5ad"]), ("text.h5ad is not an AnnData .h5ad file",)),
    "a pickle": Row(lambda: env(slides=["pickle.h5ad"]), ("pickle.h5ad is not an AnnData",)),
    "another HDF5 file": Row(lambda: env(slides=["hdf5.h5ad"]), ("hdf5.h5ad is not an AnnData",)),
    "a slide as atlas": Row(
        lambda: env(reference="section.h5ad"), ("section.h5ad", "obs['cell_type']")
    ),
    "no positions": Row(
        lambda: read(lambda adata: adata.obsm.pop("spatial")),
        ("'s1'", "obsm['spatial']", "store the positions"),
    ),
    "positions along a line": Row(
        lambda: read(lambda adata: adata.obsm.update(spatial=np.ones((4, 1)))),
        ("'s1'", "obsm['spatial'] has shape (4, 1)", "two columns"),
    ),
    "positions in space": Row(
        lambda: read(lambda adata: adata.obsm.update(spatial=np.ones((4, 3)))),
        ("'s1'", "obsm['spatial'] has shape (4, 3)", "two columns"),
    ),
    "no patch features": Row(
        lambda: read(lambda adata: adata.obsm.pop("X_patch")),
        ("'s1'", "obsm['X_patch']", "scr2st features"),
    ),
    "no embedding": Row(
        lambda: read(lambda adata: adata.obsm.pop("X_cell")),
        ("'s1'", "obsm['X_cell']", "scr2st embed"),
    ),
    "no names of types": Row(
        lambda: read(lambda adata: adata.uns.pop("X_type_names")),
        ("'s1'", "uns['X_type_names']", "names of the cell types"),
    ),
    "no name": Row(lambda: read(lambda adata: adata.uns.pop("spatial")), ("name", "name=...")),
    "fractions": Row(
        lambda: read(lambda adata: adata.X.__iadd__(0.5)),
        ("'s1'", "fractions", "layers['counts']"),
    ),
    "no counts": Row(
        lambda: read(lambda adata: setattr(adata, "X", None)), ("'s1'", "no counts", "live=True")
    ),
    "every spot without counts": Row(
        lambda: read(lambda adata: adata.X.fill(0)), ("'s1'", "5 counts", "lower min_counts")
    ),
    "initial spot without counts": Row(
        lambda: env(
            slides=[section(lambda adata: adata.X.__setitem__(1, 0))], initial={"s1": [1]}, budget=1
        ),
        ("'s1'", "initial spot 1", "cannot be measured", "initial="),
    ),
    **{
        f"min_counts {least!r}": Row(
            lambda least=least: env(slides=[section()], min_counts=least),
            ("min_counts must be a count >= 0", repr(least)),
        )
        for least in (-1, NAN, "5", None)
    },
}

BATCHED = {
    **{
        f"num_envs {number!r}": Row(
            lambda number=number: batched(num_envs=number),
            ("num_envs must be a count >= 1", repr(number)),
        )
        for number in (0, -1, True, 2.0, "many")
    },
    **{
        f"autoreset_mode {mode!r}": Row(
            lambda mode=mode: batched(autoreset_mode=mode),
            ("autoreset_mode must be one of ['NextStep', 'SameStep', 'Disabled']", repr(mode)),
        )
        for mode in ("same_step", None)
    },
    "a wrong argument of a single one": Row(
        lambda: batched(budget=0), ("budget must be a count >= 1", "0")
    ),
    "step of none": Row(
        lambda: batched().step(np.zeros(3, int)), ("call reset() first",), ResetNeeded
    ),
    "too few actions": Row(
        lambda: batched_playing().step(np.zeros(2, int)),
        ("indices of 3 spots", "int64 of shape (2,)"),
    ),
    "actions that are no integers": Row(
        lambda: batched_playing().step(np.zeros(3)), ("indices of 3 spots", "float64")
    ),
    "one action out of range": Row(
        lambda: batched_playing().step(np.array([0, 64, 0])),
        ("action 64", "sub-environment 1", "0..63"),
    ),
    "too few seeds": Row(lambda: batched().reset(seed=[1, 2]), ("2 seeds for 3 sub-environments",)),
    "a reset mask of another batch": Row(
        lambda: batched_playing().reset(options={"reset_mask": np.ones(2, bool)}),
        ("options['reset_mask'] must be bool of shape (3,)", "(2,)"),
    ),
    "a reset mask of nobody": Row(
        lambda: batched_playing().reset(options={"reset_mask": np.zeros(3, bool)}),
        ("options['reset_mask']", "one sub-environment at least"),
    ),
    "a first reset of some": Row(
        lambda: batched().reset(options={"reset_mask": np.array([True, False, True])}),
        ("leave out reset_mask",),
        ResetNeeded,
    ),
    "step after the end of one": Row(
        lambda: batched_after_the_end().step(np.zeros(3, int)),
        ("sub-environment 0 is over", "reset_mask"),
        ResetNeeded,
    ),
}

GROUPS = {
    "slide": SLIDES,
    "reference": REFERENCES,
    "argument": ARGUMENTS,
    "spots": SPOT_SETS,
    "reward": REWARDS,
    "episode": EPISODES,
    "file": FILES,
    "batch": BATCHED,
}
ROWS = {f"{group}: {name}": row for group, rows in GROUPS.items() for name, row in rows.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files, few of which are sections."""
    place = tmp_path_factory.mktemp("files")
    (place / "folder").mkdir()
    (place / "text.h5ad").write_text("spots, spots, spots", "utf-8")
    (place / "pickle.h5ad").write_bytes(pickle.dumps({"X": 1}))
    with h5py.File(place / "hdf5.h5ad", "w") as file:
        file["x"] = 1
    section().write_h5ad(place / "section.h5ad")
    return place


def test_there_are_many_rows() -> None:
    assert len(ROWS) >= 120


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_wrong_call_is_refused(row: Row, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(row.raises) as refused:
        row.call()
    message = str(refused.value)
    assert type(refused.value) is row.raises
    assert "\n" not in message
    assert not re.search(r"\bself\b|<lambda>|object at 0x", message)
    for fragment in row.says:
        assert fragment in message


def all_bought(slide: Slide, **arguments: Any) -> float:
    """The reward of buying every spot in order."""
    free = {"states": 0, "types": 0, "density": 1}
    environment = SpotSamplingEnv([slide], budget=slide.n_spots, reward=free, **arguments)
    environment.reset(seed=0)
    steps = [environment.step(spot) for spot in range(slide.n_spots)]
    assert steps[-1][2]
    return sum(step[1] for step in steps)


@pytest.mark.parametrize(
    "coordinates", [[[3, 3]], [[0, 0], [0, 1], [0, 2], [0, 3]], [[0, 0], [1e-3, 1e-3]]]
)
def test_one_spot_and_spots_on_a_line_are_tissue(coordinates: Any) -> None:
    n_spots = len(coordinates)
    tissue = Slide.make("s1", coordinates, counts=np.ones((n_spots, 1)), genes=["g"])
    assert all_bought(tissue) == pytest.approx(1)


def test_a_round_longer_than_the_budget_is_back_at_the_end() -> None:
    assert all_bought(SLIDE, round_size=1000) == pytest.approx(1)


def test_a_spot_without_counts_is_not_for_sale() -> None:
    tissue = section(lambda adata: adata.X.__setitem__(1, 0))
    environment = env(slides=[tissue], reference=None, reward={"states": 0, "types": 0}, budget=1)
    environment.reset(seed=0)
    assert environment.action_masks().tolist() == [True, False, True, True]
    assert environment.step(1)[-1]["wasted"]


def test_a_picture_without_a_render_mode_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="render_mode='rgb_array'"):
        assert playing().render() is None


def test_a_refused_action_leaves_the_episode_as_it_was() -> None:
    environment = playing()
    with pytest.raises(InputError):
        environment.step(64)
    assert environment.purchases == []
    assert environment.step(3)[0]["remaining"] == pytest.approx(0.8)


def test_refused_options_leave_the_episode_as_it_was() -> None:
    environment = playing()
    environment.step(3)
    with pytest.raises(InputError):
        environment.reset(options={"excluded": [64]})
    assert environment.purchases == [3]
