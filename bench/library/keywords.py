"""The keywords of `bench.run`: one for each field of `RunOptions`, as people write its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TypedDict

Place = str | PathLike[str]
Texts = str | Sequence[str]
Places = Place | Sequence[Place]
Numbers = str | float | Sequence[float | str]


class RunKeywords(TypedDict, total=False):
    """What may be given to `bench.run`; the command line's help says what each option means."""

    methods: Texts
    tasks: Places
    questions: Place | None
    after: str | None
    forgetting: Places
    models: Places
    seeds: str | int | Sequence[int | str]
    lr: Numbers | None
    tune: Texts | Mapping[str, Texts | Sequence[float]]
    tune_seeds: int
    tune_limit: int | None
    epochs: int | None
    batch_size: int
    accumulation: int
    schedule: str
    warmup: float
    train_prompt: str
    checkpoints: str
    limit: int | None
    forgetting_limit: int
    evaluate: Texts
    evaluate_limit: int
    device: str
    device_map: str
    dtype: str
    quantize: str
    attention: str
    gradient_checkpointing: bool
    data_dir: Place | None
    out: Place
    reference: str | None
    rerun: str
    executor: str
    ray_address: str | None
    workers: str | int
    stack: str | int
    shard: str | None
    save_every: float
    timeout: float | None
    trust_remote_code: bool
    save_adapters: bool
    log_to: Texts
    explain: bool
