"""Reward terms that were considered: potentials of the rows of measured spots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import entr
from sklearn.cluster import KMeans

from scr2st_env.cell_states import nearest_states, sharing_width, state_shares, state_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.signal.sections import Section
    from scr2st_env.reference import CellReference

    Rows = NDArray[np.float32]  # (..., N, C)
    Summary = NDArray[np.float32]  # (..., C): what an episode remembers of its rows

N_MIXTURES = 4000
Form = Literal["nearest", "closest", "expected", "closest expected", "any", "entropy", "effective"]
MAXIMA: tuple[Form, ...] = ("nearest", "closest", "closest expected")
PRODUCTS: tuple[Form, ...] = ("expected", "any")


@dataclass(frozen=True)
class Candidate:
    """A potential of the set S of measured spots.

    Parameters
    ----------
    name
        What the tables call it.
    form
        ``nearest``: states nearest to a spot of S. ``closest``: max over S of the Gaussian
        similarity exp(-d^2 / 2 h^2). ``expected``: 1 - prod over S of (1 - p), p the similarity
        divided by its sum over the states. ``closest expected``: max over S of p. ``any``:
        1 - prod over S of (1 - similarity). ``entropy`` and
        ``effective``: of the mean cell-type composition, H / log T and (exp(H) - 1) / (T - 1).
    cells_per_spot
        States are k-means centroids of means of this many random cells, stretched to the total
        variance of the cells; 1: of the cells themselves.
    n_states
        C.
    width
        h of ``closest`` and ``any``, in root mean squared distances to the nearest state.
    vagueness
        Sets h of the ``expected`` forms: ``shared_by`` of
        :func:`scr2st_env.cell_states.sharing_width`.
    n_components
        Leading components of the embedding that are used.
    """

    name: str
    form: Form
    cells_per_spot: int = 1
    n_states: int = 100
    width: float = 1.0
    vagueness: float = 0.1
    n_components: int = 16

    @property
    def reads_types(self) -> bool:
        """Whether it reads cell types, and not the embedding."""
        return self.form in {"entropy", "effective"}

    def read(self, section: Section) -> NDArray[np.float32]:
        """Return what it reads of every spot, (N, Q)."""
        return section.types if self.reads_types else section.embedding[:, : self.n_components]

    def bind(self, reference: CellReference) -> BoundCandidate:
        """Return the candidate with its states found."""
        if self.reads_types:
            return BoundCandidate(self, np.eye(len(reference.type_names), dtype=np.float32), 1.0)
        cells = reference.embedding
        points = (
            mixtures(cells, self.cells_per_spot, N_MIXTURES) if self.cells_per_spot > 1 else cells
        )[:, : self.n_components]
        model = KMeans(self.n_states, n_init=2, random_state=0).fit(points)
        states = model.cluster_centers_.astype(np.float32)
        if self.form in {"expected", "closest expected"}:
            return BoundCandidate(self, states, sharing_width(points, states, self.vagueness))
        nearness = np.sqrt(model.inertia_ / len(points))
        return BoundCandidate(self, states, float(self.width * nearness))


@dataclass(frozen=True, eq=False)
class BoundCandidate:
    """A candidate, its states (C, Q) and its bandwidth."""

    candidate: Candidate
    states: NDArray[np.float32]
    bandwidth: float

    def rows(self, values: NDArray[Any]) -> Rows:
        """Return the row that each spot adds, (N, C), from what the candidate reads, (N, Q)."""
        form = self.candidate.form
        if self.candidate.reads_types:
            shares = np.clip(values, 0, None)
            total = np.maximum(shares.sum(axis=1, keepdims=True), 1e-6)
            return (shares / total).astype(np.float32)
        if form in {"closest", "any"}:
            return state_similarity(values, self.states, self.bandwidth)
        if form == "nearest":
            nearest = nearest_states(values, self.states)
            return (np.arange(len(self.states)) == nearest[:, None]).astype(np.float32)
        return state_shares(values, self.states, self.bandwidth).astype(np.float32)

    def empty(self, *shape: int) -> Summary:
        """Return the summary of no spots."""
        unseen = self.candidate.form in PRODUCTS
        return np.full((*shape, len(self.states)), float(unseen), np.float32)

    def add(self, summary: Summary, rows: Rows) -> Summary:
        """Return the summary with one more spot's row, (..., C)."""
        if self.candidate.form in PRODUCTS:
            return summary * (1 - rows)
        return np.maximum(summary, rows) if self.candidate.form in MAXIMA else summary + rows

    def unscaled(self, summary: Summary) -> NDArray[np.float64]:
        """Return the potential before it is divided by :meth:`attainable`, (...)."""
        form = self.candidate.form
        if form in PRODUCTS:
            return (1 - summary).mean(axis=-1)
        if form in MAXIMA:
            return summary.mean(axis=-1)
        n_types = summary.shape[-1]
        shares = summary / np.maximum(summary.sum(axis=-1, keepdims=True), 1e-12)
        entropy = entr(shares).sum(axis=-1)
        if form == "entropy":
            return entropy / np.log(n_types)
        return np.where(summary.sum(axis=-1) > 0, np.exp(entropy) - 1, 0) / (n_types - 1)

    def gains(self, summary: Summary, rows: Rows) -> NDArray[np.float64]:
        """Return what each spot would add, (..., N), up to a constant, unscaled."""
        if self.candidate.form in PRODUCTS:
            return np.einsum("...nc,...c->...n", rows, summary) / rows.shape[-1]
        return self.unscaled(self.add(summary[..., None, :], rows))

    def value(self, rows: Rows) -> float:
        """Return the potential, unscaled, of a set of spots with these rows, (k, C)."""
        summary = self.empty()
        for row in rows:
            summary = self.add(summary, row)
        return float(self.unscaled(summary))

    def attainable(self, n_measured: int) -> float:
        """Return what the potential is divided by, from the reference and the budget alone."""
        n_states = len(self.states)
        if self.candidate.reads_types or self.candidate.form == "any" or n_measured >= n_states:
            return 1.0
        if self.candidate.form != "closest":
            return n_measured / n_states
        rows, summary = self.rows(self.states), self.empty()
        for _ in range(n_measured):
            summary = self.add(summary, rows[self.gains(summary, rows).argmax()])
        return float(self.unscaled(summary))


def mixtures(cells: NDArray[Any], cells_per_spot: int, size: int, seed: int = 0) -> Rows:
    """Return spots as they would lie in the cells' space, float32, (size, E).

    Means of random cells, stretched about the centre to the total variance of the cells: what
    the embedder does with real spots.

    Parameters
    ----------
    cells
        Embedding of the reference, (M, E).
    cells_per_spot
        How many are averaged.
    size
        How many spots.
    seed
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    means = cells[rng.integers(len(cells), size=(size, cells_per_spot))].mean(axis=1)
    centre = cells.mean(axis=0)
    spread = means.var(axis=0).sum()
    stretch = np.sqrt(cells.var(axis=0).sum() / spread) if spread > 0 else 1.0
    return ((means - means.mean(axis=0)) * stretch + centre).astype(np.float32)


CHOSEN = Candidate("expected states", "expected")
HARD = Candidate("nearest states", "nearest")
CLOSEST = Candidate("closest spot", "closest")
TYPES = Candidate("entropy of types", "entropy")
MAIN = (HARD, CLOSEST, CHOSEN, TYPES)
CANDIDATES = (
    *MAIN,
    Candidate("effective number of types", "effective"),
    Candidate("closest spot, wide (2.8)", "closest", width=2.8),
    Candidate("closest expected", "closest expected"),
    Candidate("expected, sharper (.05)", "expected", vagueness=0.05),
    Candidate("expected, softer (.3)", "expected", vagueness=0.3),
    Candidate("expected, 50 states", "expected", n_states=50),
    Candidate("expected, 200 states", "expected", n_states=200),
    Candidate("expected, 7 components", "expected", n_components=7),
    Candidate("nearest states, of mixtures", "nearest", 10),
    Candidate("closest spot, of mixtures", "closest", 10),
    Candidate("closest expected, of mixtures", "closest expected", 10),
    Candidate("any close spot, of mixtures (.7)", "any", 10, width=0.7),
    Candidate("expected states, of mixtures", "expected", 10),
    Candidate("expected, mixtures of 5 cells", "expected", 5),
)
