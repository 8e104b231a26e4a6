"""What the recurrent objective publishes of itself: every parameter and metric. No torch, no numpy."""

from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.objectives.rnn.metric_names import MEASURED, METRICS
from hpsearch.objectives.rnn.parameters.data import DATA
from hpsearch.objectives.rnn.parameters.model import AUGMENTATION, MODEL, REGULARISATION
from hpsearch.objectives.rnn.parameters.training import TRAINING, TRANSFER

__all__ = ["DATA", "INFO"]

INFO = ObjectiveInfo(
    name="rnn",
    description="Trains a recurrent network for sequence classification, sequence regression, forecasts, next steps "
    "and language models.",
    parameters=(*DATA, *MODEL, *REGULARISATION, *AUGMENTATION, *TRAINING, *TRANSFER),
    metrics=METRICS,
    measured=MEASURED,
)
