"""Generated skills that are too small to train some problems and ask others."""

from __future__ import annotations

import pytest

from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.resolve import resolve_task


@pytest.mark.parametrize("name", ["arithmetic[n=1]", "arithmetic[n=5]", "dates[n=1]"])
def test_a_skill_with_nothing_to_train_or_ask_is_refused(name):
    task = resolve_task(name, trained=True, forgotten=False)
    with pytest.raises(UsageError, match=r"leaves? none to (ask|train); give a larger n"):
        task.load(DataAccess())
