"""A tab: a sentence, controls, and a picture that follows them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import torch
import traitlets

from swis.errors import InputError
from swis.explore.picture import Picture, message
from swis.explore.png import png
from swis.explore.subject import MODELS, Subject

# A click on a shape or a row with a name puts the name into a hidden field, whose change Python hears. The
# mark before it tells a layer without a name from a field that was emptied.
_CLICK = (
    "const named = event.target.closest('[data-name]');"
    "const heard = this.closest('.swis-tab').querySelector('.swis-clicked input');"
    "if (named) {heard.value = '=' + named.dataset.name;"
    "heard.dispatchEvent(new Event('change', {bubbles: true}))}"
)
GROUP_SIZES = (1, 2, 4, 8, 16)
_LAYOUT = {"width": "auto"}
_STYLE = {"description_width": "112px"}


class Tab(widgets.VBox):
    """Controls above the picture that ``draw`` makes of them; ``clicked`` is given the name of a shape.

    Controls are side by side, those of several options in rows below. What ``draw`` refuses, by
    ``InputError``, is shown in its place. ``_repr_mimebundle_`` has the picture as well, which a notebook
    shows without a kernel.
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
        grid = {"grid_template_columns": "repeat(auto-fill, minmax(285px, 1fr))", "grid_gap": "2px 10px"}
        single = [control for control in controls if not isinstance(control, Several)]
        several = [control for control in controls if isinstance(control, Several)]
        row = widgets.GridBox(single, layout=widgets.Layout(**grid))
        super().__init__([words, row, *several, self._shown, self._heard])
        self.layout.overflow = "hidden"
        self.add_class("swis-tab")
        for control in controls:
            if "value" in control.traits():
                control.observe(self._redraw, "value")
        self._redraw()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Draw nothing, however many controls change within."""
        before, self._holding = self._holding, True
        try:
            yield
        finally:
            self._holding = before

    @contextmanager
    def held(self) -> Iterator[None]:
        """Draw once at the end, however many controls change within."""
        with self.quiet():
            yield
        self._redraw()

    def _redraw(self, _: Any = None) -> None:
        if not self._holding:
            with _undisturbed():
                try:
                    self.picture = self._draw()
                except InputError as error:
                    self.picture = message(str(error))
            self._shown.value = f'<div onclick="{_CLICK}">{self.picture.html()}</div>'

    def _hear(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self._heard.value = ""  # so that the same name is heard again
            if self._clicked is not None:
                self._clicked(change["new"][1:])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return super()._repr_mimebundle_(**kwargs) | {"image/png": png(self.picture.svg())}


class SubjectTab(Tab):
    """A tab of the network ``subject``; one of the package may be chosen if it is one of these."""

    def __init__(
        self,
        subject: Subject,
        sentence: str,
        controls: Sequence[widgets.Widget],
        draw: Callable[[], Picture],
        clicked: Callable[[str], None] | None = None,
    ) -> None:
        self.subject = subject
        if subject.model in MODELS.values():
            self.network = chosen("network", MODELS, subject.model)
            self.network.observe(lambda change: self.take(Subject.of(change["new"])), "value")
            controls = [self.network, *controls]
        super().__init__(sentence, controls, draw, clicked)

    def take(self, subject: Subject) -> None:
        """Show another network."""
        with self.held():
            self.subject = subject
            self.taken()

    def taken(self) -> None:
        """Offer what the network has that was taken."""


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Compute in one thread, and look for garbage later: both would hold up a picture.

    What it takes is so little that a second thread is waited for longer; all that is loaded is looked through
    for garbage in half a second.
    """
    threads, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(1)
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if collecting:
            gc.enable()


class Several(widgets.Box):
    """Options with a box to tick each; ``value`` has those that are ticked, in their order.

    >>> control = Several("formats", [("one", 1), ("two", 2)], (2,))
    >>> control.value, [box.value for box in control.boxes]
    ((2,), [False, True])
    """

    value = traitlets.Tuple()

    def __init__(self, name: str, options: Iterable[tuple[str, Any]] = (), value: Sequence[Any] = ()) -> None:
        self.description, self._telling = name, False
        beside = widgets.Layout(flex="0 0 112px", justify_content="flex-end", margin="0 8px 0 0")
        self._row = widgets.Box(layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([widgets.Label(name, layout=beside), self._row])
        self.offer(options, value)

    def offer(self, options: Iterable[tuple[str, Any]], value: Sequence[Any] = ()) -> None:
        """Offer other options; without any nothing is seen."""
        self.options = list(options)
        layout = widgets.Layout(width="auto", margin="2px 14px 2px 0")
        self.boxes = [
            widgets.Checkbox(key in value, description=words, indent=False, layout=layout)
            for words, key in self.options
        ]
        for box in self.boxes:
            box.observe(self._tick, "value")
        self._row.children = self.boxes
        self.layout.display = "flex" if self.boxes else "none"
        self._tick()

    def _tick(self, _: Any = None) -> None:
        if not self._telling:
            ticked = zip(self.options, self.boxes, strict=True)
            self.value = tuple(key for (_, key), box in ticked if box.value)

    @traitlets.observe("value")
    def _tell(self, change: dict[str, Any]) -> None:
        self._telling = True
        for (_, key), box in zip(self.options, self.boxes, strict=True):
            box.value = key in change["new"]
        self._telling = False


def chosen(name: str, options: Any, value: Any) -> widgets.Dropdown:
    """Return a control to choose one of some options."""
    return widgets.Dropdown(options=options, value=value, description=name, layout=_LAYOUT, style=_STYLE)


def slider(name: str, value: int, least: int, most: int) -> widgets.IntSlider:
    """Return a slider over whole numbers."""
    return widgets.IntSlider(value, least, most, description=name, layout=_LAYOUT, style=_STYLE)


def steps(name: str, values: Sequence[int], value: int, unit: str = "") -> widgets.SelectionSlider:
    """Return a slider over some numbers with their unit."""
    options = [(f"{each:g}{unit}", each) for each in values]
    return widgets.SelectionSlider(
        options=options, value=value, description=name, layout=_LAYOUT, style=_STYLE
    )


def typed(name: str, placeholder: str) -> widgets.Text:
    """Return a line of text."""
    return widgets.Text(
        description=name,
        placeholder=placeholder,
        continuous_update=False,
        layout=_LAYOUT,
        style=_STYLE,
    )


def button(name: str, tip: str, act: Callable[[], None]) -> widgets.Button:
    """Return a button and what it does; its name says so while that takes long."""
    found = widgets.Button(description=name, tooltip=tip, layout=_LAYOUT)

    def clicked(_: Any) -> None:
        found.description, found.disabled = f"{name} ...", True
        try:
            act()
        finally:
            found.description, found.disabled = name, False

    found.on_click(clicked)
    return found
