import numpy as np
import pytest
from pydantic import ValidationError

from ich_seq.labels import SUBTYPE_NAMES
from ich_seq.phantom.cohort import CohortSpec
from ich_seq.phantom.plan import any_share, pattern_shares, plan_cohort


def test_default_shares_are_those_of_rsna_patients():
    spec = CohortSpec()
    patterns, share = pattern_shares(spec)
    got = {name: sum(w for p, w in zip(patterns, share, strict=True) if name in p) for name in SUBTYPE_NAMES}
    published = {
        "epidural": 0.0164,
        "intraparenchymal": 0.2468,
        "intraventricular": 0.1744,
        "subarachnoid": 0.1822,
        "subdural": 0.1782,
    }
    assert got == pytest.approx(published, abs=1e-9)  # the iteration converges geometrically
    assert 1 - share[patterns.index(())] == pytest.approx(0.4041, abs=1e-9)


def test_dealt_patients_have_the_wanted_shares_to_within_the_rounding_of_32_patterns():
    spec = CohortSpec(studies=2000, seed=3, studies_per_patient=1.0)
    plans = plan_cohort(spec)
    for name in SUBTYPE_NAMES:
        got = np.mean([name in plan.subtypes for plan in plans])
        # each of the 16 patterns that hold a subtype is dealt to within one patient of its share
        assert got == pytest.approx(spec.prevalence[name], abs=16 / 2000)


def test_any_is_raised_where_the_subtypes_need_more_than_rsna_has():
    assert any_share(CohortSpec(prevalence={"subdural": 0.5})) == pytest.approx(0.5)
    none = dict.fromkeys(SUBTYPE_NAMES, 0.0)
    assert any_share(CohortSpec(prevalence=none)) == 0.0
    # one subtype alone: whoever bleeds, bleeds there
    assert any_share(CohortSpec(prevalence={**none, "epidural": 0.2})) == pytest.approx(0.2)


def test_a_cohort_without_bleeds_has_none():
    spec = CohortSpec(studies=50, prevalence=dict.fromkeys(SUBTYPE_NAMES, 0.0))
    assert all(plan.subtypes == () for plan in plan_cohort(spec))


def test_about_a_tenth_of_the_studies_are_of_a_patient_seen_before():
    plans = plan_cohort(CohortSpec(studies=4000, seed=1))
    patients = len({plan.patient for plan in plans})
    # binomial with p = 1/11: standard deviation of the count is sqrt(4000 * .0909 * .909) = 18; four of them
    assert abs((4000 - patients) - 4000 / 11) < 73
    again = [plan for plan in plans if plan.visit > 0]
    assert all(plans[plan.index - 1].subtypes == plan.subtypes for plan in again)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"prevalence": {"subgaleal": 0.1}}, "unknown subtype subgaleal"),
        ({"prevalence": {"epidural": 1.5}}, "between 0 and 1"),
        ({"slices": (40, 20)}, "smaller first"),
        ({"matrices": (255,)}, "even numbers"),
        ({"sttudies": 3}, "Extra inputs"),
    ],
)
def test_impossible_cohorts_are_refused(values: dict, reason: str):
    with pytest.raises(ValidationError, match=reason):
        CohortSpec(**values)
