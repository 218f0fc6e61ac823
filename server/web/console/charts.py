"""Pictures of numbers as SVG, drawn here: they need no script and say their numbers as text too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup, escape

WIDTH, HEIGHT = 120, 28
#: A bar that stands for something is never thinner than this.
LEAST: Final = 2.0
AXIS: Final = f'<line class="axis" x1="0" y1="{HEIGHT - 0.5}" x2="{WIDTH}" y2="{HEIGHT - 0.5}"/>'


def bars(values: Sequence[float], label: str, *, css: str = "") -> Markup:
    """A bar for each value, oldest first; the highest is as high as the picture."""
    most = max(values, default=0) or 1
    step = WIDTH / max(1, len(values))
    drawn = "".join(
        f'<rect x="{place * step + 0.5:.1f}" y="{HEIGHT - height:.1f}" '
        f'width="{max(step - 1, 1):.1f}" height="{height:.1f}"/>'
        for place, value in enumerate(values)
        if (height := max(LEAST, value / most * HEIGHT) if value > 0 else 0.0)
    )
    return _picture(AXIS + drawn, label, f"bars {css}".strip())


def line(values: Sequence[float], label: str) -> Markup:
    """A line through the values, oldest first, on the ground of zero."""
    most = max(values, default=0) or 1
    step = WIDTH / max(1, len(values) - 1)
    points = " ".join(
        f"{place * step:.1f},{HEIGHT - 1 - value / most * (HEIGHT - 2):.1f}"
        for place, value in enumerate(values)
    )
    return _picture(f'{AXIS}<polyline points="{points}"/>', label, "line")


def gauge(used: int, limit: int, label: str) -> Markup:
    """How much of a limit is used: full is red, nearly full is amber."""
    share = min(1.0, used / limit) if limit > 0 else 1.0
    state = "full" if share >= 1 else "high" if share >= 0.8 else "fine"  # noqa: PLR2004
    filled = max(share * WIDTH, 10 if used else 0)
    drawn = (
        f'<rect class="track" width="{WIDTH}" height="10" rx="5"/>'
        f'<rect class="fill" width="{filled:.1f}" height="10" rx="5"/>'
    )
    return _picture(drawn, label, f"gauge {state}", height=10)


def _picture(drawn: str, label: str, css: str, *, height: int = HEIGHT) -> Markup:
    return Markup(  # noqa: S704  numbers of ours, and a label that is escaped
        f'<svg class="chart {css}" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{drawn}</svg>'
    )
