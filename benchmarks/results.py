"""The results of a benchmark: a folder that any program can read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.config import BenchmarkConfig
from scr2st_env.errors import InputError
from scr2st_env.files import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence

KEYS = ("protocol", "fold", "patient", "slide", "agent", "oracle", "budget", "seed")
TIMED = ("slide", "agent", "budget", "seed")
BUILT_IN_ORACLES = frozenset({"oracle", "reward-oracle"})
RUN, CONFIG, INPUTS = "run.json", "config.json", "inputs.json"
SCORES, EPISODES = "results.csv", "episodes.jsonl"


@dataclass(frozen=True, eq=False)
class Results:
    """Scores of a benchmark.

    Parameters
    ----------
    config
        What was run.
    scores
        Long form: columns protocol, fold, patient, slide, agent, oracle (whether the agent knew
        what cannot be known before it is bought), budget, seed, judge, metric and value. The judge
        ``"environment"`` holds the reward and what describes the bought spots.
    seconds
        Columns slide, agent, budget, seed, step and seconds: what buying and each judge took.
    info
        Versions, machine and durations.
    folder
        Where the results are written.
    """

    config: BenchmarkConfig
    scores: pd.DataFrame
    seconds: pd.DataFrame
    info: dict[str, Any]
    folder: Path

    @property
    def oracles(self) -> frozenset[str]:
        """Agents that knew what cannot be known before it is bought: upper bounds."""
        return frozenset(self.scores.loc[self.scores["oracle"], "agent"])

    @property
    def cohort(self) -> bool:
        """Whether judges could learn from the slides of the training patients."""
        config = self.config
        return bool(self.info.get("cohort", config.protocol == "new-slide" and config.imaged))

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Read the folder of a finished benchmark.

        Raises
        ------
        InputError
            If it holds no finished benchmark.
        """
        folder = Path(folder)
        if not (folder / RUN).is_file():
            raise InputError(f"{folder} holds no finished benchmark ({RUN}); run it first")
        values = json.loads((folder / CONFIG).read_text("utf-8"))
        config = BenchmarkConfig.checked(values, str(folder / CONFIG))
        info = json.loads((folder / RUN).read_text("utf-8"))
        return cls.of_episodes(config, read_episodes([folder / EPISODES]), info, folder)

    @classmethod
    def of_episodes(
        cls,
        config: BenchmarkConfig,
        episodes: Sequence[dict[str, Any]],
        info: dict[str, Any],
        folder: Path,
    ) -> Results:
        """Collect the scores of episodes.

        Episodes that do not say whether an oracle played were written when the only oracles were
        the built-in ones.
        """
        episodes = [
            {"oracle": episode["agent"] in BUILT_IN_ORACLES, **episode} for episode in episodes
        ]
        scores = [
            {**{key: episode[key] for key in KEYS}, "judge": judge, "metric": name, "value": value}
            for episode in episodes
            for judge, metrics in episode["scores"].items()
            for name, value in metrics.items()
        ]
        seconds = [
            {**{key: episode[key] for key in TIMED}, "step": step, "seconds": taken}
            for episode in episodes
            for step, taken in episode["seconds"].items()
        ]
        return cls(config, pd.DataFrame(scores), pd.DataFrame(seconds), info, folder)


def read_episodes(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read episodes, one JSON object a line, from files in the order given."""
    return [
        json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines() if line
    ]


def write_csv(frame: pd.DataFrame, path: Path, *, digits: int | None = None) -> None:
    """Write a table so that no reader sees half of it; by default all digits of its numbers."""
    with replacing(path) as temporary:
        shown = None if digits is None else f"%.{digits}g"
        frame.to_csv(temporary, index=False, float_format=shown)


def write_json(content: Any, path: Path) -> None:
    """Write indented JSON so that no reader sees half of it."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
