"""The tree is the architecture: a module imports only what lies on lower floors.

The table is DESIGN.md's. It is read from the sources, so an import inside a function counts, and
so does one by name through `importlib`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cascade_nb"

# Room -> floor. A room is a module of `cascade_nb`, or a folder of them.
FLOORS: dict[str, int] = {
    room: floor
    for floor, rooms in enumerate(
        (
            "errors nesting loop records tasks protocols events units wording arguments meter "
            "surface",
            "fingerprint codecs content provenance files",
            "backends",
            "policies executors",
            "calls flights execution",
            "stores config catalog exchange",
            "binding streams decorator sharing notebook cli",
            "__init__ __main__",
        )
    )
    for room in rooms.split()
}
# Rooms that may import another one of their own floor; all others may not.
NEIGHBOURS: dict[str, str] = {
    "execution": "calls flights",
    "config": "stores",
    "exchange": "catalog",
    "decorator": "binding streams",
    "__main__": "__init__",
}
# The vocabulary is one floor, whose modules lean on each other without a circle.
VOCABULARY = frozenset(room for room, floor in FLOORS.items() if floor == 0)
# Each of these talks to one medium and knows none of the others.
MEDIA = frozenset({"memory", "disk", "redis", "ipfs", "gateway"})

MODULES = sorted(PACKAGE.rglob("*.py"))


def _name(module: Path) -> str:
    """The dotted name inside the package: ``errors``, ``codecs.tree``, ``codecs.__init__``."""
    return ".".join(module.relative_to(PACKAGE).with_suffix("").parts)


def _imports(module: Path, *, for_types_too: bool = True) -> Iterator[str]:
    """Dotted names inside the package that `module` imports, wherever the import stands."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if for_types_too else _run_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _inside(alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(module)} has a relative import"
            for alias in node.names:
                yield from _inside(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield from _inside(argument.value)


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of `tree` that ever run: none under ``if TYPE_CHECKING``."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _run_nodes(child)


def _inside(dotted: str) -> Iterator[str]:
    """The module that `dotted` names or lies in, without the package's own name."""
    package, _, rest = dotted.partition(".")
    if package != "cascade_nb":
        return
    parts = rest.split(".")
    while parts and not (
        PACKAGE.joinpath(*parts).is_dir() or PACKAGE.joinpath(*parts).with_suffix(".py").is_file()
    ):
        parts.pop()
    if parts:
        yield ".".join(parts)
    elif rest != "__version__":
        yield "__init__"


def _room(dotted: str) -> str:
    return dotted.partition(".")[0]


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_a_module_imports_only_lower_floors(module: Path) -> None:
    room = _room(_name(module))
    assert room in FLOORS, f"{room} has no floor yet: give it one in this table"
    for imported in _imports(module):
        other = _room(imported)
        assert other in FLOORS, f"{room} imports {imported}, which has no floor"
        allowed = (
            FLOORS[other] < FLOORS[room]
            or other == room
            or {room, other} <= VOCABULARY
            or other in NEIGHBOURS.get(room, "").split()
        )
        assert allowed, (
            f"{_name(module)} (floor {FLOORS[room]}) imports {imported} (floor {FLOORS[other]})"
        )


def test_no_two_media_know_each_other() -> None:
    for medium in MEDIA:
        module = PACKAGE / "backends" / f"{medium}.py"
        if module.is_file():
            others = {f"backends.{other}" for other in MEDIA - {medium}}
            assert not others & set(_imports(module)), medium


def test_there_is_no_circle() -> None:
    def file_of(dotted: str) -> str:
        return f"{dotted}.__init__" if (PACKAGE / dotted.replace(".", "/")).is_dir() else dotted

    graph = {
        _name(module): {file_of(imported) for imported in _imports(module, for_types_too=False)}
        - {_name(module)}
        for module in MODULES
    }
    TopologicalSorter(graph).prepare()
