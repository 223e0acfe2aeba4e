"""Maps of speakers that the model was not trained on, as the evaluation made them (paper Fig. 5)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gradio.components.plot import PlotData

from saic import plots
from saic.web.texts import Texts, decimal, percent

PICTURE = "fig5.npz"
"""Arrays of the maps of a corpus, in the folder ``plots/CORPUS`` of a report."""


@dataclass(frozen=True)
class UnseenMaps:
    """Maps of a corpus, and what was measured on it.

    Attributes
    ----------
    corpus, split : names
    speaker, content : the maps
    probe, chance : estimates of the accuracy of the speaker probe on content codes, and of guessing
    """

    corpus: str
    split: str
    speaker: plots.Plane
    content: plots.Plane
    probe: Mapping[str, Any]
    chance: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, report: Mapping[str, Any] | None, weights_sha256: str | None) -> "UnseenMaps | None":
        """The maps of the first corpus that has them; None if there are none of the loaded weights."""
        for corpus, measured in (report or {}).get("corpora", {}).items():
            try:
                with np.load(folder / "plots" / corpus / PICTURE, allow_pickle=False) as arrays:
                    if str(arrays["weights_sha256"]) != weights_sha256:
                        continue
                    planes = plots.planes_from_arrays(arrays)
                probe = measured["systems"]["convert"]["disentanglement"]
                figures = probe["content.stronger"], probe["content.chance"]
                return cls(corpus, measured["data"]["split"], *planes, *figures)
            except (OSError, ValueError, LookupError, TypeError):
                continue
        return None

    def figures(self, texts: Texts) -> tuple[PlotData, PlotData]:
        """The maps of speaker and of content embeddings."""
        labels = {
            "gallery_label": texts.UNSEEN_GALLERY.format(voices=len(self.speaker.gallery)),
            "unseen_label": texts.UNSEEN_SPEAKERS.format(speakers=len(self.speaker.unseen)),
            "speaker_label": texts.UNSEEN_SPEAKER,
        }
        speaker, content = (
            plots.plotly_map(plane, name, **labels)
            for plane, name in ((self.speaker, "speaker-embeddings"), (self.content, "content-embeddings"))
        )
        return PlotData(type="plotly", plot=json.dumps(speaker)), PlotData(type="plotly", plot=json.dumps(content))

    def captions(self, texts: Texts) -> dict[str, str]:
        """HTML to be read under the maps, "speaker" and "content"."""

        def number(value: float) -> str:
            return decimal(texts, f"{value:.1f}")

        speaker, content = (
            texts.NEAREST.format(
                rate=percent(100 * plane.same_voice), chance=f"{number(100 * plane.chance)}\N{NO-BREAK SPACE}%"
            )
            for plane in (self.speaker, self.content)
        )
        probe = texts.PROBE.format(
            accuracy=number(self.probe["value"]),
            low=number(self.probe["low"]),
            high=number(self.probe["high"]),
            chance=number(self.chance["value"]),
            speakers=self.probe["n"],
        )
        return {"speaker": f"<p>{speaker}</p>", "content": f"<p>{content} {probe}</p>"}

    def introduction(self, texts: Texts) -> str:
        """HTML to be read above the maps."""
        return texts.UNSEEN.format(speakers=len(self.speaker.unseen), corpus=self.corpus, split=self.split)
