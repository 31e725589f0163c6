from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from scr2st_env.arrays import FloatArray, IntArray

class Kernel:
    @property
    def value(self) -> float: ...
    def reset(self, initial: IntArray) -> None: ...
    def add(self, spots: Sequence[int]) -> None: ...

class ExpectedStates(Kernel):
    def __init__(self, absences: NDArray[Any], attainable: float) -> None: ...

class HardStates(Kernel):
    def __init__(self, nearest: NDArray[Any], n_states: int, attainable: float) -> None: ...

class SoftStates(Kernel):
    def __init__(self, similarity: FloatArray, attainable: float) -> None: ...

class TypeEntropy(Kernel):
    def __init__(self, types: NDArray[Any]) -> None: ...

class SpatialDensity(Kernel):
    def __init__(self, reached: NDArray[Any], weights: NDArray[Any]) -> None: ...
