"""The learning-rate range test: what it reads from a curve, and what the range is worth in training."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from hpsearch.errors import InvalidInput
from hpsearch.objectives.rnn.training.lr_range import HIGHEST, LOWEST, RangeTest, judged, range_test
from hpsearch.trials import Scalar
from tests.objectives.conftest import MakeRecorder

DIGITS: dict[str, Scalar] = {"dataset": "digits", "hidden_units": 24}
RATES = np.geomspace(LOWEST, HIGHEST, 150).tolist()


class TestJudged:
    """On curves made up, of a loss of 2 with some noise."""

    def curve(self, loss: Callable[[float], float], noise: float = 0.05) -> Sequence[float]:
        generator = np.random.default_rng(0)
        return [loss(math.log10(rate)) + noise * float(generator.normal()) for rate in RATES]

    def judge(self, loss: Callable[[float], float], noise: float = 0.05) -> RangeTest:
        return judged(RATES, self.curve(loss, noise))

    def test_a_fall_and_a_rise(self) -> None:
        # from 1e-4 down to 0.5 at 1e-2, and up from 1e-1 on
        found = self.judge(lambda x: float(np.interp(x, [-4, -2, -1, 0], [2, 0.5, 0.5, 6])))
        assert found.low == pytest.approx(1e-4 * 10**0.2, rel=0.5)
        assert found.high == pytest.approx(1e-4 * 10**1.8, rel=0.5)
        assert found.low < found.steepest < found.high
        assert len(found.rates) == len(found.losses)
        assert min(found.losses) == pytest.approx(0.5, abs=0.1)

    def test_a_steep_fall_leaves_a_range_of_ten_times_at_least(self) -> None:
        found = self.judge(lambda x: float(np.interp(x, [-3, -2.9], [2, 0.5])))
        assert found.high == pytest.approx(10 * found.low)
        assert found.low < 1e-3 < found.high

    def test_what_comes_after_the_network_fell_apart_counts_for_nothing(self) -> None:
        found = self.judge(lambda x: float(np.interp(x, [-4, -2, -1.5, -1, 0], [2, 0.8, 0.8, 2, 0.2])))
        assert found.high < 3e-2

    @pytest.mark.parametrize("loss", [lambda x: 2.0, lambda x: 2.0 + max(0.0, x), lambda x: 2.0 - 0.003 * (x + 6)])
    def test_a_loss_that_does_not_fall(self, loss: Callable[[float], float]) -> None:
        with pytest.raises(
            InvalidInput, match=r"the loss fell at no learning rate from 2e-06 to .*; it was \d\.\d+ at"
        ):
            self.judge(loss)

    def test_noise_is_no_fall(self) -> None:
        with pytest.raises(InvalidInput, match="fell at no learning rate"):
            self.judge(lambda x: 2.0, noise=0.5)

    @pytest.mark.parametrize("count", [0, 1, 14])
    def test_too_few_steps(self, count: int) -> None:
        with pytest.raises(InvalidInput, match=f"of no use after {count} steps already"):
            judged(RATES[:count], [2.0] * count)


@pytest.fixture(scope="module")
def found() -> RangeTest:
    return range_test(DIGITS, ())


class TestOnData:
    def test_the_range_is_where_training_learns(self, found: RangeTest, recorder: MakeRecorder) -> None:
        def accuracy(rate: float) -> float:
            options = {**DIGITS, "learning_rate": rate, "max_epochs": 3}
            result = recorder().run(options, metric="validation_accuracy", direction="maximize")
            return result.value if result.state == "complete" and result.value is not None else 0.0

        assert accuracy(3 * found.low) > 0.8
        assert accuracy(found.high / 3) > 0.8
        assert accuracy(30 * found.high) < 0.4
        assert accuracy(found.low / 30) < 0.4

    def test_the_same_again_whatever_the_threads(self, found: RangeTest) -> None:
        torch.set_num_threads(2)
        torch.rand(3)
        assert range_test(DIGITS, ()) == found
        assert torch.get_num_threads() == 2
        assert range_test(DIGITS, (), seed=1) != found

    def test_the_learning_rate_and_its_schedule_are_the_tests_own(self, found: RangeTest) -> None:
        given = {**DIGITS, "learning_rate": 7.0, "schedule": "cosine", "warmup_epochs": 3.0, "averaging": "ema"}
        assert range_test(given, ()) == found

    def test_other_optimizers_learn_elsewhere(self, found: RangeTest) -> None:
        assert range_test({**DIGITS, "optimizer": "sgd"}, ()).low > 3 * found.low

    @pytest.mark.parametrize("steps", [60, 300])
    def test_other_numbers_of_steps(self, found: RangeTest, steps: int) -> None:
        other = range_test(DIGITS, (), steps=steps)
        assert len(other.rates) <= steps
        assert other.low < found.high
        assert other.high > found.low

    def test_a_hopeless_problem(self, tmp_path: Path) -> None:
        generator = np.random.default_rng(0)
        np.savez(tmp_path / "noise.npz", x=generator.normal(size=(2000, 4, 2)), y=generator.integers(0, 2, 2000))
        with pytest.raises(InvalidInput, match="the learning-rate range test: the loss fell at no learning rate"):
            range_test({"dataset": "noise.npz", "hidden_units": 8}, (tmp_path,))

    def test_wrong_parameters_and_data(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="hidden_unit: is no parameter of rnn"):
            range_test({**DIGITS, "hidden_unit": 8}, ())
        with pytest.raises(InvalidInput, match=r"there is no file 'none\.npz'"):
            range_test({"dataset": "none.npz"}, (tmp_path,))

    def test_weights_to_begin_with(self, found: RangeTest, recorder: MakeRecorder, data: Path) -> None:
        trial = recorder()
        trial.run({**DIGITS, "max_epochs": 4}, metric="validation_accuracy", direction="maximize")
        (data / "start.safetensors").write_bytes(trial.saved["model.safetensors"])
        warm = range_test({**DIGITS, "start_from": "start.safetensors"}, (data,))
        assert warm.losses[0] < 0.7 * found.losses[0]
        with pytest.raises(InvalidInput, match="start_from: is 'study:x', but the learning-rate range test asks no"):
            range_test({**DIGITS, "start_from": "study:x"}, (data,))

    def test_a_text(self, tmp_path: Path) -> None:
        (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 100)
        found = range_test({"dataset": "text.txt", "batch_size": 4, "hidden_units": 16}, (tmp_path,))
        assert 1e-4 < found.low < found.high < 1
