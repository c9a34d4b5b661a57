"""What ships as data: configs and manifests."""

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
