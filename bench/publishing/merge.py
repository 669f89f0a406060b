"""Merge a saved adapter into its base: a folder that transformers, vLLM and others load."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.inference.equivalence import relative_difference
from bench.models.loading import Base, load_base
from bench.publishing.active import limit_of, probe_logits
from bench.publishing.card import write_card
from bench.publishing.card_content import stored_content
from bench.publishing.folders import new_folder
from bench.publishing.saved import SavedAdapter
from methods.two_steps.merged import merge_saved
from tasks.errors import UsageError


@dataclass(frozen=True)
class Merged:
    """A merged model.

    Attributes:
        folder: Where it lies.
        difference: By how much its logits differ from those of base and adapter, as a share of
            their size: the written files, loaded again.
        moved: By how much they differ from those of the base.
    """

    folder: Path
    difference: float
    moved: float


def merge_adapter(
    results: Path,
    saved: SavedAdapter,
    folder: Path,
    *,
    trust_remote_code: bool = False,
    say: Callable[[str], None] = print,
) -> Merged:
    """Write base and adapter as one model, and check what was written.

    Args:
        results: The results folder.
        saved: The adapter, or all weights.
        folder: Where to write; it must not exist, or be empty.
        trust_remote_code: Whether Python code that comes with the base may run.
        say: Receives lines to show to the user.

    Raises:
        UsageError: The base is not the one that was trained on, the adapter cannot be merged, or
            the merged model answers otherwise.
    """
    with new_folder(folder) as staged:
        base = _base(saved, trust_remote_code, say)
        probe = partial(probe_logits, base=base.model)
        plain = probe(base.model)
        model, before = merge_saved(base.model, saved.folder, probe)
        expected = probe(model) if before is None else before
        model.save_pretrained(staged)
        base.tokenizer.save_pretrained(staged)
        limit, dtype = limit_of(model.dtype), model.dtype
        del model, base, probe
        gc.collect()  # a model in memory less, before the next one is loaded
        found = _read_back(staged, dtype, trust_remote_code)
        difference = relative_difference(found, expected)
        if not difference <= limit:
            raise UsageError(
                f"the merged model answers otherwise than base and adapter (its logits differ by "
                f"{difference:.2g} of their size): use the adapter as it is"
            )
        whole = replace(saved, folder=staged)
        write_card(stored_content(results, whole, where=folder.name), staged)
    return Merged(folder, difference, relative_difference(found, plain))


def _base(saved: SavedAdapter, trust_remote_code: bool, say: Callable[[str], None]) -> Base:
    """Load the base of a cell, unquantised.

    Raises:
        UsageError: It is not there, or has other weights by now.
    """
    spec = saved.spec
    base = load_base(spec.model, dtype=spec.dtype, trust_remote_code=trust_remote_code, say=say)
    if base.revision != spec.model_revision:
        raise UsageError(
            f"model '{spec.model}' is {base.revision} here, and the adapter was trained on "
            f"{spec.model_revision}: bring back those weights"
        )
    return base


def _read_back(folder: Path, dtype: Any, trust_remote_code: bool) -> Tensor:
    """Return the logits of the model that was written."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, trust_remote_code=trust_remote_code
    ).eval()
    return probe_logits(model, model)
