"""A paper's config at the scale of a table: its own method, on the patients, at the size and with the slice visits of all rows."""

from ich_seq.config.sections import Config

FOR_ALL = ("seed", "split", "features", "lstm", "train_lstm", "calibration")
"""What every row takes from the table's config as it stands."""
OF_TRAINING = (
    *("batch_size", "schedule", "warmup_fraction", "decay_fraction", "floor_fraction", "ema_decay"),
    *("checkpoint_every_s", "keep_tiles_in_memory", "workers"),
)
"""And of its `train_cnn`: what belongs to so many slice visits, and how they are read."""


def at_scale(paper: Config, table: Config, slices: int) -> Config:
    """What a row of the table trains: the paper's config with what `table`, a config too, says for all rows.

    For all rows alike: patients, size, weights, stage two, and the slices that stage one visits: how many, how many a step, along
    which schedule of the rate and with which average of the weights, in as many epochs as that takes, of which the best on
    validation patients is kept. The paper's own: windows, neighbours, trunk, head, outputs, loss, sampling, augmentation, optimiser
    and its rate. Three of its choices belong to what is not there at this scale: a rate that is meant for pretrained weights rises to
    the table's where weights are random instead; cutting to so many pixels becomes shrinking, since of another matrix it would cut
    off the head; and shrinking by more than the paper does is antialiased where the table's config says so. `slices` are the
    training slices that its sampling leaves.

    Raises:
        ValueError: fewer training slices than one batch.
        pydantic.ValidationError: the paper's method does not go with the table's size.
    """
    training = paper.train_cnn
    steps, epochs = _steps(table.train_cnn.batch_size, visits(table), slices)
    from_random = paper.cnn.weights != "none" and table.cnn.weights == "none"
    least = table.train_cnn.learning_rate if from_random else 0.0
    content = paper.model_dump(mode="json") | table.model_dump(mode="json", include=set(FOR_ALL))
    content["about"] = (
        f"{paper.about}\nHere at the scale of a table of several papers' methods, {table.name}: {table.about}"
    )
    content["preprocess"]["size"] = table.preprocess.size
    if paper.preprocess.resize == "pad_or_crop" and paper.preprocess.size != table.preprocess.size:
        content["preprocess"]["resize"] = "bilinear"
    shrunken = (
        table.preprocess.size < paper.preprocess.size and content["preprocess"].get("resize", "bilinear") == "bilinear"
    )
    if shrunken and table.preprocess.antialias:
        content["preprocess"]["antialias"] = True
    if from_random:
        content["cnn"]["weights"] = "none"
    content["train_cnn"] |= {
        "epochs": epochs,
        "patience": epochs,
        "steps_per_epoch": steps,
        "learning_rate": max(training.learning_rate, least),
        **table.train_cnn.model_dump(include=set(OF_TRAINING)),
    }
    return Config.model_validate(content)


def visits(config: Config) -> int:
    """Slices that stage one reads in training, counted as often as they are read; of a config that says its steps."""
    training = config.train_cnn
    return training.epochs * training.steps_per_epoch * training.batch_size


def _steps(batch: int, wanted: int, slices: int) -> tuple[int, int]:
    """Steps an epoch and epochs, so that whole batches make nearly so many visits and no epoch reads a slice twice."""
    if slices < batch:
        raise ValueError(f"{slices} training slices make no batch of {batch}")
    epochs = -(-wanted // (slices // batch * batch))
    return max(1, round(wanted / (epochs * batch))), epochs
