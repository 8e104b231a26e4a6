"""The reader of the `.ts` format."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.errors import InvalidInput
from hpsearch.objectives.rnn.data.ts_format import read_ts

HEADER = "@problemName Test\n@timeStamps false\n@classLabel true a b\n@data\n"
values = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def cases(draw: st.DrawFn) -> list[tuple[np.ndarray, str]]:
    """Cases of [steps, channels] with their classes, of several lengths."""
    channels = draw(st.integers(1, 3))
    steps = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    return [
        (
            np.array(
                [[draw(values) for _ in range(channels)] for _ in range(count)],
                dtype=np.float32,
            ),
            draw(st.sampled_from("ab")),
        )
        for count in steps
    ]


def written(found: list[tuple[np.ndarray, str]], comment: str = "") -> str:
    lines = [
        ":".join([",".join(repr(float(value)) for value in channel) for channel in case.T] + [label])
        for case, label in found
    ]
    return HEADER + "\n".join([comment, *lines]) + "\n"


@given(cases(), st.sampled_from(["", "# a comment", "% another", "   "]))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_is_read(tmp_path: Path, found: list[tuple[np.ndarray, str]], comment: str) -> None:
    path = tmp_path / "x.ts"
    path.write_text(written(found, comment))
    series, labels, is_class = read_ts(path)
    assert is_class
    assert labels.tolist() == [label for _, label in found]
    for got, (expected, _) in zip(series, found, strict=True):
        np.testing.assert_array_equal(got, expected)


@given(st.text(max_size=80))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_text_is_read_or_refused_but_never_a_crash(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.ts"
    path.write_text(HEADER + text, encoding="utf-8", errors="surrogatepass")
    try:
        series, labels, _ = read_ts(path)
    except InvalidInput as error:
        assert error.faults[0].path == "objective.settings.dataset"  # noqa: PT017
    else:
        assert len(series) == len(labels)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("hello\n", "no line `@data`"),
        ("@classLabel false\n@data\n1,2:a\n", "neither class labels nor targets"),
        ("@timeStamps true\n@classLabel true a\n@data\n1,2:a\n", "timestamps"),
        (HEADER + "1,2,3\n", "line 5 has no target"),
        (HEADER + "1,two,3:a\n", "line 5"),
        (HEADER + "1,2:a\n1,,3:a\n", "line 6"),
        (HEADER + "1,2:3,4,5:a\n", "channels of different lengths"),
        (HEADER + "1,2:c\n", "class 'c'"),
        ("@targetLabel true\n@data\n1,2:much\n", "no number"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "x.ts"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=problem):
        read_ts(path)


def test_targets_are_numbers_and_a_question_mark_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_text("@TARGETLABEL True\n@Data\n1,?:2.5\n")
    series, targets, is_class = read_ts(path)
    assert not is_class
    assert targets.tolist() == [2.5]
    assert np.isnan(series[0][1, 0])


def test_the_header_keeps_the_case_of_class_names(tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_text("@classlabel TRUE Walking Running\n@data\n1,2:Walking\n3,4:Running\n")
    assert read_ts(path)[1].tolist() == ["Walking", "Running"]


def test_every_file_of_sktime_is_read() -> None:
    spec = find_spec("sktime")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("sktime is not installed")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("datasets/data/*/*_TRAIN.ts"))
    assert files
    for path in files:
        series, labels, _ = read_ts(path)
        assert len(series) == len(labels) > 0, path
