"""What the README promises exists: its commands, their flags, its files."""

import re
import shlex
from pathlib import Path

import click
import pytest

from ich_seq.cli import COMMANDS, main
from ich_seq.errors import IchSeqError
from ich_seq.study.check import EXIT_CODES

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def shell_lines() -> list[str]:
    """The lines of the README's shell blocks, continuation lines joined, without comments."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", README, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def ichseq_lines() -> list[str]:
    return [line for line in shell_lines() if line.startswith("ichseq ")]


def test_the_readme_shows_commands() -> None:
    assert len(ichseq_lines()) >= 6
    assert "make demo" in shell_lines()
    assert "make test" in shell_lines()


@pytest.mark.parametrize("line", ichseq_lines())
def test_each_command_of_the_readme_exists_with_its_flags(line: str) -> None:
    name, *words = shlex.split(line)[1:]
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"the README names {name}"
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_exists_and_has_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.help


@pytest.mark.parametrize("name", re.findall(r"^make (\w+)", "\n".join(shell_lines()), flags=re.MULTILINE))
def test_each_make_target_of_the_readme_exists(name: str) -> None:
    assert re.search(rf"^{name}:", (PROJECT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_each_exit_code_stands_in_the_table() -> None:
    def codes(error: type[IchSeqError]) -> set[int]:
        return {error.exit_code}.union(*map(codes, error.__subclasses__()))

    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)]
    assert listed == sorted({0, 130, *EXIT_CODES.values(), *codes(IchSeqError)})


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?://|#)([^)#]+)", README))
def test_each_local_link_of_the_readme_leads_to_a_file(link: str) -> None:
    assert (PROJECT / link).exists()
