"""Weights on the Hugging Face Hub: `hf://OWNER/NAME[@REVISION][/FILE]`.

The package huggingface_hub fetches them into its cache, and is asked for nothing else: its
environment variables (HF_HOME, HF_HUB_OFFLINE, HF_TOKEN, HF_ENDPOINT) hold, and it sends no
telemetry. Only safetensors files are taken, in which nothing can be hidden that runs.
"""

from __future__ import annotations

import logging
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from iln.atomic import printable
from iln.errors import InputError, first_line
from iln.extras import need

log = logging.getLogger("iln")

FORM = "hf://OWNER/NAME[@REVISION][/FILE]"
_SCHEME = re.compile(r"(?i)([a-z][a-z0-9+.-]+)://")
_ADDRESS = re.compile(
    r"hf://(?P<repository>[\w.-]+/[\w.-]+)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[\w.-]+|[^/@\s]+))?"
    r"(?:/(?P<file>[^\s@]+))?"
)
SUFFIX = ".safetensors"
"""Of the files that are taken from the net, and of those that we write."""


def is_address(word: object) -> bool:
    """Whether it looks like an address, of the Hub or of anything else."""
    return isinstance(word, str) and _SCHEME.match(word) is not None


def short_name(address: str) -> str:
    """What to call the model behind an address: its file, else its repository."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return address
    return Path(found["file"]).stem if found["file"] else found["repository"].partition("/")[2]


@cache
def fetch(address: str) -> Path:
    """The file behind an address, downloaded where the cache does not hold it.

    Within a process an address stays the file that it was first, and is asked for once.

    Raises:
        InputError: for an address of another kind, a repository, revision or file that is not
            there or not open to this user, files of other kinds, several files, no network, and
            where huggingface_hub is missing.
    """
    repository, revision, file = parsed(address)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # it looks when it is imported
    hub = need("huggingface_hub", "hub")
    need("huggingface_hub.errors", "hub")
    try:
        files = _listed(hub, repository, revision)
        reached = files is not None
        if files is None:
            files = _cached(hub, repository, revision or "main")
        if not reached and (not files or (file is not None and file not in files)):
            raise InputError(_out_of_reach(hub))
        file = _only_one(files) if file is None else file
        place = hub.hf_hub_download(
            repository, file, revision=revision, local_files_only=not reached
        )
    except InputError as error:
        raise InputError(f"{printable(address)}: {error}") from None
    except Exception as error:  # its own, and those of whatever speaks HTTP for it
        raise InputError(f"{printable(address)}: {_why(hub, error, revision, file)}") from error
    path = Path(place)
    commit = path.parts[path.parts.index("snapshots") + 1]
    log.info("%s: %s of revision %s", printable(address), file, commit[:12])
    return path


def parsed(address: str) -> tuple[str, str | None, str | None]:
    """Repository, revision and file of an address, where it says them; nothing is asked for.

    Raises:
        InputError: for an address of another kind, or of a file that is not safetensors.
    """
    scheme = _SCHEME.match(address)
    if scheme is not None and scheme[1] != "hf":
        raise InputError(
            f"{printable(address)}: no model is fetched from {scheme[1]}://; accepted: a shipped "
            f"model's name, the path of a weights file, or {FORM}"
        )
    found = _ADDRESS.fullmatch(address)
    if found is None or ".." in address.split("/"):
        raise InputError(f"{printable(address)}: is no address of a model; expected {FORM}")
    file = found["file"]
    if file is not None and not file.endswith(SUFFIX):
        raise InputError(
            f"{printable(address)}: only safetensors files are taken from the net; "
            "download others yourself if you trust them, and give their path"
        )
    return found["repository"], found["revision"], file


def _listed(hub: Any, repository: str, revision: str | None) -> list[str] | None:
    """The files of a repository; None if there is no network, none is allowed, or the Hub is down.

    (Asked first, because a download without the network is tried again for half a minute.)
    """
    try:
        info = hub.HfApi().model_info(repository, revision=revision)
    except hub.errors.HFValidationError:
        raise
    except hub.errors.HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise
        return None
    except Exception:  # of whatever speaks HTTP for it
        return None
    return [str(one.rfilename) for one in info.siblings or ()]


def _cached(hub: Any, repository: str, revision: str) -> list[str]:
    """The files of a repository that lie in the cache."""
    try:
        repositories = hub.scan_cache_dir().repos
    except hub.errors.CacheNotFound:
        return []
    return [
        file.file_path.relative_to(one.snapshot_path).as_posix()
        for known in repositories
        if known.repo_id == repository and known.repo_type == "model"
        for one in known.revisions
        if revision in one.refs or revision == one.commit_hash
        for file in one.files
    ]


def _only_one(names: list[str]) -> str:
    files = sorted(name for name in names if name.endswith(SUFFIX))
    if not files:
        raise InputError("the repository holds no safetensors file; nothing else is taken")
    if len(files) > 1:
        some = ", ".join(files[:8]) + (", ..." if len(files) > 8 else "")
        raise InputError(f"holds several weights files; add one of them: /{printable(some)}")
    return files[0]


def _out_of_reach(hub: Any) -> str:
    if hub.constants.HF_HUB_OFFLINE:
        return "is not in the cache, and HF_HUB_OFFLINE forbids to fetch it"
    return "the Hub cannot be reached, and the cache does not hold it"


def _why(hub: Any, error: Exception, revision: str | None, file: str | None) -> str:
    """An error of huggingface_hub's in a user's words."""
    errors = hub.errors
    if isinstance(error, errors.GatedRepoError):
        return "asks who you are (gated); accept its terms on its page, and set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such repository on the Hub, or a private one (then set HF_TOKEN)"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {printable(revision or 'main')}"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return _out_of_reach(hub)
    if isinstance(error, errors.EntryNotFoundError):
        return f"has no file {printable(file or '')}"
    if isinstance(error, errors.HFValidationError):
        return f"is no address of a model; expected {FORM}"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the Hub answers {error.response.status_code}"
    return f"cannot be fetched: {printable(first_line(error))}"
