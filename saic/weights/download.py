"""Download weights from the Hugging Face Hub: one commit of a repository, with hashes checked.

The Hub's own client downloads into its own cache (``HF_HOME``). Files in the cache are read without
a connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import hf_hub_download, scan_cache_dir
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from saic.errors import HubError, WeightsError
from saic.weights import SUMS, listed, verify


def fetch(repo: str, commit: str) -> Path:
    """Folder of a repository's weights at a commit, with every file's hash checked.

    Files whose hash differs are removed from the cache, so that another try downloads them again.

    Parameters
    ----------
    repo
        ORG/NAME.
    commit
        40 hexadecimal digits.

    Raises
    ------
    HubError
        The Hub cannot be reached; it has no such repository, commit or weights; it answers with
        another commit; or the hash of a file differs from ``SHA256SUMS``.
    """
    with hub_errors(repo):
        folder = _download(repo, commit, SUMS).parent
        try:
            for name in listed(folder):
                _download(repo, commit, name)
            verify(folder)
        except HubError:
            raise
        except WeightsError as error:
            if isinstance(error.__cause__, OSError):  # it cannot be read now, but may be right
                raise error.__cause__ from None
            _delete_from_cache(folder)
            raise HubError(f"The weights of {repo} are damaged, in the repository or on the way. {error}") from None
    return folder


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Turn the errors of the Hub's client into a :class:`HubError` that says what to do."""
    try:
        yield
    except (OSError, ValueError, HTTPError, ImportError) as error:
        raise HubError(_message(repo, error)) from error


def _message(repo: str, error: Exception) -> str:
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, HfHubHTTPError):
        error = error.__cause__
    match error:
        case RepositoryNotFoundError():
            return f"The Hub has no repository {repo} that you may use. Check its name, or log in with: hf auth login"
        case RevisionNotFoundError():
            return f"The repository {repo} has no such commit."
        case RemoteEntryNotFoundError():
            return f"The repository {repo} holds no complete SAIC weights at this commit."
        case HfHubHTTPError() if error.response.status_code in (401, 402, 403):
            return f"The Hub does not allow this for {repo}. Log in with an account that may: hf auth login"
        case HfHubHTTPError():
            return f"The Hub answered with an error (status {error.response.status_code}). Try again later."
        case LocalEntryNotFoundError():
            return (
                f"The Hub cannot be reached, and its cache does not hold these weights of {repo}. Check the connection."
            )
        case OfflineModeIsEnabled():
            return "The Hub is switched off by HF_HUB_OFFLINE. Unset it to use the Hub."
        case HTTPError():
            return "The connection to the Hub broke off. Check it and try again."
        case ImportError():
            return "The Hub's client cannot use this proxy. For a SOCKS proxy: pip install 'httpx[socks]'"
        case HFValidationError():
            return f"{repo} is not a valid name of a repository on the Hub."
        case OSError() if error.errno is not None:
            return f"The Hub's cache cannot be used: {error.strerror}. Set HF_HOME to another folder."
        case OSError():
            return f"The download of {repo} broke off. Try again."
        case _:
            return f"The Hub's client cannot do this: {error}"


def _download(repo: str, commit: str, name: str) -> Path:
    """Path of a file in the Hub's cache. A file that is not in the cache is downloaded."""
    path = Path(hf_hub_download(repo, name, revision=commit, library_name="saic"))
    if path.parent.name != commit:
        _delete_from_cache(path.parent)
        raise HubError(f"The Hub answered with another commit of {repo} than the one that is named.")
    return path


def _delete_from_cache(folder: Path) -> None:
    """Delete a commit (CACHE/models--ORG--NAME/snapshots/COMMIT) and files that no other uses."""
    scan_cache_dir(folder.parents[2]).delete_revisions(folder.name).execute()
