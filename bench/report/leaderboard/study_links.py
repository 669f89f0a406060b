"""The studies of a results folder, as the report shows them: title, picture, links."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench.store.store import STUDIES_FOLDER


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        title: The heading of its `.md`.
        picture: Address of its picture, relative to the results folder: SVG, or PNG without.
        image: The picture itself.
        files: Addresses of its table, for people and for programs, by what they hold.
    """

    title: str
    picture: str
    image: bytes
    files: dict[str, str]


def found_studies(folder: Path) -> tuple[Study, ...]:
    """Return the studies below a results folder that have both a table and a picture, by name."""
    found = []
    for path in sorted((folder / STUDIES_FOLDER).glob("*.md")):
        # Committed studies have their PNG alone.
        pictures = [path.with_suffix(suffix) for suffix in (".svg", ".png")]
        found += [_study(path, picture) for picture in pictures if picture.is_file()][:1]
    return tuple(found)


def _study(path: Path, picture: Path) -> Study:
    forms = {"table": ".md", "numbers": ".csv"}
    return Study(
        title=_title(path),
        picture=_address(picture),
        image=picture.read_bytes(),
        files={
            name: _address(path.with_suffix(suffix))
            for name, suffix in forms.items()
            if path.with_suffix(suffix).is_file()
        },
    )


def _title(path: Path) -> str:
    """Return the first heading, or the name of the file where it has none."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    heading = next((line for line in lines if line.startswith("# ")), "")
    return plain(heading.removeprefix("# ").strip()) or path.stem


def plain(text: str) -> str:
    """Undo the escapes of `bench.report.tables.format.markdown`."""
    return html.unescape(re.sub(r"\\(.)", r"\1", text))


def _address(path: Path) -> str:
    return quote(f"{STUDIES_FOLDER}/{path.name}")
