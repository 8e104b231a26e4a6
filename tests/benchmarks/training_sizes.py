"""How large the measurements of training are."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """One set of sizes; as it stands, the full one."""

    datasets: tuple[str, ...] = ("digits", "japanese_vowels", "adding.npz")
    cells: tuple[str, ...] = ("lstm", "gru", "rnn_tanh")
    units: tuple[int, ...] = (32, 128)
    epochs: dict[str, int] = field(default_factory=lambda: {"digits": 10, "japanese_vowels": 10, "adding.npz": 2})
    """Measured of a training; one more is trained."""
    repetitions: int = 5
    """Turns of trainings."""
    adding_sequences: int = 1_000
    adding_steps: int = 200
    searched_datasets: tuple[str, ...] = ("digits", "japanese_vowels")
    searched_cells: tuple[str, ...] = ("lstm", "gru")
    trials: int = 24
    trial_epochs: int = 10
    peers: tuple[str, ...] = ("loop", "n_jobs=2", "n_jobs=2, 1 thread", "2 processes")
    """Of searches."""
    searches: int = 3
    """Turns of searches."""
    lightning_python: str | None = None


QUICK = {
    "epochs": {"digits": 5, "japanese_vowels": 5, "adding.npz": 1},
    "repetitions": 3,
    "adding_sequences": 320,
    "searches": 1,
}
TOY = {
    "datasets": ("digits",),
    "cells": ("gru",),
    "units": (8,),
    "epochs": {"digits": 1},
    "repetitions": 1,
    "adding_sequences": 8,
    "adding_steps": 10,
    "searched_datasets": ("digits",),
    "searched_cells": ("gru",),
    "trials": 2,
    "trial_epochs": 1,
    "peers": ("n_jobs=2", "2 processes"),
    "searches": 1,
}
