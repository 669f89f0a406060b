"""What identifies the code behind a recipe: versions, and digests that no rewording changes.

A part counts with its `version` and with its own file. What its file imports from `methods`
counts with the version of its entry in `methods.versions` where it has one, else with its file as
well: code that nobody listed can make cells run again needlessly, never wrongly count as unchanged.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from methods.versions import MACHINERY, REWRITTEN

if TYPE_CHECKING:
    from methods.parts import Part

_NAMES = ("parts", "signals", "notes", "recipe", "training_parts", "versions")
_CONTRACTS = frozenset(f"methods.{name}" for name in _NAMES)
"""Modules that say what parts look like, and compute nothing of theirs."""


TOLD = frozenset({"starts_as_base", "copies_weights", "trains", "needs_data"})
"""Attributes of adapters for lists and estimates, which nothing computes results with."""

_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


class _File(NamedTuple):
    """What identity needs to know of a Python file.

    Attributes:
        digest: See `syntax_digest`.
        imports: Modules it may import, those for type checking left out: they compute nothing.
        attributes: Names it reads behind a dot.
    """

    digest: str
    imports: frozenset[str]
    attributes: frozenset[str]


def syntax_digest(source: bytes) -> str:
    """Return a digest of a Python file's syntax tree, without docstrings, comments and layout.

    Nor does it count what a file says of an adapter for people alone, see `TOLD`.

    It is the same under Python 3.11 to 3.13. Every string that stands alone as a statement counts
    as a docstring, so also one below an attribute.
    """
    return hashlib.sha256(_written(ast.parse(source)).encode()).hexdigest()


def code_digest(parts: Iterable[Part]) -> str:
    """Return the digest of the code that decides what parts compute."""
    parts = tuple(parts)
    counted = {f"{type(part).__name__} version {part.version}" for part in parts}
    waiting = {kind.__module__ for part in parts for kind in type(part).__mro__}
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        path = _file_of(module)
        if module in seen or module in _CONTRACTS or path is None:
            continue
        seen.add(module)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        file = _read(path.read_bytes(), package)
        entries = [name for name, entry in MACHINERY.items() if module in entry.modules]
        asked = [name for name, entry in MACHINERY.items() if file.attributes & entry.signals]
        counted |= {f"{name} version {MACHINERY[name].version}" for name in (*entries, *asked)}
        if not entries:
            counted.add(REWRITTEN.get(file.digest, file.digest))
        waiting |= {name for name in file.imports if name.startswith("methods.")}
        waiting |= {used for name in asked for used in MACHINERY[name].modules}
    return hashlib.sha256("\n".join(sorted(counted)).encode()).hexdigest()


def names_read(kind: type[Part]) -> frozenset[str]:
    """Return the names that a part's own file reads behind a dot, such as those of signals."""
    module = kind.__module__
    path = _file_of(module)
    if path is None:
        return frozenset()
    return _read(path.read_bytes(), module.rpartition(".")[0]).attributes


def _written(value: object) -> str:
    """Write a syntax tree, or what a field of one holds.

    Not `ast.dump`: newer Pythons add fields and leave out others. What they add is empty in a
    program for 3.11, so empty fields are not written. `ascii`, since `repr` follows Unicode.
    """
    if isinstance(value, list):
        items = (item for item in value if not (_is_docstring(item) or _is_told(item)))
        return f"[{','.join(map(_written, items))}]"
    if not isinstance(value, ast.AST):
        return ascii(value)
    if isinstance(value, ast.JoinedStr):  # 3.12.1 ends a format specification with an empty string
        value.values = [piece for piece in value.values if getattr(piece, "value", None) != ""]
    present = [pair for pair in ast.iter_fields(value) if pair[1] is not None and pair[1] != []]
    fields = ",".join(f"{name}={_written(content)}" for name, content in present)
    return f"{type(value).__name__}({fields})"


def _is_docstring(node: object) -> bool:
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return False
    return isinstance(node.value.value, str)


def _is_told(node: object) -> bool:
    """Return whether a statement says about an adapter what only people read."""
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return bool(targets) and all(getattr(target, "id", None) in TOLD for target in targets)


@cache
def _read(source: bytes, package: str) -> _File:
    """Read a file of a package; by its content, for a part may be edited while a process lives."""
    nodes = list(_that_run(ast.parse(source)))
    imports: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            # A name may itself be a module: `from methods import gram`.
            imports |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            named = [getattr(argument, "value", None) for argument in node.args[:1]]
            imports |= {resolve_name(name, package) for name in named if isinstance(name, str)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return _File(syntax_digest(source), frozenset(imports), frozenset(attributes))


def _that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree but for what is imported for type checking alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in _CHECKING:
            node = ast.Module(node.orelse, [])
        yield node
        yield from _that_run(node)


def _file_of(module: str) -> Path | None:
    """Return a module's file: below `methods` found without importing it, elsewhere if loaded."""
    top, *names = module.split(".")
    if top in sys.stdlib_module_names:
        return None
    place = Path(__file__).parent.joinpath(*names)
    files = [place.with_suffix(".py"), place / "__init__.py"]
    if top != "methods":
        files = [Path(getattr(sys.modules.get(module), "__file__", None) or "")]
    return next((path for path in files if path.suffix == ".py" and path.is_file()), None)
