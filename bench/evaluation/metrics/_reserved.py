"""Names that a metric cannot have, for they mean something else in records, rows or tables.

Written out, so that `list` imports no pydantic; the tests compare them with where they come from.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FACT_FIELDS = _names(
    "answer_after answer_before answers curve empty_after empty_before f1_before fact_id "
    "generality_before kept knowledge movement old_answers old_nll_after old_nll_before question "
    "relation subject target weight"
)
RECORD_FIELDS = _names(
    "accumulation adapter_path cell_id curve flops forgetting identity init_difference metrics "
    "notes parameters parameters_total phases provenance reason schema_version spec status step "
    "traceback warnings"
)
PYDANTIC = _names(
    "construct copy dict from_orm json model_computed_fields model_config model_construct "
    "model_copy model_dump model_dump_json model_extra model_fields model_fields_set "
    "model_json_schema model_parametrized_name model_post_init model_rebuild model_validate "
    "model_validate_json model_validate_strings parse_file parse_obj parse_raw schema schema_json "
    "update_forward_refs validate"
)
CSV_COLUMNS = _names(
    "batch_size drift dtype epochs facts failed_cells failures flops headline identity improvement "
    "init_difference interval label learning_rate method model parameters parameters_total "
    "rank_high rank_low recipe reference seed_list seeds task"
)
CSV_ENDINGS = ("_low", "_high", "_p", "_p_holm", "_difference")


def refusal(name: str) -> str:
    """Return why a metric or its column cannot have this name; empty if it can."""
    if not name.isidentifier() or name.startswith("_"):
        return "is no plain name (letters, digits and _, with a letter first)"
    if name in FACT_FIELDS | RECORD_FIELDS:
        return "is a field of fact rows or records"
    if name in PYDANTIC:
        return "is an attribute of pydantic's models"
    if name in CSV_COLUMNS:
        return "is a column of leaderboard.csv"
    if name.endswith(CSV_ENDINGS):
        return f"ends like a column that leaderboard.csv adds ({', '.join(CSV_ENDINGS)})"
    return ""
