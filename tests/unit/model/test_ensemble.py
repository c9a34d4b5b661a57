"""The ensemble on disk: what comes back, and what is refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tiny_ensemble import describe_tiny, write_tiny_ensemble, write_tiny_members
from tiny_model import write_tiny_model

from ich_seq.combining import Combination, average, equal_weights
from ich_seq.config import CnnConfig
from ich_seq.distrust import sealed
from ich_seq.errors import BundleError, UsageError
from ich_seq.model import bundle
from ich_seq.model.bundle import read_info
from ich_seq.model.card import add_section
from ich_seq.model.ensemble import read_ensemble_info, read_model_info
from ich_seq.model.members import Member, find_members, why_not_together, write_ensemble
from ich_seq.study.model import load_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members and their ensemble, which no test changes."""
    base = tmp_path_factory.mktemp("made")
    write_tiny_ensemble(base / "few", write_tiny_members(base))
    return base


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the ensemble."""
    return Path(shutil.copytree(made / "few", tmp_path / "few"))


def resealed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes ensemble.json and states its new digest, as whoever means harm would."""
    content = json.loads((folder / "ensemble.json").read_text())
    change(content)
    (folder / "ensemble.json").write_text(json.dumps(sealed(content)))


def test_an_ensemble_holds_its_members_and_says_what_they_are(made: Path) -> None:
    names = sorted(path.relative_to(made / "few").as_posix() for path in (made / "few").rglob("*") if path.is_file())
    files = ("README.md", "model.json", "weights.safetensors")
    assert names == [
        "README.md",
        "ensemble.json",
        *(f"members/{number}/{file}" for number in ("01", "02") for file in files),
    ]
    info = read_ensemble_info(made / "few")
    assert info == describe_tiny([made / "alone", made / "neighbours"])
    assert info.adjacent_slices == 1
    for number, name in (("01", "alone"), ("02", "neighbours")):
        for file in files:
            assert (made / "few" / "members" / number / file).read_bytes() == (made / name / file).read_bytes()
    card = (made / "few" / "README.md").read_text()
    assert "not a medical device" in card
    assert "1. alone: resnext14_8x4d on 32 x 32 pixels" in card


def test_what_is_added_to_a_member_leaves_the_ensemble_the_same_model(folder: Path) -> None:
    before, member = read_ensemble_info(folder), folder / "members" / "01"
    info = read_info(member)
    exported = {
        "ichseq_version": "1",
        "openvino_version": "1",
        "graphs": {"window": {"xml_sha256": "0" * 64, "bin_sha256": "0" * 64}},
        "largest_difference": 0.0,
    }
    bundle.write_info(member, type(info).model_validate(info.model_dump() | {"exported": exported}))
    (member / "explain.json").write_text("{}")
    after = read_ensemble_info(folder)
    assert after.digest() == before.digest()
    assert after.members[0].exported is not None
    add_section(folder, "here", "## an evaluation")
    assert "## an evaluation" in (folder / "README.md").read_text()


def test_a_flipped_bit_anywhere_is_refused_with_the_file_that_holds_it(made: Path, folder: Path) -> None:
    for name in ("ensemble.json", "members/01/model.json", "members/02/weights.safetensors"):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        with pytest.raises(BundleError, match=f"{name}: .*get the model again"):
            load_model(folder)
        shutil.copyfile(made / "few" / name, folder / name)
    load_model(folder)


def test_a_link_is_refused_wherever_it_stands(made: Path, folder: Path) -> None:
    def linked(path: Path, to: Path) -> None:
        path.rename(path.with_name("kept"))
        path.symlink_to(to)
        with pytest.raises(BundleError, match="a link, not a"):
            load_model(folder)
        path.unlink()
        path.with_name("kept").rename(path)

    linked(folder / "ensemble.json", made / "few" / "ensemble.json")
    linked(folder / "members", made / "few" / "members")
    linked(folder / "members" / "02", made / "neighbours")
    linked(folder / "members" / "01" / "weights.safetensors", made / "alone" / "weights.safetensors")
    load_model(folder)


def test_a_member_that_is_gone_or_another_is_refused_by_its_folder(made: Path, folder: Path) -> None:
    shutil.rmtree(folder / "members" / "02")
    with pytest.raises(BundleError, match="members/02: missing, a member"):
        read_ensemble_info(folder)
    shutil.copytree(made / "alone", folder / "members" / "02")
    with pytest.raises(
        BundleError, match=r"members/02: another model than the one that ensemble\.json names, neighbours"
    ):
        read_ensemble_info(folder)
    shutil.rmtree(folder / "members" / "02")
    shutil.copytree(made / "few", folder / "members" / "02")
    with pytest.raises(BundleError, match="members/02: an ensemble, and one model is needed here"):
        read_ensemble_info(folder)


def _another_member(content: dict[str, Any]) -> None:
    content["members"] = content["members"] * 6


def _one_weight_less(content: dict[str, Any]) -> None:
    content["stage_two"]["weights"] = [[1.0] * 6]


def _same_twice(content: dict[str, Any]) -> None:
    content["members"][1] = content["members"][0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_another_member, "members: Tuple should have at most 10 items"),
        (_one_weight_less, "weights of 1 members for 2"),
        (_same_twice, "a member stands twice"),
        (lambda content: content["stage_two"]["weights"][0].pop(), r"stage_two\.weights\.0: .*at least 6"),
        (lambda content: content["slice_thresholds_one"].pop(), "slice_thresholds_one: .*at least 6"),
        (lambda content: content["members"][0].update(path="../elsewhere"), r"members\.0\.path: Extra inputs"),
        (lambda content: content.update(surprise=1), "surprise: Extra inputs"),
        (lambda content: content.update(labels=["any"]), "its labels are any; this version needs epidural"),
        (lambda content: content.update(format_version=2), "format ichseq ensemble 2, and this version reads"),
        (lambda content: content.update(format="a picture"), "format a picture 1, and this version reads"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, change: Callable, match: str) -> None:
    resealed(folder, change)
    with pytest.raises(BundleError, match=match):
        read_model_info(folder)


def test_changed_weights_of_the_combination_break_the_seal(folder: Path) -> None:
    text = (folder / "ensemble.json").read_text()
    assert text.count("0.5") >= 24
    (folder / "ensemble.json").write_text(text.replace("0.5", "0.25", 1))
    with pytest.raises(BundleError, match="changed since it was written"):
        read_model_info(folder)


def test_one_folder_is_one_model(made: Path, folder: Path) -> None:
    shutil.copyfile(made / "alone" / "model.json", folder / "model.json")
    with pytest.raises(BundleError, match=r"holds model\.json and ensemble\.json"):
        read_model_info(folder)
    with pytest.raises(UsageError, match="holds a single model"):
        write_ensemble(folder, describe_tiny([made / "alone"]), find_members([made / "alone"]))


def test_what_needs_one_model_names_the_members_of_an_ensemble(made: Path) -> None:
    with pytest.raises(
        BundleError, match="an ensemble, and one model is needed here; give one of its members, such as .*01"
    ):
        read_info(made / "few")


def test_a_smaller_ensemble_in_the_same_folder_leaves_no_member_of_the_larger(made: Path, folder: Path) -> None:
    (folder / "members" / "01" / "explain.json").write_text("{}")
    write_tiny_ensemble(folder, [made / "neighbours"])
    assert [path.name for path in (folder / "members").iterdir()] == ["01"]
    assert not (folder / "members" / "01" / "explain.json").exists()
    assert read_ensemble_info(folder).members == (read_info(made / "neighbours"),)


def test_an_interrupted_copy_is_no_ensemble_and_is_mended(made: Path, folder: Path, monkeypatch) -> None:
    from ich_seq.model import members

    def dies(path: Path, info: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(members, "write_info", dies)
    found = find_members([made / "alone", made / "neighbours"])
    with pytest.raises(KeyboardInterrupt):
        write_ensemble(folder, describe_tiny([made / "alone", made / "neighbours"]), found)
    with pytest.raises(BundleError, match="not a model bundle"):
        read_model_info(folder)
    monkeypatch.undo()
    write_ensemble(folder, describe_tiny([made / "alone", made / "neighbours"]), found)
    load_model(folder)


def test_a_member_is_not_copied_onto_itself(folder: Path) -> None:
    own = find_members([folder / "members" / "01"])
    with pytest.raises(UsageError, match="members/01: lies where the ensemble is written"):
        write_ensemble(folder, describe_tiny([folder / "members" / "01"]), own)
    load_model(folder)


def test_a_run_gives_its_model(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "alone", tmp_path / "run" / "model")
    (tmp_path / "run" / "config.json").write_text("{}")
    assert find_members([tmp_path / "run"]) == [Member(tmp_path / "run" / "model", read_info(made / "alone"))]


def test_models_that_do_not_go_together_are_refused_with_both_names_and_the_reason(made: Path, tmp_path: Path) -> None:
    alone = made / "alone"
    with pytest.raises(UsageError, match="few: an ensemble, which no ensemble can hold; name its members"):
        find_members([alone, made / "few"])
    copy = Path(shutil.copytree(alone, tmp_path / "copy"))
    with pytest.raises(UsageError, match="alone and .*copy cannot be combined: they are the same model; give it once"):
        find_members([alone, copy])
    write_tiny_model(tmp_path / "fewer", labels=("any",))
    with pytest.raises(
        UsageError,
        match="alone and .*fewer cannot be combined: the labels of the one are epidural, .* of the other any",
    ):
        find_members([alone, tmp_path / "fewer"])
    write_tiny_model(tmp_path / "turned", labels=read_info(alone).labels[::-1])
    with pytest.raises(UsageError, match="alone and .*turned cannot be combined: the labels of the one are"):
        find_members([alone, tmp_path / "turned"])
    with pytest.raises(UsageError, match="0 models; an ensemble has 1 to 10"):
        find_members([])
    with pytest.raises(BundleError, match="no model there"):
        find_members([tmp_path / "absent"])


def test_scores_that_mean_something_else_are_not_combined(made: Path) -> None:
    info = read_info(made / "alone")
    classes, seven = (
        info.model_copy(update={"cnn": CnnConfig(output=output)}) for output in ("classes", "classes_none")
    )
    assert "knows slices with blood alone and gives any as 1" in why_not_together(info, classes)
    assert "train it with classes_none" in why_not_together(classes, info)
    assert why_not_together(info, seven) == ""
    assert why_not_together(read_info(made / "neighbours"), info) == ""


def test_an_ensemble_that_combines_its_stages_differently_makes_no_sense(made: Path) -> None:
    vote = Combination(method="vote", weights=equal_weights(1), thresholds=((0.5,) * 6,), chosen_on="slice")
    with pytest.raises(ValidationError, match="stage one by vote, stage two by average"):
        describe_tiny([made / "alone"], stage_one=vote, stage_two=average(1))
