"""The notebooks have no outputs and short cells, and never install torch.

``tests/test_stranger.py`` runs them.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def run(path: Path, settings: dict[str, object], kernel: KernelManager) -> nbformat.NotebookNode:
    """Execute a notebook in a running kernel.

    ``settings`` are assigned after the cell tagged "parameters". The kernel's working folder is the
    notebooks' own. Several notebooks can share a kernel: names are reset, imported modules stay
    loaded.
    """
    notebook = nbformat.read(path, as_version=4)
    (parameters,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    lines = "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    notebook.cells.insert(parameters + 1, nbformat.v4.new_code_cell(lines))
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    return NotebookClient(notebook, km=kernel, timeout=300).execute()


def setting(path: Path, name: str) -> object:
    """The value of a setting in the cell with the tag "parameters"."""
    (cell,) = [cell for cell in nbformat.read(path, 4).cells if "parameters" in cell.metadata.get("tags", [])]
    values: dict[str, object] = {}
    exec(cell.source, values)
    return values[name]


def shown(notebook: nbformat.NotebookNode) -> tuple[str, int]:
    """All text output of an executed notebook, and its number of images."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    texts = (o.text if o.output_type == "stream" else o.get("data", {}).get("text/markdown", "") for o in outputs)
    return "\n".join(texts), sum("image/png" in output.get("data", {}) for output in outputs)


def test_four_notebooks_exist() -> None:
    names = ["01_anonymize", "02_explore_embeddings", "03_train_your_own", "04_evaluate_privacy"]
    assert [path.stem for path in NOTEBOOKS] == names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_outputs_and_short_cells(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert max(len(cell.source.splitlines()) for cell in cells) <= 30


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_first_cell_installs_missing_packages_but_never_torch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    calls = []
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(subprocess, "run", lambda command, **_: calls.append(command))
    script = re.sub("^%.*", "", first.source, flags=re.MULTILINE)
    exec(script, {})
    assert calls == []
    monkeypatch.setitem(sys.modules, "saic.plots", None)  # its import raises ImportError
    exec(script, {})
    ((python, *pip),) = calls
    assert python == sys.executable and pip[:3] == ["-m", "pip", "install"]
    names = {re.match(r"[\w-]+", argument)[0] for argument in pip[4:]}
    assert {"numpy", "soundfile", "matplotlib", "scikit-learn"} <= names
    assert not any(name.startswith("torch") or name in ("saic", "resemblyzer") for name in names)
