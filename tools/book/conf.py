"""Sphinx's settings for the book; tools/book/__main__.py lays out its source folder and calls Sphinx."""

import re

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
html_show_copyright = False
html_use_index = False
language = "en"


# What the converter leaves to a mathematical font or to the eye: a prime stands beside its letter, infinity
# is no operator, a minus after an operator is a sign, and a function's name keeps away from its argument.
GAP = '<mspace width="0.167em"></mspace>'
MENDED = [
    (r"<msup>(<mi>[^<]*</mi>)<mi>(?:′|&#x02032;)</mi></msup>",
     r'\1<mo lspace="0" rspace="0" form="postfix">′</mo>'),
    (r"<mo>(∞|&#x0221E;|…|&#x02026;)</mo>", r"<mi>\1</mi>"),
    (r"(<mo[^>]*>(?:[=(,·]|&#x0003D;|&#x00028;|&#x0002C;|&#x000B7;|&#x022C5;)</mo>)<mo>(−|&#x02212;)</mo>",
     r'\1<mo form="prefix">\2</mo>'),
    (r"(<mi>(?:log|exp|ln|max|min)</mi>)(?=<m(?:i|n|sqrt|sub|frac)\b)", r"\1" + GAP),
    (r"(</mi>|</mn>)(?=<mi>(?:log|exp|ln)</mi>)", r"\1" + GAP),
]


def formula(text, display="inline"):
    """A formula in TeX as MathML."""
    drawn = convert(text, display=display)
    for pattern, better in MENDED:
        drawn = re.sub(pattern, better, drawn)
    return drawn


def setup(app):
    """Formulas as MathML, which browsers draw by themselves: no script from elsewhere, no fonts to ship."""

    def inline(self, node):
        self.body.append(formula(node.astext()))
        raise SkipNode

    def display(self, node):
        self.body.append(f'<div class="math">{formula(node.astext(), "block")}</div>')
        raise SkipNode

    app.registry.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
