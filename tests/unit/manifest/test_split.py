import hashlib

import numpy as np
import pandas as pd
import pytest

from ich_seq.config import SplitConfig
from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.manifest.split import SPLITS, check_no_leak, split_patients

SHARES = SplitConfig(stage_one=0.5, stage_two=0.2, validation=0.1, test=0.2, seed=7)


def cohort(patients: int = 200) -> pd.DataFrame:
    """Three slices a patient; epidural in 10 of 200, subdural in 60, intraparenchymal in 40, some of them both."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(0, index=range(3 * patients), columns=list(LABEL_NAMES), dtype=np.uint8)
    table.insert(0, "patient_id", np.repeat([f"p{i}" for i in range(patients)], 3))
    table["series_instance_uid"] = "s" + table["patient_id"]
    for name, share in {"epidural": 0.05, "subdural": 0.3, "intraparenchymal": 0.2}.items():
        bleeding = rng.permutation(patients)[: round(share * patients)]
        table.loc[3 * bleeding + 1, name] = 1
    table["any"] = table[list(SUBTYPE_NAMES)].max(axis=1)
    return table


def test_every_patient_is_on_one_side_and_shares_are_met_to_a_patient():
    table = cohort().assign(split=split_patients(cohort(), SHARES))
    check_no_leak(table)
    counts = table.groupby("split")["patient_id"].nunique()
    assert counts.to_dict() == {"stage_one": 100, "stage_two": 40, "validation": 20, "test": 40}


@pytest.mark.parametrize("name", ["epidural", "subdural", "intraparenchymal"])
def test_each_label_is_divided_by_the_shares_to_within_four_patients(name: str):
    # The rarest is one group (within two patients); the others are spread over at most three groups.
    table = cohort().assign(split=split_patients(cohort(), SHARES))
    bleeding = table[table[name] == 1].groupby("split")["patient_id"].nunique()
    for split in SPLITS:
        expected = getattr(SHARES, split) * bleeding.sum()
        assert abs(bleeding.get(split, 0) - expected) <= (2 if name == "epidural" else 4)


def test_the_rarest_label_reaches_every_split():
    table = cohort().assign(split=split_patients(cohort(), SHARES))
    assert set(table.loc[table["epidural"] == 1, "split"]) == set(SPLITS)


def test_the_split_does_not_depend_on_the_order_of_the_rows():
    table = cohort()
    shuffled = table.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(split_patients(shuffled, SHARES).sort_index(), split_patients(table, SHARES))


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    first, again = split_patients(cohort(), SHARES), split_patients(cohort(), SHARES)
    assert first.equals(again)
    assert not first.equals(split_patients(cohort(), SHARES.model_copy(update={"seed": 8})))


def test_patients_of_one_group_are_dealt_out_in_the_order_of_their_digests():
    table = cohort(4).assign(**dict.fromkeys(LABEL_NAMES, 0))
    line = sorted(["p0", "p1", "p2", "p3"], key=lambda name: hashlib.sha256(f"7:{name}".encode()).hexdigest())
    shares = SplitConfig(stage_one=0.5, stage_two=0.25, validation=0.0, test=0.25, seed=7)
    # Behind after 1: .5 .25 0 .25; after 2: 0 .5 0 .5; after 3: .5 -.25 0 .75; after 4: 1 0 0 0.
    by_hand = dict(zip(line, ["stage_one", "stage_two", "test", "stage_one"], strict=True))
    assert split_patients(table, shares).tolist() == [by_hand[name] for name in table["patient_id"]]


def test_an_empty_share_gets_no_patient():
    shares = SplitConfig(stage_one=0.8, stage_two=0.0, validation=0.0, test=0.2)
    assert set(split_patients(cohort(), shares)) == {"stage_one", "test"}


@pytest.mark.parametrize(("column", "what"), [("patient_id", "patients"), ("series_instance_uid", "series")])
def test_a_leak_is_refused_and_named(column: str, what: str):
    table = cohort(20)
    table["split"] = split_patients(table, SHARES)
    splits = table["split"].tolist()
    first, other = splits.index("stage_one"), splits.index("test")
    table.loc[first, column] = table.loc[other, column]
    with pytest.raises(DatasetError, match=f"E-LEAK: 1 {what} in more than one split: {table.loc[other, column]}"):
        check_no_leak(table)
