"""Heat on a real head: inside it, on neither air nor bone, whatever the network says."""

from pathlib import Path

import numpy as np
import pytest
from heat_scales import plain_scale
from tiny_model import load_tiny_model, write_tiny_model

from ich_seq.report.explanation_page import draw
from ich_seq.report.heat_picture import drawable
from ich_seq.study.explain import Asked, explain_study
from ich_seq.study.score import ScoredStudy, score_studies

PLACES = (1, 8, 16, 24, 30)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_real_series_has_no_coloured_air_or_skull(real_data: Path, tmp_path: Path, threshold: float) -> None:
    """Everything drawn that can be (threshold 0, a scale that all exceeds), or nothing, as on a negative scan."""
    write_tiny_model(tmp_path / "model", size=64)
    scale = plain_scale(tmp_path / "model", constant=1e-6, threshold=threshold)
    model = load_tiny_model(tmp_path / "model")
    (scored,) = score_studies([real_data / "rsna_series_ID_52c1ab5a"], model)
    assert isinstance(scored, ScoredStudy)
    drawing = draw(explain_study(scored, model, scale, Asked(PLACES)))
    coloured = 0
    for (place, _), laid in drawing.overlays.items():
        hu, seen = drawing.planes[place].hu, laid.rgba[..., 3] > 0
        assert not seen[(hu < -200) | (hu >= 200)].any()
        assert not np.concatenate(
            [seen[:8].ravel(), seen[-8:].ravel(), seen[:, :8].ravel(), seen[:, -8:].ravel()]
        ).any()
        coloured += int(seen.sum())
    assert (coloured > 0) == (threshold == 0)
    tissue = (drawing.planes[16].hu > 0) & (drawing.planes[16].hu < 80)
    assert (drawing.planes[16].drawable & tissue).sum() > 0.9 * tissue.sum()


def test_heat_is_drawn_on_no_head_holder_though_an_ear_touches_it(real_data: Path, tmp_path: Path) -> None:
    """Its arms stand in the columns around 55 and 455; these slices of the head lie between 58 and 440."""
    write_tiny_model(tmp_path / "model", size=64)
    (scored,) = score_studies([real_data / "ge_tilt_variable_spacing"], load_tiny_model(tmp_path / "model"))
    assert isinstance(scored, ScoredStudy)
    volume = scored.volume
    for place in range(6, 15):
        found = np.flatnonzero(drawable(volume[place], volume.pixel_spacing_mm[1]).any(axis=0))
        assert 58 <= found[0] < 70
        assert 420 < found[-1] <= 440
