"""Speech quality by Distill-MOS, a second predictor beside DNSMOS, trained on other listening tests too."""

import numpy as np
import torch

from saic.errors import WeightsError, missing_package
from saic.evaluation.evaluators.dnsmos import trim_pauses, windows
from saic.files import sha256
from saic.signal.vad import require_speech

SHA256 = "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"


class DistillMos:
    """Distill-MOS (Stahl and Gamper 2025, arXiv:2502.05356) on the CPU.

    A network of 4.1 M parameters, distilled from one on XLS-R features that predicts scores of
    listening tests, among them tests of synthetic and converted speech. English alone.

    Attributes
    ----------
    identity
        Key in caches: it changes with everything that may change a score.

    Raises
    ------
    UsageError
        distillmos is not installed.
    WeightsError
        The weights are not those of distillmos 0.9.1.
    """

    def __init__(self) -> None:
        try:
            from distillmos import sqa
        except ImportError as error:
            raise missing_package("Distill-MOS needs distillmos.", "eval") from error
        if sha256(sqa.DEFAULT_WEIGHTS_CHKPT) != SHA256:
            raise WeightsError("The Distill-MOS weights differ from distillmos 0.9.1's. Install it again.")
        # Loaded here, because the package prints the path of its weights.
        self._network = sqa.ConvTransformerSQAModel(load_weights=False, segmenting_in_forward=False).eval()
        checkpoint = torch.load(sqa.DEFAULT_WEIGHTS_CHKPT, map_location="cpu", weights_only=True)
        self._network.load_state_dict(checkpoint["model"])
        self._window = sqa.SEQ_LEN  # 7.68 s
        self.identity = f"distillmos {SHA256} torch {torch.__version__}"

    @torch.inference_mode()
    def score(self, wav: np.ndarray) -> float:
        """Predicted MOS of a clip, 1 (bad) to 5, without leading and trailing pauses.

        The network scales each window to a peak of 1, so the level has no influence. Windows are
        those of :func:`~saic.evaluation.evaluators.dnsmos.windows`; the package pads a short clip
        with silence instead, which changes its score more.

        Parameters
        ----------
        wav
            (N,) float32, 16 kHz.

        Raises
        ------
        SilentAudio, TooShort
            Less than half a second of speech.
        """
        require_speech(wav)
        return float(self._network(torch.from_numpy(windows(trim_pauses(wav), self._window))).mean())
