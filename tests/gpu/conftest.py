"""A small model, the cells that run on it, and texts that are the same on every device."""

from __future__ import annotations

import pytest
import torch

from bench.forgetting import drift
from tests.gpu.cells import Device, make_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folder of a small model."""
    return make_model(tmp_path_factory.mktemp("gpu") / "small")


@pytest.fixture(scope="session")
def cells_on(folder, tmp_path_factory):
    """Return a device with a dtype; the same one every time."""
    made = {}

    def on(name, dtype="float32"):
        if (name, dtype) not in made:
            made[name, dtype] = Device(folder, name, dtype, tmp_path_factory.mktemp("out"))
        return made[name, dtype]

    return on


@pytest.fixture(scope="session", autouse=True)
def same_texts():
    """Measure drift on the same texts everywhere: a GPU samples others than a CPU does."""

    def texts(base, sequences):
        vocabulary = base.model.get_input_embeddings().weight.shape[0]
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(vocabulary, (sequences, 1 + drift.TOKENS), generator=generator)
        return drawn.to(base.device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift, "sample_texts", texts)
        yield
