"""Names that a metric cannot have, for they mean something else in records, rows or tables.

Written out, so that `list` imports no pydantic; the tests compare them with where they come from:
the fields of `FactRow` and `CellRecord`, pydantic's models, the columns of `leaderboard.csv`.
"""

from __future__ import annotations

_NAMES = """
accumulation adapter_path answer_after answer_bare answer_before answer_before_trained answer_chat
answer_few_shot answer_plain answers asks balance batch_size cell_id change construct continued copy
curve dict distance_before_trained drift drift_at_50 drift_at_90 dtype empty_after empty_before
empty_few_shot epochs evaluated f1_before fact_id facts failed_cells failures flops forgetting
from_orm half_dose headline identity init_difference interval json kept knowledge label label_scores
label_scores_before labels learned_at_half_dose learning_rate losses_digest method metrics
micro_batches model movement notes old_answers old_nll_after old_nll_before parameters
parameters_total parse_file parse_obj parse_raw path phases provenance question reason recipe
reference relation save_failed schedule schema schema_json schema_version seed_list seeds spec
stacked status step subject target task traceback train_prompt update_forward_refs validate warmup
warnings weight
"""
RESERVED = frozenset(_NAMES.split())
ENDINGS = ("_low", "_high", "_p", "_p_holm", "_difference", "_ratio")


def refusal(name: str) -> str:
    """Return why a metric or its column cannot have this name; empty if it can."""
    # A point stands before what a metric is measured in: `robustness.chat`.
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts) or name.startswith("_"):
        return "is no plain name (a lambda or a partial has none: write a function with def)"
    if {name, *parts[:-1]} & RESERVED or name.startswith("model_") or name.endswith(ENDINGS):
        return (
            "means something else in records, fact rows or leaderboard.csv, as do all names that "
            f"begin with model_ or end in {', '.join(ENDINGS)}"
        )
    return ""
