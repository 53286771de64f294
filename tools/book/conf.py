"""Sphinx's settings for the book; tools/book/__main__.py lays out its source folder and calls Sphinx."""

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

project = "Ten Levels of Reinforcement Learning"
author = "The authors of the course"
extensions = ["myst_nb"]
nb_execution_mode = "off"  # the committed outputs are shown
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "linkify"]
myst_linkify_fuzzy_links = False
myst_heading_anchors = 4
exclude_patterns = []
# widgets: their picture or text stands beside them; an ellipsis in a listing is no mistake
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure", "myst.header",
                     "toc.not_included"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_search_summary = False  # it would fetch each page, which a browser refuses to a site read from disk
html_show_sphinx = False
language = "en"


def setup(app):
    """Formulas as MathML, which browsers draw by themselves: no script from elsewhere, no fonts to ship."""

    def inline(self, node):
        self.body.append(convert(node.astext()))
        raise SkipNode

    def display(self, node):
        self.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
        raise SkipNode

    app.registry.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
