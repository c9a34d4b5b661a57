"""A paper's config at the scale of a table: what is shared, what stays, and how its visits come about."""

import pytest

from ich_seq.config import Config, load_config
from ich_seq.config.scale import FOR_ALL, at_scale, visits
from ich_seq.evaluation.paper_rows import ROWS

TABLE = load_config("papers_table")
SLICES, POSITIVE = 2300, 600


def row(name: str, table: Config = TABLE) -> Config:
    paper = load_config(name)
    return at_scale(paper, table, POSITIVE if paper.train_cnn.sampling == "positives" else SLICES)


@pytest.mark.parametrize("name", [row.config for row in ROWS])
def test_every_row_has_the_tables_size_visits_patients_and_stage_two(name: str) -> None:
    config = row(name)
    assert config.name == name, "by which printed figures are found"
    assert config.preprocess.size == TABLE.preprocess.size == 64
    assert visits(TABLE) == 7680
    assert visits(config) == pytest.approx(7680, rel=0.02)
    assert all(getattr(config, section) == getattr(TABLE, section) for section in FOR_ALL)
    assert config.cnn.weights == "none"
    assert config.train_cnn.patience == config.train_cnn.epochs, "no row stops before its visits"
    read = config.train_cnn.steps_per_epoch * config.train_cnn.batch_size
    assert read <= (POSITIVE if config.train_cnn.sampling == "positives" else SLICES)


@pytest.mark.parametrize("name", [row.config for row in ROWS])
def test_what_the_paper_proposes_stays_its_own(name: str) -> None:
    config, paper = row(name), load_config(name)
    shared = {"preprocess": {"size", "resize"}, "cnn": {"weights"}}
    training = {"epochs", "patience", "steps_per_epoch", "learning_rate", "checkpoint_every_s"}
    shared["train_cnn"] = training | {"keep_tiles_in_memory", "workers"}
    for section, names in shared.items():
        assert getattr(config, section).model_dump(exclude=names) == getattr(paper, section).model_dump(exclude=names)
    assert config.about.startswith(paper.about)


def test_a_rate_for_pretrained_weights_rises_and_one_for_random_weights_stays() -> None:
    rates = {
        name: row(name).train_cnn.learning_rate for name in ("fahim2021", "lee2019_sigmoid", "kumar2021", "lussier")
    }
    assert rates == {"fahim2021": 5e-4, "lee2019_sigmoid": 5e-4, "kumar2021": 1e-3, "lussier": 1e-3}
    pretrained = TABLE.model_copy(update={"cnn": TABLE.cnn.model_copy(update={"weights": "imagenet"})})
    config = row("fahim2021", pretrained)
    assert (config.cnn.weights, config.train_cnn.learning_rate) == ("imagenet", 1e-5)
    assert row("kumar2021", pretrained).cnn.weights == "none"


def test_cutting_to_the_papers_size_is_shrinking_at_another() -> None:
    assert row("lee2019_sigmoid").preprocess.resize == "bilinear"
    whole = TABLE.model_copy(update={"preprocess": TABLE.preprocess.model_copy(update={"size": 224})})
    assert row("lee2019_sigmoid", whole).preprocess.resize == "pad_or_crop"


def test_fewer_slices_than_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="100 training slices make no batch of 128"):
        at_scale(load_config("lee2019_linear"), TABLE, 100)


@pytest.mark.parametrize(("slices", "steps", "epochs"), [(128, 1, 60), (2560, 20, 3), (7000, 30, 2), (50_000, 60, 1)])
def test_whole_batches_make_the_visits(slices: int, steps: int, epochs: int) -> None:
    """7,680 visits in batches of 128 are 60 steps, in as few epochs as read no slice twice."""
    config = at_scale(load_config("lee2019_linear"), TABLE, slices)
    assert (config.train_cnn.steps_per_epoch, config.train_cnn.epochs) == (steps, epochs)
