"""Draw formulas as SVG at build time, so that they look the same in every browser.

Sphinx's own renderer loads a script from the internet in the reader's browser, and MathML
needs a mathematical font there, which many machines lack.
"""

from __future__ import annotations

import html
import re
from typing import Any

import ziamath
from docutils import nodes
from sphinx.application import Sphinx

# A little larger than the letters around them, as their own are thin.
SIZE_PX = 18.0
TEXT_PX = 16.0

# Draw each glyph where it stands: shared symbols would clash between the formulas.
ziamath.config.svg2 = False


def _svg(latex: str, inline: bool) -> str:
    """SVG in the colour and size of the text around it, LaTeX as its description."""
    formula = ziamath.Latex(latex, size=SIZE_PX, color="currentColor", inline=inline)
    drawing = formula.svg()
    view = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', drawing)
    if view is None:
        raise RuntimeError(f"no drawing of the formula {latex}")
    _, top, width, height = (float(number) for number in view.groups())
    style = f"width: {width / TEXT_PX:.3f}em; height: {height / TEXT_PX:.3f}em;"
    if inline:
        style += f" vertical-align: {-(height + top) / TEXT_PX:.3f}em;"
    head = (
        f'<svg class="formula" role="img" aria-label="{html.escape(latex, quote=True)}" '
        f'style="{style}" viewBox="{" ".join(view.groups())}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )
    return re.sub(r"^.*?<svg[^>]*>", lambda _: head, drawing, count=1, flags=re.S)


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(_svg(node.astext(), inline=True))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(_svg(node.astext(), inline=False))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("svg", (_inline, None), (_block, None))
    app.config.html_math_renderer = "svg"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
