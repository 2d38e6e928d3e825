"""Whether a path is written out in the code or an input of it, and not computed from such.

Files that native code reads unseen are found by the texts that constants and inputs hold.
"""

from __future__ import annotations

import ast
from collections.abc import Set

# What gives the path that it is called with.
_SAME_PATH = frozenset({"Path", "PurePath", "str", "fspath", "expanduser", "sorted", "list"})


def is_given(node: ast.expr, computed: Set[str]) -> bool:
    """Whether `node` holds only paths of that kind; names in `computed` do not."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name):
        return node.id not in computed
    if isinstance(node, ast.Attribute | ast.Subscript):
        return is_given(node.value, computed)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return all(is_given(item, computed) for item in node.elts)
    if isinstance(node, ast.Dict):
        return all(is_given(item, computed) for item in node.values)
    if isinstance(node, ast.IfExp):
        return is_given(node.body, computed) and is_given(node.orelse, computed)
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        return name in _SAME_PATH and is_given(node.args[0], computed)
    return False
