"""Evolved instructions of WizardLM (Xu et al. 2023, arXiv 2304.12244), as CorDA trains on them."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.base import task
from tasks.skills._instructions import Instructions


@task("wizard_instructions")
@dataclass(frozen=True)
class WizardInstructions(Instructions):
    """WizardLM-Evol-Instruct: general instructions of growing difficulty."""

    source = "fxmeng/WizardLM_evol_instruct_V2_143k, the first 100,000 rows of train"
    licence = "see its page on the hub"
    dataset = "fxmeng/WizardLM_evol_instruct_V2_143k"
    instruction = "human"
    response = "assistant"
