"""A series as forecasting examples: windows of its past, each with a later value as its target."""

import numpy as np

from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.sequences import Dataset, FloatArray, Sequences


def forecast_dataset(values: FloatArray, target: int, window: int, horizon: int, features: tuple[str, ...]) -> Dataset:
    """Every window of a series ([steps, features]) in the order of time, undivided.

    Example i sees steps i … i + window - 1 and is to tell the target feature at step i + window - 1 + horizon; the
    naive guess is its newest value. Raises `InvalidInput` where the series is too short.
    """
    count = len(values) - window - horizon + 1
    if count < 10:
        raise setting_fault(
            "window", f"the series of {len(values)} steps has {max(count, 0)} examples of window {window} and horizon "
            f"{horizon}; at least 10 are needed"
        )  # fmt: skip
    starts = np.arange(count)
    inputs = values[starts[:, None] + np.arange(window)]
    targets = values[starts + window - 1 + horizon, target]
    lengths = np.full(count, window, dtype=np.int64)
    return Dataset(
        "forecast",
        Sequences(inputs, lengths, targets, naive=inputs[:, -1, target]),
        features=features,
        steps=len(values),
    )
