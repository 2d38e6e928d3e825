"""Where a warning is placed, and how often it is given."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

from cascade_nb.errors import CacheWarning, warn_once


def placed(caught: list[warnings.WarningMessage]) -> list[str]:
    return [warning.filename for warning in caught]


def test_a_warning_is_placed_where_the_user_called() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_once("a line\nand another", "cause")
        warn_once("again", "cause")
    assert placed(caught) == [__file__]
    assert str(caught[0].message) == "a line and another"


def test_in_a_thread_of_nobodys_it_is_placed_at_the_package() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread = threading.Thread(target=warn_once, args=("one", "in a thread"))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(warn_once, "two", "in a pool").result()
    assert placed(caught) == ["cascade_nb", "cascade_nb"]
    assert warnings.formatwarning(str(caught[0].message), CacheWarning, "cascade_nb", 1) == (
        "cascade_nb:1: CacheWarning: one\n"
    )


def test_in_a_thread_of_the_users_it_is_placed_at_their_function() -> None:
    def work() -> None:
        warn_once("three", "in their thread")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert placed(caught) == [__file__]
