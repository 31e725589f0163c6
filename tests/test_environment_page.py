"""docs/environment.md says what the environment does."""

import ast
import inspect
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import anndata
import gymnasium as gym
import numpy as np
import pytest
from conftest import toy_reference, toy_slide
from episodes import MODES, play
from pages import ROOT, page, python_blocks, section, table
from PIL import Image

from scr2st_env import (
    CellReference,
    InputError,
    RewardWeights,
    Slide,
    SpotSamplingEnv,
    SpotSamplingVectorEnv,
)
from scr2st_env.envs.observation import ObservationMode

PAGE = page("docs/environment.md")
BLOCKS = python_blocks(PAGE)
OBSERVATIONS = table(section(PAGE, "Observation Space"), "key")
MEMORY = table(section(PAGE, "Observation Space"), "mode")
INFOS = table(section(PAGE, "Info"), "key")
WEIGHTS = table(section(PAGE, "Rewards"), "weight")
ARGUMENTS = table(section(PAGE, "Arguments"), "argument")
BATCH_ARGUMENTS = table(section(PAGE, "Vectorised"), "argument")
GYMNASIUM_ORDER = [
    "Description",
    "Action Space",
    "Observation Space",
    "Rewards",
    "Starting State",
    "Episode End",
    "Arguments",
    "Version History",
]


def code(cell: str) -> str:
    """What a cell prints as code."""
    match = re.fullmatch(r"`(.*)`", cell)
    assert match is not None, cell
    return match[1]


def arguments_of(kind: type) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def test_has_the_sections_of_gymnasium_in_their_order() -> None:
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert [heading for heading in headings if heading in GYMNASIUM_ORDER] == GYMNASIUM_ORDER


def test_every_argument_is_listed_once_with_its_default() -> None:
    listed = {code(row["argument"]): ast.literal_eval(code(row["default"])) for row in ARGUMENTS}
    assert listed == arguments_of(SpotSamplingEnv)
    assert len(ARGUMENTS) == len(listed)
    assert list(listed) == list(arguments_of(SpotSamplingEnv))


def test_every_argument_of_the_batched_environment_is_listed_with_its_default() -> None:
    listed = {
        code(row["argument"]): ast.literal_eval(code(row["default"])) for row in BATCH_ARGUMENTS
    }
    actual = arguments_of(SpotSamplingVectorEnv)
    actual["autoreset_mode"] = actual["autoreset_mode"].value
    assert listed == actual


def test_the_docstring_of_the_class_describes_every_argument_and_mode() -> None:
    text = inspect.getdoc(SpotSamplingEnv)
    assert text is not None
    described = text.split("Parameters\n----------\n")[1].split("\n\n")[0]
    names = [
        name.strip()
        for line in re.findall(r"^(\w.*)$", described, re.MULTILINE)
        for name in line.split(",")
    ]
    assert names == list(arguments_of(SpotSamplingEnv))
    assert re.findall(r'``"(full|compact|picks)"``', described) == MODES


def test_the_modes_are_those_of_the_code() -> None:
    assert list(get_args(ObservationMode)) == MODES
    assert [code(row["mode"]) for row in MEMORY] == MODES
    observation = next(row for row in ARGUMENTS if row["argument"] == "`observation`")
    assert re.findall(r'`"(\w+)"`', observation["meaning"]) == MODES


def environment(mode: str = "full", *, feedback: bool = False, **options: Any) -> SpotSamplingEnv:
    slides = [toy_slide("one", 7, 1), toy_slide("two", 4, 2)]
    chosen: dict[str, Any] = {"budget": 9, "initial": {"one": [0, 1, 2]}} | options
    return SpotSamplingEnv(slides, toy_reference(), observation=mode, feedback=feedback, **chosen)


SIZES = {"N": 49, "D": 6, "E": 4, "P": 12, "S": 2}


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_the_observation_has_the_listed_keys_shapes_and_types(mode: str, feedback: bool) -> None:
    shown = ("always", "feedback") if feedback else ("always",)
    listed = {code(row["key"]): row for row in OBSERVATIONS if row[mode] in shown}
    env = environment(mode, feedback=feedback)
    observation, _ = env.reset(seed=0)
    assert isinstance(env.observation_space, gym.spaces.Dict)
    assert set(listed) == set(observation) == set(env.observation_space.spaces)
    for key, row in listed.items():
        by_mode = re.fullmatch(r"(\(.*\)) in full, else (\(.*\))", row["shape"])
        shape = row["shape"] if by_mode is None else by_mode[1 if mode == "full" else 2]
        space = env.observation_space[key]
        value = np.asarray(observation[key])
        assert value.shape == space.shape == eval(shape, {}, SIZES), key  # noqa: S307
        assert value.dtype == space.dtype == np.dtype(row["dtype"]), key


def test_no_cell_of_the_observation_table_is_anything_else() -> None:
    assert {row[mode] for row in OBSERVATIONS for mode in MODES} == {"", "always", "feedback"}


def n_bytes(formula: str, sizes: dict[str, int]) -> int:
    return int(eval(code(formula), {}, sizes))  # noqa: S307


@pytest.mark.parametrize("row", MEMORY, ids=lambda row: row["mode"])
def test_a_step_takes_the_listed_number_of_bytes(row: dict[str, str]) -> None:
    plain, further = row["bytes per step"], row["with `feedback=True`, further"]
    for feedback in (False, True):
        expected = n_bytes(plain, SIZES) + feedback * n_bytes(further, SIZES)
        for step in play(environment(code(row["mode"]), feedback=feedback)):
            assert sum(np.asarray(value).nbytes for value in step[0].values()) == expected
    sizes = {"N": 1000, "D": 64, "P": 100, "E": 16}
    examples = list(row.values())[-2:]
    worked_out = n_bytes(plain, sizes), n_bytes(plain, sizes) + n_bytes(further, sizes)
    assert examples == [f"{size:,}" for size in worked_out]


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("info_mask", [False, True])
def test_infos_have_the_listed_keys(info_mask: bool, privileged: bool) -> None:
    listed = {code(row["key"]) for row in INFOS}
    left_out = {"action_mask": info_mask, "privileged": privileged}
    assert set(left_out) == {code(row["key"]) for row in INFOS if "always" not in row["when"]}
    reward = {"prediction": 1} if privileged else None
    for step in play(environment(info_mask=info_mask, reward=reward)):
        info = step[-1]
        assert set(info) == {key for key in listed if left_out.get(key, True)}
        assert isinstance(info["slide"], str)
        assert type(info["wasted"]) is bool
        assert all(type(part) is float for part in info["reward_terms"].values())


def test_every_reward_weight_is_listed_with_its_default() -> None:
    listed = {code(row["weight"]): float(row["default"]) for row in WEIGHTS}
    assert listed == asdict(RewardWeights())


def test_the_options_of_reset_are_listed() -> None:
    listed = [code(row["option"]) for row in table(section(PAGE, "Starting State"), "option")]
    with pytest.raises(InputError) as refused:
        environment().reset(options={"none": 1})
    assert re.findall(r"'(\w+)'", str(refused.value).split(";")[1]) == listed


def test_names_that_the_page_gives_exist() -> None:
    env = environment()
    env.reset()
    last = section(PAGE, "Arguments").split("For everybody:")[1]
    for name in ["slide", *re.findall(r"`(\w+)`", last)]:
        assert hasattr(env, name), name


def test_the_picture_has_the_documented_size() -> None:
    width, height = map(int, re.findall(r"(\d+) x (\d+) pixels", PAGE)[0])
    env = environment(render_mode="rgb_array")
    env.reset()
    assert env.render().shape == (height, width, 3)
    assert env.metadata["render_modes"] == ["rgb_array"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the examples name."""
    for name in ("c2", "c3"):
        write_slide(toy_slide(name), tmp_path / f"{name}.h5ad")
    write_reference(toy_reference(), tmp_path / "atlas.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_slide(slide: Slide, path: Path) -> None:
    assert slide.hidden is not None
    adata = anndata.AnnData(slide.hidden.counts.astype(np.float32))
    adata.obsm["spatial"] = np.array(slide.public.coordinates)
    adata.obsm["X_patch"] = np.array(slide.public.features)
    adata.obsm["X_cell"] = np.array(slide.hidden.embedding)
    adata.obsm["X_type"] = np.array(slide.hidden.types)
    adata.uns["X_type_names"] = list(slide.hidden.type_names)
    adata.write_h5ad(path)


def write_reference(reference: CellReference, path: Path) -> None:
    adata = anndata.AnnData(np.ones((len(reference.embedding), 1), np.float32))
    adata.obsm["X_cell"] = np.array(reference.embedding)
    adata.obs["cell_type"] = [reference.type_names[code] for code in reference.cell_types]
    adata.write_h5ad(path)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
@pytest.mark.usefixtures("files")
def test_an_example_runs_as_it_is_printed(number: int) -> None:
    assert len(BLOCKS) == 6
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(BLOCKS[number], f"block {number}", "exec", dont_inherit=True), names)  # noqa: S102
    if number == 2:
        assert "left_half" in play(names["env"])[-1][-1]["reward_terms"]
    if "terminated" in names:
        assert names["terminated"] is True


def test_the_picture_on_the_page_is_what_its_example_draws(files: Path) -> None:
    block = next(block for block in BLOCKS if "episode.png" in block)
    exec(block, {})  # noqa: S102
    drawn, shown = (
        np.asarray(Image.open(path), float)
        for path in (files / "episode.png", ROOT / "docs" / "images" / "episode.png")
    )
    assert drawn.shape == shown.shape
    assert np.abs(drawn - shown).mean() < 2  # fonts and image readers differ a little


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).is_file(), target


def test_the_version_is_registered() -> None:
    versions = re.findall(r"^\* (v\d+):", section(PAGE, "Version History"), re.MULTILINE)
    registered = [spec.version for spec in gym.registry.values() if spec.name == "SpotSampling"]
    assert versions == [f"v{version}" for version in registered]


def test_the_number_of_kept_counts_is_that_of_the_code() -> None:
    said = int(re.findall(r"fewer than `min_counts` \((\d+)\)", PAGE)[0])
    assert said == arguments_of(SpotSamplingEnv)["min_counts"]
