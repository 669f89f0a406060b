"""Sample files in lm-eval's form, made up; `test_compare_samples.py` reads real ones too."""

from __future__ import annotations

import hashlib
import json


def line(doc_id, scores, *, doc=None, filter_="none", **changes):
    """One line as lm-eval 0.4.13 writes it."""
    doc = {"question": f"What is {doc_id}?"} if doc is None else doc
    digest = hashlib.sha256(json.dumps(doc).encode()).hexdigest()
    values = {
        "doc_id": doc_id,
        "doc": doc,
        "target": str(doc_id),
        "arguments": {"gen_args_0": {"arg_0": f"What is {doc_id}?", "arg_1": {}}},
        "resps": [[str(doc_id)]],
        "filtered_resps": [str(doc_id)],
        "filter": filter_,
        "metrics": list(scores),
        "doc_hash": digest,
        "prompt_hash": digest[::-1],
        "target_hash": digest[1:],
        **scores,
    }
    values.update(changes)
    return {key: value for key, value in values.items() if value is not None}


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def scored(values, metric="acc", **changes):
    """Lines with the values of one metric, document after document."""
    return [line(number, {metric: value}, **changes) for number, value in enumerate(values)]
