"""Every public name is importable from `cascade_nb` itself, and there are no others."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import cascade_nb

# The contract's names that exist by now; each is public from the release that first has it.
PUBLIC = frozenset(
    """
    __version__
    cached Call Entry Explanation Retry
    register_fingerprint
    configure engine
    share load export import_
    trust distrust whoami
    CacheBackend CachePolicy Executor StateBackend
    InMemoryCacheBackend DiskCacheBackend InMemoryStateBackend TieredCacheBackend RedisCacheBackend
    GatewayBackend IpfsCacheBackend
    ContentCachePolicy FileExistenceCache IpfsCachePolicy NoCache Hit
    Engine LocalExecutor
    MessageBus Event RunStarted RunFinished TaskEvent TaskSkipped
    TaskExecutionStarted TaskRetrying TaskExecutionFinished
    Report Status
    CascadeError UntrustedError IntegrityError CodecError FingerprintError
    ConfigurationError BackendError
    CacheWarning StaleRiskWarning
    load_ipython_extension unload_ipython_extension
    """.split()  # noqa: SIM905 - forty names read better as text
)


def test_all_is_exact() -> None:
    assert sorted(PUBLIC) == list(cascade_nb.__all__)
    assert set(cascade_nb.__all__) <= set(dir(cascade_nb))


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_a_name_is_the_one_at_home(name: str) -> None:
    value = getattr(cascade_nb, name)
    home = importlib.import_module(value.__module__)
    assert home.__name__.startswith("cascade_nb.")
    assert getattr(home, name) is value
    assert value.__doc__, f"{name} says nothing of itself"


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(cascade_nb.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and "TYPE" in ast.unparse(node.test)
    )
    seen = {
        alias.asname
        for node in block.body
        for alias in node.names
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == PUBLIC - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'cache'"):
        cascade_nb.cache
