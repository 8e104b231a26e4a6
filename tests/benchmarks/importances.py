"""What mattered in the training of an LSTM: `python -m tests.benchmarks.importances [--sampler tpe]`.

It is known that the learning rate matters most (Greff et al. 2017). The study is searched at random, or by the sampler
that is named, and every method is asked.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from hpsearch.insights import METHODS, Importances
from tests.benchmarks.fresh_seeds import opened
from tests.benchmarks.tables import print_table

STUDY = Path(__file__).parent / "studies" / "lstm_importances.yaml"


def main() -> None:
    """Run the study, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.importances", description=__doc__)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--slots", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpsearch-importances-") as folder:
        file = Path(folder) / STUDY.name
        file.write_text(STUDY.read_text().replace("{name: random}", f"{{name: {given.sampler}}}"))
        command = [sys.executable, "-m", "hpsearch", "run", str(file), "--home", folder]
        subprocess.run([*command, "--slots", str(given.slots)], check=True)
        service = opened(Path(folder))
        try:
            rows = [_row(method, service.understanding.importances("lstm_importances", method)) for method in METHODS]
        finally:
            service.close()
    print_table(
        ("sampler", "method", "trials used", "importances, the first first"), [[given.sampler, *r] for r in rows]
    )


def _row(method: str, found: Importances) -> list[str]:
    shown = ", ".join(f"{item.parameter} {item.importance:.2f}" for item in found.importances)
    return [method, str(found.used), shown]


if __name__ == "__main__":
    main()
