"""Optuna's samplers over our storage: its own suites of sampler tests, with our storage where they name none."""

from collections.abc import Callable

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from hpsearch.search.storage import Storage

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

Factory = Callable[[], BaseSampler]


@pytest.fixture(autouse=True)
def _our_storage(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    known = optuna.storages.get_storage
    monkeypatch.setattr(optuna.storages, "get_storage", lambda given: storage if given is None else known(given))


@pytest.mark.long
class TestTPE(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Factory:
        return lambda: optuna.samplers.TPESampler(n_startup_trials=0)


class TestMultivariateTPE(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Factory:
        return lambda: optuna.samplers.TPESampler(n_startup_trials=0, multivariate=True)


@pytest.mark.long
class TestCMAES(RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Factory:
        return lambda: optuna.samplers.CmaEsSampler(n_startup_trials=0)


@pytest.mark.long
class TestQMC(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Factory:
        return lambda: optuna.samplers.QMCSampler(warn_independent_sampling=False)


@pytest.mark.long
class TestNSGA2(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Factory:
        return lambda: optuna.samplers.NSGAIISampler(population_size=4)
