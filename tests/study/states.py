"""Many states of a folder, and the key of its `main.f` in each: a process forked for every one.

``python -m tests.study.states FOLDER PACKAGE...`` takes states as lines of JSON, each the texts of
the files that differ, and answers each with a line. The first answer is a trace of what runs.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cascade_nb.fingerprint.keys import function_key
from cascade_nb.fingerprint.origin import distributions_of
from tests.study.oracle import executed


def in_another_process(work: Callable[[], Any]) -> Any:
    """What `work` gives, as JSON, without a trace in this process."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        os.close(reader)
        try:
            answer = work()
        except BaseException:
            answer = {"error": traceback.format_exc()}
        with os.fdopen(writer, "w") as file:
            json.dump(answer, file)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        answer = json.load(file)
    os.waitpid(process, 0)
    return answer


def warm_up(packages: list[str]) -> None:
    """Find out once what is to be known of installed packages, which no state changes."""
    space: dict[str, Any] = {}
    for package in packages:
        importlib.import_module(package)
        name = package.partition(".")[0]
        space[name] = sys.modules[name]
    exec(f"def f(): return {', '.join(space)},", space)
    function_key(space["f"], {})
    for name in list(sys.modules):
        distributions_of(name)


def key() -> dict[str, Any]:
    """The key of what `main` defines, and its parts."""
    main = importlib.import_module("main")
    found = function_key(main.f, main.arguments())
    return {"key": found.digest, "parts": dict(found.parts)}


def trace() -> dict[str, Any]:
    """What runs of the folder's when `main.f` does."""
    main = importlib.import_module("main")
    arguments = main.arguments()
    return executed(lambda: main.f(**arguments), os.getcwd())


def main(folder: str, packages: list[str]) -> None:
    """Answer states until there are no more."""
    # Edited code is odd at times, and to fork beside threads that libraries have is no news.
    warnings.simplefilter("ignore")
    warm_up(packages)
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    print(json.dumps(in_another_process(trace)), flush=True)
    for line in sys.stdin:
        state: dict[str, str] = json.loads(line)
        before = {name: Path(name).read_text() for name in state}
        for name, text in state.items():
            Path(name).write_text(text)
        print(json.dumps(in_another_process(key)), flush=True)
        for name, text in before.items():
            Path(name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
