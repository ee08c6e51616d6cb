"""Tails and quantiles of SciPy, loaded when first asked for: half a second that no other command should wait for."""

from __future__ import annotations


def student_quantile(freedom: float, share: float) -> float:
    """Return below which value a share of Student's t lies.

    >>> round(student_quantile(10, 0.975), 3)
    2.228
    """
    from scipy.special import stdtrit  # noqa: PLC0415

    return float(stdtrit(freedom, share))


def student_tails(freedom: float, value: float) -> float:
    """Return which share of Student's t lies further from 0 than a value, on either side.

    >>> round(student_tails(10, -2.228), 3)
    0.05
    """
    from scipy.special import stdtr  # noqa: PLC0415

    return float(2 * stdtr(freedom, -abs(value)))


def chi_square_tail(freedom: int, value: float) -> float:
    """Return which share of chi-square lies above a value.

    >>> round(chi_square_tail(1, 3.841), 3)
    0.05
    """
    from scipy.special import chdtrc  # noqa: PLC0415

    return float(chdtrc(freedom, value))
