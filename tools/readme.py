"""Write the table of claims into README.md, from the committed rows: python -m tools.readme."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from docs.extension.registry import tables
from swis.gallery import RESULTS

README = Path(__file__).parents[1] / "README.md"
_PLACE = re.compile(r"(<!-- claims: .*? -->\n).*?(<!-- end of claims -->)", re.DOTALL)


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


def with_claims(text: str) -> str:
    """Return a README with the present table in its place."""
    new, count = _PLACE.subn(lambda place: f"{place[1]}{claims()}\n{place[2]}", text)
    assert count == 1, "README.md has one place for the claims"
    return new


if __name__ == "__main__":
    README.write_text(with_claims(README.read_text()))
