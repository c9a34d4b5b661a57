"""The model card in Markdown: what a model is, what taught it, how its scores read, and what evaluations found."""

import re
from pathlib import Path

from ich_seq.calibration import Calibration
from ich_seq.errors import BundleError
from ich_seq.files import write_text
from ich_seq.labels import LABEL_NAMES, LABELS
from ich_seq.model.bundle import CARD_FILE, BundleInfo
from ich_seq.model.ensemble import EnsembleInfo, ModelInfo, read_model_info
from ich_seq.thresholds import BALANCED, SCAN, SENSITIVE_RULE, Thresholds

_SECTION = re.compile(r"<!-- evaluation (\S+) -->\n.*?<!-- end -->\n", re.DOTALL)

_RULES = {
    "sigmoid": "",
    "softmax": "\nStage one's six probabilities sum to 1, as its paper prints: labels that occur together compete.",
    "classes": "\nStage one tells classes of slices with blood apart (a subtype, or several) and gives `any` of every slice as 1.",
    "classes_none": "\nStage one tells classes apart: a subtype, several, none. P(any) = 1 - P(none), and\n"
    "P(subtype) = P(its class) + P(several) x the subtype's share of the training slices with several.",
    "two_step": "\nStage one has two steps: P(subtype) = P(any) x P(subtype | any), the latter learnt from slices with blood alone.",
}
"""What stage one's outputs mean where they are not six probabilities by themselves."""


def model_card(info: ModelInfo) -> str:
    """The card of a model that nobody has evaluated yet."""
    return _ensemble_card(info) if isinstance(info, EnsembleInfo) else _bundle_card(info)


def _bundle_card(info: BundleInfo) -> str:
    trained, rules = info.trained_on, _RULES[info.cnn.output]
    return f"""# Model card: {info.name}

{info.intended_use}

## What it is
A two-stage reader of head CT: {info.cnn.backbone} reads each slice ({info.preprocess.size} x {info.preprocess.size} pixels,
{info.preprocess.describe()} level/width), its {info.embedding_width}-d embedding is reduced to {info.reduced_width} by PCA, and a
bidirectional LSTM ({info.lstm.layers} x {info.lstm.hidden} units per direction) reads the scan from feet to head.
Output: the probabilities of {", ".join(info.labels)}, per slice; a scan's score is the maximum over its slices.{rules}

## What taught it
{trained.description}
{trained.patients} patients, {trained.scans} scans, {trained.slices} slices ({trained.dataset}).

{_chosen(info)}
Model digest: `{info.digest()}`.
Weights SHA-256: `{info.weights_sha256}`; written by ichseq {info.ichseq_version}.
"""


def _ensemble_card(info: EnsembleInfo) -> str:
    members = "\n".join(f"{number}. {describe_member(each)}" for number, each in enumerate(info.members, start=1))
    taught = "\n".join(
        f"- {each.description} {each.patients} patients, {each.scans} scans, {each.slices} slices ({each.dataset})."
        for each in dict.fromkeys(member.trained_on for member in info.members)
    )
    return f"""# Model card: {info.name}

{info.intended_use}

## What it is
An ensemble: each of its models reads every slice and the scan, and their probabilities are combined, stage by stage.
{describe_combination(info)}
Output: the probabilities of {", ".join(info.labels)}, per slice; a scan's score is the maximum over its slices.

{members}

## What taught its members
{taught}

## What chose it
{describe_choice(info)}

{_chosen(info)}
Model digest: `{info.digest()}`; written by ichseq {info.ichseq_version}.
"""


def _chosen(info: ModelInfo) -> str:
    """What validation patients say, as any model's card tells it."""
    losses = "\n".join(f"- {stage.replace('_', ' ')}: {loss:.4f}" for stage, loss in info.validation_loss.items())
    return f"""## Validation loss (weighted log loss, divisor 7)
{losses}

## Calibration
{describe_calibration(info.calibration)}

## Thresholds
{_thresholds(info.thresholds)}
"""


def describe_member(info: BundleInfo) -> str:
    """One model of an ensemble in a line."""
    size = info.preprocess.size
    return f"{info.name}: {info.cnn.backbone} on {size} x {size} pixels, {info.preprocess.describe()} (digest {info.digest()[:12]})"


def describe_combination(info: EnsembleInfo) -> str:
    """How probabilities are combined, with the weights of each label by stage two where they differ."""
    by, on = info.stage_two, "scans" if info.stage_two.chosen_on == "scan" else "slices"
    told = {
        "average": "Combined by their mean.",
        "vote": "Combined by a vote: a score is the share of the models at or above their own thresholds, the balanced ones of "
        f"validation {on}; a tie is 0.5.",
        "weighted": f"Combined by a mean weighted by each model's {by.metric} on validation {on}.",
        "fitted": f"Combined by a mean whose weights have the lowest log loss that was found on validation {on}.",
    }[by.method]
    if info.stage_two.method in ("average", "vote"):
        return told
    shares = zip(LABEL_NAMES, zip(*info.stage_two.weights, strict=True), strict=True)
    weights = "; ".join(f"{name} {', '.join(f'{share:.2f}' for share in row)}" for name, row in shares)
    return f"{told} Weights in the order of the models: {weights}."


def describe_choice(info: EnsembleInfo) -> str:
    """On whom the ensemble was chosen, and what a search found."""
    on, search = info.chosen_on, info.search
    text = f"{on.patients} validation patients, {on.scans} scans, {on.slices} slices ({on.dataset})."
    if not info.unseen:
        text += " SOME OF THEM TAUGHT A MEMBER, or may have: every figure on them is too good."
    if search is None:
        return text
    elsewhere = "unknown" if search.loss_elsewhere is None else f"{search.loss_elsewhere:.4f}"
    measure = "squared error of the shares" if info.stage_two.method == "vote" else "log loss"
    return (
        f"{text} The best of {search.subsets} subsets of {', '.join(search.tried)}: weighted {measure} by {search.level} "
        f"{search.loss:.4f}, of all together {search.loss_of_all:.4f}. Chance alone gives that advantage with p = "
        f"{search.p_value:.3f} (White's reality check, {search.rounds} resamples of patients). The best of many looks better than "
        "it is: chosen on nine tenths of the patients, thresholds and weights too, the best has a loss of "
        f"{elsewhere} on the last tenth."
    )


def card_to_write(folder: Path, info: ModelInfo) -> str:
    """The card of a model that is about to be written to `folder`; the one that lies there if it is this very model's.

    A model that is written again the same keeps what evaluations have added.
    """
    try:
        same = read_model_info(folder).digest() == info.digest()
        return (folder / CARD_FILE).read_text(encoding="utf-8") if same else model_card(info)
    except (BundleError, OSError, UnicodeDecodeError):
        return model_card(info)


def add_section(folder: Path, key: str, markdown: str) -> Path:
    """Puts an evaluation into the card of the model in `folder`, in place of one with the same key; returns the card's path.

    The key has no blanks.

    model.json (ensemble.json), whose digest names the model, stays as it is.

    Raises:
        BundleError: no model there.
        OutputError: the card cannot be written.
    """
    card = card_to_write(folder, read_model_info(folder))
    section = f"<!-- evaluation {key} -->\n{markdown.strip()}\n<!-- end -->\n"
    there = next((found for found in _SECTION.finditer(card) if found[1] == key), None)
    if there is None:
        card = f"{card.rstrip()}\n\n{section}"
    else:
        card = card[: there.start()] + section + card[there.end() :]
    write_text(folder / CARD_FILE, card)
    return folder / CARD_FILE


def describe_calibration(calibration: Calibration | None) -> str:
    """One or two sentences: how scores were calibrated, on whom, and which labels were not."""
    if calibration is None:
        return "Probabilities are not calibrated."
    text = (
        f"{calibration.method.capitalize()}, one curve a label for slices and another for scans, fitted on {calibration.patients} "
        f"validation patients ({calibration.scans} scans, {calibration.slices} slices)."
    )
    missing = [f"{label} ({reason})" for label, reason in calibration.uncalibrated().items()]
    return f"{text} Not calibrated: {', '.join(missing)}." if missing else text


def describe_thresholds(thresholds: Thresholds | None) -> list[str]:
    """A line for each label: the scan's score at which either rule says at or above, and the scans that chose it."""
    if thresholds is None:
        return ["no operating threshold has been chosen"]
    lines = []
    for label in LABELS:
        balanced = thresholds.find(SCAN, label.name, BALANCED)
        sensitive = thresholds.find(SCAN, label.name, SENSITIVE_RULE)
        if balanced is None or sensitive is None:
            lines.append(f"{label.name}: none, one class only among the validation scans")
        else:
            chosen_on = f"chosen on {balanced.positives} positive and {balanced.negatives} other scans"
            lines.append(f"{label.name}: balanced {balanced.score:.3f}, sensitive {sensitive.score:.3f}; {chosen_on}")
    return lines


def _thresholds(thresholds: Thresholds | None) -> str:
    if thresholds is None:
        return "No operating threshold has been chosen."
    lines = "\n".join(f"- {line}" for line in describe_thresholds(thresholds))
    return f"""On a scan's score by stage two, not calibrated; chosen on {thresholds.patients} validation patients. `balanced` has the
largest sum of sensitivity and specificity there, `sensitive` finds 95 % of the positives there. At or above, or below:
neither is a diagnosis.

{lines}"""
