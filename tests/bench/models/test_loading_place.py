"""Loading a base: what a hub that refuses says, and how attention and training are computed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.config.types import Attention
from bench.execution.checks import check_attention, check_machine
from bench.execution.run import run_grid
from bench.models.device import Compute, compute_of
from bench.models.loading import load_base
from bench.models.provenance import provenance
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.errors import UsageError

GATED = "meta-llama/Llama-3.2-1B"


@pytest.fixture
def grid(tiny_folder, facts_file, tmp_path):
    def make(methods, **changes):
        given = {
            "methods": methods,
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "drift",
            "forgetting_limit": 4,
            "epochs": 3,
            "device": "cpu",
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


def refusal(kind):
    asked = SimpleNamespace(url=f"https://huggingface.co/{GATED}", method="GET")
    return kind(
        "403 Client Error", response=SimpleNamespace(headers={}, request=asked, status_code=403)
    )


def test_a_gated_model_says_what_to_do(monkeypatch):
    def refuse(*_, **__):
        raise refusal(GatedRepoError)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(UsageError) as told:
        load_base(GATED)
    assert f"accept its licence at https://huggingface.co/{GATED}" in str(told.value)
    assert "hf auth login" in str(told.value)


def test_weights_that_are_gated_say_so_too(monkeypatch, tiny_folder):
    import transformers

    def refuse(*_, **__):
        try:
            raise refusal(GatedRepoError)
        except GatedRepoError as error:
            raise OSError("cannot load the model") from error

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", refuse)
    with pytest.raises(UsageError, match="is gated: accept its licence"):
        load_base(str(tiny_folder))


def test_a_model_that_is_not_there_is_not_called_gated(monkeypatch):
    def refuse(*_, **__):
        raise refusal(RepositoryNotFoundError)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(UsageError, match="check the id and the connection"):
        load_base(GATED)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_reaches_the_model_and_the_record(attention, grid, tiny_folder):
    options = grid("lora[r=2]", attention=attention)
    compute = compute_of(options)
    assert provenance(compute)["attention"] == attention
    base = load_base(str(tiny_folder), attention=compute.attention)
    assert base.model.config._attn_implementation == attention
    plain = load_base(str(tiny_folder))
    tokens = torch.arange(9)[None] + 65
    torch.testing.assert_close(base.model(tokens).logits, plain.model(tokens).logits)


def test_nothing_unusual_is_recorded_by_default(grid):
    assert {"attention", "quantisation", "gradient_checkpointing"}.isdisjoint(
        provenance(compute_of(grid("lora")))
    )


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        (Compute("cpu", "bfloat16"), "needs a CUDA device, not cpu"),
        (Compute("cuda:0", "float32"), "has no float32"),
        (Compute("cuda:0", "bfloat16"), "needs the package flash-attn or kernels"),
    ],
)
def test_flash_attention_is_refused_where_it_cannot_run(compute, told, monkeypatch):
    monkeypatch.setattr("bench.execution.checks.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=f"--attention flash_attention_2 {told}"):
        check_attention(compute._replace(attention=Attention.FLASH))
    check_attention(compute)


def test_flash_attention_is_refused_before_anything_is_loaded(grid):
    options = grid("lora", attention="flash_attention_2")
    with pytest.raises(UsageError, match="needs a CUDA device"):
        check_machine(options, compute_of(options))


METHODS = "lora[r=4],dora[r=4],lora[r=4]+last[n=1],pissa[r=4],full"


def test_layers_that_are_computed_again_give_the_same_numbers(grid, tmp_path, monkeypatch):
    from torch.utils import checkpoint

    again = []
    plain = checkpoint.checkpoint
    monkeypatch.setattr(
        "transformers.modeling_utils.checkpoint",
        lambda *a, **k: again.append(k.get("use_reentrant")) or plain(*a, **k),
    )
    found = {}
    for on in (False, True):
        options = grid(METHODS, out=tmp_path / str(on), gradient_checkpointing=on)
        found[on] = run_grid(options, Silent()).records
        assert [record.status for record in found[on]] == [Status.DONE] * 5
        assert bool(again) == on
    assert set(again) == {False}, "not reentrant: frozen embeddings give no gradients"
    for kept, computed in zip(found[False], found[True], strict=True):
        assert kept.cell_id == computed.cell_id
        for before, after in zip(kept.curve, computed.curve, strict=True):
            assert after.loss == pytest.approx(before.loss, rel=1e-5)
        assert computed.forgetting[0].forgetting == pytest.approx(
            kept.forgetting[0].forgetting, rel=1e-3, abs=1e-9
        )
        assert computed.provenance["gradient_checkpointing"] is True


def test_evaluation_keeps_its_caches_and_trains_no_embeddings(grid, monkeypatch):
    options = grid("lora[r=4]", gradient_checkpointing=True, epochs=1)
    context = CellContext(options, compute_of(options), print)
    [cell] = plan_grid(options, ResultsStore(options.out))
    seen = []
    monkeypatch.setattr(
        "bench.cell.running.respond",
        lambda model, *a, **k: seen.append(model) or plain(model, *a, **k),
    )
    from bench.evaluation.responses import respond as plain

    assert run_cell(cell, context, Silent()).record.status is Status.DONE
    [model] = seen
    assert not model.training
    tokens = torch.ones(1, 3, dtype=torch.long)
    assert not model.get_input_embeddings()(tokens).requires_grad
    assert model(tokens, use_cache=True).past_key_values.get_seq_length() == 3


def test_a_model_without_such_layers_is_refused(tiny_folder, monkeypatch):
    from transformers import LlamaForCausalLM

    monkeypatch.setattr(LlamaForCausalLM, "supports_gradient_checkpointing", False)
    with pytest.raises(UsageError, match=r"--gradient-checkpointing: model .* leave it out"):
        load_base(str(tiny_folder), checkpointing=True)
