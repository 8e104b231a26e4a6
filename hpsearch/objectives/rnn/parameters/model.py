"""What the recurrent objective publishes of itself: the network, and what keeps it from overfitting."""

from hpsearch.objectives.objective import ParameterInfo

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
        meaning="Read each sequence backwards too, with units of its own. Must be false where each step is told from "
        "those before it.",
    ),
    ParameterInfo(name="hidden_layers", type="int", default=1, low=1, high=16, meaning="Recurrent layers."),
    ParameterInfo(
        name="hidden_units",
        type="int",
        default=64,
        low=1,
        high=8192,
        indices=16,
        meaning="Units a layer and direction. `hidden_units[0]`, `hidden_units[1]` … say those of single layers; of no "
        "effect beyond hidden_layers.",
    ),
    ParameterInfo(
        name="layer_units",
        type="str",
        nullable=True,
        meaning="Units of each layer from the first on, joined by commas, as '128,64', instead of hidden_layers and "
        "hidden_units. null: as these say.",
    ),
    ParameterInfo(
        name="embedding_units",
        type="int",
        default=32,
        low=1,
        high=8192,
        meaning="Numbers that stand for a token; of no effect where the inputs are numbers.",
    ),
    ParameterInfo(
        name="residual",
        type="bool",
        default=False,
        meaning="Add a layer's inputs to its outputs, where their widths agree (He et al. 2016).",
    ),
    ParameterInfo(
        name="layer_norm",
        type="bool",
        default=False,
        meaning="Normalise each layer's outputs over its units (Ba et al. 2016).",
    ),
    ParameterInfo(
        name="recurrent_initialisation",
        type="str",
        default="orthogonal",
        choices=("orthogonal", "identity", "uniform"),
        meaning="Recurrent weights at the start: orthogonal (Saxe et al. 2014), the identity (Le et al. 2015), or "
        "torch's uniform ones.",
    ),
    ParameterInfo(
        name="forget_bias",
        type="float",
        default=1.0,
        low=-100.0,
        high=100.0,
        meaning="The LSTM's forget gate's bias at the start (Jozefowicz et al. 2015); of no effect on other cells.",
    ),
    ParameterInfo(
        name="pooling",
        type="str",
        default="last",
        choices=("last", "mean", "max", "additive", "dot_product"),
        meaning="What stands for a sequence: the state at its end, the mean or maximum over its steps, or a mean "
        "weighted by additive or scaled dot-product attention. Of no effect where each step is told.",
    ),
    ParameterInfo(
        name="attention_heads",
        type="int",
        default=0,
        low=0,
        high=64,
        meaning="Heads of self-attention over the hidden states (Vaswani et al. 2017). 0: none.",
    ),
    ParameterInfo(
        name="context_attention",
        type="str",
        default="additive",
        choices=("additive", "dot_product"),
        meaning="How hidden states attend to the second sequence, where the data have one.",
    ),
    ParameterInfo(
        name="head_units",
        type="int",
        default=0,
        low=0,
        high=8192,
        meaning="Units of a hidden layer before the outputs. 0: none.",
    ),
    ParameterInfo(
        name="head_activation",
        type="str",
        default="relu",
        choices=("tanh", "relu", "sigmoid", "gelu"),
        meaning="The activation of that hidden layer; of no effect without one.",
    ),
)

REGULARISATION = (
    ParameterInfo(
        name="input_dropout",
        type="float",
        default=0.0,
        low=0.0,
        high=0.95,
        meaning="Part of the inputs (or of the embedded tokens) that is dropped in training.",
    ),
    ParameterInfo(
        name="dropout",
        type="float",
        default=0.0,
        low=0.0,
        high=0.95,
        meaning="Part of each recurrent layer's outputs that is dropped in training, before the next layer.",
    ),
    ParameterInfo(
        name="output_dropout",
        type="float",
        nullable=True,
        low=0.0,
        high=0.95,
        meaning="The same of the last layer's outputs. null: as dropout.",
    ),
    ParameterInfo(
        name="variational_dropout",
        type="bool",
        default=False,
        meaning="Drop the same parts at each step of a sequence (Gal and Ghahramani 2016).",
    ),
    ParameterInfo(
        name="weight_dropout",
        type="float",
        default=0.0,
        low=0.0,
        high=0.95,
        meaning="Part of the recurrent weights that is dropped in a training step (Merity et al. 2018).",
    ),
    ParameterInfo(
        name="l1", type="float", default=0.0, low=0.0, high=10.0, meaning="L1 penalty on the weights, not the biases."
    ),
    ParameterInfo(
        name="weight_decay",
        type="float",
        default=0.0,
        low=0.0,
        high=10.0,
        meaning="L2 penalty on the weights, not the biases; decoupled with adamw and nadam (Loshchilov and Hutter "
        "2019).",
    ),
    ParameterInfo(
        name="label_smoothing",
        type="float",
        default=0.0,
        low=0.0,
        high=0.99,
        meaning="Part of a target's weight that is spread over all classes; of classification and language models.",
    ),
    ParameterInfo(
        name="averaging",
        type="str",
        default="none",
        choices=("none", "ema", "swa"),
        meaning="Weights to evaluate and keep: the last ones, their exponential moving average, or their mean over "
        "the last epochs (Izmailov et al. 2018).",
    ),
    ParameterInfo(
        name="averaging_decay",
        type="float",
        default=0.99,
        low=0.0,
        high=0.999999,
        meaning="ema: what remains of the average a step.",
    ),
    ParameterInfo(
        name="averaging_start",
        type="float",
        default=0.5,
        low=0.0,
        high=1.0,
        meaning="swa: the part of max_epochs after which averaging begins.",
    ),
)

AUGMENTATION = (
    ParameterInfo(
        name="jitter",
        type="float",
        default=0.0,
        low=0.0,
        high=10.0,
        meaning="Deviation of the noise added to scaled inputs in training.",
    ),
    ParameterInfo(
        name="magnitude_scaling",
        type="float",
        default=0.0,
        low=0.0,
        high=10.0,
        meaning="Deviation of the factor, about 1, that a sequence's features are multiplied with in training.",
    ),
    ParameterInfo(
        name="window_slice",
        type="float",
        default=1.0,
        low=0.01,
        high=1.0,
        meaning="Part of each sequence that a training step sees, from a random place on.",
    ),
    ParameterInfo(
        name="time_mask",
        type="float",
        default=0.0,
        low=0.0,
        high=0.95,
        meaning="Most of a sequence's steps that are set to zero in training, in one span (Park et al. 2019).",
    ),
    ParameterInfo(
        name="time_warp",
        type="float",
        default=0.0,
        low=0.0,
        high=1.0,
        meaning="Strength of the random stretching of time in training (Um et al. 2017).",
    ),
    ParameterInfo(
        name="token_dropout",
        type="float",
        default=0.0,
        low=0.0,
        high=0.95,
        meaning="Part of the tokens that training sees as unknown.",
    ),
    ParameterInfo(
        name="shift_streams",
        type="bool",
        default=False,
        meaning="Language models: each epoch reads the training text from a random place on, round its end, so that no "
        "two cut the same windows and streams (as the random lengths of windows of Merity et al. 2018 do).",
    ),
)
