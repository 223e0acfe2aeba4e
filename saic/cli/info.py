"""``saic info``: versions, and the weights that are loaded."""

from saic import __version__
from saic.cli.options import DeviceOption, JsonOption, WeightsOption, show, table


def info(weights: WeightsOption = None, device: DeviceOption = "cpu", as_json: JsonOption = False) -> None:
    """Show what is installed and which weights are loaded."""
    from saic.pipeline import Pipeline

    facts = {"saic": __version__, **Pipeline.from_pretrained(weights, device=device).info()}
    rows = []
    for name, value in facts.items():
        parts = [f"{k} {v:,}" for k, v in value.items()] if isinstance(value, dict) else [str(value)]
        rows.append((name, ", ".join(parts)))
    show(as_json, facts, table(rows))
