"""What the names in code mean now: from a live function, class or module to what it can reach.

One level at a time, in an order that depends on the code alone. Nothing found here is kept: what
counts is what would run, so every name is looked up again at each call. Of the user's modules the
attributes that are used are reached, not the modules. Installed code counts by its name and by
its distribution's version.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, NamedTuple

from cascade_nb.fingerprint import classes, origin
from cascade_nb.fingerprint.code import Root, facts_of
from cascade_nb.fingerprint.normal import digest, text
from cascade_nb.fingerprint.origin import Owner
from cascade_nb.fingerprint.scopes import Use

_MISSING: Any = object()
_LRU_CACHE = type(functools.lru_cache(lambda: None))
_WRAPPERS = (staticmethod, classmethod)
_STATIC_CALLABLES = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)
_FOLLOWED_KINDS = (
    functools.partial,
    functools.partialmethod,
    functools.cached_property,
    functools.singledispatchmethod,
    property,
    _LRU_CACHE,
    MethodType,
    *_WRAPPERS,
)
# What IPython puts into the session: it is the session itself, and no input.
_SHELLS_OWN = frozenset({"get_ipython", "exit", "quit", "open", "display"})
_SCALARS = frozenset({int, float, complex, bool, str, bytes, type(None)})


class Reached(NamedTuple):
    """One thing that code can reach, under the name by which it reaches it.

    Kinds: "helper" and "class" (the user's: to be followed), "module" (one of the user's, as a
    whole), "global", "closure", "default", "attribute" (values), "absent" (nothing has that name
    now), "name" (installed code; the value is its dotted name), "distribution" (the value is
    its version), "environment" (the value is a str, or None). `place` tells where the thing lies,
    equal for two names of one variable; None where that does not matter.
    """

    label: str
    kind: str
    value: Any
    place: tuple[Any, ...] | None = None
    line: int = 0
    bare_call: bool = False


# By id, and holding the object: where code lies is settled when it is compiled.
_owners: dict[int, tuple[CodeType, Owner]] = {}


class reading:  # noqa: N801 - a context manager, and quicker than one made of a generator
    """How names are followed inside of a ``with``.

    Nothing is reached by the names in `ignore`, nor by dotted names that begin with one of them.
    Docstrings and annotations count where `documents`; else `asked` tells whether code was met
    that asks about them.
    """

    __slots__ = ("_token", "asked", "documents", "ignore")

    def __init__(self, *, ignore: frozenset[str] = frozenset(), documents: bool = False) -> None:
        self.ignore = ignore
        self.documents = documents
        self.asked = False

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


# Whose it is


def is_followed(obj: object) -> bool:
    """Whether `obj` is code to be followed: the user's, or a wrapper that may hold the user's.

    Functions, classes, methods, modules, and what functools and the builtin decorators make of
    them. Installed code that is reachable by its own name counts by that name.
    """
    if isinstance(obj, FunctionType):
        owner = _owner_of_function(obj)
        if owner is Owner.USER:
            return True
        if owner is Owner.CASCADE:
            return hasattr(obj, "__wrapped__")
        return bool(obj.__closure__ or obj.__dict__) and not _is_what_its_name_says(obj)
    if isinstance(obj, type):
        owner = origin.owner_of_module(obj.__module__)
        return owner is Owner.USER or (owner is Owner.INSTALLED and not _is_what_its_name_says(obj))
    if isinstance(obj, ModuleType):
        return origin.owner_of_loaded(obj) is Owner.USER
    if isinstance(obj, MethodType):
        return not _is_global_generator(obj.__self__)
    return isinstance(obj, _FOLLOWED_KINDS) or _is_ours(obj)


def _owner_of_function(function: FunctionType) -> Owner:
    code = function.__code__
    known = _owners.get(id(code))
    if known is not None:
        return known[1]
    owner = origin.owner_of_file(code.co_filename)
    if owner is Owner.USER and code.co_filename.startswith("<"):
        # Code made from a text belongs to the module in whose namespace it was made.
        module = function.__globals__.get("__name__")
        return origin.owner_of_module(module) if isinstance(module, str) else owner
    _owners[id(code)] = (code, owner)
    return owner


def _is_what_its_name_says(obj: FunctionType | type) -> bool:
    """Whether importing the name of `obj` gives `obj`; not so for what a factory makes."""
    found: Any = sys.modules.get(obj.__module__)
    if isinstance(obj, FunctionType):
        # What functools.wraps copies onto a wrapper says nothing about the wrapper itself.
        qualname = obj.__code__.co_qualname
        found = sys.modules.get(obj.__globals__.get("__name__", ""))
    else:
        qualname = obj.__qualname__
    for attribute in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(attribute)
    if isinstance(found, _WRAPPERS):
        found = found.__func__
    return found is obj


def is_cached_type(cls: type) -> bool:
    """Whether values of type `cls` are what ``@cached`` makes of functions."""
    return cls.__module__.startswith("cascade_nb.") and any(
        "__wrapped__" in vars(base).get("__annotations__", ()) for base in cls.__mro__
    )


def _is_ours(obj: object) -> bool:
    return type(obj).__module__.startswith("cascade_nb.") and hasattr(obj, "__wrapped__")


def name_of(obj: Any) -> str:
    """What installed code counts by: "module:qualname"."""
    if isinstance(obj, ModuleType):
        return f"{obj.__name__}:"
    if isinstance(obj, FunctionType):
        return f"{obj.__globals__.get('__name__')}:{obj.__code__.co_qualname}"
    own = getattr(obj, "__self__", None)
    qualname = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", "")
    if own is not None and not isinstance(own, ModuleType):
        generator = _is_global_generator(own)
        if generator:
            return f"{generator}:{obj.__name__}"
    owner = getattr(obj, "__objclass__", None)
    module = getattr(obj, "__module__", None) or getattr(owner, "__module__", None)
    if module is None:
        module = own.__name__ if isinstance(own, ModuleType) else type(obj).__module__
    return f"{module}:{qualname or type(obj).__qualname__}"


def _is_global_generator(obj: object) -> str | None:
    """The module whose functions draw from the random generator `obj`."""
    random = sys.modules.get("random")
    if random is not None and obj is getattr(random, "_inst", None):
        return "random"
    mtrand = sys.modules.get("numpy.random.mtrand")
    if mtrand is not None and obj is getattr(mtrand, "_rand", None):
        return "numpy.random"
    return None


def is_known_by_name(value: Any) -> bool:
    """Whether `value` is a function without Python code: a builtin, a ufunc, one of Cython's."""
    if isinstance(value, _STATIC_CALLABLES):
        own = getattr(value, "__self__", None)
        if isinstance(own, type):
            return not is_followed(own)
        return own is None or isinstance(own, ModuleType) or bool(_is_global_generator(own))
    if not callable(value):
        return False
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or module not in sys.modules:
        return False
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str) or vars(sys.modules[module]).get(name) is not value:
        return False
    owner = origin.owner_of_module(module)
    return owner is not Owner.USER or origin.extension_digest(module) is not None


def is_code(obj: object) -> bool:
    """Whether `obj` counts as code, by what it reaches or by name, and not as a value."""
    kinds = (FunctionType, type, ModuleType, *_FOLLOWED_KINDS)
    return isinstance(obj, kinds) or _is_ours(obj) or is_known_by_name(obj)


def _is_shells(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] in ("IPython", "ipykernel")


# What it is by itself


def own_digest(obj: Any) -> str:
    """The fingerprint of the code that `obj` itself consists of, without what it reaches."""
    if isinstance(obj, FunctionType):
        if _owner_of_function(obj) is Owner.USER:
            return facts_of(obj.__code__).digest
        return digest(b"function", text(name_of(obj)))
    if isinstance(obj, type):
        if is_followed(obj):
            return classes.own_digest(obj)
        return digest(b"class", text(name_of(obj)))
    if isinstance(obj, ModuleType):
        return digest(b"module", text(obj.__name__))
    if _is_ours(obj):
        return digest(b"cached")
    if is_followed(obj):
        return digest(b"made", text(type(obj).__module__), text(type(obj).__qualname__))
    if is_code(obj):
        return digest(b"name", text(name_of(obj)))
    return own_digest(type(obj))


# What it reaches


def reached_by(obj: Any) -> list[Reached]:
    """What a function, class, method, module or wrapper can reach, one level deep."""
    found = _Found()
    if type(obj) is FunctionType and _owner_of_function(obj) is Owner.USER:
        found.users_function(obj)
    elif not is_followed(obj):
        found.installed(name_of(obj).partition(":")[0])
    elif isinstance(obj, FunctionType):
        found.function(obj)
    elif isinstance(obj, type):
        found.class_(obj)
    elif isinstance(obj, ModuleType):
        found.module(obj)
    else:
        found.wrapper(obj)
    return found.kept()


def reached_in(
    namespace: Mapping[str, Any],
    roots: Sequence[Root],
    imports: Sequence[Use] = (),
    environment: Sequence[str] = (),
) -> list[Reached]:
    """What the given names mean in `namespace`, that of a cell."""
    found = _Found()
    found.names(namespace, roots)
    found.imports(namespace, imports)
    found.environment(environment)
    return found.kept()


class _Found:
    """Collects what is reached, in order."""

    def __init__(self) -> None:
        self.items: list[Reached] = []
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
        if _owner_of_function(function) is Owner.CASCADE:
            self.wrapper(function)
            return
        self.installed(function.__globals__.get("__name__", ""))
        if classes.is_singledispatch(function):
            self._registry(function)
        else:
            frees = [Root(name, (Use(name),)) for name in function.__code__.co_freevars]
            self._carried(function, frees)

    def users_function(self, function: FunctionType) -> None:
        """A function of the user's."""
        facts = facts_of(function.__code__)
        self.names(function.__globals__, facts.roots)
        if facts.imports:
            self.imports(function.__globals__, facts.imports)
        if facts.environment:
            self.environment(facts.environment)
        self._carried(function, facts.frees)
        if self._documented:
            self._documents(function, facts.name)
        elif facts.reads_documents and self._reading is not None:
            self._reading.asked = True

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
            value = namespace.get(name, _MISSING)
            if value is _MISSING:
                self._builtin(namespace, root)
            elif type(value) in _SCALARS:
                self.items.append(Reached(f"global {name}", "global", value, (place, name)))
            else:
                self._root(root, value, "global", (place, name))

    def _root(self, root: Root, value: Any, kind: str, place: tuple[Any, ...]) -> None:
        if isinstance(value, ModuleType):
            for use in root.uses:
                self.through_module(value, use)
        else:
            uses = root.uses
            self.thing(root.name, value, kind, place, uses[0])
            for use in uses[1:]:
                # A further dotted name is news only of what counts by name.
                self.thing(root.name, value, kind, place, use)

    def _builtin(self, namespace: Mapping[str, Any], root: Root) -> None:
        own = namespace.get("__builtins__", builtins)
        table = own if isinstance(own, dict) else vars(own)
        value = table.get(root.name, _MISSING)
        if value is _MISSING:
            self.items.append(Reached(f"absent {root.name}", "absent", None))
        elif isinstance(value, FunctionType) or is_followed(value):
            self._root(root, value, "global", (id(table), root.name))
        elif root.name == "input":
            self.items.append(Reached("input", "name", "builtins.input", None, root.uses[0].line))
        # What Python itself puts there is covered by the version of Python.

    def thing(
        self, name: str, value: Any, kind: str, place: tuple[Any, ...] | None, use: Use
    ) -> None:
        """Something that has the given name: code to follow, installed code, or a value."""
        if type(value) in _SCALARS:
            self.items.append(Reached(f"{kind} {name}", kind, value, place, use.line))
        elif isinstance(value, FunctionType):
            if is_followed(value):
                label = code_name(value) or name
                self.items.append(Reached(f"helper {label}", "helper", value, None, use.line))
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
        elif name in _SHELLS_OWN and _is_shells(value):
            self.items.append(Reached(f"name {name}", "name", f"IPython.{name}"))
        elif isinstance(value, _FOLLOWED_KINDS) or _is_ours(value):
            if is_followed(value):
                self.items.append(Reached(f"wrapper {name}", "helper", value, None, use.line))
            else:
                self._by_name(name, value, use)
        elif is_known_by_name(value):
            self._by_name(name, value, use)
        elif value is os.environ:
            # Its variables count one by one.
            pass
        else:
            plain = classes.plain_annotation(value) if classes.is_typing(value) else value
            self.items.append(Reached(f"{kind} {name}", kind, plain, place, use.line))

    def _by_name(self, name: str, value: Any, use: Use) -> None:
        module, _, qualname = name_of(value).partition(":")
        self.installed(module)
        self._compiled(module)
        known = f"{module}.{qualname}"
        for attribute in use.attributes:
            known = f"{known}.{attribute}"
        self.items.append(Reached(f"name {name}", "name", known, None, use.line, use.bare_call))

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
        while index < len(attributes):
            owner = value
            value = vars(owner).get(attributes[index], _MISSING)
            if value is _MISSING:
                value = sys.modules.get(f"{owner.__name__}.{attributes[index]}", _MISSING)
            index += 1
            if not isinstance(value, ModuleType):
                break
        else:
            self._whole_module(value, use, display or use.root)
            return
        name = ".".join((display or use.root, *attributes[:index]))
        rest = Use(use.root, attributes[index:], use.line, bare_call=use.bare_call)
        attribute = attributes[index - 1]
        if origin.owner_of_loaded(owner) is Owner.USER:
            if value is not _MISSING:
                self.thing(name, value, "global", (id(vars(owner)), attribute), rest)
            elif isinstance(vars(owner).get("__getattr__"), FunctionType):
                hook = vars(owner)["__getattr__"]
                self.items.append(Reached(f"helper {code_name(hook)}", "helper", hook))
            else:
                self.items.append(Reached(f"absent {name}", "absent", None))
            return
        if self._is_patched(value):
            self.thing(name, value, "global", (id(vars(owner)), attribute), rest)
            return
        self.installed(owner.__name__)
        if type(value) in _SCALARS and not use.imported:
            # Settings and constants, which anyone may have set. What code imports by itself may
            # not be loaded at its first call, and must not look changed after it.
            self.items.append(Reached(f"global {name}", "global", value, None, use.line))
            return
        known = ".".join((owner.__name__, *attributes[index - 1 :]))
        # A mock in the place of what is named is another thing. What a lazy module has not loaded
        # yet counts by the same name before and after.
        mocked = " mock" if type(value).__module__ == "unittest.mock" else ""
        label = f"name {'.'.join((display or use.root, *attributes))}{mocked}"
        self.items.append(Reached(label, "name", known, None, use.line, use.bare_call))

    def _is_patched(self, value: Any) -> bool:
        """Whether what lies in an installed module is the user's."""
        if isinstance(value, FunctionType):
            return _owner_of_function(value) is Owner.USER
        if isinstance(value, type):
            return origin.owner_of_module(value.__module__) is Owner.USER
        if isinstance(value, functools.partial):
            return self._is_patched(value.func)
        if isinstance(value, MethodType):
            return self._is_patched(value.__func__)
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
                package = namespace.get("__package__") or namespace.get("__name__", "")
                try:
                    name = importlib.util.resolve_name("." * use.level + use.root, package)
                except ImportError:
                    self.items.append(Reached(f"absent {use.text}", "absent", None))
                    continue
            self._imported(name, use)

    def _imported(self, name: str, use: Use) -> None:
        module = sys.modules.get(name)
        if module is None and origin.owner_of_module(name) is not Owner.USER:
            self.installed(name)
            known = ".".join((name, *use.attributes))
            label = f"name {use.text}"
            self.items.append(Reached(label, "name", known, None, use.line, use.bare_call))
            return
        if module is None:
            module = _import(name)
        if module is None:
            self.items.append(Reached(f"absent {use.text}", "absent", None))
            return
        if use.attributes and use.attributes[0] not in vars(module):
            _import(f"{name}.{use.attributes[0]}")
        self.through_module(module, use, display=name)

    def environment(self, names: Sequence[str]) -> None:
        """Environment variables that are read under literal names."""
        for name in names:
            self.items.append(Reached(name, "environment", os.environ.get(name)))

    def _cell(self, root: Root, cell: Any) -> None:
        try:
            value = cell.cell_contents
        except ValueError:
            self.items.append(Reached(f"absent {root.name}", "absent", None))
            return
        self._root(root, value, "closure", (id(cell), root.name))

    def _defaults(self, function: FunctionType) -> None:
        code = function.__code__
        defaults = function.__defaults__ or ()
        names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        pairs = [*zip(names, defaults, strict=True), *(function.__kwdefaults__ or {}).items()]
        for name, value in pairs:
            self.thing(name, value, "default", (id(function), name), Use(name))

    def _attributes(self, function: FunctionType) -> None:
        attributes = vars(function)
        wrapped = attributes.get("__wrapped__")
        if wrapped is not None:
            self.thing("__wrapped__", wrapped, "attribute", None, Use("__wrapped__"))
        for name in sorted(attributes):
            if not (name.startswith("__") and name.endswith("__")):
                shown = f"{code_name(function)}.{name}"
                place = (id(attributes), name)
                self.thing(shown, attributes[name], "attribute", place, Use(name))

    def _documents(self, obj: Any, name: str) -> None:
        """Docstring and annotations, where something asks about such."""
        self.items.append(Reached(f"attribute {name}.__doc__", "attribute", classes.documents(obj)))

    def _registry(self, function: Any) -> None:
        """The implementations behind ``functools.singledispatch``."""
        registry: Mapping[type, Any] = function.registry
        for cls in sorted(registry, key=name_of):
            shown = f"{code_name(function)}[{cls.__qualname__}]"
            self.thing(shown, registry[cls], "attribute", None, Use(shown))
            self.thing(shown, cls, "attribute", None, Use(shown))

    def class_(self, cls: type) -> None:
        shown = cls.__qualname__.replace("<locals>.", "")
        self._compiled(cls.__module__)
        for base in cls.__bases__:
            if base is not object:
                self.thing(f"{shown}.{base.__name__}", base, "attribute", None, Use(""))
        if type(cls) is not type:
            self.thing(f"{shown} metaclass", type(cls), "attribute", None, Use(""))
        if self._documented:
            self._documents(cls, shown)
        for name, value in classes.members(cls):
            place = (id(cls), name)
            self.thing(f"{shown}.{name}", value, "attribute", place, Use(name))

    def module(self, module: ModuleType) -> None:
        """All that a module of the user's holds: something uses it under computed names."""
        if self._documented:
            self._documents(module, module.__name__)
        for name, value in sorted(vars(module).items()):
            if name.startswith("__") and name.endswith("__"):
                continue
            shown = f"{module.__name__}.{name}"
            self.thing(shown, value, "global", (id(vars(module)), name), Use(name))

    def wrapper(self, obj: Any) -> None:
        """What functools, the builtin decorators and ourselves make of functions."""
        for name, value in _inside(obj):
            if isinstance(value, ModuleType):
                self._whole_module(value, Use(name), name)
            else:
                self.thing(name, value, "attribute", (id(obj), name), Use(name))


def _inside(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, MethodType):
        yield "function", obj.__func__
        yield "self", obj.__self__
    elif isinstance(obj, functools.partial | functools.partialmethod):
        yield "function", obj.func
        yield "arguments", obj.args
        yield "keywords", dict(obj.keywords)
    elif isinstance(obj, property):
        yield from (
            (name, function)
            for name, function in (("get", obj.fget), ("set", obj.fset), ("delete", obj.fdel))
            if function is not None
        )
    elif isinstance(obj, functools.cached_property):
        yield "function", obj.func
    elif isinstance(obj, functools.singledispatchmethod):
        yield "dispatcher", obj.dispatcher
    elif isinstance(obj, _WRAPPERS):
        yield "function", obj.__func__
    else:
        yield "function", obj.__wrapped__
        parts = getattr(obj, "__cascade_key_parts__", None)
        if parts:
            yield "options", dict(parts)
        if _is_ours(obj) and "__self__" in vars(obj):
            yield "self", obj.__self__


def code_name(function: FunctionType) -> str | None:
    """A function's name as its code has it, which no decorator changes; None for a lambda."""
    name = function.__code__.co_qualname.replace("<locals>.", "")
    return None if name.endswith("<lambda>") else name


def _import(name: str) -> ModuleType | None:
    """Import a module of the user's that code would import when it runs; None: it cannot be."""
    try:
        return importlib.import_module(name)
    except Exception:
        # The code that imports it will meet the same error, and may well handle it.
        return None
