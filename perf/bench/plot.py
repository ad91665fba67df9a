"""Answered against offered, as an SVG that reads on light and dark pages alike."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 30, 55
# Tones in the middle: enough contrast on white and on black.
INK, GRID = "#808080", "#80808040"
COLOURS = ("#2f7fd6", "#d9772b", "#2a9d57", "#c0507f", "#8a63c9", "#8f8f2b")
TICKS_WANTED = 6


def _step(maximum: float) -> float:
    """A round distance between ticks: 1, 2 or 5 times a power of ten."""
    rough = maximum / TICKS_WANTED
    power = 10 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def draw(title: str, series: dict[str, list[tuple[float, float]]]) -> str:
    """Lines of (offered, answered) a second, one for each server."""
    points = [point for line in series.values() for point in line]
    x_max = max(x for x, _ in points)
    y_max = max(y for _, y in points) * 1.08
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / x_max * plot_width, TOP + plot_height - y / y_max * plot_height

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f"<title>{escape(title)}</title>",
        f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>',
    ]
    parts += _axis(x_max, lambda value: place(value, 0), vertical=False)
    parts += _axis(y_max, lambda value: place(0, value), vertical=True)
    diagonal = min(x_max, y_max)
    (x1, y1), (x2, y2) = place(0, 0), place(diagonal, diagonal)
    parts.append(
        f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{INK}" stroke-dasharray="4 4" fill="none"/>'
    )
    for index, (name, line) in enumerate(series.items()):
        parts += _line(index, name, [place(x, y) for x, y in sorted(line)])
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _axis(maximum: float, place, *, vertical: bool) -> list[str]:
    parts, step = [], _step(maximum)
    for tick in range(int(maximum / step) + 1):
        x, y = place(tick * step)
        label = f"{tick * step / 1000:g}"
        if vertical:
            parts.append(f'<path d="M{x:.1f} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
            parts.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        else:
            parts.append(f'<path d="M{x:.1f} {y:.1f}V{TOP}" stroke="{GRID}"/>')
            parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{label}</text>')
    middle_x, middle_y = LEFT + (WIDTH - LEFT - RIGHT) / 2, TOP + (HEIGHT - TOP - BOTTOM) / 2
    if vertical:
        parts.append(
            f'<text transform="translate(18 {middle_y:.0f}) rotate(-90)" text-anchor="middle">'
            "answered (thousand a second)</text>"
        )
    else:
        parts.append(
            f'<text x="{middle_x:.0f}" y="{HEIGHT - 14}" text-anchor="middle">'
            "offered (thousand a second)</text>"
        )
    return parts


def _line(index: int, name: str, places: list[tuple[float, float]]) -> list[str]:
    colour = COLOURS[index % len(COLOURS)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    y = TOP + 10 + index * 20
    x = WIDTH - RIGHT + 16
    return [
        f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>',
        *(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.5" fill="{colour}"/>' for px, py in places),
        f'<path d="M{x} {y}h18" stroke="{colour}" stroke-width="3"/>',
        f'<text x="{x + 24}" y="{y + 4}">{escape(name)}</text>',
    ]
