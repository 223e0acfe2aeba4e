"""A Hugging Face Space that serves the page.

It is this source tree, with the chosen weights instead of the bundled ones. The Space downloads
nothing when it starts. It needs no ``packages.txt``: soundfile and PyAV contain their libraries.
"""

from pathlib import Path

import yaml

from saic import weights
from saic.data.left_out import is_hidden
from saic.errors import UsageError
from saic.publish import upload as uploads

_ROOT = Path(__file__).parents[2]
_TREE = ("app.py", "requirements.txt", "LICENSE", "NOTICE", "saic/**/*", "assets/README.md", "assets/examples/*")
_ABOUT_BUNDLED = ("MODEL_CARD.md", "benchmarks/evaluation/report.*")
_BUNDLED = "saic/weights/default"

_TEXT = """\
# SAIC: the same words, another voice

Record or upload one voice, choose another, and hear the words of the first in the voice of the second.

**It changes the voice, not the words.** Anonymity is not promised: spoken names, dates and places stay in the
recording, and so does the manner of speaking. Recordings that you give to this page reach the server that
runs it. **Do not use recordings of patients here**: run SAIC on your own machine for that. Only use the voice of a
person who agreed to it.
"""


def files(folder: Path) -> dict[str, bytes | Path]:
    """Content of the Space by path: app, package, requirements, examples, weights of a folder.

    Hidden files are left out. The model card and the report are included only if the folder holds the
    bundled weights.

    Raises
    ------
    UsageError
        SAIC is installed as a package and is not run from its source tree.
    WeightsError
        The weights are incomplete or damaged.
    """
    weights.verify(folder)
    if not (_ROOT / "app.py").is_file() or not (_ROOT / "assets" / "examples").is_dir():
        raise UsageError("A Space is made from SAIC's source tree. Run this command there, as python -m saic space.")
    are_bundled = weights.fingerprint(folder) == weights.fingerprint(_ROOT / _BUNDLED)
    tree = {
        path.relative_to(_ROOT).as_posix(): path
        for pattern in (*_TREE, *(_ABOUT_BUNDLED if are_bundled else ()))
        for path in sorted(_ROOT.glob(pattern))
        if path.is_file() and path.suffix != ".pyc" and not is_hidden(path, _ROOT)
    }
    content: dict[str, bytes | Path] = {
        name: path for name, path in tree.items() if not name.startswith(f"{_BUNDLED}/")
    }
    content |= {f"{_BUNDLED}/{name}": folder / name for name in (weights.SUMS, *weights.listed(folder))}
    content["README.md"] = (
        f"---\n{yaml.safe_dump(front_matter(), sort_keys=False, allow_unicode=True)}---\n\n{_TEXT}".encode()
    )
    return content


def front_matter() -> dict[str, str | bool]:
    """Settings of the Space, which the Hub reads from its README.md.

    The version of Gradio is that of requirements.txt.
    """
    lines = (_ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (gradio,) = (line.partition("==")[2] for line in lines if line.startswith("gradio=="))
    return {
        "title": "SAIC",
        "emoji": "🎭",
        "colorFrom": "blue",
        "colorTo": "indigo",
        "sdk": "gradio",
        "sdk_version": gradio,
        "python_version": "3.11",
        "app_file": "app.py",
        "pinned": False,
        "license": "apache-2.0",
        "short_description": "The same words in another voice",
    }


def push(folder: Path, repo: str, *, private: bool = True) -> str:
    """Upload a Space that serves a folder's weights; returns the commit.

    Raises
    ------
    UsageError, WeightsError, HubError
        As :func:`files` and :func:`saic.publish.upload.upload`.
    """
    return uploads.upload(
        repo,
        files(folder),
        kind="space",
        private=private,
        message="Upload SAIC",
        replaces=lambda path: path.startswith(("saic/", "assets/", "benchmarks/")) or path == "MODEL_CARD.md",
    )
