"""What a piece of compiled code is, and what it can reach, as far as its text tells.

The facts of a code object never change, so they are found once and kept: its normal form, the
dotted names it takes from outside, the environment variables it reads under literal names, and
what no analysis can follow. What the names mean is looked up anew at each call, by `reach`.
"""

from __future__ import annotations

import ast
import dis
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import CodeType

from cascade_nb.fingerprint.names import Reader
from cascade_nb.fingerprint.normal import NormalForm, bytecode, digest, text
from cascade_nb.fingerprint.orders import Orders
from cascade_nb.fingerprint.risks import Risk
from cascade_nb.fingerprint.scopes import Use
from cascade_nb.fingerprint.source import Piece, find_source

# Whoever names one of these may read docstrings, or the annotations of functions.
_DOCSTRING_READERS = frozenset({"__doc__", "getdoc", "help", "getsource", "getsourcelines"})
_ANNOTATION_READERS = frozenset(
    [
        "__annotations__",
        "__annotate__",
        "get_annotations",
        "get_type_hints",
        "getfullargspec",
        "signature",
        "Signature",
        "validate_call",
        "getsource",
        "getsourcelines",
    ]
)
# Whoever names one of these may see the order of a class's or module's members.
NAMESPACE_READERS = frozenset({"vars", "__dict__"})


@dataclass(frozen=True, slots=True)
class Root:
    """A global or closure's name with all the dotted names that begin with it."""

    name: str
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What is known of a code object once and for all; `name` is without ``<locals>``."""

    name: str
    digest: str
    roots: tuple[Root, ...]
    frees: tuple[Root, ...]
    imports: tuple[Use, ...]
    environment: tuple[str, ...]
    attributes: frozenset[str]
    risks: tuple[Risk, ...]
    reads_documents: bool
    orders: Orders
    enumerates: bool


# By id, and holding the object: comparing code objects, as a dict of them does, is slow.
_facts: dict[int, tuple[CodeType, CodeFacts]] = {}


def facts_of(code: CodeType) -> CodeFacts:
    """The facts of a function's code object."""
    known = _facts.get(id(code))
    if known is not None:
        return known[1]
    facts = _analyse(code)
    _facts[id(code)] = (code, facts)
    return facts


def _analyse(code: CodeType) -> CodeFacts:
    piece = find_source(code)
    if piece is not None:
        try:
            return _of_source(code, piece)
        except RecursionError:
            # Code nested too deeply for a walk of its tree has its bytecode all the same.
            pass
    return _of_bytecode(code)


def _of_source(code: CodeType, piece: Piece) -> CodeFacts:
    node = piece.node
    words = identifiers(node)
    docstrings, annotations = asks_about_code(words)
    normal = NormalForm(docstrings=docstrings, annotations=annotations)
    reader = Reader(piece.class_name, annotations=annotations)
    if not isinstance(node, ast.Lambda) and normal.annotations_count(node):
        reader.visit_annotations(node)
    reader.study(node)
    reader.visit_function(node)
    # A private name means another attribute in another class.
    private = any(word.startswith("__") and not word.endswith("__") for word in words)
    home = text(piece.class_name or "") if private else b""
    return _facts_from(
        code,
        digest(b"source", normal.of_function(node), home),
        reader.uses.values(),
        imports=tuple(reader.imports.values()),
        environment=tuple(sorted(reader.environment)),
        attributes=frozenset(reader.attributes),
        risks=tuple(reader.risks),
        reads_documents=docstrings or annotations,
        orders=reader.orders,
        enumerates=enumerates(node),
    )


def _facts_from(
    code: CodeType,
    code_digest: str,
    uses: Iterable[Use],
    *,
    imports: tuple[Use, ...] = (),
    environment: tuple[str, ...] = (),
    attributes: frozenset[str],
    risks: tuple[Risk, ...] = (),
    reads_documents: bool,
    enumerates: bool,
    orders: Orders | None = None,
) -> CodeFacts:
    by_root, imported = group(uses)
    frees = tuple(Root(name, by_root.pop(name, (Use(name),))) for name in code.co_freevars)
    return CodeFacts(
        name=code.co_qualname.replace("<locals>.", ""),
        digest=code_digest,
        roots=tuple(Root(name, found) for name, found in by_root.items()),
        frees=frees,
        imports=imports + imported,
        environment=environment,
        attributes=attributes,
        risks=risks,
        reads_documents=reads_documents,
        orders=Orders() if orders is None else orders,
        enumerates=enumerates,
    )


def group(uses: Iterable[Use]) -> tuple[dict[str, tuple[Use, ...]], tuple[Use, ...]]:
    """The uses of names by their roots, sorted; and those of modules that the code imports."""
    by_root: dict[str, tuple[Use, ...]] = {}
    imported: list[Use] = []
    for use in sorted(uses, key=_order):
        if use.imported:
            imported.append(use)
        else:
            by_root[use.root] = (*by_root.get(use.root, ()), use)
    return by_root, tuple(imported)


def _order(use: Use) -> tuple[str, tuple[str, ...], int, int]:
    return use.root, use.attributes, use.level, use.call


def asks_about_code(words: set[str]) -> tuple[bool, bool]:
    """Whether code of such words may read docstrings, and whether it may read annotations."""
    return not words.isdisjoint(_DOCSTRING_READERS), not words.isdisjoint(_ANNOTATION_READERS)


def enumerates(tree: ast.AST) -> bool:
    """Whether code may go over the members of a class or module in their order.

    `dir` and ``inspect.getmembers`` sort. An instance's attributes, as ``vars(self)``, have no
    order, and to look one name up takes none.
    """
    left_out = {id(namespace) for node in ast.walk(tree) for namespace in _unordered(node)}
    return any(
        id(node) not in left_out
        and (
            (isinstance(node, ast.Name) and node.id in NAMESPACE_READERS)
            or (isinstance(node, ast.Attribute) and node.attr in NAMESPACE_READERS)
            or (isinstance(node, ast.Constant) and node.value == "__dict__")
            or (isinstance(node, ast.alias) and node.name in NAMESPACE_READERS)
        )
        for node in ast.walk(tree)
    )


def _unordered(node: ast.AST) -> Iterator[ast.expr]:
    """The namespaces at `node` of which it does not matter in what order they are."""
    owner: ast.expr | None = None
    if isinstance(node, ast.Subscript):
        yield from _namespace(node.value)
    elif isinstance(node, ast.Attribute):
        if node.attr in ("get", "pop", "setdefault", "update"):
            yield from _namespace(node.value)
        owner = node.value
    elif isinstance(node, ast.Call) and node.args:
        owner = node.args[0]
    if isinstance(owner, ast.Name) and owner.id == "self" and isinstance(node, ast.expr):
        yield from _namespace(node)


def _namespace(node: ast.expr) -> Iterator[ast.expr]:
    """What says so, where `node` is ``vars(x)`` or ``x.__dict__``."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "vars":
        yield node.func
    elif isinstance(node, ast.Attribute) and node.attr == "__dict__":
        yield node


def identifiers(node: ast.AST) -> set[str]:
    """Every name, attribute and text in the code."""
    words: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            words.add(inner.id)
        elif isinstance(inner, ast.Attribute):
            words.add(inner.attr)
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            words.add(inner.value)
        elif isinstance(inner, ast.alias):
            words.add(inner.name)
    return words


def _of_bytecode(code: CodeType) -> CodeFacts:
    uses: dict[Use, Use] = {}
    _collect(code, frozenset(code.co_freevars), uses)
    words = {word for use in uses.values() for word in (use.root, *use.attributes)}
    return _facts_from(
        code,
        digest(b"bytecode", bytecode(code)),
        uses.values(),
        risks=_bytecode_risks(code),
        environment=_environment_of(code),
        attributes=frozenset(_names_in(code) | _texts_in(code)),
        reads_documents=not words.isdisjoint(_DOCSTRING_READERS | _ANNOTATION_READERS),
        enumerates=not words.isdisjoint(NAMESPACE_READERS),
    )


_NAME_LOADS = frozenset(
    ["LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"]
)
_FREE_LOADS = frozenset(["LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "STORE_DEREF"])
_ATTRIBUTES = frozenset(["LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR"])


def _collect(code: CodeType, free: frozenset[str], uses: dict[Use, Use]) -> None:
    """The dotted names in bytecode: a load of a name and the attributes that follow at once."""
    chain: Use | None = None

    def close() -> None:
        if chain is not None:
            uses.setdefault(replace(chain, line=0), chain)

    line = code.co_firstlineno
    level = 0
    for step in dis.get_instructions(code):
        if step.positions is not None and step.positions.lineno is not None:
            line = step.positions.lineno
        name = step.argval
        if step.opname in _ATTRIBUTES and chain is not None:
            chain = replace(chain, attributes=(*chain.attributes, name))
            continue
        if step.opname == "IMPORT_FROM" and chain is not None and chain.imported:
            found = replace(chain, attributes=(*chain.attributes, name))
            uses.setdefault(replace(found, line=0), found)
            continue
        if step.opname == "STORE_FAST" and chain is not None and chain.imported:
            continue
        close()
        chain = None
        if step.opname in ("LOAD_CONST", "LOAD_SMALL_INT") and isinstance(name, int):
            level = name
        elif step.opname in _NAME_LOADS or (step.opname in _FREE_LOADS and name in free):
            chain = Use(name, line=line)
        elif step.opname == "IMPORT_NAME":
            chain = Use(name, line=line, imported=True, level=level)
    close()
    for value in code.co_consts:
        if isinstance(value, CodeType):
            _collect(value, free, uses)


_UNFOLLOWED = {
    "getattr": "an attribute may be looked up under a computed name",
    "eval": "code may be computed and cannot be followed",
    "exec": "code may be computed and cannot be followed",
    "globals": "globals may be looked up under computed names",
    "__import__": "a module may be imported under a computed name",
    "import_module": "a module may be imported under a computed name",
}


def _bytecode_risks(code: CodeType) -> tuple[Risk, ...]:
    return tuple(
        Risk(line=code.co_firstlineno, name=name, message=_UNFOLLOWED[name])
        for name in sorted(_names_in(code) & _UNFOLLOWED.keys())
    )


def _environment_of(code: CodeType) -> tuple[str, ...]:
    """Without source, every text beside a use of the environment may name a variable."""
    if _names_in(code).isdisjoint({"environ", "getenv"}):
        return ()
    return tuple(sorted(word for word in _texts_in(code) if re.fullmatch(r"[^=\s\0]{1,255}", word)))


def _names_in(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for value in code.co_consts:
        if isinstance(value, CodeType):
            names |= _names_in(value)
    return names


def _texts_in(code: CodeType) -> set[str]:
    texts: set[str] = set()
    for value in code.co_consts:
        if isinstance(value, CodeType):
            texts |= _texts_in(value)
        elif isinstance(value, str):
            texts.add(value)
    return texts
