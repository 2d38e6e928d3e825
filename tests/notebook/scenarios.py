"""Cells that must do the same plain, on a miss, and on a hit in a new session."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A cell, what runs before it, and an expression that tells what it has left behind.

    `second` is the status of its badge in the new session, where the cell stands unchanged.
    """

    name: str
    body: str
    before: str = "pass"
    check: str = "None"
    first: str = "miss"
    second: str = "hit"

    def cell(self, *, cached: bool) -> str:
        if not cached and self.body.startswith("%%"):
            return self.body
        return f"{'%%' if cached else '#%'}cascade --name {self.name}\n{self.body}"


def _bypass(**fields: str) -> Scenario:
    return Scenario(first="bypass", second="bypass", **fields)


SCENARIOS = (
    # Output
    Scenario(name="prints", body="for n in range(3):\n    print('line', n)", check="n"),
    Scenario(
        name="streams",
        body="import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c', end='')",
    ),
    Scenario(name="last_value", body="v1 = [1, 2]\nv1", check="v1, _ is v1, Out is _oh"),
    Scenario(name="semicolon", body="v2 = 5\nv2;", check="v2"),
    Scenario(name="none_is_not_shown", body="v3 = None\nv3", check="v3"),
    Scenario(
        name="frame",
        before="import pandas as pd",
        body="f1 = pd.DataFrame({'a': [1, 2], 'b': ['x', None]})\nf1",
        check="f1.to_dict(), f1.dtypes.astype(str).to_dict()",
    ),
    Scenario(
        name="displays",
        body=(
            "from IPython.display import HTML, clear_output, display, update_display\n"
            "display(HTML('<b>x</b>'))\nclear_output(wait=True)\n"
            "display({'text/plain': 'one'}, raw=True, display_id='d')\n"
            "update_display({'text/plain': 'two'}, raw=True, display_id='d')\nprint('end')"
        ),
    ),
    Scenario(
        name="figure",
        body=(
            "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\n"
            "plt.title('t')\nplt.show()\nprint('after')"
        ),
    ),
    Scenario(
        name="figure_left_open",
        body="import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([3, 1]);",
        check="type(ax).__name__",
    ),
    Scenario(name="carriage_returns", body="for p in range(3):\n    print(f'\\r{p}', end='')"),
    Scenario(
        name="descriptor",
        body="import os\n_n = os.write(1, b'raw bytes\\n')",
    ),
    Scenario(name="shell_command", body="!echo from the shell"),
    Scenario(name="shell_variable", body="lines = !echo one; echo two\nlines", check="lines"),
    Scenario(
        name="threads_print",
        body=(
            "import threading\nt = threading.Thread(target=print, args=('in a thread',))\n"
            "t.start()\nt.join()\ndel t"
        ),
    ),
    Scenario(name="warns", body="import warnings\nwarnings.warn('careful', stacklevel=1)"),
    Scenario(name="time_inside", body="%time v4 = 6 * 7\nv4 += 1", check="v4"),
    Scenario(name="pager", body="len?"),
    # Code
    Scenario(
        name="awaits",
        body="import asyncio\nawait asyncio.sleep(0.01)\nv5 = await asyncio.sleep(0, 'x')\nv5",
        check="v5",
    ),
    Scenario(name="same_namespace", body="v6 = locals() is globals()", check="v6"),
    Scenario(
        name="future",
        body="from __future__ import annotations\ndef g1(x: nothing): return x\nv7 = g1(2)",
        check="v7, g1.__annotations__",
    ),
    Scenario(name="fails", body="v8 = 1\nprint('x')\n1 / 0", first="failed", second="failed"),
    Scenario(
        name="fails_in_helper",
        before="def boom(x):\n    return 1 / x",
        body=(
            "try:\n    boom(0)\nexcept ZeroDivisionError as e:\n"
            "    raise ValueError('outer') from e"
        ),
        first="failed",
        second="failed",
    ),
    Scenario(
        name="fails_in_await",
        body=(
            "import asyncio\nasync def late():\n    await asyncio.sleep(0)\n"
            "    raise KeyError('k')\nawait late()"
        ),
        first="failed",
        second="failed",
    ),
    Scenario(
        name="fails_in_group",
        body=(
            "import asyncio\nasync def f2():\n    raise OSError('o')\n"
            "async with asyncio.TaskGroup() as tg:\n    tg.create_task(f2())"
        ),
        first="failed",
        second="failed",
    ),
    Scenario(name="syntax", body="v9 = 1\nx = = 2", first="", second=""),
    Scenario(name="stops", body="next(iter([]))", first="failed", second="failed"),
    Scenario(name="naked_return", body="v10 = 1\nreturn 3", first="failed", second="failed"),
    Scenario(name="raises_exit", body="raise SystemExit(1)", first="failed", second="failed"),
    Scenario(
        name="shows_error",
        body="get_ipython().run_cell('1/0')\nv11 = 2",
        check="v11",
        first="bypass",
        second="bypass",
    ),
    # Names
    Scenario(
        name="deletes",
        before="gone = 1",
        body="kept = gone + 1\ndel gone",
        check="kept, 'gone' in globals()",
    ),
    Scenario(
        name="definitions",
        body=(
            "import json\nfrom math import pi as PI\ndef f3(x):\n    return x * SCALE\nSCALE = 3\n"
            "class C1:\n    n = 4\nv12 = f3(2)"
        ),
        check=(
            "v12, f3(5), f3.__globals__ is globals(), PI, json.dumps(1), C1.n,"
            " __import__('inspect').getsource(f3), __import__('pickle').loads("
            "__import__('pickle').dumps(f3)) is f3"
        ),
    ),
    Scenario(
        name="instance_of_own_class",
        body=(
            "class P1:\n    def __init__(self, x):\n        self.x = x\n"
            "    def double(self):\n        return self.x * 2\np1 = P1([1])\nps = [p1, P1(2)]"
        ),
        check="type(p1) is P1, p1.double(), ps[0] is p1, ps[1].x",
    ),
    Scenario(
        name="dataclass",
        body=(
            "from dataclasses import dataclass\n@dataclass\nclass D1:\n    a: int\n"
            "    b: str = 'x'\nd1 = D1(3)\nd1"
        ),
        check="d1, type(d1) is D1, d1 == D1(3)",
    ),
    Scenario(
        name="default_of_function",
        body="k1 = 7\ndef f4(x=k1):\n    return x\nv13 = f4()",
        check="v13, f4()",
    ),
    Scenario(
        name="other_definitions",
        body=(
            "from collections import namedtuple\nN1 = namedtuple('N1', 'x y')\n"
            "twice = lambda x: x * 2\nn2 = N1(1, twice(2))"
        ),
        check="n2, type(n2) is N1, twice(3)",
    ),
    Scenario(
        name="file_closed",
        before="_n = open('note.txt', 'w').write('x')",
        body="with open('note.txt') as f9:\n    v25 = f9.read()",
        check="v25, f9.closed, f9.name, f9.mode, f9.encoding",
    ),
    Scenario(
        name="module_alias",
        body="import math\nm2 = math\nv14 = m2.floor(2.5)",
        check="m2.__name__, v14",
    ),
    Scenario(
        name="function_alias",
        before="def f5():\n    return 5",
        body="g5 = f5\nv15 = g5()",
        check="g5 is f5, v15",
    ),
    Scenario(
        name="globals_by_function",
        before="def set_it():\n    global made\n    made = [1]",
        body="set_it()",
        check="made",
    ),
    Scenario(name="exec_binds", body="exec('e1 = 11')", check="e1"),
    Scenario(
        name="star_import",
        body="from colorsys import *\nv16 = rgb_to_hsv(1, 0, 0)",
        check="v16, rgb_to_hsv.__module__",
    ),
    Scenario(
        name="class_with_constant",
        body=(
            "RATE = 2\nclass R1:\n    def pay(self):\n        return RATE\n"
            "    def __init__(self):\n        self.label = 'r'\nr1 = R1()"
        ),
        check="type(r1) is R1, r1.pay(), r1.label",
    ),
    Scenario(
        name="binds_what_is_there",
        before="same1 = [1]\nsame2 = same1",
        body="same2 = same1",
        check="same2 is same1",
    ),
    # Sharing and changes in place
    Scenario(
        name="shared_outputs",
        body="a1 = [1]\nb1 = a1\nc1 = {'a': a1}",
        check="a1 is b1, c1['a'] is a1, (a1.append(2), b1)[1]",
    ),
    Scenario(
        name="alias_of_input",
        before="in1 = [1, [2]]",
        body="out1 = in1\nout2 = {'inner': in1[1]}",
        check="out1 is in1, out2['inner'] is in1[1]",
    ),
    Scenario(
        name="list_in_place",
        before="l1 = [3, 1, 2]\nl1_alias = l1",
        body="l1.sort()\nl1.append(9)\nl1",
        check="l1, l1_alias is l1",
    ),
    Scenario(
        name="augmented",
        before="l2 = [1]\nl2_alias = l2",
        body="l2 += [2]",
        check="l2, l2_alias is l2",
    ),
    Scenario(
        name="nested_in_place",
        before="n1 = {'a': [1], 'b': [2]}\nn1_a = n1['a']\nn1_b = n1['b']",
        body="n1['a'].append(5)\nn1['a'], n1['b'] = n1['b'], n1['a']",
        check="n1, n1['a'] is n1_b, n1['b'] is n1_a",
    ),
    Scenario(
        name="set_and_deque",
        before="from collections import deque\ns1 = {1}\nq1 = deque([1], maxlen=3)\nt1 = (s1, q1)",
        body="s1.add(2)\nq1.extend([2, 3, 4])",
        check="sorted(s1), list(q1), t1[0] is s1, t1[1] is q1",
    ),
    Scenario(
        name="array_in_place",
        before="import numpy as np\narr = np.arange(6.0)\nview = arr[2:4]",
        body="arr *= 2",
        check="arr.tolist(), view.tolist(), view.base is arr",
    ),
    Scenario(
        name="array_with_views",
        before="import numpy as np\nar2 = np.zeros((2, 3))\nvi2 = ar2[0]",
        body="vi2[:] = 5\nar2[1, 1] = 3\nvi3 = ar2.T\nvi4 = [ar2[1:]]",
        check=(
            "ar2.tolist(), vi2.tolist(), (vi4[0].fill(8), vi3.tolist(), ar2.tolist())[1:],"
            " (vi2.fill(1), ar2.tolist())[1]"
        ),
    ),
    Scenario(
        name="odd_attributes",
        before="class O1(dict):\n    def __getattr__(self, name):\n        return self[name]",
        body="import copy\no1 = copy.copy(O1(a=1))",
        check="o1.a, type(o1) is O1",
    ),
    Scenario(
        name="frame_in_place",
        before="import pandas as pd\ndf1 = pd.DataFrame({'a': [1, 2]})\ndf1_alias = df1",
        body="df1['b'] = df1['a'] * 2",
        check="df1.to_dict(), df1_alias is df1",
    ),
    Scenario(
        name="frame_rebound",
        before="import pandas as pd\ndf2 = pd.DataFrame({'a': [1, None]})",
        body="df2['b'] = 1\ndf2 = df2.dropna()",
        check="df2.to_dict()",
    ),
    Scenario(
        name="instance_in_place",
        before="class K1:\n    pass\nk2 = K1()\nk2.log = []\nk2_log = k2.log",
        body="k2.name = 'n'\nk2.log.append(1)",
        check="vars(k2), k2.log is k2_log",
    ),
    Scenario(
        name="generators_in_place",
        before=(
            "import random\nimport types\nimport numpy as np\nra1 = random.Random(5)\n"
            "ra2 = np.random.default_rng(1)\n"
            "ra3 = types.SimpleNamespace(r=np.random.RandomState(2))"
        ),
        body="v26 = ra1.random(), ra2.random(), ra3.r.rand()\nra4 = ra2.spawn(1)",
        check="v26, ra1.random(), ra2.random(), ra3.r.rand(), ra2.spawn(1)[0].random()",
    ),
    Scenario(
        name="through_helper",
        before="LOG1 = []\ndef note(x):\n    LOG1.append(x)",
        body="note(1)\nnote(2)",
        check="LOG1",
    ),
    Scenario(
        name="counter_in_class",
        before="class K2:\n    count = 0",
        body="K2.count += 1",
        check="K2.count",
        first="bypass",
        second="bypass",
    ),
    # What cannot be restored
    _bypass(name="iterator", body="it1 = iter([1, 2])", check="next(it1)"),
    _bypass(name="generator", body="ge1 = (x for x in [7])", check="next(ge1)"),
    _bypass(
        name="closure",
        body="def maker(n):\n    def inner():\n        return n\n    return inner\nin5 = maker(3)",
        check="in5()",
    ),
    _bypass(
        name="holds_functions",
        before="def g6():\n    return 6",
        body="table = {'g': g6, 'n': 1}",
        check="table['g'] is g6",
    ),
    _bypass(name="holds_lambda", body="steps = [lambda x: x + 1]", check="steps[0](1)"),
    _bypass(name="only_imports", body="import string\nfrom math import tau", check="tau > 6"),
    _bypass(
        name="iterator_advanced",
        before="it2 = iter([1, 2, 3])",
        body="v20 = next(it2)",
        check="v20, next(it2)",
    ),
    _bypass(name="open_file", body="fh = open('some.txt', 'w')", check="fh.close()"),
    # Effects
    Scenario(
        name="environment",
        body="import os\nos.environ['H6_COLOUR'] = 'red'",
        check="os.environ['H6_COLOUR']",
    ),
    _bypass(
        name="environment_secret",
        body="import os\nos.environ['H6_TOKEN'] = 'abc'",
        check="os.environ['H6_TOKEN']",
    ),
    Scenario(
        name="path",
        body="import sys\nsys.path.append('/h6-nowhere')",
        check="sys.path.count('/h6-nowhere')",
    ),
    Scenario(
        name="pandas_options",
        before="import pandas as pd\ndf3 = pd.DataFrame({'a': range(30)})",
        body="pd.set_option('display.max_columns', 7)",
        check="(pd.get_option('display.max_columns'), pd.reset_option('display.max_columns'))[0]",
    ),
    Scenario(
        name="numpy_options",
        before="import numpy as np",
        body="np.set_printoptions(precision=2)\nv21 = 1",
        check="str(np.array([1 / 3]))",
    ),
    Scenario(
        name="numpy_options_back",
        before="import numpy as np",
        body="np.set_printoptions(precision=8)\nv22 = 1",
        check="str(np.array([1 / 3]))",
    ),
    Scenario(
        name="decimal_precision",
        before="import decimal",
        body="decimal.getcontext().prec = 5\nv23 = decimal.Decimal(1) / 3",
        check="v23, decimal.Decimal(1) / 7, setattr(decimal.getcontext(), 'prec', 28)",
    ),
    Scenario(
        name="rc_params",
        before="import matplotlib.pyplot as plt",
        body=(
            "plt.rcParams['axes.grid'] = True\n"
            "plt.rcParams['axes.prop_cycle'] = plt.cycler(color=['r', 'g'])"
        ),
        check=(
            "plt.rcParams['axes.grid'], plt.rcParams['axes.prop_cycle'].by_key(), plt.rcdefaults()"
        ),
    ),
    Scenario(
        name="filters",
        before="import warnings",
        body="warnings.filterwarnings('ignore', message='h6')",
        check="warnings.filters[0][0], warnings.filters[0][1].pattern",
    ),
    Scenario(
        name="logging_level",
        before="import logging",
        body="logging.getLogger('h6').setLevel(logging.DEBUG)",
        check="logging.getLogger('h6').level",
    ),
    _bypass(
        name="logging_handler",
        before="import logging",
        body="logging.getLogger('h6').addHandler(logging.NullHandler())",
        check="len(logging.getLogger('h6').handlers)",
    ),
    # Widgets
    _bypass(name="slider", body="import ipywidgets\nipywidgets.IntSlider()"),
    # Above and inside
    Scenario(
        name="capture_inside",
        body="%%capture cap\nprint('hidden')\nv24 = 3",
        check="v24, cap.stdout",
    ),
)
