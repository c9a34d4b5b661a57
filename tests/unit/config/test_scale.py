"""A paper's config at the scale of a table: what is shared, what stays, and how its visits come about."""

import pytest

from ich_seq.config import Config, load_config
from ich_seq.config.scale import FOR_ALL, OF_TRAINING, at_scale, visits
from ich_seq.evaluation.paper_rows import ROWS

TABLE = load_config("papers_table")
SLICES, POSITIVE = 13_000, 3_300


def row(name: str, table: Config = TABLE) -> Config:
    paper = load_config(name)
    return at_scale(paper, table, POSITIVE if paper.train_cnn.sampling == "positives" else SLICES)


@pytest.mark.parametrize("name", [row.config for row in ROWS])
def test_every_row_has_the_tables_size_visits_patients_and_stage_two(name: str) -> None:
    config = row(name)
    assert config.name == name, "by which printed figures are found"
    assert config.preprocess.size == TABLE.preprocess.size == 64
    assert visits(TABLE) == 12_800
    assert visits(config) == pytest.approx(12_800, rel=0.002)
    assert all(getattr(config, section) == getattr(TABLE, section) for section in FOR_ALL)
    assert config.cnn.weights == "none"
    assert all(getattr(config.train_cnn, name) == getattr(TABLE.train_cnn, name) for name in OF_TRAINING)
    assert config.train_cnn.patience == config.train_cnn.epochs, "no row stops before its visits"
    read = config.train_cnn.steps_per_epoch * config.train_cnn.batch_size
    assert read <= (POSITIVE if config.train_cnn.sampling == "positives" else SLICES)


@pytest.mark.parametrize("name", [row.config for row in ROWS])
def test_what_the_paper_proposes_stays_its_own(name: str) -> None:
    config, paper = row(name), load_config(name)
    shared = {"preprocess": {"size", "resize", "antialias"}, "cnn": {"weights"}}
    shared["train_cnn"] = {"epochs", "patience", "steps_per_epoch", "learning_rate", *OF_TRAINING}
    for section, names in shared.items():
        assert getattr(config, section).model_dump(exclude=names) == getattr(paper, section).model_dump(exclude=names)
    assert config.about.startswith(paper.about)


def test_a_rate_for_pretrained_weights_rises_and_one_for_random_weights_stays() -> None:
    rates = {
        name: row(name).train_cnn.learning_rate for name in ("fahim2021", "lee2019_sigmoid", "kumar2021", "lussier")
    }
    assert rates == {"fahim2021": 1e-3, "lee2019_sigmoid": 1e-3, "kumar2021": 1e-3, "lussier": 1e-3}
    slower = TABLE.model_copy(update={"train_cnn": TABLE.train_cnn.model_copy(update={"learning_rate": 7e-4})})
    assert row("fahim2021", slower).train_cnn.learning_rate == 7e-4
    assert row("kumar2021", slower).train_cnn.learning_rate == 1e-3, "the paper's own, from random weights"
    pretrained = TABLE.model_copy(update={"cnn": TABLE.cnn.model_copy(update={"weights": "imagenet"})})
    config = row("fahim2021", pretrained)
    assert (config.cnn.weights, config.train_cnn.learning_rate) == ("imagenet", 1e-5)
    assert row("kumar2021", pretrained).cnn.weights == "none"


def at_size(size: int) -> Config:
    """The table's config at another size."""
    return TABLE.model_copy(update={"preprocess": TABLE.preprocess.model_copy(update={"size": size})})


def test_cutting_to_the_papers_size_is_shrinking_at_another() -> None:
    assert row("lee2019_sigmoid").preprocess.resize == "bilinear"
    assert row("lee2019_sigmoid", at_size(224)).preprocess.resize == "pad_or_crop"


def test_what_is_shrunken_further_than_in_the_paper_is_antialiased_unless_it_takes_every_nth_pixel() -> None:
    assert row("burduja2020").preprocess.antialias
    assert row("lee2019_sigmoid").preprocess.antialias
    assert not row("burduja2020", at_size(256)).preprocess.antialias
    assert not row("kumar2021").preprocess.antialias
    plain = TABLE.model_copy(update={"preprocess": TABLE.preprocess.model_copy(update={"antialias": False})})
    assert not row("burduja2020", plain).preprocess.antialias


def test_fewer_slices_than_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="10 training slices make no batch of 16"):
        at_scale(load_config("lee2019_linear"), TABLE, 10)


@pytest.mark.parametrize(
    ("slices", "steps", "epochs"), [(16, 1, 800), (2560, 160, 5), (7000, 400, 2), (50_000, 800, 1)]
)
def test_whole_batches_make_the_visits(slices: int, steps: int, epochs: int) -> None:
    """12,800 visits in batches of 16 are 800 steps, in as few epochs as read no slice twice."""
    config = at_scale(load_config("lee2019_linear"), TABLE, slices)
    assert (config.train_cnn.steps_per_epoch, config.train_cnn.epochs) == (steps, epochs)
