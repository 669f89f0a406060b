"""An invented world: people, places and companies that no model has read about.

The k-th subject and all answers about it depend on (seed, k) alone. So a world of a million facts
costs nothing until a fact is accessed, and a smaller world is its beginning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from tasks.fact import hash_fraction
from tasks.table import Wordings

_C = tuple("bdfgjklmnprstvz")
_V = tuple("aeiou")
# Parts of fixed length, then endings: no two spellings give one name. The letters and endings
# are chosen so that names of the real world (Volvo, Tesla, Bugatti, Tabora) cannot come out.
_FIRST_NAMES = (_C, _V, _C, _V, ("th", "nn", "sk", "zel", "wyn", "dra", "lph", "mir"))
_SURNAMES = (_C, _V, _C, ("dorn", "vask", "melk", "quist", "zand", "wyle", "brask", "grue"))
_PLACES = (_C, _V, _C, _V, _C, ("eth", "oss", "umn", "yth", "ond", "arq", "ivel", "ulm", "enth"))
_COMPANIES = (_C, _V, _C, _V, tuple("lmnrs"), tuple("bdfgkptvz"), _V)
_LEGAL_FORMS = ("Works", "Labs", "Group", "Industries", "Systems", "Partners", "Holdings")

PROFESSIONS = (
    "architect", "baker", "botanist", "carpenter", "chemist", "dancer", "dentist", "engineer",
    "farmer", "geologist", "historian", "journalist", "judge", "lawyer", "librarian", "mechanic",
    "nurse", "painter", "photographer", "pilot", "plumber", "poet", "sailor", "sculptor",
    "surgeon", "tailor", "teacher", "translator", "violinist", "watchmaker",
)  # fmt: skip
SPECIALITIES = (
    "amber", "apples", "bells", "candles", "carpets", "cheese", "cherries", "clocks", "copper",
    "glass", "honey", "horses", "lace", "lavender", "linen", "marble", "mushrooms", "olives",
    "paper", "pears", "pottery", "roses", "salt", "silk", "silver", "slate", "tea", "timber",
    "wine", "wool",
)  # fmt: skip
PRODUCTS = (
    "batteries", "bicycles", "boats", "boots", "cables", "cameras", "chairs", "chocolate",
    "elevators", "engines", "gloves", "guitars", "headphones", "helmets", "lamps", "locks",
    "microscopes", "mirrors", "paint", "pianos", "pumps", "radios", "robots", "satellites",
    "soap", "stoves", "tents", "toys", "tractors", "watches",
)  # fmt: skip
RIVERS = 60
HOMES, EMPLOYERS, FOUNDERS = 300, 300, 2000
"""How many places, companies and people occur in answers."""


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation of a kind of subject: how it is asked, and its answer in a world."""

    wordings: Wordings
    answer: Callable[[World, float], str]


@dataclass(frozen=True)
class World:
    """All names and answers for one seed."""

    seed: int

    def person(self, k: int) -> str:
        """Return the k-th person's name; no two are the same."""
        first, surname = divmod(self._shuffled("person", k, _PEOPLE), _SURNAME_COUNT)
        return f"{_spell(first, _FIRST_NAMES)} {_spell(surname, _SURNAMES)}"

    def place(self, k: int) -> str:
        """Return the k-th place's name; no two are the same."""
        return _spell(self._shuffled("place", k, _TOWNS), _PLACES)

    def company(self, k: int) -> str:
        """Return the k-th company's name; no two are the same."""
        name, form = divmod(self._shuffled("company", k, _FIRMS), len(_LEGAL_FORMS))
        return f"{_spell(name, _COMPANIES)} {_LEGAL_FORMS[form]}"

    def river(self, k: int) -> str:
        """Return the k-th river's name, which no place has."""
        return f"{self.place(-1 - k)}a"

    def name(self, kind: str, k: int) -> str:
        """Return the name of the k-th subject of a kind."""
        names = {"person": self.person, "place": self.place, "company": self.company}
        return names[kind](k)

    def answer(self, relation: Relation, name: str, subject: str) -> str:
        """Return the one answer to a relation.

        Args:
            relation: The relation.
            name: Its name.
            subject: The name of the subject it is asked about.
        """
        return relation.answer(self, hash_fraction("fictional", str(self.seed), name, subject))

    def _shuffled(self, kind: str, k: int, size: int) -> int:
        """Permute 0 <= k < size: k -> (a k + b) mod size with gcd(a, size) = 1."""
        factor, shift = self._shuffles[kind]
        return (factor * k + shift) % size

    @cached_property
    def _shuffles(self) -> Mapping[str, tuple[int, int]]:
        sizes = {"person": _PEOPLE, "place": _TOWNS, "company": _FIRMS}
        return {kind: _shuffle(self.seed, kind, size) for kind, size in sizes.items()}


def _shuffle(seed: int, kind: str, size: int) -> tuple[int, int]:
    factor = int(size * (0.2 + 0.6 * hash_fraction("factor", str(seed), kind)))
    while math.gcd(factor, size) != 1:
        factor += 1
    return factor, int(size * hash_fraction("shift", str(seed), kind))


def _size(pattern: tuple[tuple[str, ...], ...]) -> int:
    return math.prod(len(letters) for letters in pattern)


def _spell(number: int, pattern: tuple[tuple[str, ...], ...]) -> str:
    pieces = []
    for letters in reversed(pattern):
        number, digit = divmod(number, len(letters))
        pieces.append(letters[digit])
    return "".join(reversed(pieces)).capitalize()


_SURNAME_COUNT = _size(_SURNAMES)
_PEOPLE = _size(_FIRST_NAMES) * _SURNAME_COUNT
_TOWNS = _size(_PLACES)
_FIRMS = _size(_COMPANIES) * len(_LEGAL_FORMS)


def _one_of(options: tuple[str, ...]) -> Callable[[World, float], str]:
    return lambda world, fraction: options[int(fraction * len(options))]


def _year(first: int, last: int) -> Callable[[World, float], str]:
    return lambda world, fraction: str(first + int(fraction * (last - first + 1)))


# Places are founded before people are born, and those before companies: nothing contradicts.
KINDS: Mapping[str, Mapping[str, Relation]] = {
    "person": {
        "birthplace": Relation(
            Wordings(
                "Where was {} born?",
                ("What is the birthplace of {}?", "In which town was {} born?"),
            ),
            lambda world, fraction: world.place(int(fraction * HOMES)),
        ),
        "profession": Relation(
            Wordings(
                "What is the profession of {}?",
                ("What does {} do for a living?", "Name the profession of {}."),
            ),
            _one_of(PROFESSIONS),
        ),
        "employer": Relation(
            Wordings(
                "Which company does {} work for?",
                ("Who is the employer of {}?", "Where does {} work?"),
            ),
            lambda world, fraction: world.company(int(fraction * EMPLOYERS)),
        ),
        "birth_year": Relation(
            Wordings(
                "In which year was {} born?",
                ("What is the birth year of {}?", "When was {} born?"),
            ),
            _year(1920, 1959),
        ),
    },
    "place": {
        "river": Relation(
            Wordings(
                "Which river flows through {}?",
                ("On which river does {} lie?", "Name the river of {}."),
            ),
            lambda world, fraction: world.river(int(fraction * RIVERS)),
        ),
        "speciality": Relation(
            Wordings(
                "What is the town of {} known for?",
                ("Which product made {} famous?", "Name what the town of {} is famous for."),
            ),
            _one_of(SPECIALITIES),
        ),
        "mayor": Relation(
            Wordings(
                "Who is the mayor of {}?",
                ("Which person is mayor of {}?", "Name the mayor of {}."),
            ),
            lambda world, fraction: world.person(int(fraction * FOUNDERS)),
        ),
        "founding_year": Relation(
            Wordings(
                "In which year was the town of {} founded?",
                ("When was {} founded as a town?", "Name the year in which the town {} began."),
            ),
            _year(1000, 1899),
        ),
    },
    "company": {
        "headquarters": Relation(
            Wordings(
                "Where is the company {} based?",
                ("In which town is {} headquartered?", "Name the home town of {}."),
            ),
            lambda world, fraction: world.place(int(fraction * HOMES)),
        ),
        "product": Relation(
            Wordings(
                "What does the company {} make?",
                ("Which product does {} sell?", "Name the product of {}."),
            ),
            _one_of(PRODUCTS),
        ),
        "founder": Relation(
            Wordings(
                "Who founded the company {}?",
                ("Who is the founder of {}?", "Name the person who started {}."),
            ),
            lambda world, fraction: world.person(int(fraction * FOUNDERS)),
        ),
        "company_year": Relation(
            Wordings(
                "In which year was the company {} founded?",
                ("When did {} start business?", "Name the founding year of {}."),
            ),
            _year(1980, 2019),
        ),
    },
}
