"""From the embedding to six logits: independent outputs, a softmax over classes, or two steps; and what each of them minimises."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ich_seq.config import TrainCnnConfig
from ich_seq.labels import ANY_INDEX, LABEL_NAMES, SUBTYPE_NAMES

Output = Literal["sigmoid", "softmax", "classes", "classes_none", "two_step"]
SEVERAL, NONE = len(SUBTYPE_NAMES), len(SUBTYPE_NAMES) + 1
"""The classes after the five subtypes: several of them at once, and no blood."""
_OUTPUTS = {"sigmoid": len(LABEL_NAMES), "softmax": len(LABEL_NAMES), "classes": SEVERAL + 1, "classes_none": NONE + 1}
_LEAST = 1e-7
"""A class counts for a label at least so much, and at most 1 less this, so that no probability is 0 or 1 by construction."""


class Head(nn.Module):
    """Six logits from an embedding; their sigmoids are the labels' probabilities, whatever the outputs mean.

    Softmax and classes: a label's probability is the sum over the classes of softmax times `membership`, the share of the class's
    slices that have the label. Two steps: `any` by itself, and P(subtype) = P(any) P(subtype | any). A head of independent outputs
    without dropout is an `nn.Linear` instead (`make_head`).
    """

    membership: Tensor

    def __init__(self, width: int, output: Output, dropout: float) -> None:
        super().__init__()
        self.output = output
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, _OUTPUTS.get(output, len(LABEL_NAMES)))
        if output in ("softmax", "classes", "classes_none"):
            self.register_buffer("membership", _membership(output))

    def outputs(self, embedding: Float[Tensor, "b d"]) -> Float[Tensor, "b o"]:
        """What the last layer itself gives, which the loss is of."""
        return self.linear(self.dropout(embedding))

    def forward(self, embedding: Float[Tensor, "b d"]) -> Float[Tensor, "b l"]:
        """Logits of the six labels."""
        found = self.outputs(embedding)
        if self.output == "sigmoid":
            return found
        return two_step_logits(found) if self.output == "two_step" else class_logits(found, self.membership)

    def learn_shares(self, labels: Float[Tensor, "s l"]) -> None:
        """Takes from the training slices how many of those with several subtypes have each of them; other heads have no need of it."""
        if self.output in ("classes", "classes_none"):
            several = labels[(labels[:, :ANY_INDEX].sum(dim=1) > 1)]
            if len(several):
                self.membership[:ANY_INDEX, SEVERAL] = several[:, :ANY_INDEX].mean(dim=0).to(self.membership)


def make_head(width: int, output: Output, dropout: float) -> nn.Module:
    """The head of these outputs; its parameters are `weight` and `bias` where they are independent and undropped."""
    return nn.Linear(width, len(LABEL_NAMES)) if output == "sigmoid" and not dropout else Head(width, output, dropout)


def class_logits(found: Float[Tensor, "b o"], membership: Float[Tensor, "l o"]) -> Float[Tensor, "b l"]:
    """log p / (1 - p) of each label, with p the sum of softmax times membership; exact where a softmax is nearly 0 or 1."""
    inside, outside = (share.clamp(_LEAST, 1 - _LEAST).log() for share in (membership, 1 - membership))
    every = found.float().unsqueeze(1)
    return (every + inside).logsumexp(dim=2) - (every + outside).logsumexp(dim=2)


def two_step_logits(found: Float[Tensor, "b l"]) -> Float[Tensor, "b l"]:
    """log p / (1 - p) with p = P(any) P(subtype | any) for subtypes: 1 - p = P(none) + P(any) P(not the subtype | any)."""
    found = found.float()
    any_logit, given = found[:, ANY_INDEX:], found[:, :ANY_INDEX]
    any_log = functional.logsigmoid(any_logit)
    absent = torch.logaddexp(functional.logsigmoid(-any_logit), any_log + functional.logsigmoid(-given))
    return torch.cat((any_log + functional.logsigmoid(given) - absent, any_logit), dim=1)


def classes_of(truth: Float[Tensor, "n l"]) -> Tensor:
    """The class of each slice: its subtype, SEVERAL where it has more than one, NONE where it has none."""
    subtypes = truth[:, :ANY_INDEX]
    count = subtypes.sum(dim=1)
    several_or_none = torch.where(count > 1, SEVERAL, NONE)
    return torch.where(count == 1, subtypes.argmax(dim=1), several_or_none)


def head_loss(
    head: Head, embedding: Float[Tensor, "n d"], truth: Float[Tensor, "n l"], settings: TrainCnnConfig
) -> Tensor:
    """What a head other than independent outputs minimises, a mean over the slices; `truth` is 0 or 1.

    Softmax: -sum of truth times log softmax, which is what Keras makes of several true labels (paper 003). Classes: cross-entropy.
    Two steps: cross-entropy of `any`, times its weight, plus that of the subtypes of the slices that have any, over all weights; with
    weight 1 it is the log likelihood of the factorised probabilities.
    """
    found, smoothing = head.outputs(embedding).float(), settings.label_smoothing
    if head.output == "softmax":
        return -(truth * functional.log_softmax(found, dim=1)).sum(dim=1).mean()
    if head.output in ("classes", "classes_none"):
        return functional.cross_entropy(found, classes_of(truth), label_smoothing=smoothing)
    drawn = truth * (1 - smoothing) + smoothing / 2
    every = functional.binary_cross_entropy_with_logits(found, drawn, reduction="none")
    if head.output == "two_step":
        every = torch.cat((every[:, :ANY_INDEX] * truth[:, ANY_INDEX:], every[:, ANY_INDEX:]), dim=1)
    return (every.mean(dim=0) * label_weights(settings.any_weight).to(every)).sum() / (ANY_INDEX + settings.any_weight)


def label_weights(any_weight: float) -> Float[Tensor, " l"]:
    """1 for each subtype, and the weight of `any`."""
    return torch.tensor([*[1.0] * ANY_INDEX, any_weight])


def _membership(output: Output) -> Float[Tensor, "l o"]:
    """Which labels a class has; of several subtypes at once two of five each, until training slices say better."""
    if output == "softmax":
        return torch.eye(len(LABEL_NAMES))
    found = torch.zeros(len(LABEL_NAMES), _OUTPUTS[output])
    found[:ANY_INDEX, :SEVERAL] = torch.eye(ANY_INDEX)
    found[:ANY_INDEX, SEVERAL] = 2 / ANY_INDEX
    found[ANY_INDEX, : SEVERAL + 1] = 1
    return found
