import numpy as np
import pytest

from ich_seq.evaluation.data import EvaluationInput


@pytest.fixture
def held_out() -> EvaluationInput:
    """25 patients, two with two scans, of 12 slices each; stage two knows more than stage one.

    No slice is epidural, every slice is subdural, and the intraventricular label occurs in one patient only.
    """
    rng = np.random.default_rng(11)
    scan = np.repeat(np.arange(27), 12)
    patient = np.minimum(scan, 24)
    labels = (rng.random((len(scan), 6)) < 0.15).astype(np.uint8)
    labels[:, 0], labels[:, 4] = 0, 1
    labels[:, 2] = (patient == 3) & (rng.random(len(scan)) < 0.5)

    def system(skill: float) -> np.ndarray:
        logit = skill * (labels - 0.5) + rng.normal(size=labels.shape)
        return 1 / (1 + np.exp(-logit))

    shuffle = rng.permutation(len(scan))
    return EvaluationInput(
        patient_ids=np.array([f"patient{p}" for p in patient])[shuffle],
        scan_ids=np.array([f"scan{s}" for s in scan])[shuffle],
        labels=labels[shuffle],
        stage_one=system(1.0)[shuffle],
        stage_two=system(3.0)[shuffle],
        floors={"prevalence": np.full((len(scan), 6), 0.15), "histogram": system(0.5)[shuffle]},
    )
