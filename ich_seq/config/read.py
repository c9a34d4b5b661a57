"""Reads a config: a shipped one by name or a file, with what is wrong in it said in words."""

import difflib
import tomllib
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ich_seq.config.preprocess import Window
from ich_seq.config.sections import Config
from ich_seq.errors import ConfigError


def package_data(folder: str) -> Path:
    """The folder `configs` or `data_manifests`, in a checkout or in an installed wheel."""
    package = Path(str(resources.files("ich_seq")))
    return next((path for path in (package / folder, package.parent / folder) if path.is_dir()), package / folder)


def shipped_configs() -> list[str]:
    """The names of the configs that come with ichseq, sorted."""
    return sorted(path.stem for path in package_data("configs").glob("*.toml"))


def load_config(name_or_path: str) -> Config:
    """A config by the name of a shipped one (`burduja2020`) or by path.

    Raises:
        ConfigError: no such file, not TOML, an unknown key, or a value out of range; the message names file and key.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = package_data("configs") / f"{name_or_path}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{name_or_path}: no such config; give the path of a .toml file or one of: {', '.join(shipped_configs())}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable TOML file: {error}") from error
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_fault(error)}") from None


def _section_of(section: type[BaseModel], key: str) -> type[BaseModel]:
    field = section.model_fields.get(key)
    default = None if field is None else field.default
    return type(default) if isinstance(default, BaseModel) else {"windows": Window}.get(key, section)


def describe_fault(error: ValidationError, root: type[BaseModel] | None = None) -> str:
    """The first fault of a config (or of another `root`) in words: the key, what is wrong, and the name that was probably meant."""
    faults = error.errors()
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    key = ".".join(str(part) for part in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        section: type[BaseModel] = root or Config
        for part in fault["loc"][:-1]:
            section = _section_of(section, str(part))
        near = difflib.get_close_matches(str(fault["loc"][-1]), section.model_fields, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(section.model_fields)}"
        return f"unknown key `{key}`; {hint}"
    if fault["type"] == "missing":
        return f"key `{key}` is missing"
    if fault["type"] == "value_error":
        return f"`{key}`: {fault['msg'].removeprefix('Value error, ')}"
    return f"`{key}`: {fault['msg']} (got {fault['input']!r:.80})"
