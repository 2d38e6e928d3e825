"""Following live code one level: functions, classes, modules and wrappers, to what they reach.

Nothing found here is kept: what counts is what would run, so every name is looked up again at each
call, but where all that was looked at is known to stand.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence, Set
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from cascade_nb.fingerprint import classes, patches
from cascade_nb.fingerprint.code import CodeFacts, Root
from cascade_nb.fingerprint.looks import MISSING, Look, Looks
from cascade_nb.fingerprint.meanings import Meanings
from cascade_nb.fingerprint.origin import Owner
from cascade_nb.fingerprint.ownership import (
    FOLLOWED_KINDS,
    code_name,
    inside,
    name_of,
    owner_of_function,
)
from cascade_nb.fingerprint.patches import Patch
from cascade_nb.fingerprint.reached import Reached, is_ignored, reading_now
from cascade_nb.fingerprint.scopes import Use

# Attributes of functions that are reached otherwise, or are for type checkers alone.
_PYTHONS_OWN = frozenset(
    [
        *("__wrapped__", "__signature__", "__doc__", "__annotations__"),
        *("__final__", "__override__", "__no_type_check__", "__dataclass_transform__"),
    ]
)
# What `functools.update_wrapper` copies onto a wrapper, and what the wrappers hold by themselves.
_WRAPPERS_OWN = _PYTHONS_OWN.union(
    ("__module__", "__name__", "__qualname__", "__type_params__", "__annotate__"),
    ("__isabstractmethod__", "cache_parameters"),
    vars(functools.partialmethod(len)),
    vars(functools.cached_property(len)),
    vars(functools.singledispatchmethod(len)),
)
_MODULES_OWN = frozenset(
    [
        *("__name__", "__doc__", "__package__", "__loader__", "__spec__", "__file__", "__cached__"),
        *("__path__", "__builtins__", "__builtin__", "__annotations__", "__annotate__"),
        *("__conditional_annotations__", "__warningregistry__", "__debuggerskip__"),
    ]
)


class Found(Meanings):
    """Collects what code reaches, in order."""

    def __init__(self, looks: Looks | None = None) -> None:
        super().__init__(looks)
        self._is_kept = looks is not None
        self._reading = reading_now()
        self._documented = self._reading is not None and self._reading.documents
        self._ordered = self._reading is not None and self._reading.ordered

    def kept(self) -> list[Reached]:
        """What was found, less what is to be ignored."""
        ignored = None if self._reading is None else self._reading.ignore
        if not ignored:
            return self.items
        return [i for i in self.items if not is_ignored(i.label.partition(" ")[2], ignored)]

    def function(self, function: FunctionType) -> None:
        """A wrapper that installed code has made: what it holds may be the user's."""
        self.looks.function(function)
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
        self.looks.function(function)
        if function.__code__.co_filename.startswith("<"):
            self.look_up(function.__globals__, "__name__")  # It tells whose the function is.
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
        if facts.enumerates and self._reading is not None:
            self._reading.asked_for_order |= not self._ordered
            self._reading.ordered_by_code |= self._is_kept

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

    def _carried(self, function: FunctionType, frees: Sequence[Root]) -> None:
        if function.__closure__:
            for root, cell in zip(frees, function.__closure__, strict=True):
                self._cell(root, cell)
        if function.__defaults__ or function.__kwdefaults__:
            self._defaults(function)
        if function.__dict__:
            self._attributes(function)

    def _cell(self, root: Root, cell: CellType) -> None:
        look = functools.partial(_contents, cell), root.name
        value = _contents(cell, root.name, MISSING)
        if value is MISSING:
            self.looks.thing(look, MISSING)
            self.items.append(Reached(f"absent {root.name}", "absent", None))
        else:
            self.root(root, value, "closure", (id(cell), root.name), look)

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
        self._held(f"{code_name(function)}", attributes, _PYTHONS_OWN)

    def _held(
        self, shown: str, attributes: dict[str, Any], left_out: frozenset[str] = frozenset()
    ) -> None:
        """What somebody has put on a function or wrapper, less what says nothing of its use."""
        for name in sorted(attributes.keys() - left_out):
            if not name.startswith("__pydantic_"):
                place = (id(attributes), name)
                look = (attributes.get, name)
                self.thing(f"{shown}.{name}", attributes[name], "attribute", place, Use(name), look)

    def _documents(self, obj: Any, name: str) -> None:
        """Docstring and annotations, where something asks about such."""
        self.looks.whole = False
        self.items.append(Reached(f"attribute {name}.__doc__", "attribute", classes.documents(obj)))

    def _order(self, shown: str, space: Mapping[str, Any], counted: Set[str]) -> None:
        """The order of names in a namespace, where something may go over them."""
        self.looks.order(space)
        order = tuple(name for name in space if name in counted)
        if len(order) > 1:
            label, look = f"attribute {shown}.__dict__", _fixed(order)
            self.items.append(Reached(label, "attribute", order, look=look))

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
        self.looks.class_(cls)
        self.compiled(cls.__module__)
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
                self.looks.names(own[name])
                look: Look | None = _fixed(value)
            else:
                look = (own.get, name) if own.get(name, MISSING) is value else None
            self.thing(f"{shown}.{name}", value, "attribute", place, Use(name), look)
        for name in own.keys() - counted:
            self.look_up(own, name)
        if self._ordered or classes.is_enumerated(type(cls)):
            self._order(shown, own, counted - classes.enum_members(cls))

    def module(self, module: ModuleType) -> None:
        """All that a module of the user's holds: something uses it under computed names."""
        if self._documented:
            self._documents(module, module.__name__)
        space = vars(module)
        self.looks.size(space)
        if self._ordered:
            self._order(module.__name__, space, space.keys() - _MODULES_OWN)
        for name, value in sorted(space.items()):
            if name in _MODULES_OWN:
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
        if isinstance(obj, property) and self._documented:
            self.items.append(Reached("attribute property.__doc__", "attribute", obj.__doc__))
        self._of_wrapper(obj)

    def _of_wrapper(self, obj: Any) -> None:
        """What a wrapper is besides what it holds: a class of the user's, attributes put on it."""
        cls = type(obj)
        if cls not in FOLLOWED_KINDS and isinstance(obj, FOLLOWED_KINDS):
            self.thing(cls.__name__, cls, "attribute", None, Use(""), _fixed(cls))
        if isinstance(obj, MethodType):
            return  # Its attributes are those of its function.
        attributes = getattr(obj, "__dict__", None)
        if isinstance(attributes, dict) and isinstance(obj, FOLLOWED_KINDS):
            self.looks.size(attributes)
            self._held(cls.__name__, attributes, _WRAPPERS_OWN)


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
