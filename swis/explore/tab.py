"""A tab: a sentence, controls, and a picture that follows them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import torch

from swis.explore.drawing import Picture
from swis.explore.png import png

# A click on a shape or a row with a name puts the name into a hidden field, whose change Python hears.
_CLICK = (
    "const named = event.target.closest('[data-name]');"
    "const heard = this.closest('.swis-tab').querySelector('.swis-clicked input');"
    "if (named) {heard.value = named.dataset.name;"
    "heard.dispatchEvent(new Event('change', {bubbles: true}))}"
)
LAYOUT = {"width": "370px"}
STYLE = {"description_width": "120px"}


class Tab(widgets.VBox):
    """Controls above the picture that ``draw`` makes of them; ``clicked`` is given the name of a shape.

    ``_repr_mimebundle_`` has the picture as well, which a notebook shows without a kernel.
    """

    def __init__(
        self,
        sentence: str,
        controls: Sequence[widgets.Widget],
        draw: Callable[[], Picture],
        clicked: Callable[[str], None] | None = None,
    ) -> None:
        self._draw, self._clicked, self._holding = draw, clicked, False
        self._shown = widgets.HTML(layout=widgets.Layout(width="auto", overflow="hidden"))
        self._heard = widgets.Text(layout=widgets.Layout(display="none"))
        self._heard.add_class("swis-clicked")
        self._heard.observe(self._hear, "value")
        words = widgets.HTML(f'<p style="margin:4px 0;font-size:14px;line-height:1.4">{sentence}</p>')
        row = widgets.HBox(list(controls), layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([words, row, self._shown, self._heard])
        self.add_class("swis-tab")
        for control in controls:
            if "value" in control.traits():
                control.observe(self._redraw, "value")
        self._redraw()
        # what is loaded stays: looking through it for garbage would hold up a picture for half a second
        gc.collect()
        gc.freeze()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Draw once at the end, however many controls change within."""
        before, self._holding = self._holding, True
        try:
            yield
        finally:
            self._holding = before
        self._redraw()

    def _redraw(self, _: Any = None) -> None:
        if not self._holding:
            with _one_thread():
                self.picture = self._draw()
            self._shown.value = f'<div onclick="{_CLICK}">{self.picture.html()}</div>'

    def _hear(self, change: dict[str, Any]) -> None:
        if change["new"] and self._clicked is not None:
            self._heard.value = ""  # so that the same name is heard again
            self._clicked(change["new"])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return super()._repr_mimebundle_(**kwargs) | {"image/png": png(self.picture.svg())}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: what a picture takes is so little that a second one is waited for longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def chosen(name: str, options: Any, value: Any) -> widgets.Dropdown:
    """Return a control to choose one of some options."""
    return widgets.Dropdown(options=options, value=value, description=name, layout=LAYOUT, style=STYLE)


def several(name: str, options: Any, value: Any) -> widgets.SelectMultiple:
    """Return a control to choose some options (Ctrl and a click: one more)."""
    rows, layout = min(6, len(options)), {"width": "430px"}
    return widgets.SelectMultiple(
        options=options, value=value, description=name, rows=rows, layout=layout, style=STYLE
    )


def slider(name: str, value: int, least: int, most: int, step: int = 1) -> widgets.IntSlider:
    """Return a slider over whole numbers."""
    return widgets.IntSlider(value, least, most, step, description=name, layout=LAYOUT, style=STYLE)


def steps(name: str, values: Sequence[int], value: int, unit: str = "") -> widgets.SelectionSlider:
    """Return a slider over some numbers with their unit."""
    options = [(f"{each:g}{unit}", each) for each in values]
    return widgets.SelectionSlider(options=options, value=value, description=name, layout=LAYOUT, style=STYLE)
