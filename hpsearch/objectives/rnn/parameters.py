"""What the recurrent objective publishes of itself: every parameter and metric. No torch, no numpy."""

from hpsearch.objectives.objective import MetricInfo, ObjectiveInfo, ParameterInfo

DATA = (
    ParameterInfo(
        name="dataset",
        type="str",
        required=True,
        searchable=False,
        meaning="`digits`, `japanese_vowels`, `seattle_temps`, or a file (.npz, .csv, .parquet, .ts) below a data "
        "folder of the workers.",
    ),
    ParameterInfo(
        name="task",
        type="str",
        nullable=True,
        searchable=False,
        choices=("classification", "regression", "forecast"),
        meaning="What is predicted: a class or a number a sequence, or a series' future. null: as the data suggest.",
    ),
    ParameterInfo(
        name="target",
        type="str",
        nullable=True,
        searchable=False,
        meaning="Column to predict, of .csv and .parquet. null: the only column that can be it.",
    ),
    ParameterInfo(
        name="features",
        type="str",
        nullable=True,
        searchable=False,
        meaning="Columns to read, joined by commas. null: all numeric ones (but the target, unless it is forecast).",
    ),
    ParameterInfo(
        name="group",
        type="str",
        nullable=True,
        searchable=False,
        meaning="Column that tells the sequences of a table apart.",
    ),
    ParameterInfo(
        name="order",
        type="str",
        nullable=True,
        searchable=False,
        meaning="Column to sort the rows of a sequence by. null: as they stand.",
    ),
    ParameterInfo(
        name="window", type="int", default=24, low=1, high=100_000, unit="steps", meaning="Past that a forecast sees."
    ),
    ParameterInfo(
        name="horizon",
        type="int",
        default=1,
        low=1,
        high=100_000,
        unit="steps",
        searchable=False,
        meaning="How far ahead a forecast looks.",
    ),
    ParameterInfo(
        name="validation_fraction",
        type="float",
        default=0.2,
        low=0.01,
        high=0.9,
        searchable=False,
        meaning="Part of the training data kept for validation, where no validation split is given.",
    ),
    ParameterInfo(
        name="test_fraction",
        type="float",
        default=0.2,
        low=0.01,
        high=0.9,
        searchable=False,
        meaning="Part of the data kept for the test, where no test split is given.",
    ),
    ParameterInfo(
        name="split_seed",
        type="int",
        default=0,
        low=0,
        searchable=False,
        meaning="Seed of the splits: all trials of a study share them.",
    ),
)

MODEL = (
    ParameterInfo(
        name="cell",
        type="str",
        default="lstm",
        choices=("lstm", "gru", "rnn_tanh", "rnn_relu"),
        meaning="The recurrent cell.",
    ),
    ParameterInfo(
        name="bidirectional",
        type="bool",
        default=False,
        meaning="Read each sequence backwards too, with units of its own.",
    ),
    ParameterInfo(name="hidden_layers", type="int", default=1, low=1, high=16, meaning="Recurrent layers."),
    ParameterInfo(
        name="hidden_units", type="int", default=64, low=1, high=8192, meaning="Units a layer and direction."
    ),
    ParameterInfo(
        name="dropout",
        type="float",
        default=0.0,
        low=0.0,
        high=0.95,
        meaning="Part of each recurrent layer's outputs that is dropped in training, before what follows.",
    ),
)

TRAINING = (
    ParameterInfo(
        name="optimizer",
        type="str",
        default="adam",
        choices=("adam", "adamw", "sgd", "rmsprop"),
        meaning="adamw decouples the weight decay; sgd has Nesterov momentum 0.9.",
    ),
    ParameterInfo(name="learning_rate", type="float", default=0.003, low=1e-8, high=100.0, meaning="The step size."),
    ParameterInfo(name="batch_size", type="int", default=32, low=1, high=65_536, unit="sequences", meaning="A step."),
    ParameterInfo(
        name="weight_decay", type="float", default=0.0, low=0.0, high=10.0, meaning="L2 penalty on all weights."
    ),
    ParameterInfo(
        name="clip_norm",
        type="float",
        default=1.0,
        low=0.0,
        nullable=True,
        meaning="Gradients of a larger norm are scaled down to it (Pascanu et al. 2013). null or 0: they are not.",
    ),
    ParameterInfo(
        name="max_epochs", type="int", default=50, low=1, high=1_000_000, unit="epochs", meaning="Passes over the data."
    ),
    ParameterInfo(
        name="patience",
        type="int",
        default=10,
        low=1,
        nullable=True,
        unit="epochs",
        meaning="Training ends after so many epochs without a better value of the searched metric. null: it does not.",
    ),
    ParameterInfo(
        name="checkpoint_seconds",
        type="float",
        default=60.0,
        low=0.0,
        nullable=True,
        unit="s",
        searchable=False,
        meaning="Time between checkpoints, taken at the end of an epoch. null: only when the trial is handed back.",
    ),
)

INFO = ObjectiveInfo(
    name="rnn",
    description="Trains a recurrent network for sequence classification, sequence regression or forecasting.",
    parameters=(*DATA, *MODEL, *TRAINING),
    metrics=(
        MetricInfo(
            name="validation_accuracy",
            direction="maximize",
            meaning="Classification: part of the validation sequences that are classified right.",
        ),
        MetricInfo(
            name="validation_loss",
            direction="minimize",
            meaning="Mean cross-entropy in nats, or mean squared error of standardised targets.",
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
    ),
)
