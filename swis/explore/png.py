"""SVG as PNG, which a notebook shows whoever opens it: SVG waits until the notebook is trusted."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from functools import cache
from itertools import cycle, pairwise
from xml.etree import ElementTree

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

Place = tuple[float, float]

_SCALE = 1.6  # pixels of the picture for one of the drawing
_COLOURS = 255
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def png(svg: str) -> bytes:
    """Return a picture of the shapes that ``swis.explore.drawing`` makes; of others it knows nothing.

    >>> from swis.explore.drawing import Drawing
    >>> png(Drawing(100, 20).svg())[1:4]
    b'PNG'
    """
    root = ElementTree.fromstring(svg)
    size = [round(float(root.get(side)) * _SCALE) for side in ("width", "height")]
    image = Image.new("RGB", size, "white")
    _paint(root, image, (0.0, 0.0))
    file = io.BytesIO()
    # other methods give colours of small areas up, such as those of legends
    few = image.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, "png", optimize=True)
    return file.getvalue()


def _paint(element: ElementTree.Element, image: Image.Image, origin: tuple[float, float]) -> None:
    for child in element:
        tag = child.tag.rpartition("}")[2]
        if tag == "svg":
            _paint(child, image, (origin[0] + _number(child, "x"), origin[1] + _number(child, "y")))
        elif tag == "text":
            _write(child, image, origin)
        elif child.get("width") != "100%":  # not the white behind a drawing
            _shape(tag, child, ImageDraw.Draw(image), origin)


def _shape(
    tag: str, child: ElementTree.Element, draw: ImageDraw.ImageDraw, origin: tuple[float, float]
) -> None:
    fill, edge = child.get("fill"), child.get("stroke")
    if tag == "rect":
        x, y = (origin[n] + _number(child, key) for n, key in enumerate("xy"))
        ends = (x + _number(child, "width"), y + _number(child, "height"))
        if ends[0] > x and ends[1] > y:
            left, top, right, bottom = (round(_SCALE * each) for each in (x, y, *ends))
            last = (max(left, right - 1), max(top, bottom - 1))  # the last pixel is drawn too
            draw.rectangle([left, top, *last], fill, edge)
    elif tag == "circle":
        centre = [_SCALE * (origin[n] + _number(child, key)) for n, key in enumerate(("cx", "cy"))]
        draw.circle(centre, _SCALE * _number(child, "r"), fill, edge)
    else:
        pairs = (pair.split(",") for pair in child.get("points", "").split())
        places = [(_SCALE * (origin[0] + float(x)), _SCALE * (origin[1] + float(y))) for x, y in pairs]
        if tag == "polygon":
            draw.polygon(places, fill, edge)
            return
        width = max(1, round(_SCALE * _number(child, "stroke-width")))
        dashes = [_SCALE * float(length) for length in child.get("stroke-dasharray", "").split()]
        for part in _dashed(places, dashes) if dashes else [places]:
            draw.line(part, edge, width)


def _dashed(places: list[Place], lengths: list[float]) -> Iterator[list[Place]]:
    """Cut a line into the dashes of some lengths, gaps between them in turn."""
    wanted = cycle(zip(lengths, cycle((True, False))))
    left, drawn = next(wanted)
    for (x, y), (to_x, to_y) in pairwise(places):
        whole = at = math.dist((x, y), (to_x, to_y))
        while at > 0:
            step = min(left, at)
            ends = ((whole - at) / whole, (whole - at + step) / whole)
            if drawn:
                yield [(x + part * (to_x - x), y + part * (to_y - y)) for part in ends]
            at, left = at - step, left - step
            if left <= 0:
                left, drawn = next(wanted)


def _write(child: ElementTree.Element, image: Image.Image, origin: tuple[float, float]) -> None:
    font = _font(round(_SCALE * _number(child, "font-size")), child.get("font-weight") is not None)
    x, y = (_SCALE * (origin[n] + _number(child, key)) for n, key in enumerate("xy"))
    text, colour, anchor = child.text or "", child.get("fill"), _ANCHORS[child.get("text-anchor", "start")]
    if child.get("transform") is None:
        ImageDraw.Draw(image).text((x, y), text, colour, font, anchor)
        return
    length, height = (round(value) + 4 for value in (font.getlength(text), 1.3 * font.size))
    turned = Image.new("L", (length, height))
    ImageDraw.Draw(turned).text((2, font.size), text, 255, font, "ls")
    mask = turned.rotate(90, expand=True)  # all text that is turned is that of an axis
    image.paste(colour, (round(x - font.size), round(y - length / 2)), mask)


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    wanted = font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return ImageFont.truetype(font_manager.findfont(wanted), size)


def _number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name, 0))
