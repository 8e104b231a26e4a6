"""What texts are cut into: tokenizers of Hugging Face's `tokenizers` library, kept as their JSON text."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from hpsearch.objectives.rnn.faults import setting_fault

# The library reads this at each call. A slot has one thread, and a pool of threads would not survive a fork.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

UNKNOWN = "[UNK]"
"""Token 0 of every vocabulary."""
BYTES = 256
PIECE = 65_536
"""Characters that are cut at a time: the library holds some 300 bytes a token."""
_LINE_END = re.compile(r"(?<=\S\n)(?=\S)")
_WORD = r"\n|\w+(?:'\w+)*|[^\w\s]"
"""A line's end, a word, or a mark; other white space is dropped."""


def train_tokenizer(texts: Sequence[str], kind: str, size: int) -> str:
    """The JSON of a tokenizer of at most `size` tokens, the unknown one included; the same texts give the same JSON.

    `characters` and `words` (`_WORD`): the most frequent ones. `bpe`: merges of bytes (Sennrich et al. 2016; Radford
    et al. 2019). `wordpiece`: the same pieces, of which the longest that fits is taken each time; a word's first piece
    is marked, by its space (Schuster and Nakajima 2012). Bytes make these two lossless: nothing is unknown to them.
    Raises `InvalidInput` where `size` is below 257 for them, or the library is missing.
    """
    if kind in ("bpe", "wordpiece") and size <= BYTES:
        raise setting_fault("vocabulary_size", f"must be at least {BYTES + 1} for {kind}, which begins with all bytes")
    library = _library()
    tokenizer, trainer = (_of_bytes if kind in ("bpe", "wordpiece") else _of_units)(library, kind, size)
    tokenizer.train_from_iterator((piece for text in texts for piece in _pieces(text)), trainer)
    state = json.loads(tokenizer.to_str())
    # what trains declares the unknown token special, so that a text that spells it would be read as it
    return json.dumps(state | {"added_tokens": []})


def encode(tokenizer: str, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text; none of an empty one."""
    cutter = _library().Tokenizer.from_str(tokenizer)
    return [[token for piece in _pieces(text) for token in cutter.encode_batch_fast([piece])[0].ids] for text in texts]


def decode(tokenizer: str, tokens: Sequence[int]) -> str:
    """The text of some tokens: exact but for unknown ones, and for white space between `words`."""
    text: str = _library().Tokenizer.from_str(tokenizer).decode(list(tokens))
    return text


def vocabulary_size(tokenizer: str) -> int:
    """How many tokens there are, the unknown one included."""
    return len(json.loads(tokenizer)["model"]["vocab"])


def characters_after_first(tokenizer: str, text: str) -> int:
    """How many characters a text has after its first token: those that a language model has to tell."""
    first = _library().Tokenizer.from_str(tokenizer).encode(text[:PIECE])
    return len(text) - int(first.offsets[0][1])


def _of_units(library: ModuleType, kind: str, size: int) -> tuple[Any, Any]:
    """An untrained tokenizer and its trainer, for whole characters or words."""
    tokenizer = library.Tokenizer(library.models.WordLevel(unk_token=UNKNOWN))
    unit = library.Regex("(?m)." if kind == "characters" else _WORD)  # with (?m) a dot is a line's end too
    tokenizer.pre_tokenizer = library.pre_tokenizers.Split(unit, "removed", invert=True)
    if kind == "characters":
        tokenizer.decoder = library.decoders.Fuse()
    trainer = library.trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=0, special_tokens=[UNKNOWN], show_progress=False
    )
    return tokenizer, trainer


def _of_bytes(library: ModuleType, kind: str, size: int) -> tuple[Any, Any]:
    """An untrained tokenizer and its trainer, for pieces of words."""
    settings = {
        "vocab_size": size,
        "special_tokens": [UNKNOWN],
        "initial_alphabet": library.pre_tokenizers.ByteLevel.alphabet(),
        "show_progress": False,
    }
    if kind == "bpe":
        model = library.models.BPE(unk_token=UNKNOWN)
        trainer = library.trainers.BpeTrainer(**settings)
    else:
        # a mark for inner pieces (BERT's ##) makes the trainer's ids differ from process to process
        model = library.models.WordPiece(unk_token=UNKNOWN, continuing_subword_prefix="", max_input_chars_per_word=1000)
        trainer = library.trainers.WordPieceTrainer(continuing_subword_prefix="", **settings)
    tokenizer = library.Tokenizer(model)
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    return tokenizer, trainer


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces whose tokens are those of the whole: no rule reaches over a single line end between two
    visible characters."""
    start = 0
    while len(text) - start > PIECE and (end := _LINE_END.search(text, start + PIECE)):
        yield text[start : end.start()]
        start = end.start()
    yield text[start:]


def _library() -> ModuleType:
    try:
        import tokenizers
    except ImportError as error:
        raise setting_fault("tokenizer", "needs the package tokenizers: pip install 'hpsearch[rnn]'") from error
    return tokenizers
