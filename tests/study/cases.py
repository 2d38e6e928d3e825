"""Functions of a user's that use copies of installed modules, each in another way."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Case:
    """`modules` are copied under the names they are given; `main` defines `f` and `arguments`.

    What is `read` by that code itself, or by what it uses ("docstrings", "annotations"), counts.
    """

    name: str
    modules: dict[str, str]
    main: str
    packages: tuple[str, ...]
    read: frozenset[str]


def case(
    name: str, modules: dict[str, str], main: str, *packages: str, read: tuple[str, ...] = ()
) -> Case:
    """A case whose copies need `packages`."""
    return Case(name, modules, dedent(main).lstrip(), packages, frozenset(read))


CASES = [
    case(
        "estimator in an argument",
        {"sklearn.neighbors._nearest_centroid": "nearest_centroid", "sklearn.base": "bases"},
        """
        import numpy as np
        from nearest_centroid import NearestCentroid

        def f(model, x, y):
            return model.fit(x, y).predict(x)

        def arguments():
            x = np.arange(12.0).reshape(6, 2)
            return {"model": NearestCentroid(), "x": x, "y": np.array([0, 0, 0, 1, 1, 1])}
        """,
        "sklearn.neighbors",
        read=("docstrings", "annotations"),
    ),
    case(
        "class in a global",
        {"sklearn.dummy": "dummy", "sklearn.base": "bases"},
        """
        import numpy as np
        from dummy import DummyClassifier as Model

        def f(x, y):
            return Model(strategy="prior").fit(x, y).predict_proba(x)

        def arguments():
            return {"x": np.arange(12.0).reshape(6, 2), "y": np.array([0, 0, 0, 1, 1, 1])}
        """,
        "sklearn.dummy",
        read=("docstrings", "annotations"),
    ),
    case(
        "helper functions",
        {"scipy.integrate._quadrature": "quadrature"},
        """
        import numpy as np
        import quadrature
        from quadrature import simpson

        def f(y):
            return simpson(y, dx=0.5) + quadrature.newton_cotes(4)[1] + quadrature.trapezoid(y)

        def arguments():
            return {"y": np.arange(8.0)}
        """,
        "scipy.integrate",
    ),
    case(
        "decorator",
        {
            "sklearn.utils._param_validation": "validation",
            "pandas.util._decorators": "decorators",
        },
        """
        from decorators import deprecate_kwarg
        from validation import Interval, StrOptions, validate_params
        from numbers import Integral

        @deprecate_kwarg(FutureWarning, "way", "how", {"c": "b"})
        @validate_params(
            {"x": [Interval(Integral, 0, None, closed="left")], "how": [StrOptions({"a", "b"})]},
            prefer_skip_nested_validation=True,
        )
        def f(x, how="a"):
            return x + 1

        def arguments():
            return {"x": 3, "how": "b"}
        """,
        "sklearn.utils._param_validation",
        "pandas",
        read=("docstrings", "annotations"),
    ),
    case(
        "decorator that calls back",
        {"scipy.stats._entropy": "entropies", "scipy.stats._axis_nan_policy": "nan_policy"},
        """
        import numpy as np
        from entropies import entropy

        def f(p):
            return entropy(p, base=2)

        def arguments():
            return {"p": np.array([0.25, 0.75])}
        """,
        "scipy.stats",
        read=("docstrings", "annotations"),
    ),
    case(
        "mixin",
        {"numpy.lib.mixins": "mixins"},
        """
        import numpy as np
        from mixins import NDArrayOperatorsMixin

        class Wrapped(NDArrayOperatorsMixin):
            def __init__(self, value):
                self.value = np.asarray(value)

            def __array_ufunc__(self, ufunc, method, *inputs, **options):
                plain = [x.value if isinstance(x, Wrapped) else x for x in inputs]
                return Wrapped(getattr(ufunc, method)(*plain, **options))

        def f(x):
            return (Wrapped([1.0, 2.0]) + x).value

        def arguments():
            return {"x": 2}
        """,
        "numpy",
    ),
    case(
        "dataclasses",
        {"sklearn.utils._tags": "tags"},
        """
        from tags import ClassifierTags, InputTags, Tags, TargetTags

        def f(tags):
            if tags.classifier_tags.multi_class:
                return repr(TargetTags(required=True)), tags == tags
            return None

        def arguments():
            tags = Tags(
                estimator_type=None,
                target_tags=TargetTags(required=False),
                classifier_tags=ClassifierTags(),
                input_tags=InputTags(),
            )
            return {"tags": tags}
        """,
        "sklearn.utils",
    ),
    case(
        "accessor",
        {"pandas.core.arrays.arrow.accessors": "accessors"},
        """
        import pandas as pd
        import pyarrow as pa
        from accessors import ListAccessor

        @pd.api.extensions.register_series_accessor("items_of")
        class Items(ListAccessor):
            def first(self):
                return self[0]

        def f(series):
            return series.items_of.first()

        def arguments():
            kind = pd.ArrowDtype(pa.list_(pa.int64()))
            return {"series": pd.Series([[1, 2], [3]], dtype=kind)}
        """,
        "pandas",
        "pyarrow.compute",
    ),
    case(
        "package with enums",
        {
            "pandas.core.interchange.dataframe_protocol": "protocol",
            "pandas.core.interchange.utils": "interchange_types",
            "pandas.core.interchange.buffer": "buffers",
            "pandas.core.interchange.column": "columns",
            "pandas.core.interchange.dataframe": "exchange",
        },
        """
        import numpy as np
        import pandas as pd
        from columns import PandasColumn
        from protocol import DtypeKind

        def f(series):
            column = PandasColumn(series)
            return column.dtype[0] is DtypeKind.FLOAT, column.null_count, column.size()

        def arguments():
            return {"series": pd.Series([1.0, np.nan])}
        """,
        "pandas.core.interchange.column",
        read=("docstrings",),  # A cached property of pandas keeps its own.
    ),
    case(
        "singledispatch",
        {"fontTools.misc.plistlib": "plists"},
        """
        import plists

        def f(value):
            return plists.dumps(value, sort_keys=True)

        def arguments():
            return {"value": {"a": [1, 2.5, True], "b": b"bytes"}}
        """,
        "fontTools.misc.plistlib",
    ),
    case(
        "constants",
        {"scipy.constants._constants": "constants", "scipy.constants._codata": "codata"},
        """
        import constants as C
        from constants import convert_temperature, lambda2nu

        def f(t):
            return convert_temperature(t, "Celsius", "Kelvin") * C.zebi + lambda2nu(C.angstrom)

        def arguments():
            return {"t": 20.0}
        """,
        "scipy.constants",
    ),
    case(
        "instance in a global",
        {
            "numpy.polynomial.polynomial": "polynomial",
            "numpy.polynomial.polyutils": "polyutils",
            "numpy.polynomial._polybase": "polybase",
        },
        """
        from polynomial import Polynomial

        P = Polynomial([1, 2, 3])

        def f(x):
            return (P * P).deriv()(x)

        def arguments():
            return {"x": 0.5}
        """,
        "numpy.polynomial",
    ),
]
