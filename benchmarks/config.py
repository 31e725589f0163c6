"""What one benchmark runs: a strict configuration, read from TOML."""

from __future__ import annotations

import hashlib
import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scr2st_env.errors import InputError

Share = Annotated[float, Field(gt=0, lt=1)]
Protocol = Literal["within-slide", "new-slide", "cross-patient"]
Score = Literal["measured", "truth"]

NOT_IN_HASH = frozenset({"jobs", "title", "execute_code"})


class BenchmarkConfig(BaseModel):
    """Everything that decides the numbers of a benchmark, and nothing else.

    Every field has a default and a description; the command line makes a flag of each.

    Examples
    --------
    >>> BenchmarkConfig(budgets=[0.05, 0.1]).protocol
    'new-slide'
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    title: str = Field("Benchmark", description="Heading of the report.")
    protocol: Protocol = Field("new-slide", description="How slides are split, bought and scored.")
    slides: list[str] = Field(
        ["synthetic"],
        description="'synthetic', 'synthetic-patients', 'her2st-imaged', 'her2st', or paths of "
        ".h5ad files.",
    )
    reference: str = Field(
        "", description="Path of the single-cell .h5ad that goes with paths in slides."
    )
    cell_type: str = Field("cell_type", description="obs column of the reference's labels.")
    patient_key: str = Field(
        "patient", description="obs column of .h5ad files that names the patient of a slide."
    )
    features: str = Field(
        "X_patch",
        description="obsm key of the patch features in .h5ad files; empty for an image-free run.",
    )
    encoder: str = Field(
        "histology-v1", description="Patch encoder of HER2ST and of synthetic patients."
    )
    sections: list[str] = Field([], description="Keep only these slides; empty keeps all.")
    test_slides: list[str] = Field(
        [],
        description="One fixed fold that tests these slides; empty leaves out patient by patient, "
        "or tests the synthetic patients that are there to be tested.",
    )
    synthetic_training: int = Field(
        8, ge=1, description="Patients of 'synthetic-patients' to learn from, one section each."
    )
    synthetic_tested: int = Field(
        20, ge=1, description="Further patients of 'synthetic-patients', to be tested."
    )
    synthetic_depth: float = Field(
        1.0,
        gt=0,
        description="Counts per spot of 'synthetic-patients', as a multiple of the calibrated ones "
        "(docs/synthetic.md).",
    )
    synthetic_spots: list[int] = Field(
        [250, 350],
        min_length=2,
        max_length=2,
        description="Least and largest number of spots of a section of 'synthetic-patients'.",
    )
    test_fraction: Share = Field(
        0.25,
        description="Share of a slide's spots that is never sold and always scored, others with "
        "each seed; no say across patients, where nothing is sold on the slides that are scored.",
    )
    n_genes: int = Field(300, ge=1, description="Length of the gene list.")
    n_top_genes: int = Field(
        50, ge=1, description="Length of the list of genes most variable in the training data."
    )
    n_states: int = Field(100, ge=2, description="Cell states of the reference.")
    agents: list[str] = Field(
        ["random", "grid", "farthest", "design"],
        description="Names of docs/agents.md, 'design:fitted', 'oracle', 'learned:reward', "
        "'learned:prediction', 'learned:lookahead', 'module:Class' or the path of a saved agent.",
    )
    budgets: list[Share] = Field(
        [0.05, 0.1, 0.2], description="Shares of all spots of a slide that agents may buy."
    )
    random_budgets: list[Share] = Field(
        [],
        description="More budgets for the random agent alone, to express gains as budget savings.",
    )
    seeds: int = Field(3, ge=1, description="Episodes per slide, agent and budget.")
    round_size: int = Field(1, ge=1, description="Spots sequenced together.")
    feedback: bool = Field(
        False, description="Let agents observe the embeddings of spots whose round is back."
    )
    judges: list[str] = Field(
        ["gp", "ridge"],
        description="'gp', 'ridge', 'pls', 'knn', 'mean', 'st-net', 'bleep', 'scr2net', changed as "
        "in 'ridge:no-cohort' or 'scr2net:no-gate', or 'module:Class': predictors that are fitted "
        "on what an agent bought.",
    )
    score: Score = Field(
        "measured",
        description="What predictions are correlated with: 'measured' counts, or the 'truth' "
        "without their noise, which is known of 'synthetic-patients' alone.",
    )
    reward_states: float = Field(1.0, ge=0, description="Weight of novel cell states.")
    reward_types: float = Field(1.0, ge=0, description="Weight of the entropy of cell types.")
    reward_density: float = Field(1.0, ge=0, description="Weight of spatial density.")
    training_steps: int = Field(
        20_000, ge=1, description="Purchases from which a learned agent is trained, per fold."
    )
    training_budgets: list[Share] = Field(
        [],
        description="Budgets at which 'learned:reward' is trained, as many purchases at each; "
        "empty for those of budgets.",
    )
    training_budget: Share = Field(
        0.1, description="Budget at which 'learned:prediction' is trained."
    )
    training_seed: int = Field(
        0, ge=0, description="Seed of the training of learned agents and of judges that draw."
    )
    primary_agent: str = Field("design", description="Agent of the one primary contrast.")
    primary_against: list[str] = Field(
        ["random"],
        min_length=1,
        description="What it is compared with: the best of these agents, by the primary judge.",
    )
    primary_judge: str = Field("gp", description="Judge of the primary contrast.")
    primary_budget: Share = Field(0.1, description="Budget of the primary contrast and the maps.")
    jobs: int = Field(2, ge=1, description="Processes to use.")
    execute_code: bool = Field(
        False,
        description="Load agents that Stable-Baselines3 saved (*.zip), which executes whatever "
        "code is in the file; only for files of people you trust.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "random" not in self.agents:
            raise ValueError("agents must hold 'random', which all others are compared with")
        if self.primary_budget not in self.budgets:
            raise ValueError(f"primary_budget {self.primary_budget} is not among budgets")
        if self.primary_judge not in self.judges:
            raise ValueError(f"primary_judge {self.primary_judge!r} is not among judges")
        known = self.agents if not self.compares_agents else set(self.agents) - {"random"}
        if self.primary_agent not in known:
            raise ValueError(
                f"primary_agent {self.primary_agent!r} must be one of agents, and not 'random'"
            )
        rivals = set(self.agents) - {self.primary_agent} if self.compares_agents else known
        for name in self.primary_against:
            if name not in rivals:
                raise ValueError(
                    f"primary_against {name!r} must be one of agents, and not primary_agent"
                )
        lists = ("agents", "judges", "budgets", "training_budgets", "sections", "test_slides")
        for field in (*lists, "slides"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field} repeats an entry")
        largest = max([*self.budgets, *self.random_budgets])
        if self.protocol != "cross-patient" and largest + self.test_fraction > 1:
            raise ValueError(
                f"a budget of {largest} cannot be spent when {self.test_fraction} is never sold"
            )
        return self

    @property
    def compares_agents(self) -> bool:
        """Whether any agent stands beside random; if none does, judges are compared alone."""
        return self.agents != ["random"]

    @property
    def all_budgets(self) -> list[float]:
        """Budgets of any agent, ascending."""
        return sorted({*self.budgets, *self.random_budgets})

    def learned_at(self, objective: str) -> list[float]:
        """Return the budgets at which a policy is trained for an objective.

        What collects most depends on the budget. What predicts best hardly does, and is hard to
        tell: one budget in the middle is enough.
        """
        if objective == "reward":
            return self.training_budgets or self.budgets
        return [self.training_budget]

    def agents_at(self, budget: float) -> list[str]:
        """Return the agents that play at a budget."""
        return self.agents if budget in self.budgets else ["random"]

    @property
    def imaged(self) -> bool:
        """Whether the slides that are named come with patch features."""
        return bool(self.features) and self.slides != ["her2st"]

    @property
    def digest(self) -> str:
        """Twelve hex digits, equal for configurations that give equal numbers."""
        content = self.model_dump(exclude=set(NOT_IN_HASH))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @classmethod
    def checked(cls, values: dict[str, Any], where: str) -> Self:
        """Validate values read from ``where``.

        Raises
        ------
        InputError
            With the first complaint, in one line.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            place = f"{where}: {field}" if field else where
            raise InputError(f"{place}: {message[:1].lower() + message[1:]}") from error


def packaged_configs() -> list[str]:
    """Return the names of the configurations that come with the package."""
    folder = resources.files("benchmarks") / "configs"
    return sorted(Path(str(item)).stem for item in folder.iterdir() if item.name.endswith(".toml"))


def load_config(source: str | Path, **changes: Any) -> BenchmarkConfig:
    """Read a configuration.

    Parameters
    ----------
    source
        Path of a TOML file, or the name of a packaged one (``"demo"``).
    **changes
        Fields that replace those of the file.

    Returns
    -------
    BenchmarkConfig

    Raises
    ------
    InputError
        If there is no such file, it is no TOML, or a field is unknown or wrong.

    Examples
    --------
    >>> load_config("demo", seeds=1).seeds
    1
    """
    path = Path(source)
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{source} is not TOML: it is not text") from error
    elif str(source) in packaged_configs():
        text = (resources.files("benchmarks") / "configs" / f"{source}.toml").read_text("utf-8")
    else:
        known = ", ".join(packaged_configs())
        raise InputError(f"{source} is no file and no packaged configuration ({known})")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not TOML: {error}") from error
    return BenchmarkConfig.checked({**values, **changes}, str(source))
