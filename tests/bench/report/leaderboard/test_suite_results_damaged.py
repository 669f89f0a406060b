import json

import pytest

from bench.report.leaderboard.suite_results import read_suite_results


@pytest.mark.parametrize(("dataset_info", "accuracy"), [(5, 0.5), ({}, 10**400)])
def test_a_file_with_values_of_other_kinds_is_a_line(tmp_path, dataset_info, accuracy):
    train = {"status": "success", "metrics": [{"test accuracy": accuracy}]}
    meta = {"dataset_info": dataset_info}
    content = {"run_info": {"train_config": {}}, "train_info": train, "meta_info": meta}
    (tmp_path / "odd.json").write_text(json.dumps(content))
    found = read_suite_results(tmp_path)
    assert (found.rows, len(found.problems)) == ((), 1)
