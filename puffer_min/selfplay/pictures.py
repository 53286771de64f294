"""The arena's pictures: payoffs as a heat map, ratings as a ladder. `figure.alt` says in words what is seen.

They need matplotlib, which is imported when the first one is drawn.
"""

import io

import numpy as np


def figure_of(width, height):
    """A matplotlib figure outside pyplot, in inches, which a notebook shows as PNG, and its axes.

    Raises ImportError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib, which is not installed: "
                          "pip install matplotlib") from error
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    figure._repr_png_ = lambda: (png_of(figure), {"alt": figure.alt})       # JupyterLab and nbconvert show it
    return figure, figure.subplots()


def png_of(figure) -> bytes:
    """The figure as PNG, with its words as the Description."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Description": figure.alt})
    return file.getvalue()


def short(name):
    """The end of a name, as long as it fits beside a picture."""
    return name if len(name) <= 26 else f"\N{HORIZONTAL ELLIPSIS}{name[-25:]}"


def heat_map(standings):
    """Share that each row's player won against each column's, the best first; purple is above a half."""
    order = standings.ranking()
    names, payoff = [standings.names[i] for i in order], standings.payoff[np.ix_(order, order)]
    n = len(names)
    figure, axes = figure_of(3.6 + 0.42 * n, 2.6 + 0.42 * n)
    image = axes.imshow(payoff, cmap="PuOr", vmin=0, vmax=1)
    axes.set_xticks(range(n), map(short, names), rotation=90)
    axes.set_yticks(range(n), map(short, names))
    axes.set(xlabel="against", title="Share of games won, draws half")
    if n <= 12:
        for i, j in zip(*np.nonzero(~np.isnan(payoff)), strict=True):
            dark = abs(payoff[i, j] - 0.5) > 0.35
            axes.text(j, i, f"{payoff[i, j]:.2f}", ha="center", va="center", fontsize=8,
                      color="white" if dark else "black")
    figure.colorbar(image, ax=axes, shrink=0.8)
    rows = [f"{name} won {np.nanmean(row):.2f} of its games" for name, row in zip(names, payoff, strict=True)]
    figure.alt = (f"Heat map of the share of games that each of {n} players of {standings.env_name} won "
                  f"against each other: {'; '.join(rows)}.")
    return figure


def ladder(standings):
    """Elo of each player with its 95 % interval, the best on top."""
    order = standings.ranking()[::-1]
    names, elo = [standings.names[i] for i in order], standings.elo[order]
    figure, axes = figure_of(6.4, 1.2 + 0.28 * len(names))
    spread = np.abs(np.stack([standings.elo_low[order], standings.elo_high[order]]) - elo)
    axes.errorbar(elo, range(len(names)), xerr=spread, fmt="o", color="#0072B2", capsize=3)
    axes.set_yticks(range(len(names)), map(short, names))
    axes.grid(axis="x", color="#E3E6EA")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(xlabel="Elo, mean 0, with 95 % intervals", title=f"Ladder of {standings.env_name}")
    if standings.cycle:
        axes.set_title(f"{' beats '.join([*standings.cycle, standings.cycle[0]])}: no Elo can say this",
                       fontsize=9, color="#D55E00")
    places = [f"{name} {rating:.0f}" for name, rating in zip(names[::-1], elo[::-1], strict=True)]
    warning = f" Warning: {standings.warning}." if standings.warning else ""
    figure.alt = (f"Ladder of {len(names)} players of {standings.env_name} by Elo, the best first: "
                  f"{', '.join(places)}.{warning}")
    return figure
