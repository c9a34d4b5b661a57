"""One experiment as a TOML file: `sections` and `preprocess` say what may stand in it, `read` takes it from disk."""

from ich_seq.config.base import Positive, Section
from ich_seq.config.preprocess import PreprocessConfig, TileConfig, Window
from ich_seq.config.read import describe_fault, load_config, package_data, shipped_configs
from ich_seq.config.sections import (
    AugmentConfig,
    CalibrationConfig,
    CalibrationMethod,
    CnnConfig,
    Config,
    FeaturesConfig,
    FitConfig,
    LstmConfig,
    SplitConfig,
    TrainCnnConfig,
    TrainLstmConfig,
)

__all__ = [
    "AugmentConfig",
    "CalibrationConfig",
    "CalibrationMethod",
    "CnnConfig",
    "Config",
    "FeaturesConfig",
    "FitConfig",
    "LstmConfig",
    "Positive",
    "PreprocessConfig",
    "Section",
    "SplitConfig",
    "TileConfig",
    "TrainCnnConfig",
    "TrainLstmConfig",
    "Window",
    "describe_fault",
    "load_config",
    "package_data",
    "shipped_configs",
]
