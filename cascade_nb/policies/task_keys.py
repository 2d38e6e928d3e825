"""What a task is asked under, and whether it has changed what it was asked with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from blake3 import blake3

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import keys
from cascade_nb.fingerprint.keys import Key
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.tasks import Options, Task, TaskKind


def key_of(task: Task, *, budget: int | None = None) -> Key:
    """The key of a task, with the parts that it is made of.

    Raises:
        FingerprintError: something that it depends on cannot be fingerprinted.
        BudgetExceeded: more than `budget` bytes would have to be hashed.
    """
    options = task.options
    if task.subject is None:
        return _bare_key(task, budget)
    if task.kind is TaskKind.FUNCTION:
        return keys.function_key(
            task.subject,
            task.inputs,
            ignore=options.ignore,
            version=options.version,
            reads=options.reads,
            budget=budget,
            memo=task.memo,
        )
    cell = task.subject
    return keys.cell_key(
        cell.code,
        cell.namespace,
        inputs=cell.input_names,
        extra=cell.extra,
        seeded=cell.seeded,
        ignore=options.ignore,
        version=options.version,
        reads=options.reads,
        budget=budget,
    )


def changed_inputs(task: Task, before: Key, *, budget: int | None = None) -> str:
    """What a function that has run changed of what it reads, in words; empty where nothing.

    A cell may change what it reads, and the notebook room records that.
    """
    if task.kind is TaskKind.CELL or task.subject is None:
        return ""
    try:
        changed = keys.changed_parts(before, key_of(task, budget=budget))
    except FingerprintError as error:
        return error.path or "inputs"
    return ", ".join(map(_quoted, changed))


def _quoted(label: str) -> str:
    if label.startswith("settings of "):
        return label
    return re.sub(r" (.+)", r" `\1`", label)


def bare_task(task_id: str, inputs: Mapping[str, Any], *, refresh: bool = False) -> Task:
    """A task of which no more is known than the public protocol of policies says."""
    return Task(
        id=task_id,
        name=task_id,
        kind=TaskKind.FUNCTION,
        subject=None,
        inputs=inputs,
        call=lambda: None,
        options=Options(refresh=refresh),
    )


def _bare_key(task: Task, budget: int | None) -> Key:
    return keys.key_from_parts(
        {
            "task": blake3(task.id.encode("utf-8", "surrogatepass")).hexdigest(),
            "inputs": fingerprint(dict(task.inputs), path="inputs", budget=budget),
        }
    )
