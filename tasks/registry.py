"""The registry behind each kind of plug-in: a dictionary, a decorator, and discovery.

A new file in the kind's folder is enough: the folder is imported on first use, as are installed
packages that declare the kind's entry-point group. Part modules import torch, transformers and peft
only inside their methods, so that listing them takes no time.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from tasks.errors import UsageError, unknown_name

P = TypeVar("P")


class Registry(Generic[P]):
    """Named classes of one plug-in kind.

    Args:
        kind: What messages call a member, for example `adapter`.
        packages: The packages whose modules are discovered, for example `methods.adapters`, or
            one of them; modules whose names start with `_` are skipped.
        group: The entry-point group through which installed packages can add members.
    """

    def __init__(self, kind: str, packages: str | Sequence[str], group: str) -> None:
        self.kind = kind
        self.packages = (packages,) if isinstance(packages, str) else tuple(packages)
        self.group = group
        self._members: dict[str, type[P]] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[type[P]], type[P]]:
        """Return a class decorator that registers a class as `name`.

        Raises, when it decorates:
            UsageError: The name is taken, or the class lacks a method that its kind requires.
        """

        def add(member: type[P]) -> type[P]:
            if lacking := sorted(getattr(member, "__abstractmethods__", ())):
                raise UsageError(
                    f"{self.kind} '{name}' ({_place(member)}) lacks what every {self.kind} must "
                    f"define: give its class {' and '.join(lacking)}"
                )
            present = self._members.get(name)
            if present is not None and _place(present) != _place(member):
                raise UsageError(
                    f"{self.kind} '{name}' is registered twice: {_place(present)} and "
                    f"{_place(member)}; rename one"
                )
            self._members[name] = member
            return member

        return add

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._discover()
        return sorted(self._members)

    def __getitem__(self, name: str) -> type[P]:
        """Return the class called `name`; raise `UsageError` with near names if there is none."""
        self._discover()
        try:
            return self._members[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._members) from None

    def __contains__(self, name: str) -> bool:
        self._discover()
        return name in self._members

    def name_of(self, member: type[Any]) -> str:
        """Return the name under which a class was registered."""
        self._discover()
        return next(name for name, known in self._members.items() if known is member)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for package in self.packages:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                if not module.name.startswith("_"):
                    imported(f"{package}.{module.name}")
        for entry in installed(self.group):
            member = self._load(entry)
            if member not in self._members.values():
                self.register(entry.name)(member)
        for name, member in self._members.items():
            if "__dataclass_fields__" not in vars(member):  # a base's fields would hide its own
                raise UsageError(
                    f"{self.kind} '{name}' ({_place(member)}) is not a dataclass: "
                    "write @dataclass(frozen=True) above its class"
                )

    def _load(self, entry: EntryPoint) -> type[P]:
        try:
            member = entry.load()
        except Exception as error:
            raise UsageError(
                f"{self.kind} '{entry.name}' of an installed package ({entry.value}) cannot be "
                f"loaded: {_why(error)}; repair or remove the package"
            ) from error
        if not isinstance(member, type):
            raise UsageError(
                f"{self.kind} '{entry.name}' of an installed package ({entry.value}) is not a class"
            )
        return member


def imported(module: str) -> None:
    """Import a module that plug-ins lie in.

    Raises:
        UsageError: It cannot be imported, or a name in it is taken.
    """
    try:
        importlib.import_module(module)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(told(error, module, "cannot be loaded")) from error


def told(error: Exception, module: str, outcome: str) -> str:
    """Return `FILE (line N) OUTCOME: why` for an error in the code of a plug-in.

    Args:
        error: What was raised.
        module: The module of the plug-in; the line is the last one of its file that ran.
        outcome: What the error means for the plug-in, such as `cannot be loaded`.
    """
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    else:
        try:
            spec = importlib.util.find_spec(module)
        except Exception:  # not even the package that should hold it can be imported
            spec = None
        file = (spec and spec.origin) or module
        calls = traceback.extract_tb(error.__traceback__)
        line = next((call.lineno for call in reversed(calls) if call.filename == file), None)
    return f"{file}{f' (line {line})' if line else ''} {outcome}: {_why(error)}"


def _why(error: Exception) -> str:
    text = " ".join((getattr(error, "msg", None) or str(error)).split())
    return text if isinstance(error, ImportError) and text else f"{type(error).__name__}: {text}"


@dataclass(frozen=True)
class Declared:
    """A plug-in that was found in a file without importing the file.

    Attributes:
        name: The name under which it registers.
        module: The module that registers it when imported.
        about: What its decorator says about it, or else the first line of its docstring.
    """

    name: str
    module: str
    about: str


def declared(package: str, decorator: str, pattern: str = "*.py") -> Iterator[Declared]:
    """Yield the plug-ins decorated with `@decorator("name")` in the files of a package.

    Only the source is read, because some modules are too slow to import just to list them.

    Args:
        package: The package; its parents are imported, it is not.
        decorator: The name of the decorator.
        pattern: Which files of its folder to read, in the order of their names.

    Raises:
        UsageError: A file is not Python.
    """
    spec = importlib.util.find_spec(package)
    for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
        for path in sorted(folder.glob(pattern)):
            module = ".".join((package, *path.relative_to(folder).with_suffix("").parts))
            try:
                source = path.read_text(encoding="utf-8")
                tree = ast.parse(source if f"@{decorator}(" in source else "", str(path))
            except (SyntaxError, ValueError) as error:
                raise UsageError(told(error, module, "cannot be loaded")) from error
            for name, about in _decorated(tree, decorator):
                yield Declared(name, module, about)


def _decorated(tree: ast.Module, decorator: str) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for call in node.decorator_list:
                match call:
                    case ast.Call(ast.Name(name), [ast.Constant(str(given)), *rest]):
                        about = (ast.get_docstring(node) or "").partition("\n")[0]
                        if rest and isinstance(rest[0], ast.Constant):
                            about = str(rest[0].value)
                        if name == decorator:
                            yield given, about


def installed(group: str) -> Iterable[EntryPoint]:
    """Return the entry points that installed packages declare in a group."""
    found: Iterable[EntryPoint] = _installed(tuple(sys.path)).select(group=group)
    return found


def _place(member: type[Any]) -> str:
    return f"{member.__module__}.{member.__qualname__}"


@lru_cache(maxsize=4)
def _installed(path: tuple[str, ...]) -> Any:  # of another class before Python 3.12
    """Return all entry points on the path; cached, because reading opens a file per package."""
    return entry_points()
