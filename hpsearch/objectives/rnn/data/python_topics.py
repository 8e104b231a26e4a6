"""The reference topics of Python's own help, as a text to model."""

from importlib import import_module

from hpsearch.objectives.rnn.faults import setting_fault


def python_topics() -> str:
    """Some 380,000 characters of English about Python, with code and grammar between (PSF licence).

    All topics that `help()` knows, in the order of their titles. Topics quote each other at length: of paragraphs of
    several lines that stand more than once only the first is kept, or a model would be tested on what it has read
    before. The text is that of the running Python: results from different versions of it do not compare. Raises
    `InvalidInput` where a Python comes without it.
    """
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise setting_fault("dataset", "python_topics needs pydoc_data, which this Python comes without") from error
    seen: set[str] = set()
    kept: list[str] = []
    for _, topic in sorted(topics.items()):
        for paragraph in topic.strip().split("\n\n"):
            words = " ".join(paragraph.split())
            if "\n" not in paragraph.strip("\n") or words not in seen:
                kept.append(paragraph)
            seen.add(words)
    return "\n\n".join(kept) + "\n"
