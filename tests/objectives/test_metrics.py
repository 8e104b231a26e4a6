"""Metrics, beside scikit-learn's and by hand."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.data.forecast import forecast_dataset
from hpsearch.objectives.rnn.data.sequences import AnyArray
from hpsearch.objectives.rnn.metric_names import METRICS, metrics_of
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.objectives.rnn.training.losses import loss_of
from hpsearch.objectives.rnn.training.metrics import StepTally, measure, seasonal_error

TASKS = ("classification", "multilabel", "regression", "forecast", "next_step", "language_model")
CPU = torch.device("cpu")


def softmax(logits: AnyArray) -> AnyArray:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    chances: AnyArray = powers / powers.sum(axis=1, keepdims=True)
    return chances


def logits_of(targets: AnyArray, classes: int, *, coarse: bool = False) -> AnyArray:
    """Better than chance; coarse: with many ties."""
    logits = np.random.default_rng(1).normal(size=(len(targets), classes)) + np.eye(classes)[targets]
    return (np.round(logits) if coarse else logits).astype(np.float32)


class TestClassification:
    @pytest.mark.parametrize("coarse", [False, True])
    @pytest.mark.parametrize("classes", [2, 3, 10])
    def test_is_as_scikit_learn_has_it(self, classes: int, coarse: bool) -> None:
        targets = np.random.default_rng(0).choice(classes, 300, p=np.arange(1, classes + 1) / sum(range(classes + 1)))
        logits = logits_of(targets, classes, coarse=coarse)
        chances, predicted = softmax(logits), logits.argmax(axis=1)
        scores = chances[:, 1] if classes == 2 else chances
        expected = {
            "accuracy": sklearn_metrics.accuracy_score(targets, predicted),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(targets, predicted),
            "macro_f1": sklearn_metrics.f1_score(targets, predicted, average="macro"),
            "roc_auc": sklearn_metrics.roc_auc_score(targets, scores, multi_class="ovr"),
        }
        found = measure("classification", torch.from_numpy(logits), torch.from_numpy(targets))
        assert found == pytest.approx(expected, rel=1e-12)

    def test_a_class_that_does_not_occur_counts_where_it_is_predicted_alone(self) -> None:
        targets, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
        logits = np.eye(4)[predicted] * 5.0 + np.array([[0.1, 0, 0, 0]] * 4)
        found = measure("classification", logits, targets)
        assert found["balanced_accuracy"] == (0.5 + 1) / 2
        assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
        areas = [sklearn_metrics.roc_auc_score(targets == number, softmax(logits)[:, number]) for number in (0, 1)]
        assert found["roc_auc"] == pytest.approx(np.mean(areas))

    def test_one_class_alone_has_no_ranking(self) -> None:
        found = measure("classification", logits_of(np.zeros(5, dtype=np.int64), 2), np.zeros(5, dtype=np.int64))
        assert math.isnan(found.pop("roc_auc"))
        assert all(map(math.isfinite, found.values()))

    def test_certainty_does_not_overflow(self) -> None:
        logits = np.array([[0.0, 900.0], [0.0, -900.0], [0.0, 1.0], [0.0, 2.0]], dtype=np.float32)
        assert measure("classification", logits, np.array([1, 0, 0, 1]))["roc_auc"] == 1


class TestMultilabel:
    @pytest.mark.parametrize("labels", [1, 2, 6])
    def test_is_as_scikit_learn_has_it(self, labels: int) -> None:
        generator = np.random.default_rng(0)
        targets = (generator.random((200, labels)) < 0.3).astype(np.float32)
        logits = generator.normal(size=(200, labels)) + 2 * targets - 1
        columns = [(targets[:, label], logits[:, label]) for label in range(labels)]
        expected = {
            "accuracy": sklearn_metrics.accuracy_score(targets, logits > 0),
            "macro_f1": np.mean([sklearn_metrics.f1_score(truth, told > 0) for truth, told in columns]),
            "roc_auc": np.mean([sklearn_metrics.roc_auc_score(truth, told) for truth, told in columns]),
        }
        assert measure("multilabel", logits, targets) == pytest.approx(expected, rel=1e-12)

    def test_labels_that_are_always_or_never_on_do_not_rank(self) -> None:
        targets = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]], dtype=np.float32)
        logits = np.array([[1, -1, 3], [2, -1, 1], [3, -1, 2]], dtype=np.float32)
        found = measure("multilabel", logits, targets)
        assert found["roc_auc"] == 1
        assert found["macro_f1"] == pytest.approx((1 + 2 / 4) / 2)  # the second label neither occurs nor is told
        alone = measure("multilabel", logits[:, 1:2], targets[:, 1:2])
        assert alone["accuracy"] == 1
        assert math.isnan(alone["macro_f1"])
        assert math.isnan(alone["roc_auc"])


class TestNumbers:
    @pytest.mark.parametrize(("task", "targets"), [("regression", 1), ("forecast", 3)])
    def test_are_as_scikit_learn_has_them(self, task: str, targets: int) -> None:
        generator = np.random.default_rng(0)
        truth = (1000 + 5 * generator.normal(size=(50, targets))).astype(np.float32)
        told = truth + generator.normal(size=truth.shape).astype(np.float32)
        flat = truth.astype(np.float64).ravel(), told.astype(np.float64).ravel()
        expected = {
            "rmse": sklearn_metrics.root_mean_squared_error(*flat),
            "mae": sklearn_metrics.mean_absolute_error(*flat),
            "r2": sklearn_metrics.r2_score(*flat),
        }
        found = measure(task, torch.from_numpy(told), torch.from_numpy(truth), scale=4.0)
        assert found.pop("mase", expected["mae"] / 4) == pytest.approx(expected["mae"] / 4)
        assert found == pytest.approx(expected)

    def test_what_never_varies_has_no_r2(self) -> None:
        found = measure("regression", np.array([[0.1], [0.3]]), np.array([[0.1], [0.1]], dtype=np.float32))
        assert math.isnan(found["r2"])
        assert found["mae"] == pytest.approx(0.1)

    def test_targets_of_another_shape_are_not_stretched(self) -> None:
        assert measure("regression", np.array([[1.0], [2.0]]), np.array([1.0, 2.0]))["rmse"] == 0
        with pytest.raises(ValueError, match="reshape"):
            measure("forecast", np.zeros((2, 3)), np.zeros((2, 1)))


class TestMase:
    SERIES = np.array([3.0, 7.0, 1.0, 4.0, 6.0, 3.0, 5.0, 9.0, 2.0, 6.0, 6.0, 1.0, 8.0, 7.0], dtype=np.float32)

    @pytest.mark.parametrize("horizon", [1, 3])
    @pytest.mark.parametrize("season", [None, 1, 3])
    def test_is_scaled_by_the_seasonal_naive_error_of_the_training_series(
        self, season: int | None, horizon: int
    ) -> None:
        # two features, of which the second is told
        values = np.stack([np.zeros_like(self.SERIES), self.SERIES], axis=1)
        train = forecast_dataset(values, 1, 2, horizon, ("zero", "series")).train
        step = season or 1
        expected = np.mean([abs(self.SERIES[t] - self.SERIES[t - step]) for t in range(step, len(self.SERIES))])
        assert seasonal_error(train, 1, season) == pytest.approx(expected)

    def test_is_unknown_where_the_naive_forecast_is_right(self) -> None:
        values = np.tile(np.array([1.0, 5.0, 2.0], dtype=np.float32), 6)[:, None]
        train = forecast_dataset(values, 0, 3, 1, ("series",)).train
        assert math.isnan(seasonal_error(train, 0, 3))
        assert math.isnan(seasonal_error(train, 0, 18))
        assert math.isnan(measure("forecast", np.zeros((2, 1)), np.ones((2, 1)), scale=math.nan)["mase"])


@pytest.mark.parametrize("task", TASKS[:4])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_not_finite_have_no_metric(task: str, bad: float) -> None:
    outputs = np.array([[1.0, 2.0], [bad, 0.0]])
    found = measure(task, outputs, np.array([0, 1]) if task == "classification" else np.ones((2, 2)), scale=1.0)
    assert all(map(math.isnan, found.values()))


class TestTally:
    def tally(self, task: str, **parameters: Any) -> StepTally:
        return StepTally(task, loss_of(with_defaults(INFO, parameters), task), CPU)

    def test_frames_are_right_by_what_is_on_or_told(self) -> None:
        on = torch.tensor([[[1, 1, 0, 0], [0, 1, 0, 0]], [[1, 0, 0, 0], [1, 1, 1, 1]]]).float()
        told = torch.tensor([[[1, 0, 1, 0], [0, 1, 0, 0]], [[1, 0, 0, 0], [0, 0, 0, 0]]]).float() * 2 - 1
        tally = self.tally("next_step")
        # the second sequence's second step is padding; a batch each
        for row, length in ((0, 2), (1, 1)):
            batch = Batch(torch.zeros(1, 2, 4), torch.tensor([length]), on[row : row + 1])
            tally.add(told[row : row + 1], batch)
        found = tally.metrics()
        assert found["frame_accuracy"] == 3 / 5
        each = torch.nn.functional.binary_cross_entropy_with_logits(told, on, reduction="none").sum(dim=2)
        assert found["loss"] == pytest.approx(float(each.flatten()[:3].mean()))

    def test_silence_told_as_silence_has_no_frame_accuracy(self) -> None:
        tally = self.tally("next_step")
        tally.add(torch.full((1, 2, 3), -5.0), Batch(torch.zeros(1, 2, 3), torch.tensor([2]), torch.zeros(1, 2, 3)))
        assert math.isnan(tally.metrics()["frame_accuracy"])

    def test_a_blind_language_model_is_as_perplexed_as_it_has_tokens(self) -> None:
        tally = self.tally("language_model", label_smoothing=0.5)
        for length in (5, 2):
            batch = Batch(torch.zeros(1, 5, dtype=torch.int64), torch.tensor([length]), torch.ones(1, 5).long())
            tally.add(torch.zeros(1, 5, 16), batch)
        found = tally.metrics(0.25)
        expected = {"loss": math.log(16), "perplexity": 16, "bits_per_token": 4, "bits_per_character": 1}
        assert found == pytest.approx(expected)
        assert "bits_per_character" not in tally.metrics()

    def test_batches_count_by_their_tokens(self) -> None:
        tally, generator = self.tally("language_model"), torch.Generator().manual_seed(0)
        outputs, targets = torch.randn(7, 9, generator=generator), torch.randint(9, (7,), generator=generator)
        for part in (slice(0, 6), slice(6, 7)):
            count = len(targets[part])
            batch = Batch(torch.zeros(1, count, dtype=torch.int64), torch.tensor([count]), targets[None, part])
            tally.add(outputs[None, part], batch)
        expected = torch.nn.functional.cross_entropy(outputs, targets)
        assert tally.metrics()["loss"] == pytest.approx(float(expected))

    @pytest.mark.parametrize(("output", "is_expected"), [(1e6, math.isinf), (math.nan, math.isnan)])
    def test_a_diverged_language_model_does_not_break_it(self, output: float, is_expected: Any) -> None:
        tally = self.tally("language_model")
        outputs = torch.tensor([[[output, 0.0]]])
        tally.add(outputs, Batch(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([1]), torch.ones(1, 1).long()))
        assert is_expected(tally.metrics()["perplexity"])


class TestNames:
    def test_every_metric_is_published_once(self) -> None:
        names = [metric.name for metric in METRICS]
        assert len(set(names)) == len(names)
        reported = {metric.name for metric in METRICS if metric.is_reported}
        assert reported == {f"validation_{name}" for task in TASKS for name in metrics_of(task)}

    @pytest.mark.parametrize("task", TASKS[:4])
    def test_what_is_measured_is_what_is_published(self, task: str) -> None:
        targets = np.array([0, 1]) if task == "classification" else np.eye(2, dtype=np.float32)
        assert ("loss", *measure(task, np.eye(2), targets, scale=1.0)) == metrics_of(task)

    @pytest.mark.parametrize(("task", "tokens"), [("next_step", 0), ("language_model", 4)])
    def test_so_are_those_of_steps(self, task: str, tokens: int) -> None:
        tally = StepTally(task, loss_of(with_defaults(INFO, {}), task), CPU)
        targets = torch.ones(1, 1).long() if tokens else torch.ones(1, 1, 4)
        tally.add(torch.zeros(1, 1, 4), Batch(torch.zeros(1, 1, 1), torch.tensor([1]), targets))
        assert tuple(tally.metrics(1.0)) == metrics_of(task)

    def test_more_is_better_where_it_says_so(self) -> None:
        targets, right = np.array([0, 1, 1]), np.array([[3.0, 0], [0, 3], [0, 3]])
        numbers, directions = right[:, :1] + 1, {metric.name: metric.direction for metric in METRICS}
        pairs = [measure("classification", logits, targets) for logits in (right, -right)]
        other = [measure("forecast", told, numbers, scale=1.0) for told in (numbers, -numbers)]
        for good, bad in (pairs, other):
            for name, value in good.items():
                assert (value > bad[name]) == (directions[f"validation_{name}"] == "maximize")

    def test_they_need_no_torch(self) -> None:
        script = "import sys, hpsearch.objectives.rnn.metric_names; assert not {'torch', 'sklearn'} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", script], check=True)
