"""What names mean in live namespaces, of modules above all: code to follow, its name, or a value.

Of the user's modules the attributes that are used are reached, not the modules. Installed code
counts by its name and by its distribution's version.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from types import FunctionType, MethodType, ModuleType
from typing import Any

from cascade_nb.fingerprint import classes, origin
from cascade_nb.fingerprint.code import Root
from cascade_nb.fingerprint.looks import MISSING, Look, Looks
from cascade_nb.fingerprint.origin import Owner
from cascade_nb.fingerprint.ownership import (
    FOLLOWED_KINDS,
    code_name,
    is_cached,
    is_followed,
    is_known_by_name,
    is_mock,
    is_shells_own,
    name_of,
    owner_of_function,
)
from cascade_nb.fingerprint.reached import SCALARS, Reached, defaults_of, users_facts
from cascade_nb.fingerprint.scopes import CallForm, Use

_BUILTINS = frozenset(vars(builtins))
# Builtins that tell more than what they are given.
_ASKING = frozenset({"input", "id", "hash", "object"})


class Meanings:
    """Collects what names mean, in order, and notes in `looks` where that was looked for."""

    def __init__(self, looks: Looks | None = None) -> None:
        self.items: list[Reached] = []
        self.looks = Looks() if looks is None else looks

    def names(self, namespace: Mapping[str, Any], roots: Sequence[Root]) -> None:
        """What global names mean."""
        place = id(namespace)
        for root in roots:
            name = root.name
            look = (namespace.get, name)
            value = namespace.get(name, MISSING)
            if value is MISSING:
                self.looks.thing(look, MISSING)
                self._builtin(namespace, root)
            elif type(value) in SCALARS:
                self._value("global", name, value, (place, name), 0, look)
            elif type(value) is FunctionType and users_facts(value) is not None:
                # The commonest by far, and dotted names make no difference to it.
                self.looks.thing(look, value)
                self._helper(name, value, root.uses[0].line)
            else:
                self.root(root, value, "global", (place, name), look)

    def root(self, root: Root, value: Any, kind: str, place: tuple[Any, ...], look: Look) -> None:
        """What a name means, followed through all the dotted names that begin with it."""
        if isinstance(value, ModuleType):
            self.looks.thing(look, value)
            for use in root.uses:
                self.through_module(value, use)
        else:
            uses = root.uses
            self.thing(root.name, value, kind, place, uses[0], look)
            for use in uses[1:]:
                # A further dotted name is news only of what counts by name.
                self.thing(root.name, value, kind, place, use, look)

    def _builtin(self, namespace: Mapping[str, Any], root: Root) -> None:
        own = self.look_up(namespace, "__builtins__")
        table = own if isinstance(own, dict) else vars(builtins if own is MISSING else own)
        value = self.look_up(table, root.name)
        look = (table.get, root.name)
        if value is MISSING:
            self.items.append(Reached(f"absent {root.name}", "absent", None))
        elif isinstance(value, FunctionType) or is_followed(value):
            self.root(root, value, "global", (id(table), root.name), look)
        elif root.name in _ASKING:
            for use in root.uses:
                if use.call is not CallForm.HARMLESS and (use.attributes or value is not object):
                    known = ".".join(("builtins", root.name, *use.attributes))
                    self.items.append(Reached(root.name, "name", known, None, use.line, use.call))
        elif root.name not in _BUILTINS:
            self.root(root, value, "global", (id(table), root.name), look)

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
        if type(value) in SCALARS or not self._is_taken_as_code(name, value, use):
            self._value(kind, name, value, place, use.line, look)
        else:
            self.looks.thing(look, value)

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
        self.compiled(module)
        known = f"{module}.{qualname}"
        for attribute in use.attributes:
            known = f"{known}.{attribute}"
        if known == "os.getenv" and name.rpartition(".")[2] != "getenv":
            known = "os.getenv renamed"
        if isinstance(value, FunctionType):
            self.looks.function(value)
        defaults = defaults_of(value)
        self.items.append(
            Reached(f"name {name}", "name", known, None, use.line, use.call, defaults)
        )

    def compiled(self, module_name: str) -> None:
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
                self.looks.thing(look, MISSING)
                look = sys.modules.get, f"{owner.__name__}.{attribute}"
                value = sys.modules.get(look[1], MISSING)
            if not isinstance(value, ModuleType):
                break
            self.looks.thing(look, value)
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
            self.looks.thing(look, MISSING)
            hook = self.look_up(vars(owner), "__getattr__")
            if isinstance(hook, FunctionType):
                self.items.append(Reached(f"helper {code_name(hook)}", "helper", hook))
            else:
                self.items.append(Reached(f"absent {name}", "absent", None))
            return
        if isinstance(value, FunctionType):
            self.looks.function(value)
        if self._is_patched(value):
            self.thing(name, value, "global", place, rest, look)
            return
        self.installed(owner.__name__)
        if type(value) in SCALARS and not use.imported:
            # Settings and constants, which anyone may have set. What code imports by itself may
            # not be loaded at its first call, and must not look changed after it.
            self._value("global", name, value, None, use.line, look)
            return
        self.looks.thing(look, value)
        known = ".".join((owner.__name__, *attributes[index - 1 :]))
        # What a lazy module has not loaded yet counts by the same name before and after.
        label = f"name {'.'.join((display or use.root, *attributes))}"
        # Nor are the defaults known of a function that is not loaded yet.
        hook = self.look_up(vars(owner), "__getattr__")
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
                package, own = (self.look_up(namespace, n) for n in ("__package__", "__name__"))
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
            self.looks.thing(look, MISSING)
            self.installed(name)
            known = ".".join((name, *use.attributes))
            label = f"name {use.text}"
            self.items.append(Reached(label, "name", known, None, use.line, use.call))
            return
        if module is None:
            module = _import(name)
        if module is None:
            self.looks.whole = False  # It is to be tried again.
            self.items.append(Reached(f"absent {use.text}", "absent", None))
            return
        self.looks.thing(look, module)
        if use.attributes and use.attributes[0] not in vars(module):
            self.looks.whole &= _import(f"{name}.{use.attributes[0]}") is not None
        self.through_module(module, use, display=name)

    def environment(self, names: Sequence[str]) -> None:
        """Environment variables that are read under literal names."""
        for name in names:
            value = os.environ.get(name)
            self.looks.environment(name, value)
            self.items.append(Reached(name, "environment", value))

    def look_up(self, namespace: Mapping[str, Any], name: str) -> Any:
        """What has a name in a namespace now, and is no value."""
        thing = namespace.get(name, MISSING)
        self.looks.thing((namespace.get, name), thing)
        return thing


def _import(name: str) -> ModuleType | None:
    """Import a module of the user's that code would import when it runs; None: it cannot be."""
    try:
        return importlib.import_module(name)
    except Exception:
        # The code that imports it will meet the same error, and may well handle it.
        return None
