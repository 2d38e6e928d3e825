"""A notebook with one of everything that a cached cell has to bring back.

Each body that runs leaves its number in ``ran.log``, so that "no body ran" is seen, not believed.
"""

from __future__ import annotations

import re
from pathlib import Path

LOG = "ran.log"

SETUP = f"""\
%load_ext cascade_nb
import asyncio
import sys

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, Markdown, display, update_display


def ran(number):
    with open({LOG!r}, "a") as log:
        log.write(f"{{number}}\\n")


numbers = [3, 1, 2]
alias = numbers
"""

BODIES = (
    """\
ran(1)
for line in range(3):
    print("line", line)""",
    """\
ran(2)
print("to stderr", file=sys.stderr)
print("to stdout")""",
    """\
ran(3)
display(HTML("<b>bold</b>"))
display(Markdown("*being drawn*"), display_id="shown")
update_display(Markdown("*drawn*"), display_id="shown")""",
    """\
ran(4)
plt.plot([1, 4, 9])
plt.title("squares")
plt.show()""",
    """\
ran(5)
frame = pd.DataFrame({"n": [1, 2, 3], "square": [1.0, 4.0, 9.0]})
frame""",
    """\
ran(6)
await asyncio.sleep(0.01)
answer = 6 * 7
answer""",
    """\
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __repr__(self):
        return f"Point({self.x}, {self.y})"


ran(7)
point = Point(1, 2)
point""",
    """\
ran(8)
numbers.sort()
numbers""",
    """\
ran(9)
!echo from the shell""",
    """\
ran(10)
print("before it fails")
1 / 0""",
)
FAILING = 10

# What a later cell sees of the ones above; not cached itself.
CHECK = """\
alias is numbers, alias, isinstance(point, Point), point, frame.shape, answer, _"""


def sources() -> list[str]:
    """The cells: set-up, the ten, with the check before the last one, which fails."""
    cached = [f"%%cascade --name cell-{n}\n{body}" for n, body in enumerate(BODIES, start=1)]
    return [SETUP, *cached[:-1], CHECK, cached[-1]]


def bodies_run(folder: Path) -> list[int]:
    """The numbers of the bodies that have run since last asked, in order."""
    log = folder / LOG
    if not log.exists():
        return []
    numbers = [int(line) for line in log.read_text().split()]
    log.unlink()
    return numbers


def without_process(text: str) -> str:
    """`text` without the number of the kernel's process, which a warning's place has in it."""
    return re.sub(r"ipykernel_\d+", "ipykernel_N", text)


def badge_status(text: str) -> str | None:
    """The status on a badge, where `text` is one."""
    found = re.match(r"(hit|miss|bypass|failed|interrupted|off) · cell-\d+ · ", text)
    return found[1] if found else None
