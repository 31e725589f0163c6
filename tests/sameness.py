"""When two environments did the same."""

from typing import Any

import numpy as np


def assert_same(one: Any, other: Any, at: str = "") -> None:
    """Equal in structure, type and value; numbers within 1e-9."""
    if isinstance(one, dict):
        assert isinstance(other, dict), at
        assert set(one) == set(other), at
        for key in one:
            assert_same(one[key], other[key], f"{at}/{key}")
        return
    if isinstance(one, tuple):
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{at}/{place}")
        return
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape, at
    assert one.dtype == other.dtype, at
    if one.dtype == object:
        for index in np.ndindex(one.shape):
            if one[index] is None or isinstance(one[index], str):
                assert one[index] == other[index], at
            else:
                assert_same(one[index], other[index], at)
    elif one.dtype == np.float64:
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9, err_msg=at)
    else:
        np.testing.assert_array_equal(one, other, err_msg=at)
