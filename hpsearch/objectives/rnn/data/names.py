"""Last names of 18 languages, from the package faker: the language is told from the letters."""

from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from hpsearch.objectives.rnn.data.sequences import Dataset
from hpsearch.objectives.rnn.data.text import text_dataset
from hpsearch.objectives.rnn.faults import setting_fault

LANGUAGES = {
    "Arabic": ("fr_DZ", "last_names"),
    "Azerbaijani": ("az_AZ", "last_names"),
    "Croatian": ("hr_HR", "last_names"),
    "Czech": ("cs_CZ", "last_names"),
    "Dutch": ("nl_NL", "last_names"),
    "English": ("en_GB", "last_names"),
    "Estonian": ("et_EE", "last_names_est"),
    "Finnish": ("fi_FI", "last_names"),
    "French": ("fr_FR", "last_names"),
    "German": ("de_DE", "last_names"),
    "Hungarian": ("hu_HU", "last_names"),
    "Indonesian": ("id_ID", "last_names"),
    "Irish": ("ga_IE", "last_names"),
    "Italian": ("it_IT", "last_names"),
    "Polish": ("pl_PL", "unisex_last_names"),
    "Slovak": ("sk_SK", "last_names"),
    "Spanish": ("es_ES", "last_names"),
    "Swedish": ("sv_SE", "last_names"),
}
"""Where faker has their names: locale and attribute. All are in Latin script, which alone tells nothing so."""


def names(options: Mapping[str, Any]) -> Dataset:
    """Some 15,000 last names with their languages: a small, uneven classification of texts.

    After the classic task of PyTorch's tutorials ("Classifying names with a character-level RNN"), which has other
    names. A name of two languages is left out; the rest differ a little between versions of faker. `text` and `target`
    are the data's own, the other options as for a table of texts. Raises `InvalidInput` where faker is missing.
    """
    found = last_names()
    table = {
        "name": np.array([name for language in found.values() for name in language], dtype=object),
        "language": np.array([language for language, of_it in found.items() for _ in of_it]),
    }
    return text_dataset(table, {**options, "task": None, "text": "name", "target": "language"})


def last_names() -> dict[str, list[str]]:
    """The names that belong to one language alone, sorted, by language. Raises `InvalidInput`."""
    try:
        found = {
            language: {name.strip() for name in getattr(import_module(f"faker.providers.person.{locale}").Provider, at)}
            for language, (locale, at) in LANGUAGES.items()
        }
    except (ImportError, AttributeError) as error:
        raise setting_fault(
            "dataset", f"names needs the package faker: pip install 'hpsearch[datasets]' ({error})"
        ) from error
    languages = Counter(name for of_it in found.values() for name in of_it)
    return {language: sorted(name for name in of_it if languages[name] == 1) for language, of_it in found.items()}
