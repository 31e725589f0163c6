"""Training that was interrupted, on disk: one safetensors file, nothing in it is executed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from scr2st_env.errors import InputError
from scr2st_env.files import replacing

KEY = "scr2st_training"


@dataclass(frozen=True)
class TrainingProgress:
    """All that training at a mark needs to go on as if nothing had happened.

    Parameters
    ----------
    steps, due, updates
        Environment steps made, those at which the next score is due, epochs of updates.
    scores, best_index, best_scores
        Mean scores so far, which is the best, and that one's score on each slide.
    network, best
        State of the network now and when it was best.
    optimizer
        State of Adam.
    """

    steps: int
    due: int
    updates: int
    scores: list[float]
    best_index: int
    best_scores: list[float]
    network: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]
    optimizer: dict[str, Any]


class ProgressFile:
    """Where the progress of one training is kept.

    Parameters
    ----------
    path
        By custom ``*.safetensors``.
    training
        What makes the training what it is, as JSON would keep it; a file of another one is
        refused.
    """

    def __init__(self, path: str | Path, training: dict[str, Any]) -> None:
        self.path = Path(path)
        self.training = json.loads(json.dumps(training, sort_keys=True))

    def write(self, progress: TrainingProgress) -> None:
        """Write a file that appears whole or not at all."""
        tensors = {f"network/{key}": value for key, value in progress.network.items()}
        tensors |= {f"best/{key}": value for key, value in progress.best.items()}
        for number, moments in progress.optimizer["state"].items():
            tensors |= {f"adam/{number}/{key}": value for key, value in moments.items()}
        numbers = {
            name: getattr(progress, name)
            for name in ("steps", "due", "updates", "scores", "best_index", "best_scores")
        }
        text = json.dumps({"training": self.training, "progress": numbers})
        copies = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        with replacing(self.path) as temporary:
            save_file(copies, temporary, metadata={KEY: text})

    def read(self, optimizer: torch.optim.Optimizer) -> TrainingProgress | None:
        """Return what was written last, None where nothing was.

        Parameters
        ----------
        optimizer
            Of the same network; its settings are kept, its state is to be replaced.

        Raises
        ------
        InputError
            If the file is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                said = json.loads((file.metadata() or {})[KEY])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            training, numbers = said["training"], said["progress"]
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"checkpoint {self.path} cannot be read; delete it to train from the start"
            ) from error
        changed = [
            name
            for name in sorted({*training, *self.training})
            if training.get(name) != self.training.get(name)
        ]
        if changed:
            raise InputError(
                f"checkpoint {self.path} is of another training, its {changed[0]} differs; "
                "delete it, or name another file"
            )
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in _part(tensors, "adam/").items():
            number, name = key.split("/")
            moments.setdefault(int(number), {})[name] = value
        state = optimizer.state_dict() | {"state": moments}
        return TrainingProgress(
            **numbers,
            network=_part(tensors, "network/"),
            best=_part(tensors, "best/"),
            optimizer=state,
        )


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
