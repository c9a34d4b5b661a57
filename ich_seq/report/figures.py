"""Small figures as data URIs of PNGs, drawn without a display."""

import base64
import io

from matplotlib.figure import Figure

from ich_seq.labels import LABEL_NAMES

INK, SOFT, ACCENT, WARM, GREEN = "#17212b", "#55616e", "#0067a8", "#c05000", "#2f7d32"
_OF_LABELS = (WARM, ACCENT, "#007a5a", "#a8487f", "#8a6a00", INK)  # as in study.css
LABEL_COLOURS = dict(zip(LABEL_NAMES, _OF_LABELS, strict=True))


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, on white."""
    return Figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG: the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def as_data_uri(figure: Figure) -> str:
    """The figure as a PNG inside a data URI."""
    return "data:image/png;base64," + base64.b64encode(as_png(figure)).decode()
