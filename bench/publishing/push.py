"""Upload a saved adapter to the hub, by huggingface_hub and with the token of its own store."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.failures import first_line
from bench.publishing.bases import base_name, refuse_unnamed
from bench.publishing.card import write_card
from bench.publishing.card_content import stored_content
from bench.publishing.saved import CARD, SavedAdapter
from methods.peft_config import FILE
from tasks.errors import UsageError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOG_IN = "log in with 'hf auth login', or set HF_TOKEN to a token that may write"

_NAMES = {FILE: "base_model_name_or_path", "config.json": "_name_or_path"}
"""Where files name the base; here that may be a path, which is nobody else's business."""


class HubError(Exception):
    """The hub, or the way to it, has refused; one line says why."""


@dataclass(frozen=True)
class Upload:
    """What is to be uploaded.

    Attributes:
        repository: The id of the repository.
        private: Whether only its owners may see it.
        base: The id of the base on the hub.
        files: A folder with everything that is uploaded.
        message: Of the commit.
    """

    repository: str
    private: bool
    base: str
    files: Path
    message: str

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name."""
        paths = sorted(path for path in self.files.rglob("*") if path.is_file())
        return {str(path.relative_to(self.files)): path.stat().st_size for path in paths}

    @property
    def visibility(self) -> str:
        """Who may see it, in one word."""
        return "private" if self.private else "public"


def check_repository(name: str) -> None:
    """Refuse a name that no repository of the hub can have.

    Raises:
        UsageError: It is one.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(
            f"'{name}' is no name of a repository on the hub: write USER/NAME, with letters, "
            "digits, '-', '_' and '.'"
        ) from error
    if "/" not in name:
        raise UsageError(f"'{name}' does not say whose repository it is: write USER/{name}")


def prepare_upload(
    results: Path,
    saved: SavedAdapter,
    repository: str,
    scratch: Path,
    *,
    private: bool = False,
    base: str = "",
) -> Upload:
    """Collect what is uploaded, with a new card and without paths of this machine.

    Args:
        results: The results folder.
        saved: The adapter.
        repository: The id of the repository.
        scratch: An empty folder to collect it in.
        private: Whether only its owners may see it.
        base: The id of the base on the hub, where the record does not tell it.

    Raises:
        UsageError: A name is wrong, or nobody else could find the base.
    """
    check_repository(repository)
    if base:
        check_repository(base)
    named = base_name(saved.spec, base)
    refuse_unnamed(named)
    files = scratch / "files"
    ignored = shutil.ignore_patterns(CARD, ".*")
    shutil.copytree(saved.folder, files, ignore=ignored, copy_function=_copy)
    for name, field in _NAMES.items():
        _rename_base(files / name, field, named.repository)
    write_card(stored_content(results, saved, repository, base), files)
    message = f"{saved.spec.method}, cell {saved.record.cell_id}"
    return Upload(repository, private, named.repository, files, message)


def _copy(source: str, target: str) -> None:
    """Copy a file; weights, which nobody changes, without their content where that is possible."""
    if source.endswith(".safetensors"):
        with suppress(OSError):  # on another disk
            os.link(source, target)
            return
    shutil.copy2(source, target)


def _rename_base(path: Path, field: str, repository: str) -> None:
    if not path.is_file():
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    if field in content:
        text = json.dumps({**content, field: repository}, indent=2)
        path.write_text(text + "\n", encoding="utf-8")


def has_token() -> bool:
    """Return whether the hub's client has a token: its own store, or the environment."""
    from huggingface_hub import get_token

    return bool(get_token())


def endpoint() -> str:
    """Return the address of the hub."""
    from huggingface_hub import HfApi

    return str(HfApi().endpoint)


def upload(chosen: Upload) -> str:
    """Create the repository unless it is there, upload everything, and return its address.

    Raises:
        UsageError: There is no token, or the repository is there and public although it is to be
            private.
        HubError: The hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if not has_token():
        raise UsageError(f"the hub's client has no token here: {LOG_IN}")
    api = HfApi()
    try:
        _refuse_public(api, chosen)
        api.create_repo(chosen.repository, private=chosen.private, exist_ok=True)
        found = api.upload_folder(
            repo_id=chosen.repository, folder_path=chosen.files, commit_message=chosen.message
        )
    except OfflineModeIsEnabled as error:
        raise HubError("HF_HUB_OFFLINE is set, so that nothing is uploaded: unset it") from error
    except HfHubHTTPError as error:
        raise HubError(_refusal(chosen, error)) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise HubError(_failure(api.endpoint, error)) from error
    except Exception as error:
        if not type(error).__module__.startswith(("httpx", "httpcore", "hf_xet")):
            raise
        raise HubError(_failure(api.endpoint, error)) from error
    return str(found.repo_url)


def _refuse_public(api: HfApi, chosen: Upload) -> None:
    """Refuse to put what is to be private into a repository that everybody sees."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.repo_info(chosen.repository)
    except RepositoryNotFoundError:
        return
    if chosen.private and not found.private:
        raise UsageError(
            f"'{chosen.repository}' is there already, and public: choose another name, or make it "
            "private on its page first"
        )


def _refusal(chosen: Upload, error: Exception) -> str:
    """Say what an answer of the hub means."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return f"the hub does not accept the token: {LOG_IN}"
    if status == 403:
        owner = chosen.repository.partition("/")[0]
        return f"the token may not write to repositories of '{owner}': {LOG_IN}"
    told = getattr(error, "server_message", None) or first_line(error)
    return f"the hub refuses the upload (status {status}): {told}"


def _failure(address: str, error: Exception) -> str:
    return (
        f"the upload to {address} failed ({first_line(error)}): check the connection and try "
        "again; what has arrived is not uploaded twice"
    )
