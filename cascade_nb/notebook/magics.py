"""The magics: `%%cascade` above a cell, and `%cascade` with its verbs."""

# IPython's decorators of magics have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import contextvars
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Bool, TraitError, Unicode, validate

from cascade_nb.config import configure
from cascade_nb.errors import CascadeError, ConfigurationError
from cascade_nb.loop import run_sync
from cascade_nb.notebook.effects import may_seed
from cascade_nb.notebook.tracebacks import CleanTracebacks
from cascade_nb.notebook.transformer import TopLevel
from cascade_nb.tasks import Options, Retry
from cascade_nb.units import parse_duration
from cascade_nb.wording import one_line

if TYPE_CHECKING:
    from cascade_nb.notebook.cell import Cell, Wishes

# What runs a cell is loaded when the first one runs: `%load_ext` is in everybody's first cell.


@magics_class
class CascadeMagics(Magics):
    """Cells that are computed once."""

    store = Unicode("", help="Where results go: memory://, a path, or disk:///path?size=20GB.").tag(
        config=True
    )
    badges = Bool(True, help="Whether each cached cell shows what the cache did for it.").tag(
        config=True
    )

    def __init__(self, shell: Any, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self._top_level = TopLevel(shell)
        self._tracebacks = CleanTracebacks(shell)
        self._modules_seen: set[str] = set()
        self._modules_seed = False

    @validate("store")
    def _check_store(self, proposal: Any) -> Any:
        try:
            if proposal["value"]:
                configure(store=proposal["value"])
        except ConfigurationError as error:
            raise TraitError(str(error)) from None
        return proposal["value"]

    def install(self) -> None:
        """Begin to await top-level cells, and to clean tracebacks."""
        self._top_level.install()
        self._tracebacks.install()

    def remove(self) -> None:
        """Leave the shell as found."""
        self._tracebacks.remove()
        self._top_level.remove()

    @magic_arguments()
    @argument("-n", "--name", help="What to call the cell; not part of the key.")
    @argument("-i", "--inputs", help="The names it depends on, instead of those found: a,b")
    @argument("-o", "--outputs", help="The names to store, instead of those found: a,b")
    @argument("--ignore", help="Names left out of the key: a,b")
    @argument("--ttl", help="How long the result is served: seconds, or 90s, 15m, 12h, 7d.")
    @argument("--version", help="Any text; part of the key.")
    @argument(
        "--reads",
        action="append",
        metavar="PATH",
        help="A file, folder or glob whose content is part of the key; may be repeated.",
    )
    @argument("--retry", type=int, metavar="N", help="How often to try a cell that raises.")
    @argument("--refresh", action="store_true", help="Compute again, and store the result.")
    @argument("--no-replay", action="store_true", help="A hit shows no recorded output.")
    @argument("--quiet", action="store_true", help="Show no badge.")
    @argument("--share", action="store_true", help="Share the result, and print its CID.")
    @no_var_expand
    @cell_magic
    def cascade(self, line: str, cell: str) -> None:
        """Run the cell once; from then on bring back what it bound, changed and showed.

        The cell is computed again as soon as anything changes that it depends on: its code, the
        variables, functions and classes that it reads, or the files that it opens.
        """
        run, manners = self._opened(line, cell)
        try:
            run.perform_here()
        finally:
            self._show_badge(run, manners)
        if manners.shares:
            run_sync(self._share(run))

    async def awaited(self, line: str, cell: str) -> None:
        """Do the same for a cell at top level, which the kernel awaits."""
        run, manners = self._opened(line, cell)
        before = contextvars.copy_context()
        try:
            await run.perform()
        finally:
            self._show_badge(run, manners)
        if manners.shares:
            await self._share(run)
        if not run.awaits:
            self._top_level.at_end(_carried_over(before, contextvars.copy_context()))

    @no_var_expand
    @line_magic("cascade")  # type: ignore[arg-type]
    def verbs(self, line: str) -> Any:
        """Look at what is cached and manage it; alone, show the session's panel."""
        from cascade_nb.notebook.verbs import run_verb

        return run_verb(self.shell, line)

    def _opened(self, line: str, cell: str) -> tuple[Cell, Manners]:
        from cascade_nb.notebook.body import parse
        from cascade_nb.notebook.cell import Cell

        wishes, manners = parse_wishes(line)
        body = parse(self.shell, cell, raw_cell=self._top_level.raw_cell)
        seeded = self._top_level.has_seeded or self._modules_may_seed()
        return Cell(self.shell, body, wishes, seeded=seeded), manners

    async def _share(self, run: Cell) -> None:
        """Share what a cell left; where that fails, say so: the cell itself has done well."""
        from cascade_nb.notebook import badge
        from cascade_nb.notebook.capture import unrecorded
        from cascade_nb.notebook.exchanging import share_cell

        entry = None if run.report is None else badge.shown_entry(run.report)
        try:
            if entry is None:
                raise ConfigurationError("its result is not stored")
            said = await share_cell(entry)
        except CascadeError as error:
            said = f"{one_line(run.name, 60)} was not shared: {error}"
        with unrecorded():
            print(said)

    def _show_badge(self, run: Cell, manners: Manners) -> None:
        from cascade_nb.notebook import badge
        from cascade_nb.notebook.capture import unrecorded

        if run.report is not None and self.badges and not manners.quiet:
            with unrecorded():
                badge.show(run.report)

    def _modules_may_seed(self) -> bool:
        """Whether a module in the working folder may have seeded a generator."""
        unseen = sys.modules.keys() - self._modules_seen
        self._modules_seen |= unseen
        if unseen and not self._modules_seed:
            here = str(Path.cwd())
            files = (getattr(sys.modules.get(name), "__file__", None) for name in unseen)
            own = (f for f in files if isinstance(f, str) and f.startswith(here))
            self._modules_seed = any(map(_file_may_seed, own))
        return self._modules_seed


# An abbreviation would mean something else as soon as another option begins like it.
CascadeMagics.cascade.parser.allow_abbrev = False


def _file_may_seed(path: str) -> bool:
    if "site-packages" in path:
        return False
    try:
        return may_seed(Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Manners:
    """What the line of a cell asks of the magic itself: no badge, and to share the result."""

    quiet: bool = False
    shares: bool = False


def parse_wishes(line: str) -> tuple[Wishes, Manners]:
    """What the line of a cell asks for.

    Raises:
        UsageError: an option is not known or has a bad value.
    """
    from cascade_nb.notebook.cell import Wishes

    try:
        given = CascadeMagics.cascade.parser.parse_args(_words(line))
        retry = Retry(max_attempts=1 if given.retry is None else given.retry)
        wishes = Wishes(
            name=given.name or "",
            inputs=None if given.inputs is None else frozenset(_names("inputs", given.inputs)),
            outputs=None if given.outputs is None else tuple(_names("outputs", given.outputs)),
            replays=not given.no_replay,
            options=Options(
                ttl=None if given.ttl is None else parse_duration(_number_or_text(given.ttl)),
                ignore=frozenset(_names("ignore", given.ignore or "")),
                version=given.version,
                reads=tuple(given.reads or ()),
                retry=retry,
                refresh=given.refresh,
            ),
        )
    except ValueError as error:
        # Bad values, and quotes that do not close.
        raise UsageError(str(error)) from None
    return wishes, Manners(quiet=given.quiet, shares=given.share)


def _words(line: str) -> list[str]:
    """The words of a line, quotes taken off; a backslash is part of a path."""
    reader = shlex.shlex(line, posix=True)
    reader.whitespace_split, reader.escape, reader.commenters = True, "", ""
    return list(reader)


def _number_or_text(text: str) -> float | str:
    """A bare number on the line is one, as it is in Python."""
    try:
        return float(text)
    except ValueError:
        return text


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not name.isidentifier():
            raise ConfigurationError(f"--{option} takes names like a,b: {name!r} is none")
    return names


def _carried_over(before: contextvars.Context, after: contextvars.Context) -> Callable[[], None]:
    """What sets the context variables that a run has set.

    A plain cell that does not await runs in the kernel's own context, where they stay: numpy's
    print options and decimal's precision are such.
    """
    changed = {
        variable: value
        for variable, value in after.items()
        if before.get(variable, before) is not value
    }

    def carry() -> None:
        for variable, value in changed.items():
            variable.set(value)

    return carry
