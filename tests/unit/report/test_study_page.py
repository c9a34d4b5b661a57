"""report.html: self-contained, inert, and saying what matters."""

import base64
import hashlib
import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from example_result import calibrated_result, example_result

from ich_seq.dicom.person import Patient
from ich_seq.labels import LABELS, RESEARCH_NOTICE
from ich_seq.report.curves import gap_lines, label_curve, shown, unbroken_runs
from ich_seq.report.key_slices import choose_key_slices, draw_key_images
from ich_seq.report.study_page import render_study_page
from ich_seq.study.result import Dropped, Gap, Status

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' onload='alert(2)"


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a browser's parser sees them."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        if self.tags[-1:] != ["style"]:
            self.text += data


def images(result):
    hu = np.full((64, 80), 40, np.float32)
    return draw_key_images({key.index: hu for key in choose_key_slices(result)}, (0.5, 0.5))


@pytest.fixture(scope="module")
def hostile():
    result = example_result(text=HOSTILE)
    return render_study_page(result, images(result))


def test_header_text_stays_text(hostile):
    page = Page(hostile)
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.text
    assert {value.partition(",")[0] for tag, name, value in page.attributes if tag == "img" and name == "src"} == {
        "data:image/png;base64"
    }


def test_page_names_nothing_outside_itself(hostile):
    page = Page(hostile)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base", "a"} & set(page.tags)
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "action", "srcset")]
    assert links
    assert all(link.startswith("data:image/png;base64,") for link in links)
    style = re.search(r"<style>(.*?)</style>", hostile, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_policy_allows_the_own_style_and_data_images_only(hostile):
    page = Page(hostile)
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    style = re.search(r"<style>(.*?)</style>", hostile, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not [name for _, name, _ in page.attributes if name == "style"]


def test_page_says_notice_scores_findings_and_what_taught_the_model():
    text = Page(render_study_page(example_result(text="SOME-TEXT"))).text
    assert RESEARCH_NOTICE in text
    assert "not for clinical use" in text
    assert "0.90" in text
    assert "slice 4" in text
    assert "W-TEST" in text
    assert re.search(r"trained on\s+SOME-TEXT", text)
    assert "no threshold has been chosen" in text


def test_an_incomplete_scan_says_so_beside_every_score():
    complete = Page(render_study_page(example_result())).text
    text = Page(render_study_page(example_result(status=Status.INCOMPLETE))).text
    assert "Incomplete: slices are missing" in text
    assert text.count("indeterminate") == len(LABELS)
    assert "indeterminate" not in complete
    assert not re.search(r"\babsent\b", complete)
    assert text.count("absent") == 1
    assert "nothing here reads absent" in text


def test_gaps_are_listed_in_mm_between_their_slices_and_written_into_the_bands():
    """Slices 5 mm apart with two positions left out after the fifth: 20 mm to 35 mm."""
    result = example_result(status=Status.INCOMPLETE, gap_after=4)
    text = " ".join(Page(render_study_page(result)).text.split())
    assert "1 gap, in which nothing was seen: 15.0 mm between slice 5 at 20.0 mm and slice 6 at 35.0 mm." in text
    assert str(label_curve(result, LABELS[-1])).count(">15 mm</text>") == 1
    assert "in which nothing was seen" not in Page(render_study_page(example_result())).text


def test_of_many_gaps_the_widest_stand_first_and_all_are_listed():
    """Nine gaps, one between each two of ten slices: the step of 15 mm is the widest."""
    result = example_result(status=Status.INCOMPLETE, gap_after=4)
    places = [score.position_mm for score in result.slices]
    gaps = tuple(Gap(after_mm=a, gap_mm=b - a) for a, b in itertools.pairwise(places))
    many = result.model_copy(update={"series": result.series.model_copy(update={"gaps": gaps})})
    text = " ".join(Page(render_study_page(many)).text.split())
    assert "9 gaps, in which nothing was seen; the widest: 15.0 mm between slice 5 at 20.0 mm" in text
    assert "All 9 gaps" in text
    assert len(gap_lines(many)) == 9
    assert [line[:4] for line in gap_lines(many, 3)] == ["15.0", "5.0 ", "5.0 "]


def test_an_incomplete_scan_without_a_gap_says_that_positions_cannot_show_it():
    result = example_result(status=Status.INCOMPLETE)
    result = result.model_copy(update={"series": result.series.model_copy(update={"gaps": ()})})
    assert "Slices are missing where positions cannot show it" in Page(render_study_page(result)).text


def test_what_was_dropped_from_the_series_says_what_to_do():
    lost = Dropped(code="D-TRUNCATED", reason="cut", count=2, in_series=True)
    result = example_result(status=Status.INCOMPLETE).model_copy(update={"dropped": (lost,)})
    text = " ".join(Page(render_study_page(result)).text.split())
    assert "Not used: 2 × cut" in text
    assert "Copy or export the file again.D-TRUNCATED" in text


def test_a_patient_is_named_only_when_given_and_then_as_text():
    patient = Patient(HOSTILE, "ID-1", "", "2024-02-03")
    page = Page(render_study_page(example_result(), patient=patient))
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert "Born not stated" in " ".join(page.text.split())
    assert "Study date 2024-02-03" in " ".join(page.text.split())
    assert "Study date" not in Page(render_study_page(example_result())).text


def test_one_slice_has_no_curves_and_says_why():
    page = render_study_page(example_result(slices=1))
    assert "no curve to draw" in page
    assert 'class="curves"' not in page
    assert 'class="curves"' in render_study_page(example_result())


def test_curves_are_broken_and_hatched_at_gaps():
    result = example_result(status=Status.INCOMPLETE, gap_after=4)
    assert [[score.index for score in run] for run in unbroken_runs(result)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    drawing = str(label_curve(result, LABELS[-1]))
    assert drawing.count('<polyline class="stage_two"') == 2
    assert "gap of 15.0 mm" in drawing
    whole = str(label_curve(example_result(), LABELS[-1]))
    assert whole.count('<polyline class="stage_two"') == 1
    assert "gap" not in whole


def test_curve_places_mm_and_probability_in_proportion():
    """Feet left, head right; 0 below, 1 above: slices are equally spaced, and 0.9 lies 8 times as far above 0.1 as 0.2 does."""
    points = re.search(r'class="stage_two" points="([^"]*)"', str(label_curve(example_result(), LABELS[-1])))
    assert points is not None
    xy = np.array([[float(v) for v in pair.split(",")] for pair in points[1].split()])
    assert len(xy) == 10
    assert np.allclose(np.diff(xy[:, 0]), np.diff(xy[:, 0])[0], atol=0.11)  # coordinates are rounded to 0.1
    assert (np.diff(xy[:, 0]) > 0).all()
    low, mid, high = xy[0, 1], xy[2, 1], xy[3, 1]
    assert (low - high) / (low - mid) == pytest.approx(2.0, abs=0.02)  # (0.9 - 0.1) / (0.5 - 0.1), coordinates in 0.1


def test_a_single_slice_is_a_dot():
    drawing = str(label_curve(example_result(slices=1), LABELS[-1]))
    assert "<polyline" not in drawing
    assert drawing.count("dot") == 2
    assert "1 slice" in re.sub(r"\s+", " ", Page(render_study_page(example_result(slices=1))).text)


def test_a_probability_is_never_rounded_to_certainty():
    assert [shown(value) for value in (0.0, 0.004, 0.005, 0.5, 0.994, 0.996, 1.0)] == [
        "<0.01",
        "<0.01",
        "0.01",
        "0.50",
        "0.99",
        ">0.99",
        ">0.99",
    ]


def test_page_is_made_without_heavy_libraries():
    code = "import sys, ich_seq.report.study_page, ich_seq.report.write; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "pandas", "scipy", "sklearn", "matplotlib"):
        assert f"'{heavy}'" not in loaded


def test_calibrated_scores_and_sides_of_thresholds_stand_beside_the_raw_scores():
    text = re.sub(r"\s+", " ", Page(render_study_page(calibrated_result())).text)
    assert "at or above 0.500" in text
    assert "below 0.500" in text
    assert "on which side of the balanced threshold" in text
    assert "0.45" in text  # half of .9
    assert "neither is a diagnosis" in text
    assert "no threshold has been chosen" not in text
    assert "cali-brated" not in Page(render_study_page(example_result())).text
    incomplete = Page(render_study_page(calibrated_result(Status.INCOMPLETE))).text
    assert "at or above 0" not in incomplete
    assert "below 0" not in incomplete
    assert incomplete.count("indeterminate") == len(LABELS)
