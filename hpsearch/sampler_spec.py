"""What a study says of its sampler: its name and its options."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from hpsearch.parameters import Bool, Float, Int, Part

OF_ONE_METRIC = ("cmaes",)
"""Samplers that cannot search several metrics."""
TAKES_EARLIER = ("tpe", "auto")
"""Samplers that learn from earlier studies."""


class TPESampler(Part):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), as in Optuna."""

    name: Literal["tpe"] = "tpe"
    startup_trials: Annotated[Int, Field(ge=0, le=1_000_000)] = 10
    """Trials at random before the model is used."""
    multivariate: Bool = True
    """Model the parameters together rather than one by one."""
    constant_liar: Bool = True
    """Count running trials as bad, so that parallel workers keep apart."""
    startup: Literal["random", "quasi_random"] = "random"
    """How the first trials are drawn: independently, or as a Sobol sequence, which leaves no gaps."""
    exploration: Annotated[Float, Field(ge=0, le=1)] = 0.0
    """Share of the later trials that are drawn at random all the same, so that a misled model is found out (as BOHB
    does, Falkner et al. 2018)."""
    rank_pruned_by: Literal["step", "value"] = "step"
    """How pruned trials compare: behind all complete ones, the further they came the better (Optuna's way); or among
    them, by their last value."""
    duplicates: Bool = True
    """Whether a configuration may be suggested again (Optuna's way) while there are others that no trial has; of spaces
    whose configurations can be counted."""


class GPSampler(Part):
    """Bayesian optimisation with a Gaussian process (Snoek et al. 2012): for trials that take minutes, up to some
    hundreds of them. Drawn in a process of its own, while other claims are answered."""

    name: Literal["gp"] = "gp"
    startup_trials: Annotated[Int, Field(ge=1, le=1_000_000)] = 10
    """Trials before the model is used."""
    startup: Literal["random", "quasi_random"] = "random"
    """How the first trials are drawn: independently, or as a Sobol sequence, which leaves no gaps."""
    deterministic: Bool = False
    """Whether the same parameters always give the same value: then the model expects no noise."""


class RandomSampler(Part):
    """Independent uniform (or log-uniform) draws."""

    name: Literal["random"] = "random"


class CMAESSampler(Part):
    """Covariance matrix adaptation evolution strategy (Hansen 2016): for numbers on a rugged, unsplittable slope.
    Categorical parameters are drawn at random beside it."""

    name: Literal["cmaes"] = "cmaes"
    startup_trials: Annotated[Int, Field(ge=0, le=1_000_000)] = 1
    """Trials at random before the strategy is used."""
    sigma: Annotated[Float, Field(gt=0, le=1)] = 1 / 6
    """The first step size, as a share of each parameter's range."""
    population: Annotated[Int, Field(ge=2, le=10_000)] | None = None
    """Trials a generation; 4 + 3 ln(parameters) where it is not given."""


class QMCSampler(Part):
    """Quasi-random points, which fill the space more evenly than chance."""

    name: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = "sobol"
    scramble: Bool = True
    """Shift the points at random, by the study's seed."""


class GridSampler(Part):
    """Every combination once, in a random order; the study ends with the last. Floats need a step."""

    name: Literal["grid"] = "grid"


class BruteForceSampler(Part):
    """Every configuration that no trial has had yet, enqueued ones included, in a random order; the study ends when it
    has had as many trials as there are configurations. Floats need a step. For large spaces too, unlike a grid."""

    name: Literal["brute_force"] = "brute_force"


class NSGA2Sampler(Part):
    """A genetic algorithm (Deb et al. 2002), as in Optuna."""

    name: Literal["nsga2"] = "nsga2"
    population: Annotated[Int, Field(ge=2, le=10_000)] = 50
    """Trials a generation."""
    mutation: Annotated[Float, Field(ge=0, le=1)] | None = None
    """Probability that a parameter mutates; 1 / parameters where it is not given."""
    crossover: Annotated[Float, Field(ge=0, le=1)] = 0.9
    """Probability that a child has two parents."""


class NSGA3Sampler(Part):
    """A genetic algorithm that spreads over reference points (Deb and Jain 2014), as in Optuna; for many objectives."""

    name: Literal["nsga3"] = "nsga3"
    population: Annotated[Int, Field(ge=2, le=10_000)] = 50
    """Trials a generation."""
    mutation: Annotated[Float, Field(ge=0, le=1)] | None = None
    """Probability that a parameter mutates; 1 / parameters where it is not given."""
    crossover: Annotated[Float, Field(ge=0, le=1)] = 0.9
    """Probability that a child has two parents."""
    divisions: Annotated[Int, Field(ge=1, le=100)] = 3
    """Reference points along each objective."""


class AutoSampler(Part):
    """Chosen by hpsearch, from the space, the budget and the trials so far; the study's `chosen` says what and why."""

    name: Literal["auto"] = "auto"
    version: Literal[1, 2, 3] = 3
    """Of the rules: a study keeps those that it was made with."""


SamplerSpec = Annotated[
    TPESampler
    | GPSampler
    | RandomSampler
    | CMAESSampler
    | QMCSampler
    | GridSampler
    | BruteForceSampler
    | NSGA2Sampler
    | NSGA3Sampler
    | AutoSampler,
    Field(discriminator="name"),
]
SAMPLERS: Mapping[str, type[BaseModel]] = {
    "tpe": TPESampler,
    "gp": GPSampler,
    "random": RandomSampler,
    "cmaes": CMAESSampler,
    "qmc": QMCSampler,
    "grid": GridSampler,
    "brute_force": BruteForceSampler,
    "nsga2": NSGA2Sampler,
    "nsga3": NSGA3Sampler,
    "auto": AutoSampler,
}
