"""Models that Stable-Baselines3 saved: code from a file runs only where that is said."""

import base64
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import toy_slide
from sb3_contrib import TRPO, MaskablePPO
from stable_baselines3 import A2C, DQN, PPO

from agents import evaluate, load_agent, run_episode
from benchmarks.buying import make_buyer, origin_unchecked
from benchmarks.config import BenchmarkConfig
from scr2st_env import InputError, Kernel
from scr2st_env.envs.spot_sampling import SpotSamplingEnv

SMALL = {"policy_kwargs": {"net_arch": [4]}, "device": "cpu", "seed": 0}


def make_env() -> SpotSamplingEnv:
    reward = {"states": 0.0, "types": 0.0, "density": 1.0}
    return SpotSamplingEnv([toy_slide("one", 4, 1)], budget=5, reward=reward)


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for algorithm in (PPO, A2C, DQN, MaskablePPO, TRPO):
        options = {"buffer_size": 10} if algorithm is DQN else {}
        model = algorithm("MultiInputPolicy", make_env(), **SMALL, **options)
        paths[algorithm.__name__] = folder / f"{algorithm.__name__}.zip"
        model.save(paths[algorithm.__name__])
    return paths


def trapped(source: Path, target: Path, sprung: Path) -> Path:
    """A copy of a model in which every pickle is a trap."""
    pickled = base64.b64encode(pickle.dumps(Trap(sprung))).decode()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                fields = json.loads(content)
                for field in fields.values():
                    if isinstance(field, dict) and ":serialized:" in field:
                        field[":serialized:"] = pickled
                content = json.dumps(fields).encode()
            new.writestr(name, content)
    return target


@pytest.mark.parametrize("name", ["PPO", "A2C", "DQN", "MaskablePPO"])
def test_a_saved_model_plays_once_it_is_trusted(saved: dict[str, Path], name: str) -> None:
    model = load_agent(saved[name], execute_code=True)
    assert type(model).__name__ == model.name == name
    again = load_agent(str(saved[name]), execute_code=True)
    env = make_env()
    assert run_episode(model, env).picks == run_episode(again, env).picks
    assert evaluate(model, env, seeds=[0]).agent.tolist() == [name]


def test_nothing_is_unpickled_unless_it_is_said(saved: dict[str, Path], tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    path = trapped(saved["MaskablePPO"], tmp_path / "model.zip", sprung)
    ways: list[Callable[[], Any]] = [
        lambda: load_agent(path),
        lambda: load_agent(str(path), execute_code=False),
        lambda: run_episode(str(path), make_env()),
        lambda: evaluate([path], make_env()),
        lambda: make_buyer(str(path), tmp_path, [], Kernel()),
    ]
    for way in ways:
        with pytest.raises(
            InputError, match=r"executes code.*execute_code=True.*--execute"
        ) as told:
            way()
        assert "\n" not in str(told.value)
        assert not sprung.exists()
    with pytest.raises(InputError, match="cannot be loaded as MaskablePPO"):
        load_agent(path, execute_code=True)
    assert sprung.exists()  # the trap is one


def test_a_benchmark_loads_it_behind_its_flag(saved: dict[str, Path], tmp_path: Path) -> None:
    spec = str(saved["PPO"])
    assert make_buyer(spec, tmp_path, [], Kernel(), execute_code=True).name == "PPO"
    assert origin_unchecked(spec)
    flag = {"execute_code": True}
    assert not BenchmarkConfig().execute_code
    assert BenchmarkConfig(**flag).digest == BenchmarkConfig().digest


def test_what_is_no_such_model_is_refused_in_one_line(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    text, empty, other = (tmp_path / f"{name}.zip" for name in ("text", "empty", "other"))
    text.write_text("not a zip")
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("data", "[1, 2]")
    cases = {
        text: "no model that Stable-Baselines3 saved",
        empty: "no model that Stable-Baselines3 saved",
        other: "no model that Stable-Baselines3 saved",
        tmp_path / "gone.zip": "no saved agent at",
        saved["TRPO"]: "none of the algorithms PPO, A2C, DQN, MaskablePPO; load it yourself",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message) as told:
            load_agent(path, execute_code=True)
        assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="takes no options"):
        load_agent(saved["PPO"], execute_code=True, width=3)


def test_a_loaded_model_decides_as_the_one_that_was_saved(tmp_path: Path) -> None:
    env = make_env()
    model = MaskablePPO("MultiInputPolicy", env, **SMALL)
    model.save(tmp_path / "mine.zip")
    loaded = load_agent(tmp_path / "mine.zip", execute_code=True)
    observation, _ = env.reset(seed=3)
    masks = env.action_masks()
    chosen = [
        m.predict(observation, action_masks=masks, deterministic=True) for m in (model, loaded)
    ]
    assert chosen[0][0] == chosen[1][0]
