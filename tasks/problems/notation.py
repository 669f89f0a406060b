r"""A normal form of results that are written in LaTeX: `\dfrac 12` and `\frac{1}{2}` are the same.

The rules are those of the MATH benchmark (Hendrycks et al. 2021, arXiv 2103.03874,
github.com/hendrycks/math, MIT) as CorDA's `inference/util.py` has them, in our words and order.
"""

from __future__ import annotations

import re

_DROPPED = ("\n", r"\!", r"\left", r"\right", r"^{\circ}", r"^\circ", r"\$", r"\%")
"""What does not change a result: lines, thin spaces, sizes of brackets, degrees, and units."""

_UNIT = r"\text{ "
"""Begins a unit behind a number; a text without the space is part of the result."""

_LONGEST_NAME = 2
"""Most characters before a `=` that are the name of a variable and dropped."""


def boxed(solution: str) -> str:
    r"""Return what stands in the last `\boxed{...}` of a solution; empty if none can be read."""
    start = max(solution.rfind(r"\boxed"), -1)
    if start < 0 or not solution.startswith(r"\boxed{", start):
        return ""
    depth, first = 0, solution.index("{", start)
    for place in range(first, len(solution)):
        depth += (solution[place] == "{") - (solution[place] == "}")
        if depth == 0:
            return solution[first + 1 : place]
    return ""


def last_sentence(result: str) -> str:
    """Return a result without the full stop that ends it, and what follows on further lines."""
    return result.split(".\n")[0].strip().removesuffix(".").strip()


def normal_form(text: str) -> str:
    """Return the normal form of a result."""
    text = text.replace("\\\\", "\\").replace("tfrac", "frac").replace("dfrac", "frac")
    for piece in _DROPPED:
        text = text.replace(piece, "")
    text = text.partition(_UNIT)[0]
    text = re.sub(r"([ {])\.", r"\g<1>0.", text)
    text = f"0{text}" if text.startswith(".") else text
    name, equals, value = text.partition("=")
    if equals and "=" not in value and len(name) <= _LONGEST_NAME:
        text = value
    text = re.sub(r"\\sqrt([^{])", r"\\sqrt{\1}", text).replace(" ", "")
    text = _braced_fractions(text)
    if text == "0.5":
        return r"\frac{1}{2}"
    if whole := re.fullmatch(r"(0|-?[1-9]\d*)/(0|-?[1-9]\d*)", text):
        return rf"\frac{{{whole[1]}}}{{{whole[2]}}}"
    return text


def _braced_fractions(text: str) -> str:
    r"""Write `\frac12`, `\frac1{2}` with braces around both; those of `\frac{1}2` stay missing."""
    first, *fractions = text.split(r"\frac")
    written = [first]
    for fraction in fractions:
        if not fraction.startswith("{") and len(fraction) > 1:
            above, below, rest = fraction[0], fraction[1], fraction[2:]
            fraction = f"{{{above}}}{below if below == '{' else f'{{{below}}}'}{rest}"
        written.append(fraction)
    return r"\frac".join(written)
