"""The sequence network: PCA coordinates and stage-one probabilities of a scan in, six refined logits a slice out."""

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ich_seq.config import LstmConfig
from ich_seq.labels import LABELS

PROB_EPS = 1e-6
"""Stage one's probabilities are held this far from 0 and 1 before their logit is taken."""


class SequenceNet(nn.Module):
    """Bidirectional LSTM over a scan; its output joined with the stage-one probabilities feeds one linear layer.

    `blend` is stage two's share in each label's final logit, 1 unless it was fitted; the rest is stage one's logit.

    Source: Burduja et al. 2020, Sensors 20:5611: 120 + 6 inputs, 3 x 256 units per direction, 512 + 6 into the last layer.
    """

    blend: Float32[Tensor, " l"]

    def __init__(self, reduced_width: int, config: LstmConfig) -> None:
        super().__init__()
        self.deltas, self.position = config.deltas, config.position
        self.lstm = nn.LSTM(
            input_width(reduced_width, config),
            config.hidden,
            config.layers,
            batch_first=True,
            bidirectional=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(2 * config.hidden + len(LABELS), len(LABELS))
        self.register_buffer("blend", torch.ones(len(LABELS)))

    def forward(
        self, reduced: Float[Tensor, "b s k"], prob: Float[Tensor, "b s l"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b s l"]:
        """Refined logits, feet to head; rows past a scan's length mean nothing.

        Scans are packed by length, so padding reaches neither direction and a scan's result does not depend on its batch.

        Args:
            reduced: PCA coordinates, padded at the end.
            prob: stage one's probabilities, padded alike.
            lengths: slices of each scan, at least 1, on the CPU.
        """
        packed = pack_padded_sequence(
            self._inputs(reduced, prob, lengths), lengths, batch_first=True, enforce_sorted=False
        )
        output, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=reduced.shape[1])
        return self._refined(output, prob)

    def refine_one(self, reduced: Float32[Tensor, "s k"], prob: Float32[Tensor, "s l"]) -> Float32[Tensor, "s l"]:
        """Refined logits of one scan: `forward` without packing, which one scan does not need and an exported graph cannot hold."""
        one_scan, probs = reduced.unsqueeze(0), prob.unsqueeze(0)
        lengths = torch.full((1,), reduced.shape[0], dtype=torch.int64)
        return self._refined(self.lstm(self._inputs(one_scan, probs, lengths))[0], probs)[0]

    def _refined(self, output: Float[Tensor, "b s h"], prob: Float[Tensor, "b s l"]) -> Float[Tensor, "b s l"]:
        refined = self.head(self.dropout(torch.cat((output, prob), dim=-1)))
        return self.blend * refined + (1 - self.blend) * torch.logit(prob, eps=PROB_EPS)

    def _inputs(
        self, reduced: Float[Tensor, "b s k"], prob: Float[Tensor, "b s l"], lengths: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b s w"]:
        """What the LSTM reads of each slice; at a scan's ends, where there is no neighbour, a delta is 0."""
        parts = [reduced, prob]
        index = torch.arange(reduced.shape[1], device=reduced.device)[None, :]
        last = (lengths.to(reduced.device) - 1)[:, None]
        if self.deltas:
            step = torch.diff(reduced, dim=1) * (index[:, 1:] <= last)[..., None]
            nothing = torch.zeros_like(reduced[:, :1])
            parts += [torch.cat((nothing, step), dim=1), torch.cat((-step, nothing), dim=1)]
        if self.position:
            parts.append((index / last.clamp(min=1)).clamp(max=1.0)[..., None].to(reduced.dtype))
        return torch.cat(parts, dim=-1)


def input_width(reduced_width: int, config: LstmConfig) -> int:
    """How many numbers the LSTM reads of each slice."""
    return reduced_width * (3 if config.deltas else 1) + len(LABELS) + (1 if config.position else 0)


def reduced_width_of(inputs: int, config: LstmConfig) -> int:
    """The inverse of `input_width`."""
    return (inputs - len(LABELS) - (1 if config.position else 0)) // (3 if config.deltas else 1)
