"""Nested runs of a loop: what they can run they run, and what they cannot is not lost.

Each check runs in a process of its own, since patching asyncio cannot be undone.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from textwrap import dedent

import pytest

from cascade_nb.nesting import make_reentrant

# Without nest-asyncio2, as on ipykernel 6; or with nest-asyncio applied first.
_ONLY_OLDER = "import sys; sys.modules['nest_asyncio2'] = None"
_OLDER_FIRST = """
import asyncio, nest_asyncio
_first = asyncio.new_event_loop()
nest_asyncio.apply(_first)
_first.close()
"""


def _run(*parts: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(map(dedent, parts))],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


@pytest.mark.parametrize("prepared", ["", _ONLY_OLDER, _OLDER_FIRST], ids=["new", "old", "both"])
def test_what_shares_the_context_of_the_caller_runs_afterwards(prepared: str) -> None:
    # As ipykernel 7.1 and later do: messages are handled one after the other in one context.
    out = _run(
        prepared,
        """
        import asyncio, contextvars
        from cascade_nb.nesting import make_reentrant

        async def main():
            loop = asyncio.get_running_loop()
            shared = contextvars.copy_context()
            done = loop.create_future()

            def first():
                assert make_reentrant(loop)
                loop.run_until_complete(asyncio.sleep(0.05))
                print("first")

            loop.call_soon(first, context=shared)
            for number in range(3):
                loop.call_soon(print, number, context=shared)
            loop.call_soon(lambda: loop.call_later(0.1, done.set_result, None))
            await done

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        """,
    )
    assert out.split() == ["first", "0", "1", "2"]


@pytest.mark.parametrize("prepared", ["", _ONLY_OLDER, _OLDER_FIRST], ids=["new", "old", "both"])
def test_other_tasks_go_on_during_a_nested_run(prepared: str) -> None:
    out = _run(
        prepared,
        """
        import asyncio
        from cascade_nb.nesting import make_reentrant

        async def other(event):
            event.set()
            print("other")

        async def main():
            loop = asyncio.get_running_loop()
            event = asyncio.Event()
            task = asyncio.create_task(other(event))
            assert make_reentrant(loop) and make_reentrant(loop)

            async def wait():
                async with asyncio.timeout(5):
                    await event.wait()
                return loop.run_until_complete(asyncio.sleep(0, "deep"))

            print(loop.run_until_complete(wait()))
            await task

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        """,
    )
    assert out.split() == ["other", "deep"]


def test_a_loop_of_another_making_is_left_alone() -> None:
    class Foreign(asyncio.AbstractEventLoop):
        pass

    assert make_reentrant(Foreign()) is False
