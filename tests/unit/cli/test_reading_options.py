"""The flags that let reading do more, as the value that reading gets."""

import click
import pytest
from click.testing import CliRunner

from ich_seq.cli import options
from ich_seq.dicom import ReadOptions


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ReadOptions()),
        (["--strict"], ReadOptions(strict=True)),
        (["--allow-incomplete"], ReadOptions(allow_incomplete=True)),
        (["--allow-sc"], ReadOptions(allow_sc=True)),
        (["--assume-one-series"], ReadOptions(assume_one_series=True)),
        (["--trust-instance-number"], ReadOptions(trust_instance_number=True)),
        (["--temporal", "first"], ReadOptions(first_time_point=True)),
        (["--assume-intercept", "-1024"], ReadOptions(assumed_intercept_hu=-1024.0)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_flag_sets_its_option_and_no_other(arguments: list[str], expected: ReadOptions) -> None:
    got = []

    @click.command()
    @options.reading
    def command(reading: ReadOptions) -> None:
        got.append(reading)

    answer = CliRunner().invoke(command, arguments)
    assert (answer.exit_code, got) == (0, [expected])


def test_no_other_time_point_can_be_asked_for() -> None:
    @click.command()
    @options.reading
    def command(reading: ReadOptions) -> None:
        raise AssertionError(reading)

    assert CliRunner().invoke(command, ["--temporal", "last"]).exit_code == 2
