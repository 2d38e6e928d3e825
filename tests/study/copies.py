"""Copies of installed modules, such that they are the user's own in another folder."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from pathlib import Path


def copied(module: str, names: Mapping[str, str]) -> str:
    """The source of an installed module that imports others by their full names.

    `names` are those of the modules that are copied, by which they are found: relative imports
    become absolute ones, and those of copied modules take the copies.
    """
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    text = Path(spec.origin).read_text(encoding="utf-8")
    package = module if spec.submodule_search_locations else module.rpartition(".")[0]
    edits = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            edits.append((node, _imports_from(node, package, names)))
    return spliced(text, edits)


def _imports_from(node: ast.ImportFrom, package: str, names: Mapping[str, str]) -> str:
    home = node.module or ""
    if node.level:
        home = importlib.util.resolve_name("." * node.level + home, package)
    statements = []
    for alias in node.names:
        known = names.get(f"{home}.{alias.name}")
        bound = f" as {alias.asname}" if alias.asname else ""
        if known is None:
            statements.append(f"from {names.get(home, home)} import {alias.name}{bound}")
        else:
            statements.append(f"import {known} as {alias.asname or alias.name}")
    return "; ".join(statements)


def spliced(text: str, edits: list[tuple[ast.expr | ast.stmt, str]]) -> str:
    """`text` with other texts where some of its nodes are, none of which lies in another."""
    lines = text.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    data = b"".join(lines)
    for node, new in sorted(edits, key=lambda edit: edit[0].lineno, reverse=True):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        data = data[:start] + new.encode() + data[end:]
    return data.decode()
