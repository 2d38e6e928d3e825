"""Following names one level from live code: globals, closures, modules, imports, classes.

Nothing found here is kept: what counts is what would run, so every name is looked up again at each
call. Of the user's modules the attributes that are used are reached, not the modules. Installed
code counts by its name and by its distribution's version.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from cascade_nb.fingerprint import classes, origin, patches
from cascade_nb.fingerprint.code import CodeFacts, Root, facts_of
from cascade_nb.fingerprint.looks import MISSING, Look, Looks, are_same
from cascade_nb.fingerprint.origin import Owner
from cascade_nb.fingerprint.ownership import (
    FOLLOWED_KINDS,
    code_name,
    inside,
    is_cached,
    is_followed,
    is_known_by_name,
    is_mock,
    is_shells_own,
    name_of,
    owner_of_function,
)
from cascade_nb.fingerprint.patches import Patch
from cascade_nb.fingerprint.scopes import CallForm, Use

_BUILTINS = frozenset(vars(builtins))
# Builtins that tell more than what they are given.
_ASKING = frozenset({"input", "id", "hash", "object"})
_SCALARS = frozenset({int, float, complex, bool, str, bytes, type(None)})


class Reached(NamedTuple):
    """One thing that code can reach, under the name by which it reaches it.

    Kinds: "helper" and "class" (the user's: to be followed), "module" (one of the user's, as a
    whole), "global", "closure", "default", "attribute" (values), "absent" (nothing has that name
    now), "name" (installed code; the value is its dotted name), "distribution" (the value is
    its version), "environment" (the value is a str, or None). `place` tells where the thing lies,
    equal for two names of one variable; None where that does not matter. `defaults` are those of an
    installed function, which can be changed in place. A value is found again by `look`.
    """

    label: str
    kind: str
    value: Any
    place: tuple[Any, ...] | None = None
    line: int = 0
    call: CallForm = CallForm.OTHER
    defaults: str = ""
    look: Look | None = None


class reading:  # noqa: N801 - a context manager, and quicker than one made of a generator
    """How names are followed inside of a ``with``.

    Nothing is reached by the names in `ignore`, nor by dotted names that begin with one of them.
    Docstrings and annotations count where `documents`; else `asked` tells whether code was met
    that asks about them. `attributes` are the names of those that the code met so far uses.
    """

    __slots__ = ("_token", "asked", "attributes", "documents", "ignore")

    def __init__(self, *, ignore: frozenset[str] = frozenset(), documents: bool = False) -> None:
        self.ignore = ignore
        self.documents = documents
        self.asked = False
        self.attributes: list[frozenset[str]] = []

    def __enter__(self) -> reading:
        self._token = _reading.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        _reading.reset(self._token)


_reading: ContextVar[reading | None] = ContextVar("_reading", default=None)


def is_ignored(name: str, names: frozenset[str]) -> bool:
    """Whether a dotted name is to be left out."""
    if not names:
        return False
    while name:
        if name in names:
            return True
        name = name.rpartition(".")[0]
    return False


# By the id of the code, and holding it: functions that are the user's whatever their namespace.
_users: dict[int, tuple[CodeType, CodeFacts]] = {}


def users_facts(function: FunctionType) -> CodeFacts | None:
    """What is known of a function of the user's; None of anybody else's."""
    code = function.__code__
    known = _users.get(id(code))
    if known is not None:
        return known[1]
    if owner_of_function(function) is not Owner.USER:
        return None
    facts = facts_of(code)
    if not code.co_filename.startswith("<"):
        _users[id(code)] = (code, facts)
    return facts


# By id, and holding the function: its defaults as they were last seen, and their text.
_defaults: dict[int, tuple[Any, Any, Any, str]] = {}


def defaults_of(value: Any) -> str:
    """The plain defaults of an installed function as a text; of others, their types."""
    if type(value) is not FunctionType or not (value.__defaults__ or value.__kwdefaults__):
        return ""
    known = _defaults.get(id(value))
    keywords = value.__kwdefaults__
    if known is not None and known[1] is value.__defaults__ and are_same(known[2], keywords):
        return known[3]
    items = [*enumerate(value.__defaults__ or ()), *sorted((keywords or {}).items())]
    shown = " ".join(
        f"{name}={item!r}" if type(item) in _SCALARS else f"{name}:{type(item).__qualname__}"
        for name, item in items
    )
    _defaults[id(value)] = (value, value.__defaults__, keywords and dict(keywords), f" {shown}")
    return f" {shown}"


class Found:
    """Collects what is reached, in order, and notes in `looks` where it was looked for."""

    def __init__(self, looks: Looks | None = None) -> None:
        self.items: list[Reached] = []
        self._looks = Looks() if looks is None else looks
        self._reading = _reading.get()
        self._documented = self._reading is not None and self._reading.documents

    def kept(self) -> list[Reached]:
        """What was found, less what is to be ignored."""
        ignored = None if self._reading is None else self._reading.ignore
        if not ignored:
            return self.items
        return [i for i in self.items if not is_ignored(i.label.partition(" ")[2], ignored)]

    def function(self, function: FunctionType) -> None:
        """A wrapper that installed code has made: what it holds may be the user's."""
        self._looks.function(function)
        if owner_of_function(function) is Owner.CASCADE:
            self.wrapper(function)
            return
        self.installed(function.__globals__.get("__name__", ""))
        if classes.is_singledispatch(function):
            self._registry(function)
        else:
            frees = [Root(name, (Use(name),)) for name in function.__code__.co_freevars]
            self._carried(function, frees)

    def users_function(self, function: FunctionType, facts: CodeFacts) -> None:
        """A function of the user's."""
        self._looks.function(function)
        if function.__code__.co_filename.startswith("<"):
            self._look_up(function.__globals__, "__name__")  # It tells whose the function is.
        self.names(function.__globals__, facts.roots)
        if facts.imports:
            self.imports(function.__globals__, facts.imports)
        if facts.environment:
            self.environment(facts.environment)
        if facts.attributes:
            self.attributes(facts.attributes)
        self._carried(function, facts.frees)
        if self._documented:
            self._documents(function, facts.name)
        elif facts.reads_documents and self._reading is not None:
            self._reading.asked = True

    def attributes(self, names: frozenset[str]) -> None:
        """What the user has put on installed classes under names of attributes."""
        if self._reading is not None:
            self._reading.attributes.append(names)
        for patch in patches.of_names(names):
            self.patch(patch)

    def patch(self, patch: Patch) -> None:
        """Something that the user has put on an installed class."""
        label, value, _ = patch
        if isinstance(value, FunctionType):
            self.items.append(Reached(f"helper {label}", "helper", value))
        else:
            self.thing(label, value, "attribute", None, Use(label), _fixed(value))

    def _look_up(self, namespace: Mapping[str, Any], name: str) -> Any:
        """What has a name in a namespace now, and is no value."""
        thing = namespace.get(name, MISSING)
        self._looks.thing((namespace.get, name), thing)
        return thing

    def _carried(self, function: FunctionType, frees: Sequence[Root]) -> None:
        if function.__closure__:
            for root, cell in zip(frees, function.__closure__, strict=True):
                self._cell(root, cell)
        if function.__defaults__ or function.__kwdefaults__:
            self._defaults(function)
        if function.__dict__:
            self._attributes(function)

    def names(self, namespace: Mapping[str, Any], roots: Sequence[Root]) -> None:
        """What global names mean."""
        place = id(namespace)
        for root in roots:
            name = root.name
            look = (namespace.get, name)
            value = namespace.get(name, MISSING)
            if value is MISSING:
                self._looks.thing(look, MISSING)
                self._builtin(namespace, root)
            elif type(value) in _SCALARS:
                self._value("global", name, value, (place, name), 0, look)
            elif type(value) is FunctionType and users_facts(value) is not None:
                # The commonest by far, and dotted names make no difference to it.
                self._looks.thing(look, value)
                self._helper(name, value, root.uses[0].line)
            else:
                self._root(root, value, "global", (place, name), look)

    def _root(self, root: Root, value: Any, kind: str, place: tuple[Any, ...], look: Look) -> None:
        if isinstance(value, ModuleType):
            self._looks.thing(look, value)
            for use in root.uses:
                self.through_module(value, use)
        else:
            uses = root.uses
            self.thing(root.name, value, kind, place, uses[0], look)
            for use in uses[1:]:
                # A further dotted name is news only of what counts by name.
                self.thing(root.name, value, kind, place, use, look)

    def _builtin(self, namespace: Mapping[str, Any], root: Root) -> None:
        own = self._look_up(namespace, "__builtins__")
        table = own if isinstance(own, dict) else vars(builtins if own is MISSING else own)
        value = self._look_up(table, root.name)
        look = (table.get, root.name)
        if value is MISSING:
            self.items.append(Reached(f"absent {root.name}", "absent", None))
        elif isinstance(value, FunctionType) or is_followed(value):
            self._root(root, value, "global", (id(table), root.name), look)
        elif root.name in _ASKING:
            for use in root.uses:
                if use.call is not CallForm.HARMLESS and (use.attributes or value is not object):
                    known = ".".join(("builtins", root.name, *use.attributes))
                    self.items.append(Reached(root.name, "name", known, None, use.line, use.call))
        elif root.name not in _BUILTINS:
            self._root(root, value, "global", (id(table), root.name), look)
        # What Python itself puts there is covered by the version of Python.

    def thing(
        self,
        name: str,
        value: Any,
        kind: str,
        place: tuple[Any, ...] | None,
        use: Use,
        look: Look | None = None,
    ) -> None:
        """Something that has the given name: code to follow, installed code, or a value."""
        if type(value) in _SCALARS or not self._is_taken_as_code(name, value, use):
            self._value(kind, name, value, place, use.line, look)
        else:
            self._looks.thing(look, value)

    def _value(
        self,
        kind: str,
        name: str,
        value: Any,
        place: tuple[Any, ...] | None,
        line: int,
        look: Look | None,
    ) -> None:
        plain = classes.plain_annotation(value) if classes.is_typing(value) else value
        self.items.append(Reached(f"{kind} {name}", kind, plain, place, line, look=look))

    def _is_taken_as_code(self, name: str, value: Any, use: Use) -> bool:
        """Take in what counts as code; whether `value` does."""
        if isinstance(value, FunctionType):
            if users_facts(value) is not None or is_followed(value):
                self._helper(name, value, use.line)
            else:
                self._by_name(name, value, use)
        elif isinstance(value, type):
            if is_followed(value):
                label = f"class {value.__qualname__.replace('<locals>.', '')}"
                self.items.append(Reached(label, "class", value, None, use.line))
            else:
                self._by_name(name, value, use)
        elif isinstance(value, ModuleType):
            self.through_module(value, Use(name, line=use.line))
        elif is_shells_own(name, value):
            self.items.append(Reached(f"name {name}", "name", f"IPython.{name}"))
        elif isinstance(value, FOLLOWED_KINDS) or is_cached(value):
            if is_followed(value):
                self.items.append(Reached(f"wrapper {name}", "helper", value, None, use.line))
            else:
                self._by_name(name, value, use)
        elif is_known_by_name(value):
            self._by_name(name, value, use)
        elif value is os.environ:
            # Its variables count one by one, where they are read from it under its own name.
            known = "os.environ" if name.rpartition(".")[2] == "environ" else "os.environ renamed"
            self.items.append(Reached(f"name {name}", "name", known, None, use.line))
        else:
            return False
        return True

    def _helper(self, name: str, function: FunctionType, line: int) -> None:
        label = f"helper {code_name(function) or name}"
        self.items.append(Reached(label, "helper", function, None, line))

    def _by_name(self, name: str, value: Any, use: Use) -> None:
        module, _, qualname = name_of(value).partition(":")
        self.installed(module)
        self._compiled(module)
        known = f"{module}.{qualname}"
        for attribute in use.attributes:
            known = f"{known}.{attribute}"
        if known == "os.getenv" and name.rpartition(".")[2] != "getenv":
            known = "os.getenv renamed"
        if isinstance(value, FunctionType):
            self._looks.function(value)
        defaults = defaults_of(value)
        self.items.append(
            Reached(f"name {name}", "name", known, None, use.line, use.call, defaults)
        )

    def _compiled(self, module_name: str) -> None:
        """An extension module of the user's counts by its file."""
        content = origin.extension_digest(module_name)
        if content is not None:
            self.items.append(Reached(f"attribute {module_name}.__file__", "attribute", content))

    def installed(self, module_name: str) -> None:
        """The distributions that an installed module is of."""
        for name, version in origin.distributions_of(module_name):
            self.items.append(Reached(name, "distribution", version))

    def through_module(self, module: ModuleType, use: Use, *, display: str | None = None) -> None:
        """Follow a dotted name from a module on, as far as modules go."""
        attributes = use.attributes
        value: Any = module
        owner, index = module, 0
        look: Look | None = None
        while index < len(attributes):
            owner = value
            attribute = attributes[index]
            look = vars(owner).get, attribute
            value = vars(owner).get(attribute, MISSING)
            index += 1
            if attribute == "__dict__":
                value = owner
                continue
            if value is MISSING:
                self._looks.thing(look, MISSING)
                look = sys.modules.get, f"{owner.__name__}.{attribute}"
                value = sys.modules.get(look[1], MISSING)
            if not isinstance(value, ModuleType):
                break
            self._looks.thing(look, value)
        else:
            self._whole_module(value, use, display or use.root)
            return
        name = ".".join((display or use.root, *attributes[:index]))
        rest = Use(use.root, attributes[index:], use.line, call=use.call)
        place = (id(vars(owner)), attribute)
        if origin.owner_of_loaded(owner) is Owner.USER:
            if value is not MISSING:
                self.thing(name, value, "global", place, rest, look)
                return
            self._looks.thing(look, MISSING)
            hook = self._look_up(vars(owner), "__getattr__")
            if isinstance(hook, FunctionType):
                self.items.append(Reached(f"helper {code_name(hook)}", "helper", hook))
            else:
                self.items.append(Reached(f"absent {name}", "absent", None))
            return
        if isinstance(value, FunctionType):
            self._looks.function(value)
        if self._is_patched(value):
            self.thing(name, value, "global", place, rest, look)
            return
        self.installed(owner.__name__)
        if type(value) in _SCALARS and not use.imported:
            # Settings and constants, which anyone may have set. What code imports by itself may
            # not be loaded at its first call, and must not look changed after it.
            self._value("global", name, value, None, use.line, look)
            return
        self._looks.thing(look, value)
        known = ".".join((owner.__name__, *attributes[index - 1 :]))
        # What a lazy module has not loaded yet counts by the same name before and after.
        label = f"name {'.'.join((display or use.root, *attributes))}"
        # Nor are the defaults known of a function that is not loaded yet.
        hook = self._look_up(vars(owner), "__getattr__")
        lazy = use.imported or index > 1 or hook is not MISSING
        defaults = "" if lazy else defaults_of(value)
        self.items.append(Reached(label, "name", known, None, use.line, use.call, defaults))

    def _is_patched(self, value: Any) -> bool:
        """Whether what lies in an installed module is the user's."""
        if isinstance(value, FunctionType):
            return owner_of_function(value) is Owner.USER
        if isinstance(value, type):
            return origin.owner_of_module(value.__module__) is Owner.USER
        if isinstance(value, functools.partial):
            return self._is_patched(value.func)
        if isinstance(value, MethodType):
            return self._is_patched(value.__func__)
        if is_mock(value):
            return True
        module = getattr(value, "__module__", None)
        return isinstance(module, str) and origin.owner_of_module(module) is Owner.USER

    def _whole_module(self, module: ModuleType, use: Use, name: str) -> None:
        full = ".".join((name, *use.attributes))
        owner = origin.owner_of_loaded(module)
        if owner is Owner.USER:
            self.items.append(Reached(f"module {full}", "module", module, None, use.line))
        else:
            self.installed(module.__name__)
            self.items.append(Reached(f"name {full}", "name", module.__name__, None, use.line))

    def imports(self, namespace: Mapping[str, Any], imports: Sequence[Use]) -> None:
        """What the modules that code imports by itself hold."""
        for use in imports:
            name = use.root
            if use.level:
                package, own = (self._look_up(namespace, n) for n in ("__package__", "__name__"))
                package = next((n for n in (package, own) if n and n is not MISSING), "")
                try:
                    name = importlib.util.resolve_name("." * use.level + use.root, package)
                except ImportError:
                    self.items.append(Reached(f"absent {use.text}", "absent", None))
                    continue
            self._imported(name, use)

    def _imported(self, name: str, use: Use) -> None:
        module = sys.modules.get(name)
        look = sys.modules.get, name
        if module is None and origin.owner_of_module(name) is not Owner.USER:
            self._looks.thing(look, MISSING)
            self.installed(name)
            known = ".".join((name, *use.attributes))
            label = f"name {use.text}"
            self.items.append(Reached(label, "name", known, None, use.line, use.call))
            return
        if module is None:
            module = _import(name)
        if module is None:
            self._looks.whole = False  # It is to be tried again.
            self.items.append(Reached(f"absent {use.text}", "absent", None))
            return
        self._looks.thing(look, module)
        if use.attributes and use.attributes[0] not in vars(module):
            self._looks.whole &= _import(f"{name}.{use.attributes[0]}") is not None
        self.through_module(module, use, display=name)

    def environment(self, names: Sequence[str]) -> None:
        """Environment variables that are read under literal names."""
        for name in names:
            value = os.environ.get(name)
            self._looks.environment(name, value)
            self.items.append(Reached(name, "environment", value))

    def _cell(self, root: Root, cell: CellType) -> None:
        look = functools.partial(_contents, cell), root.name
        value = _contents(cell, root.name, MISSING)
        if value is MISSING:
            self._looks.thing(look, MISSING)
            self.items.append(Reached(f"absent {root.name}", "absent", None))
        else:
            self._root(root, value, "closure", (id(cell), root.name), look)

    def _defaults(self, function: FunctionType) -> None:
        code = function.__code__
        defaults = function.__defaults__ or ()
        names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        pairs = [*zip(names, defaults, strict=True), *(function.__kwdefaults__ or {}).items()]
        for name, value in pairs:
            place = (id(function), name)
            self.thing(name, value, "default", place, Use(name), _fixed(value))

    def _attributes(self, function: FunctionType) -> None:
        attributes = vars(function)
        wrapped = attributes.get("__wrapped__")
        if wrapped is not None:
            look = (attributes.get, "__wrapped__")
            self.thing("__wrapped__", wrapped, "attribute", None, Use("__wrapped__"), look)
        for name in sorted(attributes):
            if not (name.startswith("__") and name.endswith("__")):
                shown = f"{code_name(function)}.{name}"
                place = (id(attributes), name)
                look = (attributes.get, name)
                self.thing(shown, attributes[name], "attribute", place, Use(name), look)

    def _documents(self, obj: Any, name: str) -> None:
        """Docstring and annotations, where something asks about such."""
        self._looks.whole = False
        self.items.append(Reached(f"attribute {name}.__doc__", "attribute", classes.documents(obj)))

    def _registry(self, function: Any) -> None:
        """The implementations behind ``functools.singledispatch``."""
        registry: Mapping[type, Any] = function.registry
        for cls in sorted(registry, key=name_of):
            shown = f"{code_name(function)}[{cls.__qualname__}]"
            self.thing(shown, registry[cls], "attribute", None, Use(shown))
            self.thing(shown, cls, "attribute", None, Use(shown))

    def class_(self, cls: type) -> None:
        """A class of the user's: its bases, its metaclass and its members."""
        shown = cls.__qualname__.replace("<locals>.", "")
        self._looks.class_(cls)
        self._compiled(cls.__module__)
        for base in cls.__bases__:
            if base is not object:
                label = f"{shown}.{base.__name__}"
                self.thing(label, base, "attribute", None, Use(""), _fixed(base))
        if type(cls) is not type:
            self.thing(f"{shown} metaclass", type(cls), "attribute", None, Use(""))
        if self._documented:
            self._documents(cls, shown)
        own, counted = cls.__dict__, set()
        for name, value in classes.members(cls):
            counted.add(name)
            place = (id(cls), name)
            if name == "__annotations__":
                self._looks.names(own[name])
                look: Look | None = _fixed(value)
            else:
                look = (own.get, name) if own.get(name, MISSING) is value else None
            self.thing(f"{shown}.{name}", value, "attribute", place, Use(name), look)
        for name in own.keys() - counted:
            self._look_up(own, name)

    def module(self, module: ModuleType) -> None:
        """All that a module of the user's holds: something uses it under computed names."""
        if self._documented:
            self._documents(module, module.__name__)
        space = vars(module)
        self._looks.size(space)
        for name, value in sorted(space.items()):
            if name.startswith("__") and name.endswith("__"):
                continue
            shown = f"{module.__name__}.{name}"
            self.thing(shown, value, "global", (id(space), name), Use(name), (space.get, name))

    def wrapper(self, obj: Any) -> None:
        """What functools, the builtin decorators and ourselves make of functions."""
        for name, value in inside(obj):
            if isinstance(value, ModuleType):
                self._whole_module(value, Use(name), name)
            else:
                look = functools.partial(_part, obj), name
                self.thing(name, value, "attribute", (id(obj), name), Use(name), look)


def _fixed(value: Any) -> Look:
    """The look at what cannot be another while that stands to which it belongs."""
    return {"": value}.get, ""


def _contents(cell: CellType, name: str, default: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return default


def _part(wrapper: Any, name: str, default: Any) -> Any:
    return dict(inside(wrapper)).get(name, default)


def _import(name: str) -> ModuleType | None:
    """Import a module of the user's that code would import when it runs; None: it cannot be."""
    try:
        return importlib.import_module(name)
    except Exception:
        # The code that imports it will meet the same error, and may well handle it.
        return None
