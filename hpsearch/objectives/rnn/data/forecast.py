"""A series as forecasting examples: windows of its past, each with the values after it as its targets."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hpsearch.objectives.rnn.data.sequences import Dataset, FloatArray, Sequences
from hpsearch.objectives.rnn.faults import setting_fault


def forecast_dataset(
    values: FloatArray,
    target: int,
    window: int,
    horizon: int,
    features: tuple[str, ...],
    season: int | None = None,
    strategy: str = "direct",
) -> Dataset:
    """Every window of a series ([steps, features]) in the order of time, undivided.

    Example i sees steps i … i + window - 1 and is to tell the target feature at the `horizon` steps from i + window
    on. Baselines: `naive`, and `seasonal_naive` where there is a season. Raises `InvalidInput` where the series is too
    short, or has features whose future a recursive forecast would have to know.
    """
    count = len(values) - window - horizon + 1
    if count < 10:
        raise setting_fault(
            "window", f"the series of {len(values)} steps has {max(count, 0)} examples of window {window} and horizon "
            f"{horizon}; at least 10 are needed"
        )  # fmt: skip
    if strategy == "recursive" and values.shape[1] > 1:
        problem = f"is recursive, which needs the target to be the only feature; there are {values.shape[1]}"
        raise setting_fault("forecast_strategy", problem)
    starts = np.arange(count)
    inputs = values[starts[:, None] + np.arange(window)]
    told = values[:, target]
    return Dataset(
        "forecast",
        Sequences(
            inputs,
            np.full(count, window, dtype=np.int64),
            sliding_window_view(told[window:], horizon).copy(),
            _baselines(told, starts + window - 1, horizon, season),
        ),
        features=features,
        steps=len(values),
        target_feature=target,
    )


def _baselines(
    series: FloatArray, newest: NDArray[np.int64], horizon: int, season: int | None
) -> dict[str, FloatArray]:
    """Guesses from what is known at the steps `newest`: [examples, horizon] each."""
    naive = np.repeat(series[newest][:, None], horizon, axis=1)
    if season is None:
        return {"naive": naive}
    if season >= len(series):
        raise setting_fault("season", f"must be shorter than the series, which has {len(series)} steps")
    return {"naive": naive, "seasonal_naive": _seasonal(series, newest, naive, season)}


def _seasonal(series: FloatArray, newest: NDArray[np.int64], naive: FloatArray, season: int) -> FloatArray:
    """The newest known value of the same time of the season (Hyndman and Athanasopoulos 2021, section 5.2); the naive
    guess in the first season, before which nothing is known."""
    ahead = np.arange(1, naive.shape[1] + 1)
    steps = newest[:, None] + ahead - season * -(-ahead // season)
    return np.where(steps >= 0, series[steps], naive)
