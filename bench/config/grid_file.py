"""A grid file: its content, and where in the file each name and value stands.

An error that begins with `grid.yaml:7:` takes a terminal or an editor to the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import UsageError

if TYPE_CHECKING:
    import yaml

Keys = tuple[Any, ...]
"""The way to a value: names of mappings, and indices of lists."""


@dataclass(frozen=True)
class GridFile:
    """A YAML file that holds a mapping.

    Attributes:
        path: The file.
        content: What it holds; empty for an empty file.
        names, values: The line and the column of each name and each value, from 0.
    """

    path: Path
    content: dict[Any, Any] = field(default_factory=dict)
    names: Mapping[Keys, tuple[int, int]] = field(default_factory=dict)
    values: Mapping[Keys, tuple[int, int]] = field(default_factory=dict)

    def name_at(self, *keys: Any) -> str:
        """Return where a name stands: `grid.yaml:7`, with the column unless it is the first."""
        return self._written(self.names.get(keys))

    def value_at(self, *keys: Any) -> str:
        """Return where a value stands; of one that the file does not spell out, what holds it."""
        while keys and keys not in self.values:
            keys = keys[:-1]
        return self._written(self.values.get(keys))

    def _written(self, place: tuple[int, int] | None) -> str:
        if place is None:
            return str(self.path)
        line, column = place
        return f"{self.path}:{line + 1}" + (f":{column + 1}" if column else "")


def read_grid_file(path: Path) -> GridFile:
    """Read a grid file.

    Raises:
        UsageError: It cannot be read, is not valid YAML or not a mapping, or gives a name twice;
            with the line.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return GridFile(path)
        places = _Places(path)
        places.add(root)
        content = loader.construct_document(root)
    except OSError as error:
        raise UsageError(f"cannot read --config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read --config {path}: save it as UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        raise UsageError(_invalid(path, error)) from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    grid = GridFile(path, content, places.names, places.values)
    if not isinstance(content, dict):
        right = "write one option per line, as in 'methods: lora,corda'"
        raise UsageError(f"{grid.value_at()}: {right}")
    return grid


def _invalid(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark, problem = error.problem_mark, str(error.problem)
    line = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    if r"'\t'" in problem:
        return f"{line}: a tab, which YAML does not take here: indent with spaces"
    return f"{line}: not valid YAML: {problem}"


class _Places:
    """Collects where names and values stand, and refuses names that are given twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names: dict[Keys, tuple[int, int]] = {}
        self.values: dict[Keys, tuple[int, int]] = {}

    def add(self, node: yaml.Node, keys: Keys = ()) -> None:
        """Add a node and all that it holds.

        Raises:
            UsageError: A mapping has the same name twice, of which YAML would keep the last.
        """
        import yaml

        if keys in self.values:  # `*alias` of a mapping that holds itself
            return
        self.values[keys] = (node.start_mark.line, node.start_mark.column)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.add(item, (*keys, index))
        elif isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                self._add_name(name, keys)
                self.add(value, (*keys, name.value))

    def _add_name(self, name: yaml.Node, within: Keys) -> None:
        line, column = name.start_mark.line, name.start_mark.column
        earlier = self.names.setdefault((*within, name.value), (line, column))
        if earlier != (line, column):
            place = f"{self._path}:{line + 1}" + (f":{column + 1}" if column else "")
            raise UsageError(f"{place}: '{name.value}' is already given in line {earlier[0] + 1}")


def located(
    error: UsageError, grid: GridFile, check: Callable[[dict[Any, Any]], object]
) -> UsageError:
    """Return an error with the place of the value that causes it, if it is in the file.

    That is the value without which the file no longer has this error. Checks need to know nothing
    of files, and only a file with an error is checked more than once.

    Args:
        error: What `check` raised for the whole content of the file.
        grid: The file.
        check: Raises the error for a content of the file.
    """

    def remains(content: dict[Any, Any]) -> bool:
        try:
            check(content)
        except Exception as other:  # a content that lacks something may fail anywhere
            return str(other) == str(error)
        return False

    message = str(error)
    options = sorted(
        grid.content, key=lambda option: not message.startswith(f"--{_dashed(option)} ")
    )
    for option in options:
        if remains({name: v for name, v in grid.content.items() if name != option}):
            continue
        for keys, rest in _shortened(grid.content[option]):
            if not remains({**grid.content, option: rest}):
                return _at(grid, option, keys, message)
        return _at(grid, option, (), message)
    return error


def _shortened(value: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield the place of each part of a value, and the value without it."""
    if isinstance(value, list) and len(value) > 1:
        yield from (
            ((index,), [*value[:index], *value[index + 1 :]]) for index in range(len(value))
        )
    if isinstance(value, dict) and len(value) > 1:
        yield from (((key,), {k: v for k, v in value.items() if k != key}) for key in value)


def _at(grid: GridFile, option: Any, keys: Keys, message: str) -> UsageError:
    written = _dashed(option)
    place = grid.name_at(option, *keys) if keys and isinstance(keys[-1], str) else ""
    place = place or grid.value_at(option, *keys)
    return UsageError(f"{place}: {message.replace(f'--{written} ', f'{written} ')}")


def _dashed(option: Any) -> str:
    return str(option).replace("_", "-")
