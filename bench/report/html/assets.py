"""What the page carries within itself: its style, its script, and two libraries that draw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from markupsafe import Markup

_SCRIPTS = ("state", "tables", "explorer")
_PICTURES = ("pictures", "scatter", "paths", "distances")
_LIBRARIES = ("d3-7.9.0.min.js", "plot-0.6.17.umd.min.js")
_LICENCE = "vendor/LICENSE.txt"


@dataclass(frozen=True, slots=True)
class Assets:
    """Texts for the page's `<style>` and `<script>` elements, not to be escaped there.

    Attributes:
        style: For `<style>`.
        script: One module: its parts share their names.
        libraries: Of pictures; empty on a page without any.
    """

    style: Markup
    script: Markup
    libraries: tuple[Markup, ...]


@lru_cache(maxsize=2)
def page_assets(*, with_pictures: bool) -> Assets:
    """Return what a page carries, which is half a megabyte less without pictures."""
    parts = (*_SCRIPTS, *(_PICTURES if with_pictures else ()))
    libraries = [_read(f"vendor/{name}") for name in _LIBRARIES] if with_pictures else []
    if libraries:
        # The licence asks to be in every copy, and each page is one.
        libraries[0] = f"/*\n{_read(_LICENCE)}*/\n{libraries[0]}"
    return Assets(
        style=Markup(_read("page.css")),
        script=Markup("".join(_read(f"script/{name}.js") for name in parts)),
        libraries=tuple(Markup(text) for text in libraries),
    )


def _read(path: str) -> str:
    return files("bench.report.html").joinpath(path).read_text(encoding="utf-8")
