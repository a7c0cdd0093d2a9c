"""Write formulas as MathML, so that the pages need neither a network nor LaTeX.

Sphinx's own renderer loads a script from the internet in the reader's browser.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.math_block) -> None:
    # amsmath's environments come with their number's star, which means nothing here.
    latex = re.sub(r"(begin|end)\{(\w+)\*\}", r"\1{\2}", node.astext())
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(convert(latex, display="block"))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
