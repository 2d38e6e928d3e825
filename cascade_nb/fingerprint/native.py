"""Which texts a native reader may be given as its path: nobody sees what it opens.

A text counts as `Given` under one of three conditions, and only where code of the computation
names a reader that `risks` knows, of a package that the computation reaches:

- it is written out in a reader's call, or assigned to a name that is given to it;
- it is, or is in, a global, closure, argument or attribute whose name is given to it; of those in
  a container, only such as may be paths;
- a reader is given a parameter or something else that is not followed: then every text of the
  computation that may be a path counts and, where there are few, every word.

What may be a path is the name of a folder that exists, or has a separator, a wildcard or a file's
suffix. A URL is none. Computed paths are not looked for: `risks` reports them.
"""

from __future__ import annotations

import ast
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from types import CodeType
from typing import Any

from cascade_nb.fingerprint import origin, risks
from cascade_nb.fingerprint.scopes import CallForm
from cascade_nb.fingerprint.source import find_source

_URL = re.compile(r"\w[\w+.-]+://")
_SUFFIX = re.compile(r"\.[^\W\d]\w{0,15}$")
_WORD = re.compile(r"[\w-][\w.-]*")
_FEW = 64
# How readers call the parameter that takes the path.
_PATH_PARAMETERS = re.compile(r"source|path|where|file|name|store|uri|dir")


class Given(str):
    """A text that a native reader may be given as its path."""

    __slots__ = ()


def given_texts(
    codes: Iterable[CodeType],
    tree: ast.AST | None,
    values: Mapping[str, Any],
    texts_in: Callable[[Any], Iterable[str]],
    every: Set[str],
    names: Set[str],
) -> list[Given]:
    """The texts that the native readers in `codes` and in a cell's `tree` may be given.

    Args:
        codes: all code of the computation.
        tree: of the cell, where it is one.
        values: those that the computation takes from outside, by the labels of a key.
        texts_in: finds the texts in one of these.
        every: all texts of the computation.
        names: what readers go by in the code besides their own names.
    """
    readers = _readers(values) | names
    if not readers:
        return []
    paths = _Paths(readers, values)
    for code in codes:
        if not readers.isdisjoint(_names_in(code)):
            piece = find_source(code)
            if piece is None:
                paths.anything = True
            else:
                paths.take(piece.node)
    if tree is not None:
        paths.take(tree)
    found = {text for text in every & paths.written if not _URL.match(text)}
    held = {text for value in paths.holders for text in texts_in(value)}
    alone = {t for v in paths.holders if isinstance(v, str | os.PathLike) for t in texts_in(v)}
    found |= {text for text in alone if text.strip() and not _URL.match(text)}
    found |= {text for text in held if _may_be_path(text) or _is_folder(text)}
    if paths.anything:
        # A name without a suffix may be anything: of few texts, it is one more that is looked for.
        found |= {text for text in every if _may_be_path(text)}
        if len(every) <= _FEW:
            versions = {v for label, v in values.items() if label.startswith("distribution ")}
            found |= {text for text in every - versions if _WORD.fullmatch(text)}
    return [Given(text) for text in sorted(found)]


def _readers(values: Mapping[str, Any]) -> Set[str]:
    """The names of readers in packages of the distributions that are among the labels."""
    packages: set[str] = set()
    for label in values:
        kind, _, name = label.partition(" ")
        if kind == "distribution":
            packages |= origin.packages_of(name)
    return {
        name
        for name in risks.NATIVE_READERS
        for package in packages
        if risks.of_name(f"{package}.{name}", call=CallForm.COMPUTED_PATH) == risks.UNSEEN
    }


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _may_be_path(text: str) -> bool:
    if not re.search(r"\w", text) or _URL.match(text) or re.fullmatch(r"\.\w+", text):
        return False  # separators, a URL, a mere suffix
    if os.sep in text or "/" in text or glob.has_magic(text):
        return True
    return _SUFFIX.search(text) is not None or _is_folder(text)


def _is_folder(text: str) -> bool:
    return os.path.isdir(os.path.expanduser(text))


class _Paths:
    """What the readers in some trees are given.

    `written` are texts in the code, `holders` values from outside; `anything` is true where it
    may be any text of the computation.
    """

    def __init__(self, readers: Set[str], values: Mapping[str, Any]) -> None:
        self.written: set[str] = set()
        self.holders: list[Any] = []
        self.anything = False
        self._readers = readers
        self._values = values

    def take(self, tree: ast.AST) -> None:
        """Take in all calls of readers in a tree."""
        self._bound: dict[str, list[ast.expr]] = {}
        self._parameters: set[str] = set()
        self._aliases: set[str] = set()
        self._followed: set[str] = set()
        nodes = list(ast.walk(tree))
        for node in nodes:
            self._bind(node)
        # A name that holds a reader is one.
        held = (name for name, values in self._bound.items() if any(map(self._is_reader, values)))
        self._aliases.update(list(held))
        known: set[ast.AST] = {value for values in self._bound.values() for value in values}
        for node in nodes:
            if isinstance(node, ast.Attribute):
                known.add(node.value)  # a module of the same name, as `pyarrow.dataset`
            elif isinstance(node, ast.Call):
                known.add(node.func)
                known.update(node.args)
                self._call(node)
        if any(self._is_reader(node) for node in nodes if node not in known):
            self.anything = True  # in a container, returned, a decorator

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, value)
            case ast.NamedExpr(target=target, value=value):
                self._assign(target, value)
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                self._assign(node.target, node.iter)
            case ast.arg(arg=name):
                self._parameters.add(name)
            case ast.alias(name=name, asname=str() as alias) if name in self._readers:
                self._aliases.add(alias)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self._bound.setdefault(node.id, []).append(value)

    def _is_reader(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr in self._readers
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            return False
        own = node.id in self._bound or node.id in self._parameters
        return node.id in self._aliases or (node.id in self._readers and not own)

    def _call(self, node: ast.Call) -> None:
        if self._is_reader(node.func):
            keywords = [k.value for k in node.keywords if _PATH_PARAMETERS.search(k.arg or "path")]
            for path in node.args[:1] or keywords or [k.value for k in node.keywords]:
                self._follow(path)
        elif any(map(self._is_reader, node.args)):
            # ``map(read_csv, paths)``, ``partial(read_csv, path)``
            for path in (*node.args, *(keyword.value for keyword in node.keywords)):
                if not self._is_reader(path):
                    self._follow(path)

    def _follow(self, node: ast.expr) -> None:
        """Take in what an expression gives that stands for a path."""
        match node:
            case ast.Constant(value=str() as text):
                self.written.add(text)
            case ast.Name(id=name):
                self._name(name)
            case ast.Attribute() | ast.Subscript():
                self._inside(node)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                self._follow_all(parts)
            case ast.Dict(keys=keys, values=parts):
                self._follow_all([*filter(None, keys), *parts])
            case ast.IfExp(body=body, orelse=other):
                self._follow_all([body, other])
            case ast.BoolOp(values=parts):
                self._follow_all(parts)
            case ast.Starred(value=part) | ast.NamedExpr(value=part) | ast.Await(value=part):
                self._follow(part)
            case ast.Call(args=[path]):
                self._follow(path)  # ``Path("data")``, ``sorted(paths)``

    def _follow_all(self, nodes: Iterable[ast.expr]) -> None:
        for node in nodes:
            self._follow(node)

    def _name(self, name: str) -> None:
        if name in self._followed:
            return
        self._followed.add(name)
        if name in self._parameters:
            # An argument of that name, if this is the code that was called, and anything if not.
            self._outside({name})
            self.anything = True
        if name in self._bound:
            self._follow_all(self._bound[name])
        elif name not in self._parameters:
            self._outside({name})

    def _inside(self, node: ast.expr) -> None:
        """A part of something: of what a name here holds, or of what one outside does."""
        names = set()
        while isinstance(node, ast.Attribute | ast.Subscript):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            self.anything = True
        elif node.id in self._bound or node.id in self._parameters:
            self._name(node.id)
        else:
            self._outside({*names, node.id})

    def _outside(self, names: Set[str]) -> None:
        """What is labelled with one of `names`; anything where nothing is."""
        held = [v for label, v in self._values.items() if not names.isdisjoint(_words(label))]
        self.holders += held
        if not held:
            self.anything = True


def _words(label: str) -> list[str]:
    """The names in a label, as `h` and `P` in ``global h.P (2)``."""
    kind, _, name = label.partition(" ")
    return [] if kind in ("distribution", "environment") else re.split(r"\W+", name)
