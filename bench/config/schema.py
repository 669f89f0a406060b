"""The JSON schema of grid files, by which editors complete and check them.

It is made from `RunOptions`: their descriptions are the help of the command line, and their types
say how values are written. Editors know less than a run: they take every text for a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.config.assumed import SECTION, Assumed
from bench.config.options import RunOptions

DIALECT = "http://json-schema.org/draft-07/schema#"
"""What the language servers of editors read best."""

EXAMPLES: Mapping[str, Sequence[Any]] = {
    "methods": [["lora", "corda[mode=ipm,r=32]", "lora+freeze", "dora+filter[rho=0.3]+reweight"]],
    "tasks": ["countries,fictional", ["my_facts.csv"]],
    "after": ["handbook.txt:frozen", "elements:merged:lora[r=8]"],
    "forgetting": ["elements,lm_eval:piqa,drift", "none"],
    "models": ["smollm2-135m", "meta-llama/Llama-3.2-1B"],
    "seeds": ["0-2", [0, 1, 2]],
    "lr": ["1e-4,5e-4", 0.0002],
    "tune": [{"r": [8, 16]}],
    "evaluate": ["gsm8k", "lm_eval:gsm8k"],
    "device": ["auto", "cpu", "cuda:0"],
    "shard": ["1/4"],
    "ray_address": ["auto", "10.0.0.1:6379"],
}
"""By option, what people write."""


def grid_schema(names: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """Return the schema.

    Args:
        names: By option the names that are known here; editors offer them, and take others too.
    """
    own = RunOptions.model_json_schema()
    defaults = RunOptions().model_dump(mode="json")
    options = {
        name.replace("_", "-"): _option(name, _inlined(content, own["$defs"]), defaults[name])
        for name, content in own["properties"].items()
    }
    for name, known in (names or {}).items():
        _offer(options[name], known)
    section = {"description": _text(Assumed.__doc__ or ""), **_inlined(_assumed(), {})}
    return {
        "$schema": DIALECT,
        "title": "Grid file of semantic-peft-bench",
        "description": "Options of a run, for run --config and plan --config.",
        "type": "object",
        "properties": {**options, SECTION: section},
        # Underscores are as good; as patterns, editors do not offer each option twice.
        "patternProperties": {
            f"^{name.replace('-', '_')}$": {"$ref": f"#/properties/{name}"}
            for name in options
            if "-" in name
        },
        "additionalProperties": False,
    }


def _option(name: str, content: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """Return one option with its default as people write it, which for many is no value at all."""
    described = {"description": _text(RunOptions.model_fields[name].description or "")}
    rest = {k: v for k, v in content.items() if k not in ("default", "description")}
    given = {} if default in (None, []) else {"default": default}
    examples = {"examples": list(EXAMPLES[name])} if name in EXAMPLES else {}
    return {**described, **rest, **given, **examples}


def _inlined(content: Any, definitions: Mapping[str, Any]) -> Any:
    """Put each definition where it is referred to, without the titles that pydantic makes up."""
    if isinstance(content, list):
        return [_inlined(item, definitions) for item in content]
    if not isinstance(content, dict):
        return content
    found = dict(content)
    if reference := found.pop("$ref", None):
        definition = definitions[reference.rpartition("/")[2]]
        found = {**{k: v for k, v in definition.items() if k != "description"}, **found}
    if isinstance(found.get("title"), str):
        del found["title"]
    return {name: _inlined(value, definitions) for name, value in found.items()}


def _offer(option: dict[str, Any], names: Sequence[str]) -> None:
    """Let editors complete names, alone and in a list."""
    alone = next(way for way in option["anyOf"] if way.get("type") == "string")
    listed = next(way for way in option["anyOf"] if way.get("type") == "array")
    known = {"enum": list(names)}
    listed["items"] = {"anyOf": [known, listed["items"]]}
    option["anyOf"] = [known, alone, listed]


def _assumed() -> dict[str, Any]:
    schema = Assumed.model_json_schema()
    del schema["description"]
    return schema


def _text(docstring: str) -> str:
    """Return a docstring's first paragraph in one line."""
    return " ".join(docstring.partition("\n\n")[0].split())
