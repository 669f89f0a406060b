"""The normal form of texts that are compared, and the two scores of an answer.

Two texts are the same if their normal forms are: answers, questions, paraphrases, neighbours and
subjects alike. What is only written another way agrees (`Bogotá` in one or two code points,
`1914–1918` and `1914-1918`); what means something else differs (`1.5` and `15`, `-7` and `7`, `C`
and `C++`). SQuAD's form (arXiv 1606.05250), which drops all punctuation, makes the latter equal.

Exported tasks contain the source of this file, so it imports nothing but the standard library.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴-⁹]+")
_SUBSCRIPT = re.compile("[₊₋]?[₀-₉]+")
_FRACTION = re.compile("[¼-¾⅐-⅞↉]|[⁰¹²³⁴-⁹]+⁄[₀-₉]+")

_MEANT = frozenset("%‰‱٪#@&/\\")
"""Characters that Unicode counts as punctuation, although they mean as much as symbols do."""

_INITIAL = re.compile(r"([^\W\d_])\.")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_WORDS = re.compile(r"[a-z0-9]+(?: [a-z0-9]+)*[.?!]?")
_ARTICLES = ("a ", "an ", "the ")
_ARTICLE = re.compile(r"(?:an?|the) (?=\S*[^\W_])")


class _Plain(dict[int, "str | int | None"]):
    """How each character is written plainly, for `str.translate`; filled as characters come up."""

    def __missing__(self, code: int) -> str | int | None:
        category = unicodedata.category(chr(code))
        # Variation selectors (an emoji in colour) are as invisible as category Cf.
        invisible = category == "Cf" or 0xFE00 <= code <= 0xFE0F
        self[code] = None if invisible else "-" if category == "Pd" else code
        return self[code]


_PLAIN = _Plain(
    {
        # Some keyboards have an accent or a prime where others have an apostrophe.
        **dict.fromkeys(map(ord, "‘’‚‛‹›′‵ʻʼ׳`´\u1fef\u1ffd"), "'"),
        **dict.fromkeys(map(ord, "“”„‟«»″‶〝〞〟״"), '"'),
        **dict.fromkeys(map(ord, "⁄∕"), "/"),
        ord("−"): "-",
    }
)


@lru_cache(maxsize=1 << 16)
def normalise(text: str) -> str:
    """Return the normal form of a text: equal for texts that mean the same.

    The steps are repeated until nothing changes, so the normal form of a normal form is itself. It
    is empty only if nothing in the text is visible.
    """
    lowered = text.lower()
    if _WORDS.fullmatch(lowered) and text.isascii() and not lowered.startswith(_ARTICLES):
        return lowered.rstrip(".?!")  # Most texts; the steps would change no more, but take longer.
    while (simpler := _simplified(text)) != text:
        text = simpler
    return text


def exact_match(answer: str, accepted: Sequence[str]) -> bool:
    """Return whether an answer and any accepted answer have the same normal form."""
    wanted = normalise(answer)
    return any(normalise(target) == wanted for target in accepted)


def token_f1(answer: str, accepted: Sequence[str]) -> float:
    """Return the best overlap (F1) of an answer's words with an accepted answer's, in [0, 1]."""
    return max(_f1(_words(answer), _words(target)) for target in accepted)


def _simplified(text: str) -> str:
    """Apply every step of the normal form once, in order."""
    plain = _plainly_written(text)
    start, end = _bounds(plain)
    if start == end:
        return plain

    bare = _INITIAL.sub(_without_point, plain[start:end])
    if _THOUSANDS.fullmatch(bare):
        bare = bare.replace(",", "")
    article = _ARTICLE.match(bare)
    return bare[article.end() :] if article else bare


def _plainly_written(text: str) -> str:
    """Fold case, and what has several ways of writing: digits, accents, quotes, dashes, spaces."""
    if not text.isascii():
        # NFKC alone makes 102 of 10² and 11/2 of 1½.
        text = _FRACTION.sub(_fraction, text)
        text = _SUPERSCRIPT.sub(lambda run: f"^{run[0].translate(_RAISED)}", text)
        text = _SUBSCRIPT.sub(lambda run: f"_{run[0].translate(_LOWERED)}", text)
        # Before NFKC, which makes a space and a combining accent of an accent on its own.
        text = unicodedata.normalize("NFKC", text.translate(_PLAIN))
        text = unicodedata.normalize("NFKC", text.casefold())
        return " ".join(text.translate(_PLAIN).split())
    return " ".join(text.lower().replace("`", "'").split())


def _fraction(found: re.Match[str]) -> str:
    """Return `1/2` for ½, apart from a number or word before it and a number after it."""
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    if len(found[0]) == 1:
        written = unicodedata.normalize("NFKC", found[0]).translate(_PLAIN)
    else:
        written = found[0].translate(_RAISED).translate(_LOWERED).translate(_PLAIN)
    joined = before != "" and unicodedata.category(before)[0] in "LMN"
    return " " * joined + written + " " * after.isdecimal()


def _bounds(text: str) -> tuple[int, int]:
    """Return where a text begins and ends without the punctuation around it."""
    start, end = 0, len(text)
    while start < end and _opens(text, start):
        start += 1
    while start < end and _closes(text, end - 1):
        end -= 1
    return start, end


def _opens(text: str, place: int) -> bool:
    """Return whether a character can be dropped where only such ones stand before it."""
    if not _droppable(text[place]):
        return False
    following = text[place + 1 : place + 3]
    number = following[:1].isdecimal()
    if text[place] == "-":
        # A sign also counts before a point or a symbol: -.5, -$5, -∞.
        number |= following[:1] == "." and following[1:].isdecimal()
        number |= following != "" and unicodedata.category(following[0])[0] == "S"
    return not (text[place] in "-." and number)


def _closes(text: str, place: int) -> bool:
    """Return whether a character can be dropped where only such ones stand after it."""
    graded = text[place] == "-" and place > 0 and _is_letter(text[place - 1])
    return _droppable(text[place]) and not graded


def _droppable(character: str) -> bool:
    punctuation = unicodedata.category(character)[0] == "P" and character not in _MEANT
    return punctuation or character == " "


def _is_letter(character: str) -> bool:
    """Return whether a character is a letter, or a mark on one."""
    return unicodedata.category(character)[0] in "LM"


def _without_point(found: re.Match[str]) -> str:
    """Drop the point after a letter on its own; marks and digits before it make it part of more."""
    before = found.string[: found.start()][-1:]
    single = not before or not (before.isalnum() or before == "_" or _is_letter(before))
    return found[1] if single else found[0]


def _words(text: str) -> list[str]:
    # Each word in normal form of its own: `red,` inside an answer is the word `red`.
    return [normalise(word) for word in normalise(text).split()]


def _f1(answer: list[str], target: list[str]) -> float:
    shared = sum((Counter(answer) & Counter(target)).values())
    if not shared:
        return 0.0
    return 2 * shared / (len(answer) + len(target))
