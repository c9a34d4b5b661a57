"""What ships as data: configs and manifests."""

from functools import reduce
from pathlib import Path

import pytest
from pydantic import BaseModel

from ich_seq.config import Config, load_config, shipped_configs
from ich_seq.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_the_shipped_configs_are_those_in_the_folder() -> None:
    assert shipped_configs() == sorted(path.stem for path in CONFIGS.glob("*.toml"))
    assert {"demo", "burduja2020"} <= set(shipped_configs())


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.toml")))
def test_every_shipped_config_loads_and_bears_its_name(name: str) -> None:
    assert load_config(name).name == name


LEE = {
    "preprocess.windows": [(40, 80), (50, 130), (600, 2800)],
    "preprocess.resize": "pad_or_crop",
    "cnn.backbone": "resnet50",
}
ASIP = {"train_cnn.learning_rate": 5e-4, "train_cnn.batch_size": 4, "train_cnn.patience": 3, "train_cnn.epochs": 30}
HEAD = {
    "cnn.dense": 128,
    "cnn.head_dropout": 0.125,
    "preprocess.size": 512,
    "split.validation": 0.09,
    "split.test": 0.1,
}
ONE_WINDOW = {"preprocess.windows": [(60, 40)], "preprocess.adjacent_slices": 1}
PRINTED = {
    "lee2019_linear": {**LEE, "preprocess.windowing": "linear", "train_cnn.batch_size": 128},
    "lee2019_sigmoid": {**LEE, "preprocess.windowing": "sigmoid", "preprocess.size": 224, "preprocess.max_pool": 2},
    "lee2019_two_step": {**LEE, "cnn.output": "two_step", "train_cnn.sampling": "balanced"},
    "kumar2021": {"preprocess.resize": "every_nth", "preprocess.size": 128, "preprocess.grey_mean": True},
    "kumar2021_positives": {"cnn.output": "classes", "train_cnn.sampling": "positives"},
    "lussier": {
        "preprocess.windowing": "largest_absolute",
        "train_cnn.optimizer": "adadelta",
        "train_cnn.batch_size": 80,
    },
    "asip2022_efficientnet_windowed_baseline": {
        **ASIP,
        **HEAD,
        "cnn.backbone": "efficientnet_b2",
        "preprocess.adjacent_slices": 0,
    },
    "asip2022_resnet_asip_baseline": {
        **ASIP,
        **HEAD,
        **ONE_WINDOW,
        "cnn.backbone": "resnet50",
        "train_cnn.any_weight": 1,
    },
    "asip2022_densenet_asip_optimised": {
        **ASIP,
        **HEAD,
        **ONE_WINDOW,
        "cnn.backbone": "densenet121",
        "train_cnn.any_weight": 5,
        "train_cnn.augment.flip_probability": 0.5,
        "train_cnn.augment.vertical_flip_probability": 0.5,
    },
    "fahim2021": {"cnn.backbone": "resnext101_32x8d", "preprocess.windows": [(40, 80), (80, 200), (40, 380)]},
}
"""By config what its paper prints, as REFERENCE.md gives it; (level, width) in HU, from 40 to 80 HU is 60/40."""


@pytest.mark.parametrize("name", PRINTED)
def test_a_papers_config_has_the_values_that_its_paper_prints(name: str) -> None:
    config = load_config(name)
    found = {key: reduce(getattr, key.split("."), config) for key in PRINTED[name]}
    if windows := found.get("preprocess.windows"):
        found["preprocess.windows"] = [(each.level, each.width) for each in windows]
    assert found == PRINTED[name]


def test_a_misspelt_key_is_refused_with_the_right_spelling(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nabout = "x"\n[train_cnn]\nlearning_rat = 1e-3\n')
    with pytest.raises(
        ConfigError, match=r"mine\.toml: unknown key `train_cnn\.learning_rat`; did you mean `learning_rate`\?"
    ):
        load_config(str(path))


def test_a_value_out_of_range_is_refused_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nabout = "x"\n[lstm]\nlayers = 0\n')
    with pytest.raises(ConfigError, match=r"`lstm\.layers`: .*greater than 0"):
        load_config(str(path))


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("name = ")
    with pytest.raises(ConfigError, match="not a readable TOML file"):
        load_config(str(path))


def test_an_unknown_config_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match="burduja2020, demo"):
        load_config("burduja2021")


def test_every_field_of_the_config_has_a_sentence() -> None:
    sections, seen = [Config], set()
    while sections:
        section = sections.pop()
        seen.add(section)
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name} has no sentence"
            default = field.get_default(call_default_factory=True)
            inner = [default] if not isinstance(default, tuple) else list(default)
            sections += [type(item) for item in inner if isinstance(item, BaseModel) and type(item) not in seen]
    assert len(seen) >= 10
