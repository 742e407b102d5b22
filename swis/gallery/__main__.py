"""python -m swis.gallery [NAME ...]: draw figures, all unless some are named, to results/figures."""

import sys
from functools import partial
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from swis.errors import InputError
from swis.gallery import RESULTS, draw
from swis.gallery.registry import figures
from swis.options.names import require_known
from swis.plots.style import DPI, style
from swis.runtime.files import write_atomically
from swis.runtime.progress import tqdm


def main(names: list[str]) -> int:
    """Draw figures, all unless some are named, to results/figures; return the exit status."""
    try:
        for name in names:
            require_known("figure", name, figures())
        for name in tqdm(names or figures(), desc="figures"):
            save(draw(name), RESULTS / "figures" / name)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and as PDF, without dates, so that the same rows make the same files."""
    with style():
        write_atomically(path.with_suffix(".png"), partial(_write_png, figure))
        write = partial(figure.savefig, format="pdf", metadata={"CreationDate": None})
        write_atomically(path.with_suffix(".pdf"), write)


def _write_png(figure: Figure, path: str) -> None:
    """Write a PNG of 256 colours, in a third of the space that all would take."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    few = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, "png", optimize=True, dpi=(DPI, DPI))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
