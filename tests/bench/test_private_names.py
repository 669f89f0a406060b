"""What libraries do not promise to keep is used knowingly: it is in the table of optimizations."""

from __future__ import annotations

import ast
import os
import re
import sys

from bench import ROOT, optimizations

FILES = [path for name in ("bench", "methods") for path in sorted((ROOT / name).rglob("*.py"))]
TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in FILES]
NAMED_TUPLE = {"_asdict", "_fields", "_replace"}
OURS = {"bench", "methods", "tasks", *sys.stdlib_module_names}


def own_members():
    """Names that our classes and their objects have."""
    for node in (node for tree in TREES for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef):
            yield from (child.name for child in node.body if isinstance(child, ast.FunctionDef))
            yield from (c.target.id for c in node.body if isinstance(c, ast.AnnAssign))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def words(node):
    """Names that a node takes from elsewhere."""
    match node:
        case ast.ImportFrom():
            return [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        case ast.Attribute():
            return [node.attr]
        case ast.Call(func=ast.Name("getattr" | "hasattr"), args=[_, ast.Constant(name), *_]):
            return [name]
    return []


def replaced(tree):
    """Names that are set in modules of libraries."""
    libraries = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or node.names[0].name
            if module.split(".")[0] not in OURS:
                libraries |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(name), ctx=ast.Store()) if name in libraries:
                yield node.attr


def test_private_names_of_libraries_are_in_the_table():
    own = {*own_members(), *NAMED_TUPLE, *(path.stem for path in FILES), *dir(os)}
    found = {
        word
        for tree in TREES
        for node in ast.walk(tree)
        for word in words(node)
        if re.match(r"_[A-Za-z]", word) and word not in own
    }
    found |= {name for tree in TREES for name in replaced(tree)}
    cells = re.findall(r"^\| (`.+?`[^|]*)\|", optimizations.__doc__, re.MULTILINE)
    table = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert {"_lazy_clone", "_cdata", "_yaml_loader", "GGUFReader"} <= found
    assert found <= table
    source = "".join(path.read_text(encoding="utf-8") for path in FILES)
    gone = {name for name in table if source.count(name) == optimizations.__doc__.count(name)}
    assert not gone, "the table has rows that nothing uses"
