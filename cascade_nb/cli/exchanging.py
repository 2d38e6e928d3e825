"""The commands that give results to others and take theirs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cascade_nb.backends.plain import as_store
from cascade_nb.cli.options import json_option, print_json, store_option
from cascade_nb.config import settings
from cascade_nb.exchange import giving, revealing, taking, telling
from cascade_nb.loop import run_sync
from cascade_nb.meter import Meter
from cascade_nb.policies.belief import Claim
from cascade_nb.protocols import KeepsBytes
from cascade_nb.provenance import distrust as distrust_key
from cascade_nb.provenance import trust as trust_key
from cascade_nb.provenance import whoami as own_key
from cascade_nb.stores import open_store
from cascade_nb.wording import ShortRepr, one_line


@click.command()
@click.argument("x")
@click.option(
    "--car", type=click.Path(path_type=Path), metavar="FILE", help="Write a file instead."
)
@click.option("--dry-run", is_flag=True, help="List what would be revealed, and do nothing.")
@click.option("--verbose", is_flag=True, help="With --dry-run: list each name on a line.")
@store_option
@json_option
def share(
    x: str, car: Path | None, dry_run: bool, verbose: bool, store: str | None, as_json: bool
) -> None:
    """Sign X and pin it on the store's IPFS nodes: a name, a CID or its beginning, or a key."""
    opened = _opened(store)
    found = run_sync(giving.find_for_people(opened, x))
    if dry_run:
        record = giving.record_of(found)
        if as_json:
            print_json(revealing.revealed_data(record))
        else:
            click.echo(revealing.revealed(record, verbose=verbose))
        return
    claim = run_sync(giving.claim(opened, found))
    if car is not None:
        _write(opened, [claim], car, as_json=as_json)
        return
    with Meter("uploading") as meter:
        nodes = run_sync(giving.publish(opened, claim, progress=meter))
    if as_json:
        print_json(telling.as_data(claim, nodes))
    else:
        click.echo(telling.shared(claim, nodes))


@click.command()
@click.argument("x")
@click.option("--gateway", multiple=True, metavar="URL", help="A gateway to ask; may be repeated.")
@store_option
@json_option
def load(x: str, gateway: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Bring what was shared under the CID X into the store, and show it in short.

    X may be the name or key of a stored result as well.
    """
    opened = _opened(store)
    cid = run_sync(giving.cid_for_people(opened, x))
    with Meter("loading") as meter:
        gateways = gateway or settings().gateways
        loaded = run_sync(taking.load(opened, cid, gateways=gateways, progress=meter))
    shown = one_line(ShortRepr().repr(loaded.value), 400)
    if as_json:
        claim = loaded.claim
        print_json({**(telling.as_data(claim) if claim else {"cid": cid}), "value": shown})
        return
    if loaded.claim is not None:
        click.echo(telling.contains(loaded.claim.record))
    click.echo(shown)


@click.command()
@click.argument("x", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write."
)
@store_option
@json_option
def export(x: tuple[str, ...], output: Path, store: str | None, as_json: bool) -> None:
    """Write each X with its signed record to one CAR file."""
    opened = _opened(store)
    found = [run_sync(giving.find_for_people(opened, each)) for each in x]
    claims = [run_sync(giving.claim(opened, each)) for each in found]
    _write(opened, claims, output, as_json=as_json)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@store_option
@json_option
def import_(file: Path, store: str | None, as_json: bool) -> None:
    """Take all that the CAR file FILE holds into the store; or, if anything is wrong, nothing."""
    found = run_sync(taking.import_(_opened(store), file))
    if as_json:
        claims = [telling.as_data(claim) for claim in found.claims]
        print_json({"roots": list(found.roots), "records": claims})
    else:
        click.echo(telling.imported(found))


@click.command()
@click.argument("key", nargs=-1, required=True)
@click.option("--code", is_flag=True, help="Also results whose loading runs code of theirs.")
@json_option
def trust(key: tuple[str, ...], code: bool, as_json: bool) -> None:
    """Be served what the owner of KEY has computed: an OpenSSH line, or a file of such lines."""
    names = trust_key(" ".join(key), code=code)
    if as_json:
        print_json(names)
        return
    for name in names:
        click.echo(f"trusted with {'data and code' if code else 'data'}: {one_line(name)}")


@click.command()
@click.argument("key", nargs=-1, required=True)
@json_option
def distrust(key: tuple[str, ...], as_json: bool) -> None:
    """Be served nothing more of what the owner of KEY has computed."""
    names = distrust_key(" ".join(key))
    if as_json:
        print_json(names)
        return
    for name in names:
        click.echo(f"no longer trusted: {one_line(name)}")
    if not names:
        click.echo("nobody was trusted")


@click.command()
def whoami() -> None:
    """Print your public key, for others to trust."""
    click.echo(own_key())


COMMANDS = (share, load, export, import_, trust, distrust, whoami)


def _opened(store: str | None) -> KeepsBytes:
    return as_store(open_store(store))


def _write(store: KeepsBytes, claims: list[Claim], path: Path, *, as_json: bool) -> None:
    run_sync(giving.export(store, claims, path))
    if as_json:
        print_json([telling.as_data(claim) for claim in claims])
    else:
        size = os.path.getsize(path.expanduser())
        click.echo(telling.exported(claims, str(path), size))
