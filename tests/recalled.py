"""Every key of a function that is made from memory is made by a walk too, and must be the same."""

from __future__ import annotations

from typing import Any

import pytest

from cascade_nb.fingerprint import keys
from cascade_nb.fingerprint.assembly import Assembly
from cascade_nb.fingerprint.reached import reading


def check_recalled_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember the walk from each function, whoever asks for its key, and check what comes of it.

    Where a walk finds other code than the memory, and be it the same with other words, it fails.
    """
    known: dict[int, Any] = {}

    class Checked(keys.Memo):
        def recall(self, *asked: Any) -> Assembly | None:
            function, arguments, ignore, budget = asked
            self._known = known.get(id(function))
            assembly = super().recall(*asked)
            if assembly is not None:

                def take_in(walked: Assembly) -> None:
                    walked.root(function)
                    keys._take_arguments(walked, arguments, ignore)

                walked, _ = keys._assembled(take_in, ignore, budget)
                assert assembly.parts() == walked.parts()
                assert list(assembly.risks()) == list(walked.risks())
                assert assembly.packages == walked.packages
            return assembly

        def keep(
            self, function: Any, ignore: frozenset[str], assembly: Assembly, state: reading
        ) -> None:
            super().keep(function, ignore, assembly, state)
            known[id(function)] = self._known

    monkeypatch.setattr(keys, "Memo", Checked)
    from cascade_nb import decorator

    monkeypatch.setattr(decorator, "Memo", Checked)
