"""The metrics that each task has, by name. No torch, no numpy: the server reads this."""

from collections.abc import Mapping

from hpsearch.objectives.objective import MetricInfo

_BY_TASK: Mapping[str, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "balanced_accuracy", "macro_f1", "roc_auc"),
    "multilabel": ("loss", "accuracy", "macro_f1", "roc_auc"),
    "regression": ("loss", "rmse", "mae", "r2"),
    "forecast": ("loss", "rmse", "mae", "r2", "mase"),
    "next_step": ("loss", "frame_accuracy"),
    "language_model": ("loss", "perplexity", "bits_per_token", "bits_per_character"),
}

METRICS = (
    MetricInfo(
        name="validation_accuracy",
        direction="maximize",
        meaning="Classification: part of the validation sequences that are classified right. Multilabel: part of them "
        "whose labels are all right (subset accuracy).",
    ),
    MetricInfo(
        name="validation_balanced_accuracy",
        direction="maximize",
        meaning="Classification: accuracy within each class, the mean over the classes that occur.",
    ),
    MetricInfo(
        name="validation_macro_f1",
        direction="maximize",
        meaning="Classification and multilabel: F1 of each class or label, the mean over those that occur or are "
        "predicted.",
    ),
    MetricInfo(
        name="validation_roc_auc",
        direction="maximize",
        meaning="Classification and multilabel: area under the ROC curve of each class or label against the rest, the "
        "mean over those that some sequences have and some have not.",
    ),
    MetricInfo(
        name="validation_loss",
        direction="minimize",
        meaning="The mean of the loss that is trained on, without label smoothing and class weights: cross-entropy in "
        "nats (of next steps summed over the labels of a step, of language models a token), or an error of scaled "
        "targets.",
    ),
    MetricInfo(
        name="validation_rmse",
        direction="minimize",
        meaning="Regression and forecast: root mean squared error, in the target's unit.",
    ),
    MetricInfo(
        name="validation_mae",
        direction="minimize",
        meaning="Regression and forecast: mean absolute error, in the target's unit.",
    ),
    MetricInfo(
        name="validation_r2",
        direction="maximize",
        meaning="Regression and forecast: part of the targets' variance that is explained (R2), over all steps ahead.",
    ),
    MetricInfo(
        name="validation_mase",
        direction="minimize",
        meaning="Forecast: mean absolute error over that of the seasonal naive forecast, or of the naive one where "
        "there is no season, one step ahead within the training series (Hyndman and Koehler 2006).",
    ),
    MetricInfo(
        name="validation_frame_accuracy",
        direction="maximize",
        meaning="Next step: labels told right over those that are on or told, over all steps (Bay et al. 2009).",
    ),
    MetricInfo(
        name="validation_perplexity",
        direction="minimize",
        meaning="Language model: e to the mean cross-entropy a token.",
    ),
    MetricInfo(
        name="validation_bits_per_token",
        direction="minimize",
        meaning="Language model: mean cross-entropy a token, in bits.",
    ),
    MetricInfo(
        name="validation_bits_per_character",
        direction="minimize",
        meaning="Language model: cross-entropy over the characters told, in bits; it compares tokenizers.",
    ),
    MetricInfo(
        name="model_parameters",
        direction="minimize",
        meaning="Every task: how many weights the network has. Searched beside another metric.",
        is_reported=False,
    ),
)
MEASURED = (
    *("train_*", "validation_*", "gradient_norm", "gradient_norm_max", "gradient_norm_min", "gradient_reach"),
    *("exploding_gradients", "vanishing_gradients", "epochs", "best_epoch", "refit_epochs", "value_deviation"),
)
"""What trials measure besides, the test split's aside, which no search may look at."""


def metrics_of(task: str) -> tuple[str, ...]:
    """The names of a task's metrics, without the split."""
    return _BY_TASK[task]
