"""Fact rows from files of several layouts, read in turn."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from bench.pages.performance.scaling_facts import LazyFactRows
from bench.store.formats import arrow_table, read_parquet
from tasks.base import DataAccess
from tasks.knowledge.fictional import Fictional

COLUMNS = ("fact_id", "f1_after", "knowledge", "nll_after", "confusion.chat")


@pytest.fixture
def files(tmp_path):
    """The same facts in files with all columns, with others in front, and without some."""
    facts = list(Fictional(n=6).load(DataAccess()))
    whole = arrow_table(list(LazyFactRows(facts, [0.25] * 6)))
    layouts = {
        "whole": whole,
        "reversed": whole.select(whole.column_names[::-1]),
        "fewer": whole.drop_columns(["f1_after"]),
        "broken": whole.drop_columns(["knowledge"]),
    }
    for name, table in layouts.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return {name: tmp_path / f"{name}.parquet" for name in layouts}


def test_each_file_is_read_by_its_own_layout(files):
    expected = read_parquet(files["whole"], COLUMNS)
    assert expected.column_names == list(COLUMNS)
    assert expected["confusion.chat"].null_count == 6
    for name in ("whole", "whole", "reversed", "fewer", "whole", "reversed"):
        found = read_parquet(files[name], COLUMNS)
        lacking = name == "fewer"
        assert found.schema == expected.schema
        assert found["f1_after"].null_count == (6 if lacking else 0)
        rest = [column for column in COLUMNS if column != "f1_after"]
        assert found.select(rest).equals(expected.select(rest))


def test_a_file_without_a_required_column_is_an_error_every_time(files):
    for name in ("broken", "whole", "broken", "broken"):
        if name == "whole":
            assert len(read_parquet(files[name], COLUMNS)) == 6
        else:
            with pytest.raises(ValueError, match="no column knowledge"):
                read_parquet(files[name], COLUMNS)
