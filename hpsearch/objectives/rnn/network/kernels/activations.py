"""Functions of one number: in single precision by operations that vectors have."""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from hpsearch.objectives.rnn.network.kernels.compiling import OPTIONS, Array, part


def _singles(*values: float) -> tuple[Any, ...]:
    return tuple(map(np.float32, values))


_LOG2_E = np.float32(1.44269504)
_LN_2 = _singles(0.693359375, -2.12194440e-4)
"""In two parts, the first of so few digits that its multiples are exact."""
_EXP_RANGE = _singles(-87.0, 88.0)
_ROUNDER = np.float32(1.5 * 2**23)
"""A sum with it has no digits after the point; the last ones before it are the whole number's."""
_EXP = _singles(
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1
)  # fmt: skip
"""(e^r - 1 - r) / r^2 where |r| <= ln 2 / 2, the highest power first (`expf` of Moshier's Cephes)."""
_TANH_END = np.float32(7.90531110763549805)
"""From here on it is 1, to single precision."""
_TANH_P = _singles(
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05,
    6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
_TANH_Q = _singles(1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
"""tanh x = x p(x^2) / q(x^2), the highest powers first (Eigen's `ptanh`)."""


@part
def _single_exp(x: Any) -> Any:
    """e^x to 2 units in the last place, in operations that vectors have."""
    x = _EXP_RANGE[1] if x > _EXP_RANGE[1] else x
    x = _EXP_RANGE[0] if x < _EXP_RANGE[0] else x
    shifted = x * _LOG2_E + _ROUNDER
    power = shifted - _ROUNDER
    r = x - power * _LN_2[0] - power * _LN_2[1]
    p = ((((_EXP[0] * r + _EXP[1]) * r + _EXP[2]) * r + _EXP[3]) * r + _EXP[4]) * r + _EXP[5]
    two_to_power = np.int32((np.float32(shifted).view(np.int32) + 127) << 23).view(np.float32)
    return (p * r * r + r + np.float32(1)) * two_to_power


@part
def _single_tanh(x: Any) -> Any:
    x = _TANH_END if x > _TANH_END else x
    x = -_TANH_END if x < -_TANH_END else x
    s, p, q = x * x, _TANH_P, _TANH_Q
    above = (((((p[0] * s + p[1]) * s + p[2]) * s + p[3]) * s + p[4]) * s + p[5]) * s + p[6]
    return x * above / (((q[0] * s + q[1]) * s + q[2]) * s + q[3])


def _sigmoid(x: Any) -> Any:
    raise NotImplementedError("compiled alone")


def _tanh(x: Any) -> Any:
    raise NotImplementedError("compiled alone")


def _sigmoid_of(x: Any) -> Any:
    if x == types.float32:
        return lambda x: np.float32(1) / (np.float32(1) + _single_exp(-x))
    return lambda x: 1 / (1 + np.exp(-x))


def _tanh_of(x: Any) -> Any:
    if x == types.float32:
        return lambda x: _single_tanh(x)  # noqa: PLW0108 (it is compiled already)
    return lambda x: np.tanh(x)  # noqa: PLW0108


# numba holds signatures to be different that are not annotated alike, and lambdas are not
overload(_sigmoid, jit_options=OPTIONS)(lambda x: _sigmoid_of(x))  # noqa: PLW0108
overload(_tanh, jit_options=OPTIONS)(lambda x: _tanh_of(x))  # noqa: PLW0108


@part
def to_sigmoid(values: Array) -> None:
    """In place, as below."""
    for k in range(values.size):
        values[k] = _sigmoid(values[k])


@part
def to_tanh(values: Array) -> None:
    for k in range(values.size):
        values[k] = _tanh(values[k])
