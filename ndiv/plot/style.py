"""How every plot looks: two themes, colours that stay apart for readers with colour-vision deficiency, quiet axes.

Contract: a colour never stands alone, for each model also has its own line style and marker, so that a plot can be read in
grey; legends lie outside the panels; matplotlib is imported inside the functions, pyplot never, and saving needs no display.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndiv.data._extras import need
from ndiv.errors import ConfigError, FileError, closest

__all__ = ["MARKERS", "STYLES", "THEMES", "Theme", "begin", "caption", "check_path", "dress", "finish", "new_figure",
           "theme_of"]

STYLES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True)
class Theme:
    """Colours: ``paper`` behind, ``ink`` of text and of what happened, ``grey`` of the past and of numbers, ``rule`` of lines
    that guide the eye, ``colours`` of the models, in order."""

    paper: str
    ink: str
    grey: str
    rule: str
    colours: tuple[str, ...]


# Okabe and Ito's; on dark paper the same hues, lighter
THEMES = {
    "light": Theme("#FFFFFF", "#222222", "#6E6E6E", "#D9D9D9",
                   ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")),
    "dark": Theme("#16191D", "#ECECEC", "#A3A8AE", "#3A4047",
                  ("#5AB4F0", "#FF8A3D", "#2EC79A", "#E89BC6", "#F2C14E", "#9AD6F7")),
}


def theme_of(name: str) -> Theme:
    """The theme of that name; `ConfigError` (E0010) for another.

    >>> theme_of("dark").paper
    '#16191D'
    """
    if name not in THEMES:
        raise ConfigError(f"unknown theme {name!r}", value=name, hint=closest(name, THEMES))
    return THEMES[name]


def check_path(path: Any) -> None:
    """Refuse a path that no plot can be written to: `ConfigError` (E0010) for its suffix, `FileError` (E0006)."""
    need("matplotlib", extra="plot")
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = sorted(FigureCanvasBase.get_supported_filetypes())
    if Path(path).suffix.lstrip(".").lower() not in kinds:
        raise ConfigError(f"unknown kind of picture {str(path)!r}", value=str(path), hint=f"Valid: {', '.join(kinds)}.")
    if not Path(path).resolve().parent.is_dir():
        raise FileError(f"the folder of {path} does not exist", value=str(path), hint="Create it first.")


def begin(theme: str, path: Any) -> Theme:
    """The theme, once it is sure that there is a matplotlib and that the path can be written to."""
    need("matplotlib", extra="plot")
    if path is not None:
        check_path(path)
    return theme_of(theme)


def new_figure(width: float, height: float, theme: Theme) -> Any:
    """An empty figure, in inches, that no display is needed for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)  # drawing to memory: works without a display and leaves pyplot alone
    return figure


def dress(ax: Any, theme: Theme, dates: bool | None = False, x_label: str = "", y_label: str = "", title: str = "") -> None:
    """Axes without chart junk: two thin spines, light horizontal rules, short dates; ``dates`` None leaves the ticks of x."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    ax.set_facecolor(theme.paper)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(theme.rule)
    ax.tick_params(colors=theme.grey, labelsize=9, length=3)
    ax.grid(axis="y", color=theme.rule, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.margins(x=0.01, y=0.06)
    ax.set_xlabel(x_label, fontsize=10, color=theme.ink)
    ax.set_ylabel(y_label, fontsize=10, color=theme.ink)
    if title:
        ax.set_title(title, loc="left", fontsize=10, color=theme.ink)
    if dates:
        locator = AutoDateLocator(minticks=4, maxticks=9)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        ax.xaxis.get_offset_text().set_color(theme.grey)
    elif dates is not None:
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.get_offset_text().set_color(theme.grey)


def caption(figure: Any, theme: Theme, title: str | None, axes: Any = (), ncols: int = 6) -> None:
    """The title, and a legend of everything labelled in the axes, below the panels, where it cannot cover a line."""
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=theme.ink)
    entries = {label: handle for ax in reversed(list(axes))
               for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if entries:
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(len(entries), ncols),
                      frameon=False, fontsize=9.5, handlelength=2.8, labelcolor=theme.ink)


def finish(figure: Any, path: Any) -> Any:
    """The figure, written to ``path`` unless that is None; `FileError` (E0006)."""
    if path is not None:
        try:
            figure.savefig(path, dpi=150, facecolor=figure.get_facecolor())
        except OSError as error:
            raise FileError(f"{path} could not be written: {error.strerror or error}", value=str(path),
                            hint="Check the folder and the free space.") from None
    return figure
