"""The Python of the page on agents runs as it is printed."""

from pathlib import Path
from typing import Any

import pytest
from pages import page, python_blocks, section, table

import agents
from agents import SpotAgent, run_episode

PAGE = page("docs/agents.md")
OWN_ALGORITHM = section(PAGE, "The spot policy in an algorithm of your choice")


def test_the_class_of_the_interface_is_python() -> None:
    names: dict[str, Any] = {}
    exec(python_blocks(section(PAGE, "The interface"))[0], names)  # noqa: S102
    assert {"begin_episode", "predict"} <= set(vars(names["MyAgent"]))


def test_the_policies_are_exported() -> None:
    rows = table(OWN_ALGORITHM, "algorithm")
    assert len(rows) == 3
    for row in rows:
        assert hasattr(agents, row["policy"].strip("`").removeprefix("agents."))


def test_ppo_and_dqn_train_the_agent_that_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    ppo, dqn = python_blocks(OWN_ALGORITHM)
    exec(ppo, names)  # noqa: S102
    saved = SpotAgent.load("agent.safetensors")
    players = [saved, names["agent"], names["model"]]
    picks = [run_episode(each, names["env"], slide="p1s1").picks for each in players]
    assert picks[0] == picks[1] == picks[2]
    exec(dqn, names)  # noqa: S102
    played = run_episode(names["model"], names["env"], slide="p1s1")
    assert played.wasted == 0
    assert played.picks == run_episode(names["agent"], names["env"], slide="p1s1").picks
