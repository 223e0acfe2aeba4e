"""Seconds and memory of a conversion in this process; with the standard library alone, and on Linux.

``CHIMERA_PYTHON benchmarks/measured.py SHORT SOURCE OUT`` does this for ``chimera-voice``, in the
environment of :mod:`saic.evaluation.external`.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def measured(convert: Callable[[Path, Path], object], short: Path, source: Path, output: Path) -> dict[str, float]:
    """Convert a short recording, so that all is loaded, and then ``source``.

    Returns
    -------
    Of the second conversion: ``processor_s`` of all threads, ``wall_s``, ``before_mb``, the resident size
    before it, and ``memory_mb``, by how much the size grew at most.
    """
    convert(short, output)
    output.unlink()
    before_mb = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the largest size starts anew
    began = time.process_time(), time.perf_counter()
    convert(source, output)
    processor_s, wall_s = time.process_time() - began[0], time.perf_counter() - began[1]
    memory_mb = resident_mb("VmHWM") - before_mb
    return {"processor_s": processor_s, "wall_s": wall_s, "memory_mb": memory_mb, "before_mb": before_mb}


def resident_mb(field: str) -> float:
    """A size of this process, VmRSS now or VmHWM at most, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6


def _chimera(source: Path, output: Path) -> None:
    import chimera

    chimera.mask_file(str(source), str(output), key="1", preset="extreme", n_speakers=1, subtype="PCM_16")


if __name__ == "__main__":
    print(json.dumps(measured(_chimera, *map(Path, sys.argv[1:]))))
