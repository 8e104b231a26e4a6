"""A found configuration trained again, outside of its study."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from hpsearch.objectives.objective import TrialContext
from hpsearch.objectives.rnn.objective import RnnObjective
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.spec import StudySpec
from hpsearch.trials import Decision, Metrics, Parameters, Scalar

FIRST_SEED = 987_654_321


def opened(home: Path) -> Service:
    """The service over what `hpsearch run --home` has left; to be closed by the caller."""
    service = Service(Settings(home=home))
    service.open(reaper=False)
    return service


def train(
    spec: StudySpec,
    parameters: Parameters,
    changed: Mapping[str, Scalar],
    roots: Sequence[Path],
    folder: Path,
    seed: int = FIRST_SEED,
) -> tuple[float, Metrics]:
    """The metric's value, and all metrics, of one training on this process's one thread."""
    context = TrialContext(
        seed=seed,
        metric=str(spec.objective.metric),
        direction=spec.objective.direction,
        workspace=folder,
        data_roots=tuple(roots),
        report=lambda *_: Decision.CONTINUE,
        save_artifact=lambda *_: None,
    )
    torch.set_num_threads(1)
    result = RnnObjective()({**spec.objective.settings, **parameters, **changed}, context)
    return result.value, result.metrics
