"""`hpsearch.load_model`. PyTorch is imported when a model is loaded, not before."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import ConfigurationError

if TYPE_CHECKING:
    from hpsearch.objectives.rnn.models.trained import Model


def load_model(path: str | Path) -> "Model":
    """A trained model, from the folder that `hpsearch study model` has written, or from its `model.json`.

    Raises `InvalidInput` where a file is missing, damaged or of another format, or the weights do not fit;
    `ConfigurationError` where PyTorch is not installed.
    """
    if find_spec("torch") is None or find_spec("safetensors") is None:
        raise ConfigurationError("a model needs PyTorch: pip install 'hpsearch[rnn]'")
    from hpsearch.objectives.rnn.models.saved import read_model
    from hpsearch.objectives.rnn.models.trained import Model

    return Model(read_model(Path(path).expanduser()))
