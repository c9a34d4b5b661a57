"""The pages of the papers' table say what may be concluded, and nothing of rows that did not learn."""

import re

import pytest
from finished_rows import rows_of, truth_of

from ich_seq.evaluation.paper_result import PaperTable
from ich_seq.evaluation.paper_table import About, paper_table
from ich_seq.report.papers_page import papers_markdown, render_papers_page
from ich_seq.report.papers_text import conclusions, published_points

BLIND = 60.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[PaperTable, str, str]:
    rows = rows_of(
        tmp_path_factory.mktemp("rows"),
        asip2022_resnet_windowed_baseline=(3.0, 1.0),
        asip2022_resnet_asip_baseline=(1.0, 1.0),
        asip2022_densenet_windowed_baseline=(1.0, 1.0),
        asip2022_densenet_asip_baseline=(BLIND, BLIND),
    )
    about = About("papers_table", {"input": "64 x 64 pixels"}, {"lussier": "x.dcm: <b>bad</b> | worse"})
    table = paper_table(rows, truth_of("validation").mean(axis=0), about, rounds=100)
    return table, papers_markdown(table), render_papers_page(table, [row.entry for row in rows])


def test_the_row_that_did_not_learn_says_so_and_its_pair_says_nothing(made) -> None:
    _, markdown, page = made
    assert re.search(r"\| asip2022_densenet_asip_baseline \| 004, ASIP 2022 \| stage one \| did not learn \|", markdown)
    assert "| no conclusion: asip2022_densenet_asip_baseline did not learn | – | – |" in markdown
    assert "no conclusion: asip2022_densenet_asip_baseline did not learn" in page
    (printed,) = (row for row in published_points(made[0]) if row[1] == "DenseNet, asip")
    assert printed[-1] == "did not learn"


def test_the_questions_are_answered_in_a_sentence_each(made) -> None:
    said = {line.partition(":")[0]: line for line in conclusions(made[0])}
    assert said["Neighbours or windows, three slices in one window instead of one slice in three"].endswith(
        ": of 2 pairs 1 better (resnet, baseline), 1 no conclusion."
    )
    assert "1 no conclusion." in said["Second stage, a BiLSTM over the scan"]
    assert said["Second stage, a BiLSTM over the scan"].endswith("]."), "a mean over the others, with its interval"
    assert said["Ensembles"].startswith(
        "Ensembles: of 7 ways to combine the 3 rows that learnt, against the best of them ("
    )


def test_what_all_rows_share_stands_before_the_figures(made) -> None:
    _, markdown, page = made
    assert markdown.index("- input: 64 x 64 pixels") < markdown.index("## Rows")
    assert "320 slices of 40 patients" in page


def test_times_are_multiples_of_the_fastest(made) -> None:
    _, markdown, _ = made
    assert "| 2 ms | 3 ms |" in markdown
    assert "| x 4 | 3 ms |" in markdown


def test_text_from_outside_is_inert_in_both(made) -> None:
    _, markdown, page = made
    assert "x.dcm: &lt;b>bad&lt;/b> \\| worse" in markdown
    assert "x.dcm: &lt;b&gt;bad&lt;/b&gt; | worse" in page


def test_the_page_needs_nothing_else(made) -> None:
    page = made[2]
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page.replace("http-equiv", "")
