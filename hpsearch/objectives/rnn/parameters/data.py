"""What the recurrent objective publishes of itself: what concerns the data."""

from hpsearch.objectives.objective import ParameterInfo

DATA = (
    ParameterInfo(
        name="dataset",
        type="str",
        required=True,
        searchable=False,
        meaning="`digits`, `japanese_vowels`, `names`, `seattle_temps`, `adding`, `bach_chorales`, `python_topics`, or "
        "a file (.npz, .csv, .parquet, .ts, .mat, .txt) below a data folder of the workers.",
    ),
    ParameterInfo(
        name="task",
        type="str",
        nullable=True,
        searchable=False,
        choices=("classification", "multilabel", "regression", "forecast", "next_step", "language_model"),
        meaning="What is predicted: a class, several labels or a number a sequence; a series' future; each next step "
        "of a sequence of labels, or of a text. null: as the data suggest.",
    ),
    ParameterInfo(
        name="target",
        type="str",
        nullable=True,
        searchable=False,
        meaning="Column to predict, of .csv and .parquet; several joined by commas: one label each. null: the only "
        "column that can be it.",
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
        name="window",
        type="int",
        default=24,
        low=1,
        high=100_000,
        unit="steps",
        meaning="Past that a forecast sees; the length of the sequences of `adding` (2 to 2,000).",
    ),
    ParameterInfo(
        name="horizon",
        type="int",
        default=1,
        low=1,
        high=100_000,
        unit="steps",
        searchable=False,
        meaning="Steps that a forecast tells: all from the next one to this one.",
    ),
    ParameterInfo(
        name="forecast_strategy",
        type="str",
        default="direct",
        choices=("direct", "recursive"),
        meaning="direct: an output for each step ahead; recursive: one step, and on from the forecast so far.",
    ),
    ParameterInfo(
        name="season",
        type="int",
        nullable=True,
        low=1,
        high=1_000_000,
        unit="steps",
        searchable=False,
        meaning="A season's length, for the seasonal naive forecast and the MASE. null: there is no season.",
    ),
    ParameterInfo(
        name="statics",
        type="str",
        nullable=True,
        searchable=False,
        meaning="Columns of numbers that hold for a whole sequence, joined by commas.",
    ),
    ParameterInfo(
        name="categories",
        type="str",
        nullable=True,
        searchable=False,
        meaning="Columns of categories that hold for a whole sequence, joined by commas.",
    ),
    ParameterInfo(
        name="text", type="str", nullable=True, searchable=False, meaning="Column of texts to read token by token."
    ),
    ParameterInfo(
        name="tokenizer",
        type="str",
        default="characters",
        choices=("characters", "words", "bpe", "wordpiece"),
        meaning="What a text is cut into; trained on the training split alone.",
    ),
    ParameterInfo(
        name="vocabulary_size",
        type="int",
        default=4096,
        low=2,
        high=1_000_000,
        unit="tokens",
        meaning="Most tokens that the tokenizer may know; bpe and wordpiece need 257 at least.",
    ),
    ParameterInfo(
        name="max_tokens",
        type="int",
        nullable=True,
        low=1,
        high=1_000_000,
        unit="tokens",
        meaning="Longer texts are cut to it. null: they are not. Of no effect in a language model.",
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
        name="split_by",
        type="str",
        default="chance",
        choices=("chance", "blocks"),
        searchable=False,
        meaning="chance: sequences are divided at random, classes in proportion. blocks: as they stand, the last ones "
        "for the test and those before for validation; folds are runs of neighbours. For data whose neighbours belong "
        "together (a writer's, a patient's, a machine's): at random, validation would tell too good a story of what is "
        "new. Of no effect on series and texts, which are always divided by time.",
    ),
    ParameterInfo(
        name="split_seed",
        type="int",
        default=0,
        low=0,
        searchable=False,
        meaning="Seed of the splits: all trials of a study share them.",
    ),
    ParameterInfo(
        name="scaling",
        type="str",
        default="standard",
        choices=("none", "standard", "min_max", "min_max_symmetric", "robust"),
        meaning="Of numbers: to mean 0 and deviation 1, to 0 … 1, to -1 … 1, or by median and interquartile range. "
        "Of no effect on next_step, whose labels are zeros and ones.",
    ),
    ParameterInfo(
        name="scaling_scope",
        type="str",
        default="training_set",
        choices=("training_set", "series"),
        meaning="Where the scaling's figures come from: the training split, or each sequence itself.",
    ),
    ParameterInfo(
        name="folds",
        type="int",
        default=1,
        low=1,
        high=100,
        searchable=False,
        meaning="Cross-validation: a trial's value is the mean over so many folds of training and validation data "
        "(of a forecast: over rolling origins). 1: one split.",
    ),
    ParameterInfo(
        name="repeats",
        type="int",
        default=1,
        low=1,
        high=100,
        searchable=False,
        meaning="A trial's value is the mean over so many seeds.",
    ),
    ParameterInfo(
        name="refit",
        type="bool",
        default=False,
        searchable=False,
        meaning="After a trial's trainings one more, on training and validation data, for as many epochs as the best "
        "ones of these were on average. The model that is kept is that one's, and so are the results on the test "
        "split; the trial's value stays theirs. Where the schedule is plateau, the training loss tells what one is.",
    ),
)
