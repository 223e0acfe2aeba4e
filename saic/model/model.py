"""The trainable model: content encoder, speaker encoder and decoder (paper Fig. 1 and 2)."""

import os
import shutil
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from saic.config import Config
from saic.model.content_encoder import ContentEncoder
from saic.model.decoder import Decoder
from saic.model.speaker_encoder import build_speaker_encoder
from saic.signal.masking import masked_statistics
from saic.signal.mel import N_MELS
from saic.weights import CONFIG, MODEL, PROSODY, VOICES, listed, load, resolve, save, write_sums
from saic.weights.tensors import make_network

_LOG2_F0 = 7.3  # log2 of 158 Hz, a typical median F0; the F0 head predicts the difference from it


class Model(nn.Module):
    """Encoders and decoder, with the per-bin mean and standard deviation of the training mels.

    :mod:`saic.conversion` converts speech with it.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.folder: Path | None = None  # where the tensors were loaded from
        self.content_encoder = ContentEncoder(config.content_encoder, N_MELS)
        self.speaker_encoder = build_speaker_encoder(config.speaker_encoder, N_MELS)
        self.decoder = Decoder(
            config.decoder, N_MELS, config.content_encoder.code_channels, config.speaker_encoder.embedding_size
        )
        self.pitch_head = nn.Linear(config.speaker_encoder.embedding_size, 2)
        self.register_buffer("mel_mean", torch.zeros(N_MELS, 1))
        self.register_buffer("mel_std", torch.ones(N_MELS, 1))

    def standardize(self, mel: Tensor) -> Tensor:
        """Log-mel to zero mean and unit standard deviation per bin, by the training statistics."""
        return (mel - self.mel_mean) / self.mel_std

    def normalized(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Content-encoder input: (B, 80, T) log-mel at the training data's level, standardized."""
        return self.standardize(self.at_usual_level(mel, self.level(masked_statistics(mel, mask)[0])))

    @staticmethod
    def level(mean: Tensor) -> Tensor:
        """(B, 80, 1) mean of a log-mel over speech to its (B, 1, 1) level."""
        return mean.mean(dim=1, keepdim=True)

    def at_usual_level(self, mel: Tensor, level: Tensor) -> Tensor:
        """A (B, 80, T) log-mel of a (B, 1, 1) level at the level of the training data."""
        return mel - level + self.mel_mean.mean()

    def encode_content(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 80, T) log-mel to (B, C, ceil(T / stride)) content codes."""
        return self.content_encoder(self.normalized(mel, mask), mask)

    def encode_speaker(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 80, T) log-mel to (B, E) speaker embeddings."""
        return self.speaker_encoder(self.standardize(mel), mask)

    def predict_f0_stats(self, embedding: Tensor) -> Tensor:
        """(B, E) embeddings to (B, 2): median and spread of the speaker's log2 F0, F0 in Hz."""
        median, spread = self.pitch_head(self.speaker_encoder.renormalized(embedding)).unbind(dim=1)
        return torch.stack([median + _LOG2_F0, spread.clamp_min(0)], dim=1)

    def decode(self, content: Tensor, embedding: Tensor, f0: Tensor, mask: Tensor | None = None) -> Tensor:
        """Content codes, (B, E) embeddings or blends of them, and (B, T) F0 in Hz to a (B, 80, T) log-mel."""
        embedding = self.speaker_encoder.renormalized(embedding)
        return self.decoder(content, embedding, f0, mask) * self.mel_std + self.mel_mean

    @classmethod
    def from_pretrained(
        cls, weights: str | os.PathLike | None = None, *, revision: str | None = None, device: str = "cpu"
    ) -> "Model":
        """Load the weights that :func:`saic.weights.resolve` finds; frozen, in evaluation mode."""
        folder = resolve(weights, revision)
        config, tensors = load(folder)
        model = make_network(lambda: cls(config), tensors, MODEL)
        model.folder = folder
        return model.to(device).eval().requires_grad_(False)

    def save_pretrained(self, folder: str | os.PathLike, *, half: bool = True) -> None:
        """Write config, tensors (float16 unless ``half`` is false) and hashes to a folder.

        A prosody predictor and a gallery there that were made for other tensors are removed;
        ``python -m train.prosody`` and ``python -m train.voices`` make new ones.
        """
        save(Path(folder), self.config, self.state_dict(), half=half)

    def push_to_hub(
        self,
        repo: str,
        *,
        report: str | os.PathLike | None = None,
        private: bool = True,
        license: str | None = None,
    ) -> str:
        """Upload these weights and a model card; see :func:`saic.publish.upload.push`.

        If the model is unchanged, the files of its folder are uploaded. After training, the
        prosody predictor and the gallery are left out, since they belong to the earlier tensors;
        ``python -m train.prosody`` and ``python -m train.voices`` make new ones.

        Returns
        -------
        ``ORG/NAME@COMMIT``, a name for :meth:`from_pretrained` on any machine.
        """
        from saic.publish import upload  # here, since nothing else needs the Hub's client

        options = {"report": None if report is None else Path(report), "private": private, "license": license}
        if self.folder is not None and self._equals(self.folder):
            return upload.push(self.folder, repo, **options)
        with tempfile.TemporaryDirectory() as scratch:
            self.save_pretrained(scratch)
            for name in listed(self.folder) if self.folder is not None else ():
                if name not in (CONFIG, MODEL, PROSODY, VOICES):
                    shutil.copyfile(self.folder / name, Path(scratch) / name)
            write_sums(Path(scratch))
            return upload.push(Path(scratch), repo, **options)

    def _equals(self, folder: Path) -> bool:
        """Whether the tensors are those of a weights folder."""
        _, stored = load(folder)
        return all(torch.equal(tensor.cpu(), stored[name]) for name, tensor in self.state_dict().items())
