"""Small figures as data URIs of PNGs, drawn without a display."""

import base64
import io

from matplotlib.figure import Figure

INK, SOFT, ACCENT, WARM, GREEN = "#17212b", "#55616e", "#0067a8", "#c05000", "#2f7d32"


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, on white."""
    return Figure(figsize=(width, height), dpi=110, facecolor="white", layout="constrained")


def as_data_uri(figure: Figure) -> str:
    """The figure as a PNG inside a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
