"""What the recurrent objective publishes of itself: the training, and what it starts from."""

from hpsearch.objectives.objective import ParameterInfo

TRAINING = (
    ParameterInfo(
        name="loss",
        type="str",
        nullable=True,
        choices=("cross_entropy", "mse", "mae", "huber"),
        meaning="What training minimises. null: as the task wants, cross_entropy or mse.",
    ),
    ParameterInfo(
        name="huber_delta",
        type="float",
        default=1.0,
        low=1e-06,
        high=1000000.0,
        meaning="Scaled error from which on huber grows linearly.",
    ),
    ParameterInfo(
        name="class_weights",
        type="str",
        default="none",
        choices=("none", "balanced"),
        meaning="balanced: a class's errors weigh more the rarer it is.",
    ),
    ParameterInfo(
        name="optimizer",
        type="str",
        default="adam",
        choices=("adam", "adamw", "nadam", "sgd", "rmsprop"),
        meaning="sgd has Nesterov momentum; adamw and nadam decouple the weight decay.",
    ),
    ParameterInfo(
        name="momentum", type="float", default=0.9, low=0.0, high=0.9999, meaning="Of sgd; of no effect on the others."
    ),
    ParameterInfo(name="learning_rate", type="float", default=0.003, low=1e-08, high=100.0, meaning="The step size."),
    ParameterInfo(
        name="lr_range_test",
        type="bool",
        default=False,
        searchable=False,
        meaning="Before the search, `hpsearch run` and `hpsearch study create` narrow the study's learning-rate range "
        "to what the range test (Smith 2017) shows. Of no effect in a trial.",
    ),
    ParameterInfo(
        name="body_learning_rate",
        type="float",
        default=1.0,
        low=0.0,
        high=100.0,
        meaning="Factor on the learning rate of all but the head.",
    ),
    ParameterInfo(
        name="schedule",
        type="str",
        default="constant",
        choices=("constant", "step", "exponential", "cosine", "one_cycle", "plateau"),
        meaning="How the learning rate changes: never, every schedule_epochs, a little each epoch, along a cosine to "
        "0 (Loshchilov and Hutter 2017), up and down once (Smith and Topin 2018), or when the searched metric "
        "stalls.",
    ),
    ParameterInfo(
        name="schedule_epochs",
        type="int",
        default=5,
        low=1,
        high=1000000,
        unit="epochs",
        meaning="step: epochs between drops; plateau: epochs without a better value before a drop.",
    ),
    ParameterInfo(
        name="schedule_factor",
        type="float",
        default=0.5,
        low=1e-06,
        high=1.0,
        meaning="What a drop (step, plateau) or an epoch (exponential) multiplies the learning rate with.",
    ),
    ParameterInfo(
        name="warmup_epochs",
        type="float",
        default=0.0,
        low=0.0,
        high=1000000.0,
        unit="epochs",
        meaning="Epochs in which the schedule is multiplied with a line from 0 to 1; they are part of max_epochs.",
    ),
    ParameterInfo(
        name="batch_size",
        type="int",
        default=32,
        low=1,
        high=65536,
        unit="sequences",
        meaning="Sequences a step; of a language model: parallel streams.",
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
        name="clip_value",
        type="float",
        low=0.0,
        nullable=True,
        meaning="Each gradient is cut to at most this size, either way. null or 0: it is not.",
    ),
    ParameterInfo(
        name="bptt_steps",
        type="int",
        low=1,
        high=1000000,
        nullable=True,
        unit="steps",
        meaning="Gradients go back so many steps (truncated back-propagation through time). null: to the beginning; "
        "64 in a language model.",
    ),
    ParameterInfo(
        name="max_epochs", type="int", default=50, low=1, high=1000000, unit="epochs", meaning="Passes over the data."
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
        name="evaluation_streams",
        type="int",
        low=1,
        high=65536,
        nullable=True,
        unit="streams",
        searchable=False,
        meaning="Language models: parallel streams in which a text is evaluated, each beginning without a past: the "
        "fewer, the more is told from a long past, and the slower. null: one for each 4,096 tokens, 32 at most.",
    ),
    ParameterInfo(
        name="dynamic_evaluation",
        type="float",
        default=0.0,
        low=0.0,
        high=1.0,
        searchable=False,
        meaning="Language models: step size of weights that follow the text while it is evaluated (Krause et al. "
        "2018), each token still told from those before it. At a training's end it is told as a result of its own, "
        "`validation_dynamic_loss` and `test_dynamic_loss`; all other results are without it. 0: it is not.",
    ),
    ParameterInfo(
        name="dynamic_decay",
        type="float",
        default=0.001,
        low=0.0,
        high=1.0,
        searchable=False,
        meaning="dynamic_evaluation: part of the way back to the trained weights, a step; of weights of average "
        "gradients (Krause et al. 2018's lambda).",
    ),
    ParameterInfo(
        name="checkpoint_seconds",
        type="float",
        default=60.0,
        low=0.0,
        nullable=True,
        unit="s",
        searchable=False,
        meaning="Time between checkpoints. 0: one after each epoch, and none within. null: only when the trial is "
        "handed back.",
    ),
    ParameterInfo(
        name="device",
        type="str",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        searchable=False,
        meaning="Where to train. auto: on a GPU where there is one.",
    ),
    ParameterInfo(
        name="mixed_precision",
        type="bool",
        default=False,
        searchable=False,
        meaning="On a GPU: products in bfloat16. Of no effect on a CPU.",
    ),
)

TRANSFER = (
    ParameterInfo(
        name="start_from",
        type="str",
        nullable=True,
        searchable=False,
        meaning="Weights to begin with: `study:NAME`, whose best model they are, `study:NAME/NUMBER`, or a "
        ".safetensors file below a data folder. What fits by name and shape is taken. null: none.",
    ),
    ParameterInfo(
        name="freeze",
        type="str",
        nullable=True,
        meaning="What is not trained at first: `body` (all but the head), `embedding`, a number of recurrent layers "
        "from below, or beginnings of weights' names joined by commas. null: nothing.",
    ),
    ParameterInfo(
        name="freeze_epochs",
        type="int",
        default=0,
        low=0,
        high=1000000,
        unit="epochs",
        meaning="How long that is not trained.",
    ),
)
