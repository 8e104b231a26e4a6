"""What the first claim needs is imported before it comes, but not before a server answers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import loop_study, new_sqlite_database

SCRIPT = """
import json, sys, threading
from pathlib import Path
from hpsearch.service import Service
from hpsearch.settings import Settings

def is_there():
    for thread in threading.enumerate():
        if thread.name == "imports":
            thread.join()
    return "scipy.stats" in sys.modules

home, study = Path(sys.argv[1]), json.loads(sys.argv[2])
service, found = Service(Settings(home=home)), []
service.open(reaper=False)
service.import_ahead()  # as a server does that answers
found.append(is_there())
if study:
    service.create_study(study)
found.append(is_there())
service.close()
print(json.dumps(found))
"""


def seen(home: Path, study: dict[str, Any] | None) -> Any:
    """Whether scipy.stats was there when a service was open, and when the study was made, in a process of its own."""
    command = [sys.executable, "-c", SCRIPT, str(home), json.dumps(study)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(("sampler", "is_imported"), [("auto", True), ("qmc", True), ("random", False)])
def test_a_study_that_begins_quasi_randomly_has_it_imported(tmp_path: Path, sampler: str, is_imported: bool) -> None:
    study = loop_study(sampler={"name": sampler})
    assert seen(new_sqlite_database(tmp_path), study) == [False, is_imported]


def test_a_server_that_finds_an_open_study_imports_it_once_it_answers(tmp_path: Path) -> None:
    home = new_sqlite_database(tmp_path)
    assert seen(home, loop_study(sampler={"name": "random"})) == [False, False]
    assert seen(home, None) == [True, True]
