"""Who is in a cohort: which study belongs to which patient, and which patients bleed where."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float64

from ich_seq import labels
from ich_seq.phantom.spec import RSNA_ANY, CohortSpec

_PATIENTS, _SUBTYPES = 100, 101  # streams of the cohort as a whole; those of patients and studies are below 100


@dataclass(frozen=True)
class StudyPlan:
    """One study: the patient it belongs to, the how-manieth of that patient (0 first), the subtypes present."""

    index: int
    patient: int
    visit: int
    subtypes: tuple[str, ...]


def any_share(spec: CohortSpec) -> float:
    """Share of patients with any bleed: the wanted one, held between the largest subtype's share and that of independent subtypes."""
    shares = np.array(list(spec.prevalence.values()))
    wanted = RSNA_ANY if spec.any_prevalence is None else spec.any_prevalence
    return float(np.clip(wanted, shares.max(), 1 - np.prod(1 - shares)))


def pattern_shares(spec: CohortSpec) -> tuple[list[tuple[str, ...]], Float64[np.ndarray, "p"]]:
    """The 32 combinations of subtypes and the share of patients with each.

    Subtypes are independent among those who bleed, given that at least one is present; their shares are then exactly the wanted
    ones: q_i = p_i / any * (1 - prod(1 - q)), solved by iteration.
    """
    names = labels.SUBTYPE_NAMES
    share = np.array([spec.prevalence[name] for name in names])
    total = any_share(spec)
    chance = share / max(total, 1e-12)
    some = 1.0
    for _ in range(2000):
        some = 1 - float(np.prod(1 - np.minimum(chance * some, 1.0)))
    within = np.minimum(chance * some, 1.0)
    patterns, weights = [], []
    for present in product((False, True), repeat=len(names)):
        patterns.append(tuple(name for name, here in zip(names, present, strict=True) if here))
        weight = float(np.prod(np.where(present, within, 1 - within)))
        weights.append(total * weight / max(some, 1e-12) if any(present) else 1 - total)
    weights = np.maximum(np.array(weights), 0)
    return patterns, weights / weights.sum()


def plan_cohort(spec: CohortSpec) -> list[StudyPlan]:
    """Every study of the cohort, in order.

    Combinations are dealt out evenly (systematic sampling over patients in random order), so that a small cohort has the wanted
    shares to within one patient or two.
    """
    rng = spec.stream(_PATIENTS, 0)
    again = rng.random(spec.studies) < 1 - 1 / spec.studies_per_patient
    again[0] = False
    patient_of = np.cumsum(~again) - 1
    count = int(patient_of[-1]) + 1
    patterns, share = pattern_shares(spec)
    deal = spec.stream(_SUBTYPES, 0)
    points = (deal.permutation(count) + deal.random()) / count
    drawn = np.minimum(np.searchsorted(np.cumsum(share), points, side="right"), len(patterns) - 1)
    plans, visit = [], 0
    for index in range(spec.studies):
        visit = visit + 1 if again[index] else 0
        patient = int(patient_of[index])
        plans.append(StudyPlan(index, patient, visit, patterns[int(drawn[patient])]))
    return plans
