"""Following calls from function to function, with what is handed over, down to readers of files."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Mapping, Set
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Protocol

from cascade_nb.fingerprint.native import folding, library, members
from cascade_nb.fingerprint.native.arguments import (
    Arguments,
    Bound,
    anything,
    bound_to,
    fields_of,
    handed,
    line_of,
    placed,
)
from cascade_nb.fingerprint.native.bodies import Body, How, body_of_code, body_of_node
from cascade_nb.fingerprint.native.heap import Heap
from cascade_nb.fingerprint.native.members import Computed
from cascade_nb.fingerprint.native.passing import dotted_name, is_function, passed_on
from cascade_nb.fingerprint.native.possible import (
    NOTHING,
    Fresh,
    Instance,
    Items,
    Local,
    LocalClass,
    Made,
    Named,
    Pattern,
    Row,
    Table,
    Term,
    Values,
    is_plain,
    mark,
    of,
    union,
    unknown,
)
from cascade_nb.fingerprint.native.readers import COMMON, Role, role_of
from cascade_nb.fingerprint.native.runs import Frame
from cascade_nb.fingerprint.ownership import FOLLOWED_KINDS, is_cached, is_followed
from cascade_nb.fingerprint.reached import users_facts

# After so many runs what was followed before is so once more, for whatever it is given.
_MOST_RUNS = 150
_DEEPEST = 24
_MOST_AGAIN = 2
_SAME = frozenset({"contextlib.closing", "contextlib.nullcontext", "copy.copy", "copy.deepcopy"})
_EMPTY = Body(ast.Module(body=[], type_ignores=[]))


class Judge(Protocol):
    """Takes note of what is read."""

    def reads(self, role: Role, name: str, given: Arguments, line: int, frame: Frame) -> None:
        """A thing with that role is called."""


class Caller:
    """Makes calls as a run would, and keeps what attributes are given in them."""

    def __init__(
        self,
        judge: Judge,
        *,
        ignored: frozenset[str],
        rebound: Set[str],
        methods: Mapping[str, list[FunctionType]],
        packages: Set[str],
    ) -> None:
        self.ignored = ignored
        self.rebound = rebound
        self._judge = judge
        self._called: set[Any] = set()
        self._mentioned: dict[Any, Any] = {}
        self._methods = methods
        self._packages = packages
        self._results: dict[Any, Values] = {}
        self._kept: list[Any] = []
        self._running: list[Any] = []
        self._times: dict[int, int] = {}
        self.heap = Heap()

    def begin_again(self) -> None:
        """Forget all but what attributes were given."""
        self.heap.grown = False
        self._called.clear()
        self._mentioned.clear()
        self._results.clear()
        self._times.clear()
        self._kept.clear()

    # Runs

    def start(self, function: Any, arguments: Mapping[str, Values]) -> None:
        """Call what the computation begins with."""
        body = self._body_of(function) if isinstance(function, FunctionType) else None
        if body is None or users_facts(function) is None:
            self.apply(function, Arguments(keywords=dict(arguments)), 0, Frame(_EMPTY, self, {}))
            return
        self._called.add(id(function.__code__))
        closure = _closure(function)
        frame = Frame(body, self, function.__globals__, arguments, closure=closure)
        self._kept.append(frame)
        self.finish(frame)

    def call_the_rest(self) -> None:
        """Call with unknown arguments what is mentioned and was not called."""
        while waiting := [f for key, f in self._mentioned.items() if key not in self._called]:
            for function in waiting:
                self.run(function, Arguments(rest=unknown(), others=unknown()))

    def call_blindly(self, functions: Iterable[FunctionType]) -> None:
        """Call those that were not called with nothing that is known, nor unknown."""
        for function in functions:
            if id(function.__code__) not in self._called and self._body_of(function):
                self.run(function, Arguments())

    def run(self, function: Any, given: Arguments) -> Values:
        """What a function of the user's gives; all that it calls is called."""
        body = self._body_of(function)
        self._called.add(id(_node_of(function)))
        if body is None:
            return unknown(line_of(given))
        depth, times = self._running.count(body), self._times.get(id(body), 0)
        many = times and len(self._kept) > _MOST_RUNS
        if many or depth > _MOST_AGAIN or len(self._running) > _DEEPEST:
            given = anything(given)
        key = id(body), mark(function), given.marks()
        known = self._results.get(key)
        if known is None:
            self._times[id(body)] = times + 1
            self._results[key] = unknown()  # to a call of itself
            known = self._results[key] = self._run(function, body, given)
        return known

    def _body_of(self, function: Any) -> Body | None:
        if isinstance(function, Local):
            return body_of_node(function.node)
        return body_of_code(function.__code__)

    def _run(self, function: Any, body: Body, given: Arguments) -> Values:
        frame = self._frame(function, body, given)
        self._running.append(body)
        self.finish(frame)
        line = getattr(body.node, "lineno", 0)
        if body.yields:
            items = [
                folding.items_of(frame.value(node), line) if how is How.ITEM else frame.value(node)
                for how, node in body.yields
            ]
            result = of(Items(union(items)))
        else:
            result = (
                union([frame.value(node) for node in body.returns]) if body.returns else of(None)
            )
        self._running.pop()
        return result

    def _frame(self, function: Any, body: Body, given: Arguments) -> Frame:
        node: Any = body.node
        if isinstance(function, Local):
            around: Frame = function.frame
            defaults = [around.value(default) for default in node.args.defaults]
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            keywords = {a.arg: around.value(d) for a, d in pairs if d is not None}
            parameters = bound_to(node.args, given, defaults, keywords)
            frame = Frame(body, self, around.namespace, parameters, around)
        else:
            defaults = list(map(of, function.__defaults__ or ()))
            keywords = {name: of(held) for name, held in (function.__kwdefaults__ or {}).items()}
            parameters = bound_to(node.args, given, defaults, keywords)
            frame = Frame(body, self, function.__globals__, parameters, closure=_closure(function))
        self._kept.append(frame)
        return frame

    def finish(self, frame: Frame) -> None:
        """Make all calls in a frame."""
        body = frame.body
        for store in body.stores:
            value = frame.binding(store.binding, getattr(store.owner, "lineno", 0))
            if store.binding.how in (How.ADDED, How.EXTENDED):
                value = of(Items(value))
            self.heap.store(frame.value(store.owner), store.attribute, value)
        frame.change_collections()
        for call in body.calls:
            frame.value(call)
        for bindings in body.bindings.values():
            for binding in bindings:
                if binding.how in (How.ITEM, How.ENTERED):
                    frame.binding(binding, 0)
        for mention in body.mentions:
            for thing in frame.value(mention).known:
                function = thing.function if isinstance(thing, Bound) else thing
                if isinstance(function, FunctionType) and users_facts(function) is not None:
                    self._mentioned[id(function.__code__)] = function
        for node in body.inner:
            self._mentioned[id(node)] = Local(node, frame)

    # Calls

    def call(self, node: ast.Call, frame: Frame) -> Values:
        """What a call gives."""
        given, function, line = self._arguments(node, frame), node.func, node.lineno
        if not isinstance(function, ast.Attribute):
            callees = frame.value(function)
            found = [self.apply(thing, given, line, frame) for thing in callees.known]
            if callees.unknown is not None:
                found.append(passed_on(self, "", given, line, frame))
            return union(found)
        name = function.attr
        if _is_super(function.value):
            return self._super(name, given, line, frame)
        owners = frame.value(function.value)
        found = [self._method(thing, name, given, line, frame) for thing in owners.known]
        if owners.unknown is not None:
            found.append(self._unknown_method(name, given, line, frame))
        return union(found)

    def _arguments(self, node: ast.Call, frame: Frame) -> Arguments:
        given, line = Arguments(), node.lineno
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                self._spread(given, frame.value(argument.value), line)
            elif given.rest is not None:
                given.rest = union([given.rest, placed(frame.value(argument), line)])
            else:
                given.positional.append(placed(frame.value(argument), line))
        for keyword in node.keywords:
            held = placed(frame.value(keyword.value), line)
            if keyword.arg is not None:
                given.keywords[keyword.arg] = held
            elif (fields := fields_of(held)) is not None:
                given.keywords.update(fields)
            else:
                more = folding.subscript(held, unknown(), line)
                given.others = more if given.others is None else union([given.others, more])
        return given

    def _spread(self, given: Arguments, values: Values, line: int) -> None:
        thing = values.known[0] if len(values.known) == 1 and values.unknown is None else None
        if isinstance(thing, Row) and given.rest is None:
            given.positional += thing.parts
        elif isinstance(thing, list | tuple) and given.rest is None:
            given.positional += map(of, thing)
        else:
            items = placed(folding.items_of(values, line), line)
            given.rest = items if given.rest is None else union([given.rest, items])

    def apply(self, thing: Any, given: Arguments, line: int, frame: Frame) -> Values:
        """What calling something gives."""
        if isinstance(thing, Bound):
            return self.apply(thing.function, given.after(thing.arguments), line, frame)
        if isinstance(thing, Local):
            return self.run(thing, handed(given))
        if isinstance(thing, Named):
            return self._installed(thing.name, given, line, frame)
        if is_cached(thing):
            return unknown(line)  # it records what it reads by itself
        if isinstance(thing, FunctionType):
            if users_facts(thing) is not None:
                return self.run(thing, handed(given))
            if is_followed(thing) and hasattr(thing, "__wrapped__"):
                return self.apply(thing.__wrapped__, given, line, frame)
        if isinstance(thing, type):
            return self._construct(thing, given, line, frame)
        if isinstance(thing, MethodType):
            bound = Arguments([of(thing.__self__)])
            return self.apply(thing.__func__, given.after(bound), line, frame)
        if isinstance(thing, functools.partial):
            keywords = {name: of(held) for name, held in thing.keywords.items()}
            bound = Arguments(list(map(of, thing.args)), keywords)
            return self.apply(thing.func, given.after(bound), line, frame)
        if isinstance(thing, FunctionType | BuiltinFunctionType):
            return self._installed(dotted_name(thing), given, line, frame)
        if isinstance(thing, LocalClass):
            return self._construct_local(thing, given, line, frame)
        if isinstance(thing, Term):
            if isinstance(thing, Instance):
                return self._method(thing, "__call__", given, line, frame)
            return passed_on(self, "", given, line, frame)
        if isinstance(thing, FOLLOWED_KINDS) and hasattr(thing, "__wrapped__"):
            return self.apply(thing.__wrapped__, given, line, frame)
        if members.is_users(thing):
            return self._method(thing, "__call__", given, line, frame)
        if any("__name__" in vars(base) for base in type(thing).__mro__):
            return self._installed(dotted_name(thing), given, line, frame)
        return passed_on(self, "", given, line, frame)

    def _installed(self, name: str, given: Arguments, line: int, frame: Frame) -> Values:
        role = role_of(name)
        if role is Role.TEMPORARY:
            return of(Fresh())
        if role is not None:
            if role is not Role.OPENER:
                self._judge.reads(role, name, given, line, frame)
            return unknown(line) if role is Role.FETCHER else of(Made(name))
        last = name.rpartition(".")[2]
        if name == "functools.partial" and given.positional:
            rest = Arguments(given.positional[1:], given.keywords, given.rest, given.others)
            return Values(tuple(Bound(thing, rest) for thing in given.positional[0].known))
        if name == "builtins.map" and given.positional:
            items = [folding.items_of(values, line) for values in given.positional[1:]]
            called = Arguments(items)
            results = [self.apply(f, called, line, frame) for f in given.positional[0].known]
            return of(Items(union(results)))
        if name in _SAME and given.positional:
            return given.positional[0]
        if name == "builtins.getattr" and len(given.positional) > 1:
            return self._getattr(given, line)
        if name == "builtins.type" and len(given.positional) == 1:
            return self._types(given.positional[0], line)
        if name in ("builtins.dict", "types.SimpleNamespace") and not given.positional:
            return of(Table(given.keywords)) if given.others is None else unknown(line)
        found = library.function_result(name, given, line)
        known = union(given.every())
        if found is None or any(map(is_function, known.known)) or members.split(known)[0].known:
            passed = passed_on(self, last, given, line, frame)
        return passed if found is None else found

    def _getattr(self, given: Arguments, line: int) -> Values:
        owner, names = given.positional[:2]
        found = [self.attribute(owner, n, line) for n in names.known if isinstance(n, str)]
        return union([*found, *given.positional[2:]]) if names.unknown is None else unknown(line)

    def _types(self, values: Values, line: int) -> Values:
        known = [t for t in values.known if not isinstance(t, Term) or isinstance(t, Instance)]
        found = of(*map(members.class_of, known))
        return found if len(known) == len(values.known) else union([found, unknown(line)])

    def _construct(self, cls: type, given: Arguments, line: int, frame: Frame) -> Values:
        if not members.is_users_class(cls):
            return self._installed(dotted_name(cls), given, line, frame)
        for base in cls.__mro__:
            if not members.is_users_class(base) and role_of(dotted_name(base)) is not None:
                self._installed(dotted_name(base), given, line, frame)
        made = of(Instance(cls, given.marks()))
        make = next((vars(b)["__init__"] for b in cls.__mro__ if "__init__" in vars(b)), None)
        fields = getattr(cls, "_fields", None)
        if isinstance(make, FunctionType) and is_followed(make) and self._body_of(make):
            self.run(make, handed(given.after(Arguments([made]))))
        elif isinstance(make, FunctionType) and hasattr(cls, "__dataclass_fields__"):
            names = make.__code__.co_varnames[1 : make.__code__.co_argcount]
            self._fill(made, names, given, make.__defaults__ or ())
            self._method(made.known[0], "__post_init__", Arguments(), line, frame)
        elif isinstance(fields, tuple):
            self._fill(made, fields, given, getattr(cls.__new__, "__defaults__", None) or ())
        else:
            self._fill(made, (), given, ())
        return made

    def _construct_local(
        self, cls: LocalClass, given: Arguments, line: int, frame: Frame
    ) -> Values:
        made = of(Instance(cls, given.marks()))
        make = members.of_local_class(cls, "__init__", line, made.known[0])
        if isinstance(make, Values) and make.known:
            for function in make.known:
                self.apply(function, given, line, frame)
        elif isinstance(make, Values) and make.unknown is None:
            fields = [f for f in cls.node.body if isinstance(f, ast.AnnAssign)]
            names = [field.target.id for field in fields if isinstance(field.target, ast.Name)]
            for field in fields:
                if isinstance(field.target, ast.Name) and field.value is not None:
                    self.heap.store(made, field.target.id, cls.frame.value(field.value))
            self._fill(made, names, given, ())
            self._method(made.known[0], "__post_init__", Arguments(), line, frame)
        return made

    def _fill(
        self, made: Values, names: Iterable[str], given: Arguments, defaults: tuple[Any, ...]
    ) -> None:
        """The attributes of what is made of its fields."""
        names = tuple(names)
        held = dict(zip(names[len(names) - len(defaults) :], map(of, defaults), strict=True))
        held |= dict(zip(names, given.positional, strict=False))
        held |= given.keywords
        more = [values for values in (given.rest, given.others) if values is not None]
        for name, values in held.items():
            self.heap.store(made, name, union([values, *more]))

    # Methods and attributes

    def _method(self, thing: Any, name: str, given: Arguments, line: int, frame: Frame) -> Values:
        if _is_simple(thing):
            return library.plain_method(thing, name, given, line)
        if isinstance(thing, Made) or not (
            isinstance(thing, Term | ModuleType | type) or members.is_users(thing)
        ):
            package = thing.name if isinstance(thing, Made) else type(thing).__module__
            if isinstance(thing, Made) and name in ("cursor", "__enter__"):
                return of(thing)
            package = package.partition(".")[0]
            role = role_of(f"{package}.{name}")
            if role is None:
                return passed_on(self, name, given, line, frame, method=True)
            self._judge.reads(role, f"{package}.{name}", given, line, frame)
            return of(Made(package))
        callees = self._attribute(thing, name, line)
        found = [self.apply(callee, given, line, frame) for callee in callees.known]
        if callees.unknown is not None:
            found.append(passed_on(self, name, given, line, frame))
        return union(found)

    def _unknown_method(self, name: str, given: Arguments, line: int, frame: Frame) -> Values:
        """A method of whatever: the user's of that name, or a reader whose name tells it."""
        for function in self._methods.get(name, ()):
            self.run(function, handed(given.after(Arguments([unknown(line)]))))
        if name not in self._methods:
            if name in COMMON:
                self._judge.reads(Role.READER, name, given, line, frame)
            for package in self._packages & {"duckdb", "sqlite3"}:
                role = role_of(f"{package}.{name}")
                if role is Role.QUERY:
                    self._judge.reads(role, f"{package}.{name}", given, line, frame)
        if name in library.READING:
            return of(Made(name))
        return passed_on(self, name, given, line, frame, method=True)

    def _super(self, name: str, given: Arguments, line: int, frame: Frame) -> Values:
        cls: Any = frame.closure.get("__class__")
        first = next(iter(frame.parameters.values()), NOTHING)
        found = []
        for thing in first.known if isinstance(cls, type) else ():
            held = members.after(cls, thing, name, line)
            for callee in held.known if isinstance(held, Values) else ():
                found.append(self.apply(callee, given, line, frame))
        return union([*found, unknown(line)])

    def ask(
        self, owners: Values, name: str, given: list[Values], line: int, frame: Frame
    ) -> Values:
        """What Python gets of instances by a method of one of its protocols."""
        held = [(thing, self._attribute(thing, name, line)) for thing in owners.known]
        return union(
            self.apply(function, handed(Arguments(list(given))), line, frame)
            for _, functions in held
            for function in functions.known
        )

    def attribute(self, owners: Values, name: str, line: int) -> Values:
        """What an attribute may be."""
        found = [self._attribute(thing, name, line) for thing in owners.known]
        if owners.unknown is not None:
            found.append(unknown(owners.unknown or line))
        return union(found)

    def _attribute(self, thing: Any, name: str, line: int) -> Values:
        if isinstance(thing, Named):
            return of(Named(f"{thing.name}.{name}"))
        if isinstance(thing, ModuleType):
            return members.of_module(thing, name)
        if isinstance(thing, type):
            return union([members.of_class(thing, name, line), self.heap.given_to(thing, name)])
        if isinstance(thing, LocalClass):
            held = members.of_local_class(thing, name, line)
            return union([held if isinstance(held, Values) else unknown(line)])
        if isinstance(thing, Table):
            return thing.fields.get(name, NOTHING)
        if _is_simple(thing):
            return library.plain_attribute(thing, name, line)
        if isinstance(thing, Term) and not isinstance(thing, Instance):
            return unknown(line)
        found = members.of_object(thing, name, line)
        if isinstance(found, Computed):
            return self.run(found.function, Arguments([of(found.owner)]))
        return union([found, self.heap.given_to(members.class_of(thing), name)])


def _is_simple(thing: Any) -> bool:
    """Whether `folding` knows the methods and attributes of `thing`."""
    if folding.is_collection(thing):
        return not hasattr(type(thing), "_fields")
    return isinstance(thing, Fresh | Pattern) or is_plain(thing)


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", None) == "super"


def _node_of(function: Any) -> Any:
    return function.node if isinstance(function, Local) else function.__code__


def _closure(function: FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue  # not bound yet
    return found
