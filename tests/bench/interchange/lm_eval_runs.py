"""Real runs of lm-eval on the embedded model, whose sample files the tests read."""

from __future__ import annotations

import copy
from pathlib import Path

LIMIT = 10
"""Documents of each task."""


def write_samples(model, tokenizer, folder: Path, tasks: Path, names, limit=LIMIT) -> Path:
    """Run exported tasks through lm-eval and let it write its sample files, as its command does."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path=str(folder))
    found = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8),
        tasks=list(names),
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        limit=limit,
        log_samples=True,
        bootstrap_iters=0,
        evaluation_tracker=tracker,
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name in names:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    return folder


def changed(model):
    """A copy of a model whose last layers are a little off, so that it errs on some more."""
    import torch

    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in other.model.layers[-6:]:
            weight = layer.mlp.down_proj.weight
            noise = torch.randn(weight.shape, generator=generator)
            weight += 0.35 * weight.std() * noise
    return other
