"""The commands of `cascade`: what a store holds, and notebooks run without a page."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cascade_nb import __version__, catalog
from cascade_nb.cli.exchanging import COMMANDS
from cascade_nb.cli.options import json_option, print_json, store_option
from cascade_nb.cli.run import run_notebook
from cascade_nb.errors import CascadeError, ConfigurationError
from cascade_nb.exchange import telling
from cascade_nb.loop import run_sync
from cascade_nb.stores import open_store
from cascade_nb.wording import one_line, plural

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def execute(arguments: Sequence[str] | None) -> int:
    """Run `cascade` with `arguments`, by default those of the process; gives the exit code."""
    try:
        code = commands.main(
            None if arguments is None else list(arguments),
            prog_name="cascade",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except click.ClickException as error:
        return _say(error.format_message(), MISUSED)
    except ConfigurationError as error:
        return _say(str(error), MISUSED)
    except CascadeError as error:
        return _say(str(error), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # `cascade ls | head`: nobody reads on, and Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}" if error.filename else str(error), FAILED)
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    click.echo(f"cascade: {' '.join(message.split())}", err=True)
    return code


class _Commands(click.Group):
    """A group whose error for an unknown command lists the known ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but for what is said of an unknown command."""
        if args[0].startswith("-") or self.get_command(ctx, args[0]) is not None:
            return super().resolve_command(ctx, args)
        known = ", ".join(self.list_commands(ctx))
        raise ConfigurationError(f"no command {one_line(args[0], 40)!r}; there are: {known}")


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="cascade-nb %(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """See what is cached, forget it, and run notebooks with the cache."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@commands.command()
@store_option
@json_option
def ls(store: str | None, as_json: bool) -> None:
    """List the stored results, newest first."""
    served, others = run_sync(catalog.list_sides(open_store(store)))
    if as_json:
        print_json([catalog.as_data(row) for row in served])
    else:
        click.echo(telling.listed(served, others))


@commands.command()
@click.argument("x")
@store_option
@json_option
def show(x: str, store: str | None, as_json: bool) -> None:
    """Show all about X: a name, a CID or its beginning, or a key."""
    rows = run_sync(catalog.find_rows(open_store(store), x))
    if as_json:
        print_json([catalog.as_data(row) for row in rows])
    else:
        click.echo("\n\n".join(catalog.details(row.entry, row.origin.signer) for row in rows))


@commands.command()
@store_option
@json_option
def stats(store: str | None, as_json: bool) -> None:
    """Say how much is stored, and how much computing that keeps."""
    held = run_sync(catalog.stats(open_store(store)))
    if as_json:
        print_json(catalog.as_data(held))
    else:
        click.echo(catalog.summary(held))


@commands.command()
@click.argument("x")
@store_option
def forget(x: str, store: str | None) -> None:
    """Remove X from the store: a name, a CID or its beginning, or a key."""
    removed = run_sync(catalog.forget(open_store(store), x))
    click.echo(f"forgot {plural(len(removed), 'result')} of {one_line(x, 60)}")


@commands.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
def clear(yes: bool, store: str | None) -> None:
    """Remove everything from the store; asks first on a terminal."""
    opened = open_store(store)
    if not yes and sys.stdin.isatty():
        click.confirm(f"remove everything from {catalog.describe(opened)}?", abort=True)
    click.echo(f"removed {plural(run_sync(catalog.clear(opened)), 'result')}")


@commands.command()
@store_option
@json_option
def gc(store: str | None, as_json: bool) -> None:
    """Remove what nothing needs from the store."""
    done = run_sync(catalog.collect(open_store(store)))
    if as_json:
        print_json(catalog.as_data(done))
    else:
        click.echo(telling.collected(done))


for _command in COMMANDS:
    commands.add_command(_command)


@commands.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write the executed notebook here."
)
@click.option("--inplace", is_flag=True, help="Write the outputs into NOTEBOOK itself.")
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Run it N times, each in a fresh kernel, and compare the times.",
)
@store_option
def run(notebook: Path, output: Path | None, inplace: bool, repeat: int, store: str | None) -> int:
    """Run NOTEBOOK in a fresh kernel and say what the cache did for each cell.

    Nothing is written unless told by -o or --inplace, and nothing where a cell fails.
    """
    if output is not None and inplace:
        raise ConfigurationError("-o and --inplace exclude each other; give one of them")
    if store is not None:
        open_store(store)  # a bad URL is told before a kernel starts
    return run_notebook(
        notebook, target=notebook if inplace else output, repeat=repeat, store=store
    )
