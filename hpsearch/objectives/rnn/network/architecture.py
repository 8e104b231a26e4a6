"""What a network is made of: enough to build it again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hpsearch.objectives.rnn.data.sequences import Dataset
from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.tasks import PER_STEP, outputs_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """JSON-able; the names are those of the parameters, where there is one."""

    task: str
    outputs: int
    inputs: int = 0
    """Features a step, where the inputs are numbers."""
    vocabulary_size: int = 0
    """Tokens, where they are tokens."""
    embedding_units: int = 32
    cell: str = "lstm"
    units: tuple[int, ...] = (64,)
    """Of each layer and direction."""
    bidirectional: bool = False
    residual: bool = False
    layer_norm: bool = False
    recurrent_initialisation: str = "orthogonal"
    forget_bias: float = 1.0
    pooling: str = "last"
    attention_heads: int = 0
    context_features: int = 0
    """Of the second sequence; 0: there is none."""
    context_attention: str = "additive"
    statics: int = 0
    """Numbers that go with a whole sequence."""
    category_sizes: tuple[int, ...] = ()
    head_units: int = 0
    head_activation: str = "relu"
    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0
    variational_dropout: bool = False
    weight_dropout: float = 0.0
    bptt_steps: int | None = None

    @property
    def is_per_step(self) -> bool:
        """Whether every step has an output of its own."""
        return self.task in PER_STEP

    @property
    def width(self) -> int:
        """Features of the last layer's outputs."""
        return self.units[-1] * (1 + self.bidirectional)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Architecture":
        """The inverse of `as_json`, also after a way through JSON."""
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**plain)


def architecture_of(options: Mapping[str, Any], data: Dataset) -> Architecture:
    """The network that the parameters ask for on these data. Raises `InvalidInput`."""
    if data.task in PER_STEP and options["bidirectional"]:
        raise setting_fault("bidirectional", f"must be false for {data.task}: reading backwards would see the targets")
    train = data.train
    same = {
        name: options[name]
        for name in (
            "embedding_units", "cell", "bidirectional", "residual", "layer_norm", "recurrent_initialisation",
            "forget_bias", "pooling", "attention_heads", "context_attention", "head_units", "head_activation",
            "input_dropout", "dropout", "variational_dropout", "weight_dropout",
        )
    }  # fmt: skip
    return Architecture(
        task=data.task,
        outputs=outputs_of(data, options),
        inputs=0 if data.vocabulary_size else train.inputs.shape[2],
        vocabulary_size=data.vocabulary_size,
        units=_units(options),
        context_features=0 if train.context is None else train.context.shape[2],
        statics=0 if train.statics is None else train.statics.shape[1],
        category_sizes=data.category_sizes,
        output_dropout=options["dropout"] if options["output_dropout"] is None else options["output_dropout"],
        bptt_steps=options["bptt_steps"],
        **same,
    )


def _units(options: Mapping[str, Any]) -> tuple[int, ...]:
    of_layer = {name: units for name, units in options.items() if name.startswith("hidden_units[")}
    if options["layer_units"] is None:
        layers = range(int(options["hidden_layers"]))
        return tuple(int(of_layer.get(f"hidden_units[{layer}]", options["hidden_units"])) for layer in layers)
    if of_layer:
        raise setting_fault("layer_units", f"says the units of each layer, and so does {next(iter(of_layer))}")
    try:
        units = tuple(int(part) for part in options["layer_units"].split(","))
    except ValueError:
        units = ()
    if not units or len(units) > 16 or not all(1 <= count <= 8192 for count in units):
        problem = f"must be 1 to 16 numbers of units joined by commas, as '128,64', not {options['layer_units']!r}"
        raise setting_fault("layer_units", problem)
    return units
