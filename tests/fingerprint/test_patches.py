"""What the user puts on installed classes and modules is part of keys."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from cascade_nb.fingerprint import patches
from cascade_nb.fingerprint.cells import analyse_cell
from cascade_nb.fingerprint.keys import Key, cell_key, function_key
from tests.fingerprint.scenarios import run

FRAME = pd.DataFrame({"a": [1, 2]})


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Classes as they were, whatever a scenario puts on them."""
    import requests
    from sklearn.linear_model import LinearRegression  # type: ignore[import-untyped]

    classes: tuple[Any, ...] = (pd.DataFrame, LinearRegression, requests.Session, json.JSONEncoder)
    known: set[str] = vars(pd.DataFrame)["_accessors"]
    before = [dict(vars(cls)) for cls in classes]
    accessors = set(known)
    yield
    for cls, attributes in zip(classes, before, strict=True):
        for name, value in dict(vars(cls)).items():
            if name not in attributes:
                delattr(cls, name)
            elif value is not attributes[name]:
                setattr(cls, name, attributes[name])
    known.intersection_update(accessors)


def key(source: str, **arguments: Any) -> Key:
    namespace = run(textwrap.dedent(source))
    return function_key(namespace["f"], arguments)


METHOD = """
import pandas as pd
def scale(df):
    return df * 2
def clean(df):
    return scale(df)
pd.DataFrame.clean = clean
def f(df):
    return df.clean()
"""
ACCESSOR = """
import pandas as pd
if hasattr(pd.DataFrame, 'geo'):
    del pd.DataFrame.geo
@pd.api.extensions.register_dataframe_accessor("geo")
class Geo:
    def __init__(self, df):
        self.df = df
    @property
    def x(self):
        return self.df.a * 2
def f(df):
    return df.geo.x
"""
PROPERTY = """
import pandas as pd
pd.DataFrame.half = property(lambda df: df / 2)
def f(df):
    return df.half
"""
RESULT = """
import pandas as pd
def clean(df):
    return df * 2
pd.DataFrame.clean = clean
def f(path):
    return pd.read_csv(path).clean()
"""
BY_NAME_IN_TEXT = """
import pandas as pd
def clean(df):
    return df * 2
pd.DataFrame.clean = clean
def f(df):
    return df.apply("clean")
"""
IN_HELPER = """
import pandas as pd
def clean(df):
    return df * 2
pd.DataFrame.clean = clean
def f(df, how=lambda df: df.clean()):
    return df.pipe(how)
"""
OPERATOR = """
import pandas as pd
def add(self, other):
    return 2
pd.DataFrame.__add__ = add
def f(df):
    return df + df
"""
REPLACED = """
from sklearn.linear_model import LinearRegression
def predict(self, x):
    return x * 2
LinearRegression.predict = predict
def f(x):
    return LinearRegression().predict(x)
"""
INSIDE = """
import requests
def request(self, method, url, **kwargs):
    return 2
requests.Session.request = request
def f(x):
    return requests.get(x)
"""
STANDARD = """
import json
def default(self, o):
    return 2
json.JSONEncoder.default = default
def f(x):
    return json.dumps(x)
"""
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "method": (METHOD, {"df": FRAME}),
    "accessor": (ACCESSOR, {"df": FRAME}),
    "property": (PROPERTY, {"df": FRAME}),
    "result of a call": (RESULT, {"path": "x.csv"}),
    "named in a text": (BY_NAME_IN_TEXT, {"df": FRAME}),
    "used in a default": (IN_HELPER, {"df": FRAME}),
    "operator": (OPERATOR, {"df": FRAME}),
    "replaced": (REPLACED, {"x": 1}),
    "used inside the package": (INSIDE, {"x": "u"}),
    "standard library": (STANDARD, {"x": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_edited_patch_is_a_miss(name: str) -> None:
    source, arguments = CASES[name]
    before = key(source, **arguments)
    assert key(source, **arguments).digest == before.digest
    after = key(source.replace("2", "3"), **arguments)
    assert after.digest != before.digest
    assert after.parts["code"] == before.parts["code"]


def test_patch_that_comes_after_a_key_is_a_miss() -> None:
    namespace = run("import pandas as pd\ndef f(p):\n    return pd.read_csv(p).clean()")
    before = function_key(namespace["f"], {"p": "x"})
    exec("pd.DataFrame.clean = lambda df: df", namespace)
    assert function_key(namespace["f"], {"p": "x"}).digest != before.digest


def test_replacement_that_comes_after_a_key_is_a_miss() -> None:
    namespace = run("import pandas as pd\ndef f(p):\n    return pd.read_csv(p).merge(p)")
    before = function_key(namespace["f"], {"p": "x"})
    exec("pd.DataFrame.merge = lambda df, other: df", namespace)
    assert function_key(namespace["f"], {"p": "x"}).digest != before.digest
    cell = analyse_cell("r = requests.get(url)")
    import requests

    names = {"requests": requests, "url": "u"}
    first = cell_key(cell, names)
    run("import requests\nrequests.Session.request = lambda *a, **k: 1")
    assert cell_key(cell, names).digest != first.digest


def test_patch_has_a_label_in_the_users_words() -> None:
    parts = key(METHOD, df=FRAME).parts
    assert "helper DataFrame.clean" in parts
    assert "helper scale" in parts


def test_patch_that_code_does_not_use_changes_nothing() -> None:
    unused = METHOD.replace("return df.clean()", "return df.sum()")
    assert key(unused, df=FRAME).digest == key(unused.replace("2", "3"), df=FRAME).digest
    plain = "import pandas as pd\ndef f(df):\n    return df.sum()"
    assert key(plain, df=FRAME).digest == key(unused, df=FRAME).digest


def test_cell_sees_a_patch() -> None:
    cell = analyse_cell("r = df.clean()")
    digests = []
    for source in (METHOD, METHOD.replace("2", "3"), METHOD):
        run(source)
        digests.append(cell_key(cell, {"df": FRAME}).digest)
    assert digests[0] == digests[2] != digests[1]


def test_no_installed_class_looks_patched() -> None:
    for package in ("numpy", "pandas", "sklearn", "requests", "json", "asyncio", "pyarrow"):
        __import__(package)
    patches.find({name.partition(".")[0] for name in list(sys.modules)}, (), thorough=True)
    assert patches.of_names(frozenset(vars(pd.DataFrame))) == []
    labels = [label for package in patches._packages.values() for label in package.labels()]
    assert labels == []


def test_subclasses_of_arrays_count_by_their_code() -> None:
    source = """
    import numpy as np
    class Signal(np.ndarray):
        def up(self):
            return self * 2
    def f(x):
        return x.up()
    """
    digests = []
    for text in (source, source.replace("2", "3")):
        namespace = run(textwrap.dedent(text))
        value = np.ones(3).view(namespace["Signal"])
        digests.append(function_key(namespace["f"], {"x": value}).digest)
    assert digests[0] != digests[1]


# Modules


THROUGH = """
import numpy as np
def f(x):
    return np.mean(x)
"""
FROM = """
from numpy import mean
def f(x):
    return mean(x)
"""


@pytest.mark.parametrize("source", [THROUGH, FROM])
def test_replaced_function_of_a_module(source: str) -> None:
    digests = [key(source, x=1.0).digest]
    for text in ("lambda x: x * 2", "lambda x: x * 3"):
        replacement = run(f"g = {text}")["g"]
        with mock.patch("numpy.mean", replacement):
            digests.append(key(source, x=1.0).digest)
    assert len(set(digests)) == 3
    assert key(source, x=1.0).digest == digests[0]


@pytest.mark.parametrize("source", [THROUGH, FROM])
def test_mocks_with_other_answers_are_told_apart_or_refused(source: str) -> None:
    from cascade_nb.errors import FingerprintError

    digests = [key(source, x=1.0).digest]
    for answer in (2, 3):
        with mock.patch("numpy.mean", return_value=answer):
            try:
                digests.append(key(source, x=1.0).digest)
            except FingerprintError:
                digests.append(f"refused {answer}")
    assert len(set(digests)) == 3


@pytest.mark.parametrize("calls", [1, 5])
def test_replacement_that_only_the_package_uses_is_seen_at_the_next_call(calls: int) -> None:
    import requests

    patches.find({"requests"}, ())
    package = patches._packages["requests"]
    package._in_hand = patches._IN_HAND
    namespace = run("import requests\ndef f(u):\n    return requests.get(u)")
    before = [function_key(namespace["f"], {"u": "x"}).digest for _ in range(calls)]
    replacement = run("def request(self, *args):\n    return 2")["request"]
    with mock.patch.object(requests.Session, "request", replacement):
        patched = function_key(namespace["f"], {"u": "x"}).digest
    assert {patched}.isdisjoint(before)
    assert function_key(namespace["f"], {"u": "x"}).digest == before[0]


def test_looks_take_no_more_than_their_share() -> None:
    patches.find({"json"}, ())
    package = patches._packages["json"]
    package._looked, package._in_hand = 10.0, 0.0
    assert not package._can_afford(10.0)
    assert package._can_afford(11.0)
    assert package._in_hand == patches._IN_HAND


@pytest.mark.parametrize("source", ["json.dumps(x)", "dumps(x)"])
def test_defaults_of_installed_functions_count(source: str) -> None:
    text = f"import json\nfrom json import dumps\ndef f(x):\n    return {source}"
    before = key(text, x=[1])
    assert json.dumps.__kwdefaults__ is not None
    with mock.patch.dict(json.dumps.__kwdefaults__, {"indent": 2}):
        assert key(text, x=[1]).digest != before.digest
    assert key(text, x=[1]).digest == before.digest
