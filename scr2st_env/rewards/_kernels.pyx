# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The potentials, compiled: what their NumPy twins compute, in one call each.

Nothing checks an index inside the loops, so everything is checked before them: the entries of
tables when a potential is made, and spots as they come in.
"""

from libc.math cimport log
from libc.stdint cimport int32_t, uint8_t

import numpy as np

ctypedef fused point_t:
    int32_t
    Py_ssize_t

# A sum that starts here instead of at 0 has a logarithm, and x log x is still 0 to the last bit.
cdef double NOTHING = 1e-300


cdef inline Py_ssize_t checked(Py_ssize_t spot, Py_ssize_t n_spots) except -1:
    if not 0 <= spot < n_spots:
        raise IndexError(f"spot {spot} is not in 0..{n_spots - 1}")
    return spot


cdef void check_entries(object table, Py_ssize_t n_values) except *:
    if table.size and not (0 <= table.min() and table.max() < n_values):
        raise IndexError(f"a table of indices has entries outside 0..{n_values - 1}")


cdef class Kernel:
    """A potential following one episode; its tables are shared by copies, its memory is not.

    A subclass reads its tables in ``_bind`` and returns memory for an episode; ``_clear`` is for
    one in which nothing is measured, ``_show`` adds a spot, and ``_settle`` computes the value.
    """

    cdef tuple _tables
    cdef Py_ssize_t _n_spots
    cdef object _memory  # ndarray
    cdef Py_ssize_t _count  # states covered, or spots measured
    cdef readonly double value

    cdef object _bind(self):
        raise NotImplementedError

    cdef void _remember(self, object memory) except *:
        self._memory = memory

    cdef void _clear(self) noexcept:
        pass

    cdef void _show(self, Py_ssize_t spot) noexcept:
        pass

    cdef void _settle(self) noexcept:
        pass

    cdef void _begin(self, tuple tables) except *:
        self._tables, self._n_spots = tables, len(tables[0])
        self._remember(self._bind())
        self._forget()

    cdef void _forget(self) noexcept:
        self._count, self.value = 0, 0.0
        self._clear()

    def reset(self, initial):
        self._forget()
        self.add(initial.tolist())

    def add(self, spots):
        for spot in spots:
            self._show(checked(spot, self._n_spots))
        self._settle()

    def __copy__(self):
        cdef Kernel other = type(self).__new__(type(self))
        other._begin(self._tables)
        other.__setstate__((self._memory, self._count, self.value))
        return other

    def __reduce__(self):
        return type(self), self._tables, (self._memory, self._count, self.value)

    def __setstate__(self, state):
        memory, self._count, self.value = state
        if memory.shape != self._memory.shape:
            raise ValueError(f"an episode is remembered in {self._memory.shape}, not {memory.shape}")
        self._remember(memory.copy())


cdef class ExpectedStates(Kernel):
    """Twin of ``novelty._ExpectedStates``."""

    cdef const double[:, ::1] _absences  # (N, C), 1 - p
    cdef double[::1] _unseen  # (C,)
    cdef double _attainable

    def __init__(self, absences, attainable):
        self._begin((absences, attainable))

    cdef object _bind(self):
        self._absences, self._attainable = self._tables
        return np.empty(self._absences.shape[1])

    cdef void _remember(self, object memory) except *:
        self._unseen = self._memory = memory

    cdef void _clear(self) noexcept:
        self._unseen[:] = 1.0

    cdef void _show(self, Py_ssize_t spot) noexcept:
        cdef Py_ssize_t state
        for state in range(self._unseen.shape[0]):
            self._unseen[state] *= self._absences[spot, state]

    cdef void _settle(self) noexcept:
        # Four sums at once: each addition would otherwise wait for the one before it.
        cdef double one = 0.0, two = 0.0, three = 0.0, four = 0.0
        cdef Py_ssize_t state = 0, n_states = self._unseen.shape[0]
        while state + 4 <= n_states:
            one += self._unseen[state]
            two += self._unseen[state + 1]
            three += self._unseen[state + 2]
            four += self._unseen[state + 3]
            state += 4
        while state < n_states:
            one += self._unseen[state]
            state += 1
        self.value = (n_states - ((one + two) + (three + four))) / self._attainable


cdef class HardStates(Kernel):
    """Twin of ``states._HardStates``."""

    cdef const Py_ssize_t[::1] _nearest  # (N,)
    cdef uint8_t[::1] _is_covered  # (C,)
    cdef double _attainable

    def __init__(self, nearest, n_states, attainable):
        check_entries(nearest, n_states)
        self._begin((nearest, n_states, attainable))

    cdef object _bind(self):
        self._nearest, n_states, self._attainable = self._tables
        return np.empty(n_states, np.uint8)

    cdef void _remember(self, object memory) except *:
        self._is_covered = self._memory = memory

    cdef void _clear(self) noexcept:
        self._is_covered[:] = False

    cdef void _show(self, Py_ssize_t spot) noexcept:
        cdef Py_ssize_t state = self._nearest[spot]
        self._count += not self._is_covered[state]
        self._is_covered[state] = True

    cdef void _settle(self) noexcept:
        self.value = self._count / self._attainable


cdef class SoftStates(Kernel):
    """Twin of ``states._SoftStates``."""

    cdef const float[:, ::1] _similarity  # (N, C)
    cdef float[::1] _best  # (C,)
    cdef double _attainable  # summed over the states

    def __init__(self, similarity, attainable):
        self._begin((similarity, attainable))

    cdef object _bind(self):
        self._similarity, self._attainable = self._tables
        return np.empty(self._similarity.shape[1], np.float32)

    cdef void _remember(self, object memory) except *:
        self._best = self._memory = memory

    cdef void _clear(self) noexcept:
        self._best[:] = 0.0

    cdef void _show(self, Py_ssize_t spot) noexcept:
        cdef Py_ssize_t state
        for state in range(self._best.shape[0]):
            self._best[state] = max(self._best[state], self._similarity[spot, state])

    cdef void _settle(self) noexcept:
        cdef double covered = 0.0
        cdef Py_ssize_t state
        for state in range(self._best.shape[0]):
            covered += self._best[state]
        self.value = covered / self._attainable


cdef class TypeEntropy(Kernel):
    """Twin of ``entropy._TypeEntropy``."""

    cdef const double[:, ::1] _types  # (N, T)
    cdef double[::1] _sums  # (T,)
    cdef double _most

    def __init__(self, types):
        self._begin((types,))

    cdef object _bind(self):
        self._types = self._tables[0]
        self._most = log(self._types.shape[1])
        return np.empty(self._types.shape[1])

    cdef void _remember(self, object memory) except *:
        self._sums = self._memory = memory

    cdef void _clear(self) noexcept:
        self._sums[:] = NOTHING

    cdef void _show(self, Py_ssize_t spot) noexcept:
        cdef Py_ssize_t kind
        for kind in range(self._sums.shape[0]):
            self._sums[kind] += self._types[spot, kind]
        self._count += 1

    cdef void _settle(self) noexcept:
        cdef double surprise, weighted = 0.0
        cdef Py_ssize_t kind
        self.value = 0.0
        if self._count == 0:
            return
        for kind in range(self._sums.shape[0]):
            weighted += self._sums[kind] * log(self._sums[kind])
        surprise = log(self._count) - weighted / self._count
        if surprise > 0:
            self.value = surprise / self._most


cdef double cover(
    uint8_t[::1] is_left,
    const double[::1] weights,
    const point_t[:, ::1] reached,
    Py_ssize_t spot,
) noexcept:
    cdef Py_ssize_t at, point
    cdef double gained = 0.0
    for at in range(reached.shape[1]):
        point = reached[spot, at]
        gained += weights[point] * is_left[point]
        is_left[point] = False
    return gained


cdef class SpatialDensity(Kernel):
    """Twin of ``density._NarrowDiscs`` and ``density._WideDiscs``."""

    cdef const int32_t[:, ::1] _small  # the points that each spot reaches, (N, at most 64): one of
    cdef const Py_ssize_t[:, ::1] _large  # the two holds them, the other one is not set
    cdef const double[::1] _weights  # (Q + 1,)
    cdef uint8_t[::1] _is_left  # (Q + 1,), out of reach
    cdef bint _is_small

    def __init__(self, reached, weights):
        check_entries(reached, len(weights))
        self._begin((reached, weights))

    cdef object _bind(self):
        reached, self._weights = self._tables
        self._is_small = reached.dtype == np.int32
        if self._is_small:
            self._small = reached
        else:
            self._large = reached
        return np.empty(self._weights.shape[0], np.uint8)

    cdef void _remember(self, object memory) except *:
        self._is_left = self._memory = memory

    cdef void _clear(self) noexcept:
        self._is_left[:] = True

    cdef void _show(self, Py_ssize_t spot) noexcept:
        if self._is_small:
            self.value += cover(self._is_left, self._weights, self._small, spot)
        else:
            self.value += cover(self._is_left, self._weights, self._large, spot)
