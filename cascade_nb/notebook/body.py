"""A cell's body: compiled and run node by node, exactly as IPython runs a plain cell."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from cascade_nb.notebook.tracebacks import BodyStopped, mark_uncompiled

T = TypeVar("T")
Watch = Callable[[ast.stmt], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The Python code below a `%%cascade` line.

    `typed` is as the user wrote it. `source` is plain Python and has the lines of the whole cell,
    those above the body as comments, so that line numbers are the cell's. `filename` is what
    tracebacks and `inspect` know it by. `asynchronous` tells that it awaits at top level.
    """

    typed: str
    source: str
    filename: str
    tree: ast.Module
    asynchronous: bool
    shows_nothing: bool

    async def run(
        self,
        shell: Any,
        *,
        checkpoint: Callable[[], None] = lambda: None,
        watch: Watch = lambda node: nullcontext(),
    ) -> None:
        """Run the body in the user's namespace.

        What it raises comes out unchanged, but for a StopIteration, which comes as `BodyStopped`.
        It suspends only where the body awaits. `checkpoint` is called before each statement, and
        each runs inside of what `watch` gives for it.
        """
        for node, mode in self._nodes(shell.ast_node_interactivity):
            checkpoint()
            with watch(node):
                code = self._compiled(shell, node, mode)
                if code.co_flags & inspect.CO_COROUTINE:
                    await eval(code, shell.user_global_ns, shell.user_ns)  # noqa: S307 - the cell
                    continue
                try:
                    exec(code, shell.user_global_ns, shell.user_ns)  # noqa: S102 - the cell
                except StopIteration as error:
                    raise BodyStopped(error) from None

    def _compiled(self, shell: Any, node: ast.stmt, mode: str) -> Any:
        module = ast.Interactive([node]) if mode == "single" else ast.Module([node], [])
        # A statement compiles when its turn comes: a future statement counts for those below it.
        with shell.compile.extra_flags(ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if shell.autoawait else 0):
            try:
                return shell.compile(module, self.filename, mode)
            except SyntaxError as error:
                mark_uncompiled(error)
                raise

    def _nodes(self, interactivity: str) -> Iterator[tuple[ast.stmt, str]]:
        nodes = list(self.tree.body)
        if interactivity == "last_expr_or_assign":
            nodes.extend(_shown_assignment(nodes[-1]) if nodes else ())
            interactivity = "last_expr"
        if interactivity == "last_expr":
            interactivity = "last" if nodes and isinstance(nodes[-1], ast.Expr) else "none"
        first_shown = {"none": len(nodes), "last": len(nodes) - 1, "all": 0}[interactivity]
        for index, node in enumerate(nodes):
            shown = index >= first_shown and not self.shows_nothing
            yield node, "single" if shown else "exec"


def parse(shell: Any, cell: str, *, raw_cell: str = "") -> Body:
    """The body `cell` of the cell `raw_cell`, where that is known.

    Raises:
        SyntaxError: it is not Python, once its magics are translated.
    """
    head = _lines_above(cell, raw_cell)
    try:
        translated = shell.transform_cell(cell)
        source = "".join(f"# {line}\n" for line in head) + translated
        filename = _register(shell, "".join(f"{line}\n" for line in head) + translated, raw_cell)
        tree = shell.transform_ast(shell.compile.ast_parse(source, filename=filename))
    except SyntaxError as error:
        mark_uncompiled(error)
        raise
    from IPython.core.displayhook import DisplayHook

    return Body(
        typed=cell,
        source=source,
        filename=filename,
        tree=tree,
        asynchronous=shell.autoawait and _awaits(shell, tree, filename),
        shows_nothing=DisplayHook.semicolon_at_end_of_expression(source),  # type: ignore[no-untyped-call]
    )


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits nothing, as a body does whose code awaits nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise RuntimeError("a body that does not await has waited")


def _lines_above(cell: str, raw_cell: str) -> list[str]:
    """The lines of the whole cell that stand above the body."""
    raw, body = raw_cell.rstrip(), cell.rstrip()
    if body and raw.endswith(body):
        above = raw[: -len(body)].splitlines()
        # IPython does not count the empty lines that a cell begins with.
        while above and not above[0].strip():
            above.pop(0)
        return above
    return ["%%cascade"]


def _register(shell: Any, shown_source: str, raw_cell: str) -> str:
    """Let tracebacks and `inspect` find the source; gives its file name.

    Under the raw cell's name where the body is part of it, as a plain cell would have.
    """
    result = shell.displayhook.exec_result
    number = shell.execution_count - 1 if result is None else result.execution_count
    is_part = bool(raw_cell) and shown_source.count("\n") >= raw_cell.strip().count("\n")
    raw_code = raw_cell if is_part else shown_source
    name: str = shell.compile.cache(shown_source, number, raw_code=raw_code)
    return name


def _awaits(shell: Any, tree: ast.Module, filename: str) -> bool:
    flags = shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        code = compile(tree, filename, "exec", flags=flags, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False  # It runs up to the statement that does not compile.
    return bool(code.co_flags & inspect.CO_COROUTINE)


def _shown_assignment(node: ast.stmt) -> list[ast.stmt]:
    """What ``ast_node_interactivity = "last_expr_or_assign"`` adds to a last assignment."""
    target: ast.expr | None = None
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        target = node.target
    if not isinstance(target, ast.Name):
        return []
    return [ast.fix_missing_locations(ast.Expr(ast.Name(target.id, ast.Load())))]
