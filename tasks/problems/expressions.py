r"""The value of a result that is written in LaTeX, without running anything that it says.

CorDA's code hands results to SymPy, whose parser evaluates them as Python. A model's output is not
to be run, so this module reads sums, products, fractions, roots and powers itself, and compares
values at a few places of the variables instead of simplifying a difference.
"""

from __future__ import annotations

import cmath
import re
from collections.abc import Mapping

from tasks.fact import hash_fraction

LONGEST = 300
"""Most characters of a result that are read."""

PLACES = 3
"""At how many places of the variables two results are compared."""

CLOSE, EQUAL = 1e-3, 1e-9
"""Relative difference up to which numbers are close, and expressions equal."""

_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\\[a-zA-Z]+|[a-zA-Z]|[-+*/^(){}\[\]])")
_SIGNS = {r"\cdot": "*", r"\times": "*", r"\div": "/"}
_OPENING = {"(": ")", "{": "}", "[": "]"}


class _UnreadableError(Exception):
    """A result has something in it that is not read."""


def same_value(said: str, wanted: str) -> bool:
    """Return whether two results have the same value, wherever their variables are."""
    # A product of letters is read letter by letter. Pi is no number to their parser either.
    variables = {*re.findall(r"\\pi\b|(?<![\\a-zA-Z])[a-zA-Z]+", f"{said} {wanted}")}
    variables = {one for name in variables for one in ([name] if name == r"\pi" else name)}
    tolerance = EQUAL if variables else CLOSE
    for place in range(PLACES if variables else 1):
        at = {name: 0.5 + hash_fraction("place", name, str(place)) for name in variables}
        one, other = _value(said, at), _value(wanted, at)
        if one is None or other is None or not cmath.isclose(one, other, rel_tol=tolerance):
            return False
    return True


def _value(text: str, at: Mapping[str, float]) -> complex | None:
    """Return the value of an expression; None if it cannot be read or has none."""
    if len(text) > LONGEST:
        return None
    tokens, end = [], 0
    while end < len(text.rstrip()):
        found = _TOKEN.match(text, end)
        if found is None:
            return None
        tokens.append(_SIGNS.get(found[1], found[1]))
        end = found.end()
    reader = _Reader(tokens, at)
    try:
        value = reader.sum()
    except (_UnreadableError, ArithmeticError, RecursionError):
        return None
    return value if not reader.tokens and cmath.isfinite(value) else None


class _Reader:
    """Reads an expression from its tokens, from the first one on.

    Args:
        tokens: The tokens.
        at: The value of each variable.
    """

    def __init__(self, tokens: list[str], at: Mapping[str, float]) -> None:
        self.tokens, self._at = tokens[::-1], at

    def sum(self) -> complex:
        """Read terms with signs between them."""
        value = self._product()
        while self._next() in ("+", "-"):
            sign = 1 if self.tokens.pop() == "+" else -1
            value += sign * self._product()
        return value

    def _product(self) -> complex:
        if self._next() in ("+", "-"):
            sign = 1 if self.tokens.pop() == "+" else -1
            return sign * self._product()
        value = self._power()
        while (token := self._next()) and token not in ("+", "-", ")", "}", "]"):
            if token == "/":
                self.tokens.pop()
                value /= self._power()
                continue
            if token == "*":
                self.tokens.pop()
            value *= self._power()
        return value

    def _power(self) -> complex:
        base = self._single()
        if self._next() != "^":
            return base
        self.tokens.pop()
        return complex(base) ** self._single()

    def _single(self) -> complex:
        token = self._taken()
        if token in _OPENING:
            value = self.sum()
            self._expect(_OPENING[token])
            return value
        if token == r"\frac":
            above = self._single()
            return above / self._single()
        if token == r"\sqrt":
            degree: complex = 2
            if self._next() == "[":
                degree = self._single()
            return complex(self._single()) ** (1 / degree)
        if token in self._at:
            return self._at[token]
        if token[0].isdigit():
            return float(token)
        raise _UnreadableError(token)

    def _next(self) -> str:
        return self.tokens[-1] if self.tokens else ""

    def _taken(self) -> str:
        if not self.tokens:
            raise _UnreadableError("the end")
        return self.tokens.pop()

    def _expect(self, token: str) -> None:
        if self._taken() != token:
            raise _UnreadableError(token)
