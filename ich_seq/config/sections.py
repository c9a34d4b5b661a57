"""One experiment as a TOML file: every choice that changes a number, with a sentence under each field.

An unknown key is refused, so a misspelt one cannot be ignored; a default stands here and nowhere else.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ich_seq.config.base import Fraction, Positive, PositiveFloat, Section, later
from ich_seq.config.preprocess import PreprocessConfig


class CnnConfig(Section):
    """The slice classifier."""

    backbone: str = "resnext101_32x8d"
    """A torchvision network by its name (`ich_seq.slices.backbones` lists them), `kumar2021_cnn` or `lussier_cnn` (the small networks
    of papers 002 and 003), or `resnext14_8x4d`, the demo's (also with 2,048-d embeddings)."""
    weights: str = "imagenet"
    """`imagenet` (torchvision's own weights, BSD licence), `none` (random), or the path of a state dict saved as safetensors."""
    dense: Annotated[int, Field(ge=0, le=65_536)] = later(0)
    """Above 0, a dense layer of so many units (ReLU) between pooling and outputs, whose values are the embedding (paper 004: 128)."""
    head_dropout: Annotated[float, Field(ge=0, lt=1)] = later(0.0)
    """Before that dense layer, or before the outputs where there is none (paper 004: .125)."""
    output: Literal["sigmoid", "softmax", "classes", "classes_none", "two_step"] = later("sigmoid")
    """`sigmoid`: six probabilities by themselves. `softmax`: six that sum to 1, with categorical cross-entropy (paper 003, printed).
    `classes`: one of the five subtypes or several, softmax, for slices with blood alone (paper 002, as printed); `classes_none` has
    a seventh class without. `two_step`: any blood, and each subtype given blood, multiplied (paper 000 proposes it)."""


class AugmentConfig(Section):
    """Random changes of windowed tiles, before normalising. Source: the published recipe names the kinds, not the sizes."""

    flip_probability: Fraction = 0.5
    """Chance of a left-right flip."""
    vertical_flip_probability: Fraction = later(0.0)
    """Chance of a top-bottom flip (paper 004, optimised)."""
    shift_fraction: Fraction = 0.05
    """Largest shift along each axis, as a fraction of the tile."""
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Largest rotation, either way."""
    scale_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Largest change of size: a factor between 1 - x and 1 + x."""
    brightness: Fraction = 0.05
    """Largest value added to a windowed tile, which lies in [0, 1]."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Largest change of contrast about 0.5: a factor between 1 - x and 1 + x."""


class FitConfig(Section):
    """How the learning rate runs and when a fit stops; the same for both stages."""

    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` rises over `warmup_fraction` of all steps and falls to `floor_fraction` at `decay_fraction` of them."""
    warmup_fraction: Fraction = 0.0
    """Share of all steps over which a cosine schedule rises."""
    decay_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of all steps after which a cosine schedule has come to its floor."""
    floor_fraction: Fraction = 0.0
    """Where a cosine schedule ends, as a share of the peak rate; above 0, learning goes on until `patience` ends it."""
    least_improvement: Fraction = 0.0
    """Against `patience` only a fall by this share counts, seen from where it last counted; small falls add up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled (AdamW); 0 makes it Adam, as published."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Above 0, gradients longer than this (their norm over all weights) are shortened to it."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Above 0, an exponential moving average of the weights is validated and kept: each step it keeps this share of itself, early
    steps less (the ramp (1 + n) / (10 + n) of TensorFlow's). 0: the last step's weights, as published."""


class TrainCnnConfig(FitConfig):
    """How the slice classifier is fitted."""

    epochs: Positive = 3
    """Passes over the training slices; the published recipe has three."""
    patience: Positive = 3
    """Stop when the validation loss has not fallen for this many epochs; the best epoch's weights are kept."""
    batch_size: Positive = 32
    """Slices a step."""
    micro_batch: Annotated[int, Field(ge=0)] = 0
    """Slices that go through the network at once; their gradients are summed to those of `batch_size`. 0: all at once."""
    loss: Literal["competition", "class_balanced"] = "competition"
    """`competition`: binary cross-entropy with the metric's weights. `class_balanced`: besides, positives and negatives of each label
    weigh by the inverse of their effective number (Cui et al. 2019, 10.1109/CVPR.2019.00949)."""
    any_weight: PositiveFloat = later(2.0)
    """Of `any` in the training loss, against 1 of each subtype: 2 as in the metric, 1 in papers 000 and 004, 5 in 004 optimised."""
    sampling: Literal["all", "balanced", "positives"] = later("all")
    """`balanced` under-samples: of each batch at least `subtype_share` have each subtype and the rest are negative (paper 000).
    `positives` leaves slices without blood out of training and validation (paper 002, as printed)."""
    subtype_share: Annotated[float, Field(gt=0, lt=0.2)] = later(0.125)
    """Of a balanced batch, drawn for each of the five subtypes: 16 of 128 in paper 000, which leaves 48 negative slices."""
    steps_per_epoch: Annotated[int, Field(ge=0)] = later(0)
    """Steps after which an epoch ends, if its slices have not ended before; 0: as many as all slices make. Paper 000: 40 to 80."""
    optimizer: Literal["adam", "adadelta"] = later("adam")
    """`adadelta`: with rho .95 and epsilon 1e-7, as in Keras (paper 003); its `weight_decay` is not decoupled."""
    balance_beta: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Of the class-balanced loss: 0 weighs all alike, towards 1 it weighs by inverse frequency."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Truth is drawn towards one half by this share; off by default."""
    learning_rate: PositiveFloat = 1e-5
    """Peak rate; the published recipe has 1e-5 for Adam from pretrained weights."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 where the processor computes it natively, fp32 elsewhere; master weights are fp32 in both."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Processes that read DICOM ahead of the training step."""
    freeze_batch_norm: bool = False
    """Batch-norm layers keep the statistics of the initial weights: for batches of few slices, and from pretrained weights only."""
    keep_tiles_in_memory: bool = False
    """Window and shrink each slice once and keep it as float16; for cohorts that fit (55 kB a slice at 96 px)."""
    checkpoint_every_s: PositiveFloat = 300.0
    """Seconds between checkpoints inside an epoch; each epoch's end is saved anyway. Does not change the result."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of the training tiles."""


class FeaturesConfig(Section):
    """What stage one hands to stage two."""

    pca_components: Positive = 120
    """Dimensions kept of each embedding; published: 120 of 2,048."""
    pca_slices: Positive = 32_000
    """So many training slices fit the PCA, or all there are: whole training series in a seeded random order until it is enough."""
    batch_size: Positive = 32
    """Slices a step of the extraction."""
    precision: Literal["auto", "fp32", "bf16"] = later("auto")
    """Of stage one's trunk: `auto` is bf16 with batch norm folded on a GPU that multiplies it, and fp32 on a processor. A cache holds
    embeddings of one precision. `ichseq extract-features --precision` overrules it."""


class LstmConfig(Section):
    """The sequence network. Source of the defaults: Burduja et al. 2020."""

    hidden: Annotated[int, Field(gt=0, le=2048)] = 256
    """Units per direction."""
    layers: Annotated[int, Field(gt=0, le=8)] = 3
    """Stacked bidirectional layers."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Between the layers."""
    head_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Before the last linear layer."""
    deltas: bool = False
    """Whether a slice's PCA coordinates minus those of the slice below and above are inputs too (second place of the challenge)."""
    position: bool = False
    """Whether the slice's relative position in the scan, 0 at the feet and 1 at the head, is an input too."""


class TrainLstmConfig(FitConfig):
    """How the sequence network is fitted."""

    patients: Literal["reserved", "all"] = "reserved"
    """`reserved`: stage two learns only from patients that stage one never saw, so the probabilities that it reads are as uncertain as
    they will be in use. `all`: both stages learn from all training patients, the published way, which feeds it in-sample,
    optimistic probabilities."""
    epochs: Positive = 5
    """Passes over the training scans; published: 5."""
    patience: Positive = 5
    """Stop when the validation loss has not fallen for this many epochs; the best epoch's weights are kept."""
    batch_size: Positive = 1
    """Scans a step; published: 1. A scan's result does not depend on its batch."""
    learning_rate: PositiveFloat = 3e-5
    """Peak rate of Adam; published: 3e-5."""
    reverse_probability: Fraction = 0.0
    """Chance that a training scan is read head to feet; published: never."""
    thin_probability: Fraction = 0.0
    """Chance that of a training scan only every second slice is read, as if it had been scanned in thicker steps; published: never."""
    seeds: Positive = 1
    """So many networks are fitted, each from its own seed; the one with the lowest validation loss is kept, and the spread is told. Of
    the kept one that loss is then a little too good; the mean over the seeds is not."""
    blend: Literal["none", "validation"] = "none"
    """`validation`: each label's final score is a mean of both stages' logits, with the share that has the lowest log loss on the
    validation patients; it protects labels of which stage two saw too few. `none`: stage two alone, as published."""


CalibrationMethod = Literal["none", "temperature", "isotonic"]


class CalibrationConfig(Section):
    """How stage two's scores become probabilities; fitted on the validation patients when the model is written."""

    method: CalibrationMethod = "none"
    """`temperature`: one factor on the logit of each label, for slices and for scans; it needs few patients. `isotonic`: any rising
    curve; it needs some hundred positives. `none`: scores as they are, as published."""


class SplitConfig(Section):
    """Shares of the patients; every patient is on one side only."""

    stage_one: Fraction = 0.6
    """Patients that fit the slice classifier."""
    stage_two: Fraction = 0.2
    """Patients that only stage two learns from; with `patients = "all"` they train both stages."""
    validation: Fraction = 0.1
    """Patients on whom epochs are chosen."""
    test: Fraction = 0.1
    """Patients held out for the evaluation."""
    seed: int = 0
    """Enters the digest that orders the patients."""
    folds: Annotated[int, Field(ge=0)] = 0
    """2 or more: patients are dealt out to so many folds, fold `fold` is held out as test, and the others are divided by the shares of
    stage_one, stage_two and validation; `test` is not used. 0: no folds."""
    fold: Annotated[int, Field(ge=0)] = 0
    """Which fold is held out, from 0."""
    first_series: Annotated[int, Field(ge=0)] = 0
    """Above 0: LEAKS PATIENTS, for comparison with published numbers only. The first so many series train (published: 21,000 in an
    order that is lost; here in order of SeriesInstanceUID), the others are validation and test in turn."""

    @model_validator(mode="after")
    def _fold_of_folds(self) -> "SplitConfig":
        if self.folds == 1 or self.fold >= max(self.folds, 1):
            raise ValueError(
                f"folds must be 0 or at least 2 and fold below it, got folds {self.folds}, fold {self.fold}"
            )
        if self.folds and self.first_series:
            raise ValueError("folds and first_series exclude each other")
        return self

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "SplitConfig":
        total = self.stage_one + self.stage_two + self.validation + self.test
        if abs(total - 1) > 1e-9:  # decimal shares such as 0.1 are not exact in binary
            raise ValueError(f"stage_one, stage_two, validation and test must sum to 1, got {total:g}")
        return self


class Config(Section):
    """One experiment."""

    name: str
    """A short name; it appears in results."""
    about: str
    """What this experiment is, where it comes from, and why it differs from its source."""
    seed: int = 0
    """Decides initial weights, order of slices, augmentation and dropout."""
    split: SplitConfig = SplitConfig()
    """Who trains, who validates, who is held out."""
    preprocess: PreprocessConfig = PreprocessConfig()
    """HU to network input; shipped inside the model."""
    cnn: CnnConfig = CnnConfig()
    """Stage one's network."""
    train_cnn: TrainCnnConfig = TrainCnnConfig()
    """Stage one's training."""
    features: FeaturesConfig = FeaturesConfig()
    """Embeddings and PCA."""
    lstm: LstmConfig = LstmConfig()
    """Stage two's network."""
    train_lstm: TrainLstmConfig = TrainLstmConfig()
    """Stage two's training."""
    calibration: CalibrationConfig = CalibrationConfig()
    """From scores to probabilities."""
    cohort: dict[str, Any] = Field(default_factory=dict)
    """The synthetic cohort that `ichseq demo` makes first: fields of `ich_seq.phantom.CohortSpec`, checked there."""

    @model_validator(mode="after")
    def _outputs_fit_the_training(self) -> "Config":
        output, training = self.cnn.output, self.train_cnn
        if training.loss == "class_balanced" and output != "sigmoid":
            raise ValueError(f'train_cnn.loss = "class_balanced" goes with cnn.output = "sigmoid", not with "{output}"')
        if (output == "classes") != (training.sampling == "positives"):
            raise ValueError('cnn.output = "classes" and train_cnn.sampling = "positives" go together')
        if training.label_smoothing and output == "softmax":
            raise ValueError('train_cnn.label_smoothing does not go with cnn.output = "softmax"')
        if training.sampling == "positives" and self.preprocess.adjacent_slices:
            raise ValueError(
                'train_cnn.sampling = "positives" leaves out the neighbours that preprocess.adjacent_slices reads'
            )
        if training.sampling == "balanced" and training.batch_size < 6:
            raise ValueError(
                f'train_cnn.sampling = "balanced" needs a batch_size of 6 or more, got {training.batch_size}'
            )
        return self
