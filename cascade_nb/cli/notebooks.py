"""Notebook files: read, stripped of badges, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

from cascade_nb.errors import ConfigurationError

# The key that badges bear in their output's metadata.
_BADGE = "cascade"


def read(path: Path) -> Any:
    """The notebook in the file `path`, as nbformat has it.

    Raises:
        ConfigurationError: there is none, or it is not one that a Python kernel could run.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = json.loads(text)
    except FileNotFoundError:
        raise ConfigurationError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path} is a folder, not a notebook") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"{path} is not a notebook: it is not JSON") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("nbformat"), int):
        raise ConfigurationError(f"{path} is not a notebook: it names no nbformat")
    try:
        notebook = _parsed(text)
    except Exception as error:  # nbformat raises many kinds for a damaged notebook
        reason = str(error).strip().partition("\n")[0]
        raise ConfigurationError(f"{path} is not a notebook: {reason}") from None
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if language.lower() != "python":
        raise ConfigurationError(f"{path} is written in {language}; only Python notebooks run here")
    return notebook


def _parsed(text: str) -> Any:
    import nbformat

    # Not `nbformat.reads`, which logs what is refused here in one line; and what it warns of,
    # cells without an id, is mended here.
    reader: Any = nbformat.reader
    converter: Any = nbformat.converter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, notebook = nbformat.validator.normalize(converter.convert(reader.reads(text), 4))
        nbformat.validate(notebook)
    return notebook


def check_writable(path: Path) -> None:
    """Raise `ConfigurationError` where `write` to `path` would fail, before anything is run."""
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder; give the file to write")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"there is no folder {path.absolute().parent}")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ConfigurationError(f"{path} cannot be written")


def strip_badges(notebook: Any) -> None:
    """Remove our badges from the outputs, which are then those of a plain run."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if _BADGE not in o.get("metadata", {})]


def write(notebook: Any, path: Path) -> None:
    """Write `notebook` to the file `path`, which is replaced as a whole and keeps its mode."""
    import nbformat

    target = path.resolve()
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            nbformat.write(notebook, file)  # type: ignore[no-untyped-call]
        if target.exists():
            shutil.copymode(target, temporary)
        else:
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
