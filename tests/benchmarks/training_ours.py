"""Our side: the recurrent objective, called as a worker's slot calls it. `python -m tests.benchmarks.training_ours`."""

import tempfile
from pathlib import Path

import torch

from hpsearch.objectives.objective import TrialContext
from hpsearch.objectives.rnn.objective import RnnObjective
from hpsearch.trials import Decision, Metrics, Scalar
from tests.benchmarks.training_work import Trained, Work, answer


def settings(dataset: str, cell: str, epochs: int) -> dict[str, Scalar]:
    """What holds in every training: nothing ends one early, and nobody clips, as the peers do not."""
    fixed: dict[str, Scalar] = {"dataset": dataset, "cell": cell, "hidden_layers": 1, "max_epochs": epochs}
    return fixed | {"optimizer": "adam", "patience": None, "clip_norm": None, "device": "cpu"}


class Ours:
    """Keeps its objective, and with it the data, as a slot does."""

    def __init__(self) -> None:
        self._objective = RnnObjective()

    def train(self, work: Work) -> Trained:
        """One training, heard of through its reports."""
        trained = Trained()

        def report(step: int, value: float, metrics: Metrics) -> Decision:
            trained.note(value)
            return Decision.CONTINUE

        searched = {"hidden_units": work.units, "batch_size": work.batch_size, "learning_rate": work.learning_rate}
        with tempfile.TemporaryDirectory(prefix="hpsearch-benchmark-") as workspace:
            context = TrialContext(
                seed=0,
                metric="validation_loss",
                direction="minimize",
                workspace=Path(workspace),
                data_roots=(Path(work.folder),),
                report=report,
                save_artifact=lambda name, path: None,
            )
            result = self._objective(settings(work.dataset, work.cell, work.epochs) | searched, context)
        assert result.state == "complete", result.reason
        return trained


if __name__ == "__main__":
    torch.set_num_threads(1)
    answer(Ours().train, torch.__version__)
