"""IPython's magics inside a cell, by the calls to which IPython transforms them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache

from cascade_nb.fingerprint.normal import NormalForm, digest
from cascade_nb.fingerprint.source import plain_python

MARK = "get_ipython()"  # what every transformed magic begins with
_SETUP = frozenset(
    [
        "matplotlib",
        "load_ext",
        "reload_ext",
        "config",
        "autoreload",
        "precision",
        "colors",
        "xmode",
        "pprint",
        "pylab",
        "gui",
    ]
)
_LINE_CODE = frozenset(["time", "timeit", "prun", "memit", "mprun"])
_CELL_CODE = frozenset(["time", "timeit", "capture", "prun", "memit", "cascade"])
_OWN_SCOPE = frozenset({"timeit"})
# Magics that show something and neither read nor change what a cell's result depends on.
_IDLE = _SETUP | frozenset(
    [
        "pinfo",
        "pinfo2",
        "psource",
        "pdoc",
        "pdef",
        "pfile",
        "who",
        "whos",
        "who_ls",
        "html",
        "HTML",
        "javascript",
        "js",
        "latex",
        "markdown",
        "svg",
        "SVG",
    ]
)
_PROCESSES = frozenset(
    [
        "bash",
        "sh",
        "script",
        "system",
        "sx",
        "sc",
        "perl",
        "ruby",
        "pypy",
        "python",
        "python2",
        "python3",
        "cmd",
        "pip",
        "conda",
        "mamba",
        "uv",
        "run",
        "!",
        "!!",
    ]
)
_OPTION = re.compile(r"\s*-{1,2}\w+(?:[= ]?\d+)?(?=\s|$)")
_EXPANSION = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})|\$\$?([A-Za-z_][\w.]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Magic:
    """One magic or ``!`` command: what in it is code, what it reads and binds, what is risky.

    `code` is run as code of the cell, in a scope of its own where `own_scope`; `expansions` are
    the expressions in ``{x}`` and ``$x``; `computed` are arguments that are no literal texts.
    """

    name: str
    is_setup: bool = False
    code: str | None = None
    own_scope: bool = False
    written: tuple[str, ...] = ()
    expansions: tuple[str, ...] = ()
    computed: tuple[ast.expr, ...] = ()
    risk: str | None = None


def of_statement(statement: ast.stmt) -> Magic | None:
    """The magic that a statement consists of."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return of_call(statement.value)
    return None


def of_call(node: ast.Call) -> Magic | None:
    """The magic that a call is the transformed form of."""
    method = _method_of(node)
    if method is None:
        return None
    texts = [
        argument.value if isinstance(argument, ast.Constant) else None for argument in node.args
    ]
    computed = tuple(a for a in node.args if not isinstance(a, ast.Constant))
    if computed or not texts or not all(isinstance(text, str) for text in texts):
        return Magic(name=method, computed=computed, risk="a magic's text is computed")
    words = [str(text) for text in texts]
    if method in ("system", "getoutput", "getoutput", "system_raw", "system_piped"):
        return Magic(name="!", expansions=_expanded(words[0]), risk="runs another program")
    name, line = words[0], words[1] if len(words) > 1 else ""
    if method == "run_line_magic":
        return _line_magic(name, line)
    return _cell_magic(name, line, words[2] if len(words) > 2 else "")


def _method_of(node: ast.Call) -> str | None:
    function = node.func
    if not isinstance(function, ast.Attribute) or function.attr not in (
        "run_line_magic",
        "run_cell_magic",
        "system",
        "getoutput",
        "system_raw",
        "system_piped",
    ):
        return None
    shell = function.value
    if isinstance(shell, ast.Call) and isinstance(shell.func, ast.Name):
        return function.attr if shell.func.id == "get_ipython" else None
    return None


def _line_magic(name: str, line: str) -> Magic:
    if name in _LINE_CODE:
        code = _without_options(line)
        return Magic(name=f"%{name}", code=code, own_scope=name in _OWN_SCOPE)
    expansions = _expanded(line)
    if name in _IDLE:
        return Magic(name=f"%{name}", is_setup=name in _SETUP, expansions=expansions)
    return Magic(name=f"%{name}", expansions=expansions, risk=_risk_of(name))


def _cell_magic(name: str, line: str, body: str) -> Magic:
    if name not in _CELL_CODE:
        risk = None if name in _IDLE else _risk_of(name)
        return Magic(name=f"%%{name}", expansions=_expanded(line), risk=risk)
    words = tuple(word for word in line.split() if word.isidentifier())
    statement = _without_options(line) + "\n" if name in ("timeit", "prun") else ""
    return Magic(
        name=f"%%{name}",
        code=statement + body,
        own_scope=name in _OWN_SCOPE,
        written=words[:1] if name == "capture" else (),
        expansions=() if statement or name == "cascade" else _expanded(line),
    )


def _risk_of(name: str) -> str:
    return "runs another program" if name in _PROCESSES else "a magic cannot be followed"


def _without_options(line: str) -> str:
    while match := _OPTION.match(line):
        line = line[match.end() :]
    return line.strip()


def _expanded(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(m.group(1) or m.group(2) for m in _EXPANSION.finditer(text)))


@lru_cache(maxsize=64)
def parsed(code: str) -> ast.Module | None:
    """The code inside a magic, magics in it transformed as well; None: it is no Python."""
    try:
        return ast.parse(plain_python(code))
    except (SyntaxError, ValueError):
        return None


def with_code_parsed(source: str) -> ast.Module:
    """`source` as a tree, with the normal form of the code inside magics instead of its text.

    So a comment edited under ``%%time`` is as good as one edited elsewhere.
    """
    return _WithCodeParsed().visit(ast.parse(source))  # type: ignore[no-any-return]


class _WithCodeParsed(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        magic = of_call(node)
        if magic is None or magic.code is None:
            return self.generic_visit(node)
        try:
            tree = with_code_parsed(plain_python(magic.code))
        except (SyntaxError, ValueError):
            return node
        form = digest(b"code", NormalForm().of_statements(tree.body))
        # The code is the last argument: a cell magic's body, a line magic's line.
        kept = len(node.args) - 1
        return ast.Call(
            func=node.func, args=[*node.args[:kept], ast.Constant(form)], keywords=node.keywords
        )
