"""Which adapters can follow one another, known before a model is loaded.

Two low-rank adapters can stand side by side: W x + s_1 B_1 A_1 x + s_2 B_2 A_2 x. Whatever else a
first step trains has to be merged into the weights, and whatever else a second step trains needs
weights that are merged: a start that cuts a piece out of W, or W itself.
"""

from __future__ import annotations

from methods.adapters.peft import Peft
from methods.lora_family import LoraFamily
from methods.parts import Adapter
from methods.peft_config import read_config
from methods.recipe import part_name
from methods.two_steps.mode import StepMode
from tasks.errors import UsageError

MORE_THAN_FACTORS = ("modules_to_save", "trainable_token_indices")
"""Keys of a LoRA configuration that train more than A and B, of which PEFT activates only one."""


def refuse_first(adapter: Adapter, mode: StepMode) -> None:
    """Refuse an adapter that no second step can start from in a mode.

    Raises:
        UsageError: The reason, and the mode that is right if there is one.
    """
    if mode is StepMode.MERGED:
        if not adapter.per_layer:
            raise UsageError(
                f"--after: what {part_name(adapter)} trains lies outside the weights and cannot be "
                "merged into them; begin with lora"
            )
        return
    if reason := _not_low_rank(adapter):
        raise UsageError(
            f"--after ...:{mode}: {part_name(adapter)} {reason}; a second step after it needs "
            f":{StepMode.MERGED}"
        )
    if mode is StepMode.TRAINABLE and _cuts(adapter):
        raise UsageError(
            f"--after ...:{mode}: {part_name(adapter)} starts by cutting the weights, and is saved "
            f"with the piece that it cut; use :{StepMode.FROZEN} or :{StepMode.MERGED}"
        )


def refuse_second(adapter: Adapter, mode: StepMode) -> None:
    """Refuse an adapter that cannot be trained beside the one of a first step.

    Raises:
        UsageError: The reason, and the mode that is right.
    """
    if mode is StepMode.MERGED:
        return
    reason = _not_low_rank(adapter)
    if not reason and adapter.reads_weights:
        reason = "starts by cutting the weights" if _cuts(adapter) else "starts from the weights"
    if reason:
        raise UsageError(f"{part_name(adapter)} {reason}: use --after ...:{StepMode.MERGED}")


def _not_low_rank(adapter: Adapter) -> str:
    """Return why an adapter is not A and B of LoRA alone; empty if it is."""
    if adapter.trains_weights:
        return "trains the weights themselves"
    # Not a property of `Peft`: editing its file would give its cells another identity.
    if isinstance(adapter, Peft):
        written = read_config(adapter.path)
        if written.peft_type != "LORA":
            return f"is of PEFT's type {written.peft_type}, which stands beside no other adapter"
        more = next((key for key in MORE_THAN_FACTORS if written.values.get(key)), "")
        if more or written.values.get("bias", "none") != "none":
            return f"trains more than A and B of LoRA ({more or 'bias'})"
        return ""
    if not isinstance(adapter, LoraFamily):
        return "is no low-rank adapter of PEFT"
    return "drops a part of the weights" if adapter.options.get("kasa_config") else ""


def _cuts(adapter: Adapter) -> bool:
    """Return whether a low-rank adapter takes its start out of the weights."""
    return adapter.reads_weights and not getattr(adapter, "added", False)
