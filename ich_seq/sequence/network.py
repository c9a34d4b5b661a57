"""The sequence network: PCA coordinates and stage-one probabilities of a scan in, six refined logits a slice out."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ich_seq.config import LstmConfig
from ich_seq.labels import LABELS


class SequenceNet(nn.Module):
    """Bidirectional LSTM over a scan; its output joined with the stage-one probabilities feeds one linear layer.

    Source: Burduja et al. 2020, Sensors 20:5611: 120 + 6 inputs, 3 x 256 units per direction, 512 + 6 into the last layer.
    """

    def __init__(self, reduced_width: int, config: LstmConfig) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            reduced_width + len(LABELS),
            config.hidden,
            config.layers,
            batch_first=True,
            bidirectional=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(2 * config.hidden + len(LABELS), len(LABELS))

    def forward(
        self, reduced: Float32[Tensor, "b s k"], prob: Float32[Tensor, "b s l"], lengths: Int64[Tensor, " b"]
    ) -> Float32[Tensor, "b s l"]:
        """Refined logits, feet to head; rows past a scan's length mean nothing.

        Scans are packed by length, so padding reaches neither direction and a scan's result does not depend on its batch.

        Args:
            reduced: PCA coordinates, padded at the end.
            prob: stage one's probabilities, padded alike.
            lengths: slices of each scan, at least 1, on the CPU.
        """
        packed = pack_padded_sequence(
            torch.cat((reduced, prob), dim=-1), lengths, batch_first=True, enforce_sorted=False
        )
        output, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=reduced.shape[1])
        return self.head(self.dropout(torch.cat((output, prob), dim=-1)))
