"""What a cohort is to be: every knob of the phantom, with its default and where that comes from."""

import hashlib

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ich_seq import labels

# Share of RSNA 2019's training patients with at least one positive slice (from stage_2_train.csv and the patients' identifiers).
RSNA_PREVALENCE = {
    "epidural": 0.0164,
    "intraparenchymal": 0.2468,
    "intraventricular": 0.1744,
    "subarachnoid": 0.1822,
    "subdural": 0.1782,
}
RSNA_ANY = 0.4041


class CohortSpec(BaseModel):
    """A synthetic cohort, fully determined by these values; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    studies: int = Field(default=60, ge=1, le=100_000, description="Number of studies.")
    seed: int = Field(default=0, ge=0, description="Everything random follows from it and from a study's index.")
    matrices: tuple[int, ...] = Field(
        default=(256, 320, 512), description="Rows and columns of a slice; one is drawn per study."
    )
    slices: tuple[int, int] = Field(default=(20, 60), description="Fewest and most slices of a study.")
    spacing_mm: tuple[float, float] = Field(
        default=(2.5, 7.0), description="Least and greatest distance of slices, along their normal."
    )
    tilt_deg: tuple[float, float] = Field(
        default=(0.0, 20.0), description="Least and greatest gantry tilt; a quarter have none."
    )
    rotation_deg: float = Field(
        default=6.0, ge=0, le=20, description="How far a head may be turned in the scanner (standard deviations)."
    )
    shift_mm: float = Field(default=8.0, ge=0, le=30, description="How far a head may lie off the centre, each way.")
    prevalence: dict[str, float] = Field(
        default_factory=lambda: dict(RSNA_PREVALENCE),
        description="Share of patients with each subtype; those not named keep RSNA's 2019 share.",
    )
    any_prevalence: float | None = Field(
        default=None,
        description="Share of patients with any bleed; none: RSNA's 0.4041, or the nearest that the subtypes' shares allow.",
    )
    studies_per_patient: float = Field(
        default=1.1, ge=1.0, le=5.0, description="Mean; RSNA's is about 1.1. A patient keeps head and bleeds."
    )
    mimics: bool = Field(
        default=True, description="Whether heads have what looks like blood and is not, and scanners streaks."
    )
    spot_rate: float = Field(
        default=8.0, ge=0, description="Mean number of flat dense spots per head, one or two slices each."
    )
    noise_hu: tuple[float, float] = Field(
        default=(2.8, 5.2), description="Least and greatest noise at 5 mm: standard deviation in HU."
    )
    blood_hu: tuple[float, float] = Field(default=(50.0, 90.0), description="Least and greatest density of blood.")
    blood_lean: float = Field(
        default=0.22,
        gt=0,
        lt=1,
        description="Where in that range the mean lies, 0 low to 1 high; low ones are harder to see.",
    )
    isodense_share: float = Field(
        default=0.18, ge=0, le=1, description="Share of bleeds only 5 to 11 HU denser than grey matter."
    )
    volume_ml: tuple[float, float] = Field(
        default=(0.3, 80.0), description="Least and greatest volume of a bleed, drawn on a logarithmic scale."
    )
    volume_lean: float = Field(
        default=0.55,
        gt=0,
        lt=1,
        description="Where in that range, in logarithms, the mean lies; small bleeds are harder to see.",
    )
    min_area_mm2: float = Field(
        default=20.0, gt=0, description="A slice is positive where its mask of a subtype covers at least this."
    )
    rsna_like: bool = Field(
        default=False, description="Whether headers are RSNA's: ID_ identifiers, no InstanceNumber."
    )

    @field_validator("prevalence")
    @classmethod
    def _complete(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(value) - set(labels.SUBTYPE_NAMES))
        if unknown:
            raise ValueError(f"unknown subtype {', '.join(unknown)}; one of {', '.join(labels.SUBTYPE_NAMES)}")
        bad = [name for name, share in value.items() if not 0 <= share <= 1]
        if bad:
            raise ValueError(f"prevalence of {', '.join(bad)} must lie between 0 and 1")
        return {name: value.get(name, RSNA_PREVALENCE[name]) for name in labels.SUBTYPE_NAMES}

    @field_validator("matrices")
    @classmethod
    def _sizes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(size < 64 or size > 1024 or size % 2 for size in value):
            raise ValueError("matrices must be even numbers from 64 to 1024")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "CohortSpec":
        for name in ("slices", "spacing_mm", "tilt_deg", "noise_hu", "blood_hu", "volume_ml"):
            low, high = getattr(self, name)
            if low > high or low < 0:
                raise ValueError(f"{name} must be two numbers, the smaller first, neither below zero")
        if self.slices[0] < 1 or self.spacing_mm[0] < 0.5 or self.volume_ml[0] <= 0 or self.tilt_deg[1] > 30:
            raise ValueError("slices start at 1, spacing_mm at 0.5, volume_ml above 0; tilt_deg ends at 30")
        return self

    def digest(self) -> str:
        """SHA-256 of the cohort's values, as 64 hex digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def stream(self, kind: int, index: int) -> np.random.Generator:
        """The random numbers of one patient (kind 0) or study (kinds 1 and up); independent of every other."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(kind, index)))
