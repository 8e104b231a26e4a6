"""An attempt at a trial, in a process that may be killed: it says when a checkpoint is saved, and its result.

python -m tests.objectives.attempt KIND DATA FOLDER
"""

import shutil
import sys
from pathlib import Path

import torch

from tests.objectives.conftest import Recorder
from tests.objectives.test_resume import COMMON, KINDS

if __name__ == "__main__":
    torch.set_num_threads(1)
    kind, data, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    checkpoint, workspace = folder / "checkpoint", folder / "workspace"
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir()

    def keep(name: str, path: Path) -> None:
        """As a server does: whole or not at all."""
        if name == "checkpoint.safetensors":
            shutil.copy(path, folder / "upload")
            (folder / "upload").replace(checkpoint)
            print("saved", flush=True)

    trial = Recorder(workspace, (data,))
    trial.save_artifact = keep  # type: ignore[method-assign]
    parameters = {**COMMON, **KINDS[kind], "max_epochs": 40, "checkpoint_seconds": 0.01}
    result = trial.run(parameters, checkpoint=checkpoint if checkpoint.exists() else None)
    print("result", repr(result), flush=True)
