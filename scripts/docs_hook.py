"""A hook of mkdocs that builds one site from pages all over the checkout.

README, CONTRIBUTING, CHANGELOG, notices and the committed example results join the pages below
`docs/`. Links in all of them work in the checkout; the hook rewrites each to the place of its
target in the site, so that strict mode finds every broken link.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "DATA_NOTICES.md", "NOTICE", "LICENSE")
RESULTS = ("**/*.md", "**/*.html", "**/*.png", "**/*.svg", "**/*.csv", "**/*.tex")
_LINK = re.compile(r"(!?\[)([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside `docs/`."""
    example = ROOT / "results" / "example"
    found = [ROOT / name for name in PAGES]
    found += [path for pattern in RESULTS for path in sorted(example.glob(pattern))]
    for path in found:
        place = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(path)))
    for path in sorted((ROOT / "docs").glob("**/*.ipynb")):
        place = path.relative_to(ROOT / "docs").as_posix()
        files.append(File.generated(config, _notebook_page(place), content=notebook_text(path)))
    return files


def notebook_text(path: Path) -> str:
    """Return a notebook with its outputs as Markdown, so that it looks like every other page."""
    from nbconvert import MarkdownExporter

    text: str = MarkdownExporter().from_filename(str(path))[0]
    return text


def _notebook_page(place: str) -> str:
    return place.removesuffix(".ipynb") + ".md"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite a page's links from places in the checkout to places in the site."""
    here = page.file.src_uri
    checkout = here if files_outside(here) else f"docs/{here}"

    def moved(match: re.Match[str]) -> str:
        begin, words, target, anchor, end = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group(0)
        place = posixpath.normpath(posixpath.join(posixpath.dirname(checkout), target))
        if (ROOT / place).is_dir():
            place = _page_of(place)
        inside = place.removeprefix("docs/")
        if inside.endswith(".ipynb"):
            inside = _notebook_page(inside)
        if not files.get_file_from_path(inside) and (ROOT / place).exists():
            return words  # source code is not in the site
        there = posixpath.relpath(inside, posixpath.dirname(here) or ".")
        return f"{begin}{words}]({there}{anchor or ''}{end}"

    return _LINK.sub(moved, markdown)


def files_outside(place: str) -> bool:
    """Return whether a page of the site lies outside `docs/` in the checkout."""
    return place in PAGES or place.startswith("results/")


def _page_of(folder: str) -> str:
    """Return the page that stands for a linked folder, because the site has no listings."""
    pages = [f"{folder}/leaderboard.md", f"{folder}/interference.md", f"{folder}/__init__.py"]
    return next((page for page in pages if (ROOT / page).is_file()), folder)
