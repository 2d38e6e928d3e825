"""Options that several commands take."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--store URL``."""
    return click.option(
        "--store",
        metavar="URL",
        help="The store; by default CASCADE_STORE, else the one in your cache folder.",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_json(data: Any) -> None:
    """Print `data` for programs."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))
