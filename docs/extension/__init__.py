"""What the documentation adds to Sphinx: tables and figures of results, mathematics without a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the directives and of how mathematics is shown."""
    from docs.extension import directives, mathematics, program_output, spelling, values

    app.add_directive("results-table", directives.ResultsTable)
    app.add_directive("results-figure", directives.ResultsFigure)
    app.add_directive("program-output", program_output.ProgramOutput)
    app.add_role("results-value", values.ResultsValue())
    app.add_html_math_renderer("mathml", (mathematics.visit_inline, None), (mathematics.visit_block, None))
    app.connect("doctree-resolved", spelling.check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
