"""Selections as minibatches hold them: of one episode several times, of others once."""

from hypothesis import strategies as st


@st.composite
def selections(draw: st.DrawFn, n_spots: int) -> list[set[int]]:
    """Draw up to 8 selections of at most 20 spots, many of which contain others."""
    found: list[set[int]] = []
    for _ in range(draw(st.integers(1, 3))):
        order = draw(st.lists(st.integers(0, n_spots - 1), max_size=20, unique=True))
        sizes = draw(st.lists(st.integers(0, len(order)), min_size=1, max_size=3))
        found += [set(order[:size]) for size in sizes]
    return draw(st.permutations(found))
