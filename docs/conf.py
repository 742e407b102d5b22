"""The documentation site: `make docs` builds it to docs/_build, without a network."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import swis  # noqa: E402

project = "swis"
author = "the swis authors"
release = version = swis.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "docs.extension",
]
root_doc = "index"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "screenshots", "extension", "tables", "**.ipynb_checkpoints"]
nitpicky = True
# Types of other packages, whose pages would have to be fetched.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|np|numpy|pd|pandas|nn|Path|pathlib|collections|matplotlib|Module)\b.*"),
    ("py:class", r"swis\..*"),
]

html_theme = "pydata_sphinx_theme"
html_title = "swis"
html_static_path = ["_static"]
html_css_files = ["swis.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "swis"},
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "navigation_with_keys": False,
}
html_math_renderer = "mathml"  # of the extension: browsers draw it without a script

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
# Notebooks are shown with the outputs that they keep.
nb_execution_mode = "off"
nb_custom_formats = {".ipynb": "docs.extension.notebooks.read"}
nb_render_markdown_format = "myst"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}

autodoc_typehints = "signature"
python_maximum_signature_line_length = 100
autodoc_member_order = "bysource"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
