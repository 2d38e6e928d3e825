"""The names that a piece of code takes from outside of itself, by its syntax tree.

`Reader` knows the scopes of Python. It keeps whole dotted names, since `module.attr` depends on
the attribute and not on the module. It follows literal texts that are run as code, and notes what
no analysis can follow.
"""

# ruff: noqa: D102, N802, N815 - the methods of visitors are named after the nodes they visit

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace

from cascade_nb.fingerprint import risks
from cascade_nb.fingerprint.flow import FlowVisitor
from cascade_nb.fingerprint.orders import Orders
from cascade_nb.fingerprint.risks import Risk
from cascade_nb.fingerprint.scopes import (
    Bindings,
    CallForm,
    Comprehension,
    Function,
    Scope,
    Use,
    dotted,
    function_scope,
    imported_module,
    imported_name,
    literals_in,
)
from cascade_nb.fingerprint.varying import Varying

_WORD = re.compile(r"[^\W\d]\w*")
# A field of `str.format` that is written as the locale has it.
_LOCAL_NUMBER = re.compile(r"\{[^{}]*:[^{}]*n\}")

# Where IPython's shell keeps the variables of the session.
_SESSIONS_NAMES = frozenset({"user_ns", "user_global_ns"})


class Reader(FlowVisitor):
    """Collects, over the visited code, uses, attributes, environment variables and risks."""

    def __init__(self, class_name: str | None = None, *, annotations: bool = False) -> None:
        super().__init__(class_name)
        self.uses: dict[Use, Use] = {}
        self.imports: dict[Use, Use] = {}
        self.environment: dict[str, None] = {}
        self.attributes: set[str] = set()
        self.risks: list[Risk] = []
        self.orders = Orders()
        self._annotations = annotations
        self._known_environ: set[int] = set()
        self._harmless: set[int] = set()
        self._hashes = False

    def study(self, tree: ast.AST) -> None:
        """Look beforehand at all that is to be visited, for what differs between processes."""
        varying = Varying(tree)
        self._harmless |= varying.harmless
        self.risks += varying.risks
        self.orders = varying.orders

    # Names

    def loaded(
        self, name: str, attributes: Sequence[str], line: int, *, call: CallForm = CallForm.OTHER
    ) -> None:
        """Note that `name.attributes` is used."""
        name = self.mangled(name)
        home = self.home(name)
        if home is None:
            self.outside(name)
            self.add(Use(name, tuple(attributes), line, call=call))
        elif name in home.modules:
            module = home.modules[name]
            chain = (*module.attributes, *attributes)
            self.add(replace(module, attributes=chain, line=line, call=call))

    def outside(self, name: str) -> None:
        """Called for each name that is taken from outside."""

    def add(self, use: Use) -> None:
        """Keep a use; of equal ones, the first line."""
        self.uses.setdefault(replace(use, line=0), use)

    def store_global(self, name: str) -> None:
        """Note that a function binds a global: a change that a second look must notice."""
        self.add(Use(name))

    def risk(self, node: ast.AST, name: str, message: str) -> None:
        """Note something that no key can see."""
        self.risks.append(Risk(line=getattr(node, "lineno", 0), name=name, message=message))

    # Expressions

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._note_environ(node)
            self.loaded(node.id, (), node.lineno)
        else:
            self.store(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._attribute(node)

    def _attribute(self, node: ast.Attribute, *, call: CallForm = CallForm.OTHER) -> None:
        self._note_environ(node)
        root, attributes = dotted(node)
        if not _SESSIONS_NAMES.isdisjoint(attributes):
            self.risk(node, attributes[-1], "names of the session are looked up as texts")
        if "__subclasses__" in attributes:
            self.risk(node, "__subclasses__", "which classes derive from a class is not known here")
        self.attributes.update(attributes)
        if root is None:
            self.generic_visit(node)
        elif isinstance(root, ast.Name):
            mangled = [self.mangled(attribute) for attribute in attributes]
            self.loaded(root.id, mangled, node.lineno, call=call)
        else:
            self.visit(root)

    def visit_Constant(self, node: ast.Constant) -> None:
        # ``df.agg("clean")``, ``methodcaller("clean")``
        if not isinstance(node.value, str):
            return
        if node.value.isidentifier():
            self.attributes.add(node.value)
        elif _LOCAL_NUMBER.search(node.value):
            self._use_locale(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        self.generic_visit(node)
        specification = getattr(node.format_spec, "values", ())
        last = specification[-1] if specification else None
        if last is not None and (_text_of(last) or "n").endswith("n"):
            self._use_locale(node)

    def _use_locale(self, node: ast.expr) -> None:
        """Numbers in the format "n" look as the locale has it."""
        self.add(Use("locale", line=node.lineno, imported=True))

    def _note_environ(self, node: ast.expr) -> None:
        """Note an `environ` in a dotted name of which no variable is read under a literal name."""
        while isinstance(node, ast.Attribute | ast.Name):
            if self._is_environ(node) and id(node) not in self._known_environ:
                self._environ_risk(node)
            if isinstance(node, ast.Name):
                break
            node = node.value

    def _environ_risk(self, node: ast.expr) -> None:
        self.risk(node, "os.environ", "environment variables are read under computed names")

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        # The walrus binds in the scope around its comprehensions.
        self.scopes.append(self._binding())
        self.store(node.target.id)
        self.scopes.pop()

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._is_environ(node.value):
            self._environ(node.value, node.slice)
        elif self._namespace_call(node.value) and _text_of(node.slice) is not None:
            self.add(Use(_text_of(node.slice) or "", line=node.lineno))
            return
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for operator, comparator in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn) and self._is_environ(comparator):
                self._environ(comparator, node.left)
        self.generic_visit(node)

    def _is_environ(self, node: ast.expr) -> bool:
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
        return name in ("environ", "environb")

    def _environ(self, environ: ast.expr, name: ast.expr) -> None:
        text = _text_of(name)
        self._known_environ.add(id(environ))
        if text is None:
            self._environ_risk(environ)
        else:
            self.environment[text] = None

    def _namespace_call(self, node: ast.expr) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "globals"
            and self.home("globals") is None
        )

    def visit_Call(self, node: ast.Call) -> None:
        function, first = node.func, node.args[0] if node.args else None
        if isinstance(function, ast.Name) and self.home(function.id) is None:
            if self._builtin_call(node, function.id, first):
                return
            if function.id == "getenv":
                self._getenv(function, first)
        elif isinstance(function, ast.Attribute):
            if self._is_environ(function.value) and first is not None:
                self._environ(function.value, first)
            elif function.attr == "getenv":
                self._getenv(function, first)
            elif function.attr in risks.TEXT_METHODS:
                self._text_method(node, function)
        self._called(function, self._form_of(node))
        for argument in (*node.args, *node.keywords):
            self.visit(argument)

    def _called(self, function: ast.expr, form: CallForm) -> None:
        if isinstance(function, ast.Name) and form is not CallForm.OTHER:
            self.loaded(function.id, (), function.lineno, call=form)
        elif isinstance(function, ast.Attribute):
            self._attribute(function, call=form)
        else:
            self.visit(function)

    def _form_of(self, node: ast.Call) -> CallForm:
        if id(node) in self._harmless:
            return CallForm.HARMLESS
        if not node.args and not node.keywords:
            return CallForm.BARE
        if self._hashes and getattr(node.func, "id", None) == "hash":
            return CallForm.HARMLESS
        return CallForm.OTHER

    def _getenv(self, function: ast.expr, name: ast.expr | None) -> None:
        text = None if name is None else _text_of(name)
        if text is None:
            self._environ_risk(function)
        else:
            self.environment[text] = None

    def _builtin_call(self, node: ast.Call, name: str, first: ast.expr | None) -> bool:
        """Handle a call of a builtin that reaches for names; True where nothing is left to visit.

        A user's function of the same name is handled like the builtin too: that reaches too much
        rather than too little.
        """
        second = _text_of(node.args[1]) if len(node.args) > 1 else None
        if name in ("getattr", "hasattr") and len(node.args) > 1:
            texts = self._texts_of(node.args[1])
            if not texts:
                self.risk(node, name, "an attribute is looked up under a computed name")
                return False
            for attribute in texts:
                chain = ast.Attribute(value=node.args[0], attr=attribute, ctx=ast.Load())
                self.visit(ast.copy_location(chain, node))
            self.loaded(name, (), node.lineno)
            for argument in node.args[2:]:
                self.visit(argument)
            return True
        if name in ("eval", "exec", "compile"):
            text = None if first is None else _text_of(first)
            if text is None or not self.visit_text(text, node):
                self.risk(node, name, "code is computed and cannot be followed")
        elif name == "format" and second is not None and second.endswith("n"):
            self._use_locale(node)
        elif name in ("globals", "locals", "vars", "dir") and first is None:
            # The locals of a cell are the globals of the session; those of a function are its own.
            if name == "globals" or (len(self.scopes) == 1 and self.scopes[0].flows):
                self.risk(node, name, "globals are looked up under computed names")
        elif name == "__import__":
            self._computed_import(node, first)
        return False

    def _texts_of(self, node: ast.expr) -> Sequence[str]:
        """The texts that `node` may be, where all are literal."""
        if isinstance(node, ast.Name):
            home = self.home(node.id)
            return () if home is None else home.literals.get(node.id, ())
        text = _text_of(node)
        return () if text is None else (text,)

    def _computed_import(self, node: ast.Call, first: ast.expr | None) -> None:
        text = None if first is None else _text_of(first)
        if text is None:
            self.risk(node, "import", "a module is imported under a computed name")
        else:
            self.add(Use(text, line=node.lineno, imported=True))

    def _text_method(self, node: ast.Call, function: ast.Attribute) -> None:
        """A method that takes code as text: ``df.query``, ``shell.run_cell`` and the like."""
        if function.attr == "import_module":
            self._computed_import(node, node.args[0] if node.args else None)
            return
        keyword = next((k.value for k in node.keywords if k.arg in ("expr", "raw_cell")), None)
        argument = node.args[0] if node.args else keyword
        text = None if argument is None else _text_of(argument)
        if text is None:
            self.risk(node, function.attr, "code is computed and cannot be followed")
        elif function.attr in ("query", "eval"):
            self.attributes.update(_WORD.findall(text))
            for name in risks.names_in_query(text, columns=not is_pandas(function.value)):
                self.loaded(name, (), node.lineno)
        elif not self.visit_text(text, node):
            self.risk(node, function.attr, "a text is run as code and cannot be followed")

    def visit_text(self, text: str, node: ast.AST) -> bool:
        """Visit code that is given as a text; False where it is no Python."""
        try:
            tree = ast.parse(text.strip())
        except (SyntaxError, ValueError):
            return False
        for inner in ast.walk(tree):
            if hasattr(inner, "lineno"):
                inner.lineno = getattr(node, "lineno", 0)
        with self.scope(Scope(flows=True)):
            self.block(tree.body)
        return True

    # Inner scopes

    def _visit_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_signature(node)
        self.store(node.name)
        self.visit_function(node)

    visit_FunctionDef = _visit_definition
    visit_AsyncFunctionDef = _visit_definition

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_signature(node)
        self.visit_function(node)

    def visit_signature(self, node: Function) -> None:
        """What is evaluated where a function is defined."""
        defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
        for part in (*decorators, *defaults):
            self.visit(part)
        # Under an inert decorator nobody reads them; too much is reached rather than too little.
        if not isinstance(node, ast.Lambda) and (self._annotations or decorators):
            self.visit_annotations(node)

    def visit_annotations(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """The names in a function's annotations."""
        everything = ast.walk(node.args)
        found = [a.annotation for a in everything if isinstance(a, ast.arg)]
        for annotation in (*found, node.returns):
            if annotation is not None:
                self.visit(annotation)

    def visit_function(self, node: Function) -> None:
        """What runs when a function is called."""
        around, self._hashes = self._hashes, getattr(node, "name", "") == "__hash__"
        with self.scope(function_scope(node)):
            if isinstance(node, ast.Lambda):
                self.visit(node.body)
            else:
                self.block(node.body)
        self._hashes = around

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        # A class takes its module's name from here.
        self.loaded("__name__", (), node.lineno)
        bindings = Bindings(node.body)
        scope = Scope(flows=True, is_class=True, declared_global=bindings.globals)
        with self.scope(scope, node.name):
            self.block(node.body)
        self.store(node.name)

    def _visit_comprehension(self, node: Comprehension) -> None:
        self.visit(node.generators[0].iter)
        targets = Bindings(g.target for g in node.generators).names
        around = self._binding()
        before = set(around.bound)
        literals = literals_in(node.generators)
        scope = Scope(flows=False, bound=targets, is_comprehension=True, literals=literals)
        with self.scope(scope):
            for index, generator in enumerate(node.generators):
                if index:
                    self.visit(generator.iter)
                self.visit(generator.target)
                for condition in generator.ifs:
                    around.bound = self.condition(condition)[0]
            if isinstance(node, ast.DictComp):
                self.visit(node.key)
                self.visit(node.value)
            else:
                self.visit(node.elt)
        around.bound = before  # It may go over nothing.

    visit_ListComp = _visit_comprehension
    visit_SetComp = _visit_comprehension
    visit_DictComp = _visit_comprehension
    visit_GeneratorExp = _visit_comprehension

    # Statements that take names

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.loaded(node.target.id, (), node.lineno)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self._annotations or self.scopes[-1].is_class:
            self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name, use = imported_module(alias, node.lineno)
            # The import itself runs the module; what is used of it comes with each use.
            module = Use(alias.name, line=node.lineno, imported=True)
            self.imports.setdefault(replace(module, line=0), module)
            self._bind_module(name, use)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.star_import(node)
                continue
            use = imported_name(node, alias)
            self.add(use)
            self._bind_module(alias.asname or alias.name, use)

    def _bind_module(self, name: str, use: Use) -> None:
        self.store(name)
        scope = self.scopes[-1]
        if scope.flows and name not in scope.declared_global:
            scope.modules[name] = use

    def star_import(self, node: ast.ImportFrom) -> None:
        """Only a cell or a text can have one."""
        self.add(Use(node.module or "", (), node.lineno, imported=True, level=node.level))


def is_pandas(node: ast.expr) -> bool:
    """Whether ``node.eval`` is pandas' own function, whose plain names are variables."""
    return isinstance(node, ast.Name) and node.id in ("pd", "pandas")


def _text_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None
