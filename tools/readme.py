"""Write what README.md has of the committed rows, the claims and the first run: python -m tools.readme."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from docs.extension.registry import tables
from docs.extension.values import value
from swis.gallery import RESULTS
from swis.results.records import load_table

README = Path(__file__).parents[1] / "README.md"
_PLACE = r"(<!-- {0}: .*? -->\n).*?(<!-- end of {0} -->)"


def claims() -> str:
    """Return the table of claims in HTML, a line per cell: lines of Markdown would be too long."""
    found = tables()["claims_short"].make(RESULTS).reset_index()
    heads = [f"<th>{escape(name)}</th>" for name in found.columns]
    lines = ["<table>", *_row(heads)]
    for line in found.itertuples(index=False):
        lines += _row([f"<td>{escape(text)}</td>" for text in line])
    return "\n".join([*lines, "</table>"])


def _row(cells: list[str]) -> list[str]:
    return ["<tr>", *cells, "</tr>"]


def notes() -> str:
    """Return what the table of claims hides, of gaps and of seeds."""
    before, small = (value("retraining", name) for name in ("before_truncation", "fashion_mnist"))
    return (
        f"* The gap of the second claim is there before retraining ({before} points). On Fashion-MNIST it is "
        f"{small} points.\n"
        "* The ratios are of one calibration seed. Between three seeds, top-1 of a format differs by up to "
        f"{value('calibration', 'spread')}\n  points, so which format a design may use is uncertain too.\n"
        "* The claims are of SWIS as published. The best format of this suite loses "
        f"{value('best', 'lost_ours')} points of top-1 at\n  two cycles on two ImageNet networks; SWIS loses "
        f"{value('best', 'lost_swis')}, and the best rival {value('best', 'lost_rival')}."
    )


def first_run() -> str:
    """Return a sentence on the accuracies that `make run` prints, and on those without calibration."""
    rows = load_table(RESULTS / "first_table", ["method", "calibrate", "top1", "images"])
    top1 = rows.set_index(["method", "calibrate"])["top1"].map("{:.1f} %".format)
    (floats,) = rows.loc[rows["method"] == "float", "top1"]
    (images,) = rows["images"].unique()
    return (
        f"With 2 shifts MobileNet-v2 has {top1['swis', 'stats']} top-1 (float: {floats:.1f} %) on "
        f"{images:,} images of Fashion-MNIST.\nThat is with the default calibration, which takes seconds. "
        f"Without it (`calibrate=none`), top-1 is {top1['swis', 'none']}."
    )


def with_rows(text: str) -> str:
    """Return a README with what the present rows say in its places."""
    for name, make in {"claims": claims, "notes": notes, "first run": first_run}.items():
        said = make()
        place = re.compile(_PLACE.format(name), re.DOTALL)
        text, count = place.subn(lambda found, said=said: f"{found[1]}{said}\n{found[2]}", text)
        assert count == 1, f"README.md has one place for: {name}"
    return text


if __name__ == "__main__":
    README.write_text(with_rows(README.read_text()))
