"""Texts as tokens. The tokenizer is trained on the training split alone, so texts are divided here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.objectives.rnn.data.sequences import Dataset, Sequences
from hpsearch.objectives.rnn.data.tables import Table, columns_of, sequence_values, text_column
from hpsearch.objectives.rnn.data.vocabulary import characters_after_first, encode, train_tokenizer, vocabulary_size
from hpsearch.objectives.rnn.faults import setting_fault

SPLITS = ("train", "validation", "test")
Indices = NDArray[np.int64]


def read_text(path: Path, options: Mapping[str, Any]) -> Dataset:
    """A text file for a language model. Raises `InvalidInput`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise setting_fault("dataset", f"{path.name} is not UTF-8 text") from error
    return stream_dataset(text, options)


def stream_dataset(text: str, options: Mapping[str, Any]) -> Dataset:
    """A text for a language model: one stream a split, the beginning to train on and the end to test on.

    Fractions are of characters. Raises `InvalidInput`.
    """
    first_test = len(text) - round(options["test_fraction"] * len(text))
    first_validation = first_test - round(options["validation_fraction"] * first_test)
    texts = text[:first_validation], text[first_validation:first_test], text[first_test:]
    tokenizer = train_tokenizer(texts[:1], options["tokenizer"], options["vocabulary_size"])
    train, validation, test = (_stream(part, tokenizer, name) for name, part in zip(SPLITS, texts, strict=True))
    return Dataset(
        "language_model",
        train,
        validation,
        test,
        vocabulary=tokenizer,
        vocabulary_size=vocabulary_size(tokenizer),
        characters={name: characters_after_first(tokenizer, part) for name, part in zip(SPLITS, texts, strict=True)},
    )


def text_dataset(table: Table, options: Mapping[str, Any]) -> Dataset:
    """A table whose rows hold a text and its targets. Raises `InvalidInput`."""
    columns = columns_of(options)
    texts = text_column(table, columns)
    values = sequence_values(table, columns, options["task"], list(np.arange(len(texts))[:, None]))
    strata = values.targets if values.task == "classification" else np.zeros(len(texts), dtype=np.int64)
    fractions = options["validation_fraction"], options["test_fraction"]
    parts = _divide(strata, *fractions, options["split_seed"])
    empty = next((name for name, rows in zip(SPLITS, parts, strict=True) if not len(rows)), None)
    if empty:
        raise setting_fault("dataset", f"is too small: the {empty} split would be empty")
    tokenizer = train_tokenizer([texts[row] for row in parts[0]], options["tokenizer"], options["vocabulary_size"])
    inputs, lengths = _padded_tokens(encode(tokenizer, texts), options["max_tokens"])
    everything = Sequences(inputs, lengths, values.targets, statics=values.statics, categories=values.categories)
    train, validation, test = (everything.take(rows) for rows in parts)
    return Dataset(
        values.task,
        train,
        validation,
        test,
        classes=values.classes,
        vocabulary=tokenizer,
        vocabulary_size=vocabulary_size(tokenizer),
        category_sizes=values.category_sizes,
        category_names=values.category_names,
    )


def _stream(text: str, tokenizer: str, name: str) -> Sequences:
    """One sequence, each token with the one after it as its target."""
    tokens = np.array(encode(tokenizer, [text]), dtype=np.int64)
    if tokens.shape[1] < 2:
        raise setting_fault("dataset", f"is too small: the {name} split has {tokens.shape[1]} tokens; 2 are the least")
    return Sequences(tokens[:, :-1], np.array([tokens.shape[1] - 1]), tokens[:, 1:])


def _divide(
    strata: Indices, validation_fraction: float, test_fraction: float, seed: int
) -> tuple[Indices, Indices, Indices]:
    """Rows of the train, validation and test split: at random, the strata in proportion, each in the table's order."""
    generator = np.random.default_rng(seed)
    train, validation, test = [], [], []
    for stratum in np.unique(strata):
        members = generator.permutation(np.flatnonzero(strata == stratum))
        # at least one of each class for training
        tests = min(round(test_fraction * len(members)), len(members) - 1)
        validations = min(round(validation_fraction * (len(members) - tests)), len(members) - tests - 1)
        test.append(members[:tests])
        validation.append(members[tests : tests + validations])
        train.append(members[tests + validations :])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(validation)), np.sort(np.concatenate(test))


def _padded_tokens(texts: list[list[int]], longest: int | None) -> tuple[Indices, Indices]:
    """[texts, tokens] and their lengths; a text without a token is one unknown token."""
    rows = [tokens[:longest] or [0] for tokens in texts]
    lengths = np.array([len(tokens) for tokens in rows], dtype=np.int64)
    inputs = np.zeros((len(rows), int(lengths.max())), dtype=np.int64)
    for position, tokens in enumerate(rows):
        inputs[position, : len(tokens)] = tokens
    return inputs, lengths
