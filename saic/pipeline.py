"""The public interface: convert, anonymize, embed and identify recordings."""

import copy
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from saic import audio
from saic.conversion import Source, Speech, Voice, convert_source, mean_embedding, muted, reconstruct_source
from saic.errors import UsageError, WeightsError
from saic.gallery import Gallery, random_bits
from saic.keys import Key, bits_of_seed, hashes
from saic.model import windowed
from saic.model.model import Model
from saic.model.prosody import ProsodyPredictor, predicted_f0, slow_contour
from saic.model.timing import new_timing
from saic.profiles import BALANCED, PROFILES, PROSODY_KEPT, STRICT
from saic.signal.f0 import REGISTER_HZ, measure_f0_stats
from saic.signal.loudness import normalize, normalize_for_rate
from saic.signal.masking import quiet_frames
from saic.signal.mel import HOP_SAMPLES, N_MELS, SAMPLE_RATE
from saic.signal.vad import require_speech, require_varied
from saic.spool import Spool, return_free_memory
from saic.vocoder.vocoder import GriffinLim, build_vocoder
from saic.weights import MODEL, PROSODY, VOICES, fingerprint, resolve, verify

Clip = str | os.PathLike | bytes | tuple[np.ndarray, int]
"""A path, the bytes of a file, or (samples, rate in Hz), see :func:`saic.audio.from_array`."""

ProgressCallback = Callable[[str, float], None]
"""Called with the name of a stage and the share of work done, 0 to 1: at its start and while it goes on."""

_EVERY_S, _TRIM_EVERY_S = 0.5, 2.0
_BLOCK_SAMPLES = 60 * SAMPLE_RATE
_NEAR_FRAMES = 4  # 50 ms


@dataclass(frozen=True)
class Conversion:
    """Result of :meth:`Pipeline.convert` and :meth:`Pipeline.anonymize`.

    Attributes
    ----------
    wav
        (N,) float32 in [-1, 1] at -23 LUFS: the source's words in the target voice; as long as the
        source, except in the profile strict.
    profile
        What was kept of the source's prosody, see :mod:`saic.profiles`.
    reconstruction
        (N,) float32: the source encoded and decoded in its own voice; None unless asked for.
    mels
        "original", "converted" and, if asked for, "reconstructed": (80, T) log-mels, the natural
        logarithm of magnitudes (:func:`saic.signal.mel.log_mel`, paper Fig. 4). In the profile
        strict, "converted" has another T.
    f0_hz
        F0 (T,) of each of ``mels`` in Hz, 0 where unvoiced or muted: the source's as it was
        measured, and what the vocoder was given.
    sample_rate
        16,000 Hz.
    notes
        What was wrong with the source, as sentences for the user: for instance that a part of the
        file could not be decoded.
    target_notes
        The same of the recordings of the target voice; none for a pseudonym.
    voice_similarity
        Cosine similarity of the new voice's embedding to the source's, by the model's own speaker
        encoder; None from :meth:`Pipeline.convert`.
    """

    wav: np.ndarray
    reconstruction: np.ndarray | None
    mels: dict[str, np.ndarray]
    sample_rate: int = SAMPLE_RATE
    notes: tuple[str, ...] = ()
    voice_similarity: float | None = None
    profile: str = PROSODY_KEPT
    f0_hz: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    target_notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpooledConversion:
    """A conversion of any length, which is read in blocks: see :meth:`Pipeline.convert_spooled`.

    Attributes
    ----------
    profile, notes, target_notes, voice_similarity
        As in :class:`Conversion`.
    wavs
        "converted" and, if asked for, "reconstructed": (N,) float32 at -23 LUFS.
    mels
        (80, T) log-mels, as in :class:`Conversion`; "original" is (1, 80, T).
    f0_hz
        (T,) F0 of each of ``mels``.
    """

    profile: str
    notes: tuple[str, ...]
    voice_similarity: float | None
    wavs: dict[str, Spool]
    mels: dict[str, Spool]
    f0_hz: dict[str, torch.Tensor]
    target_notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """N, the number of samples."""
        return len(self.wavs["converted"])

    def blocks(self, rate_hz: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
        """The converted recording in blocks (n,) of float32 at 16 kHz, which have -23 LUFS in a file of ``rate_hz``."""
        wav = normalize_for_rate(self.wavs["converted"], rate_hz)
        return (wav[start : start + _BLOCK_SAMPLES] for start in range(0, len(wav), _BLOCK_SAMPLES))

    def whole(self) -> Conversion:
        """The conversion in memory, with its mels."""
        wavs = {name: wav[:] for name, wav in self.wavs.items()}
        mels = {name: mel[:].cpu().numpy().reshape(N_MELS, -1) for name, mel in self.mels.items()}
        return Conversion(
            wavs["converted"],
            wavs.get("reconstructed"),
            mels,
            notes=self.notes,
            target_notes=self.target_notes,
            voice_similarity=self.voice_similarity,
            profile=self.profile,
            f0_hz={name: track.cpu().numpy() for name, track in self.f0_hz.items()},
        )


@dataclass(frozen=True)
class Embedding:
    """Embeddings of a clip: ``speaker`` (E,) and ``content`` (C, ceil(T / stride))."""

    speaker: np.ndarray
    content: np.ndarray


@dataclass(frozen=True)
class Match:
    """An enrolled voice: cosine similarity to the clip, and whether it reaches the threshold."""

    name: str
    score: float
    accepted: bool


class Pipeline:
    """Anonymize and identify with one set of weights.

    >>> pipeline = Pipeline.from_pretrained()
    >>> conversion = pipeline.convert("patient.wav", "other.wav")
    >>> saic.audio.save("anonymous.wav", conversion.wav)

    Parameters
    ----------
    model
        Encoders and decoder.
    folder
        Folder of the weights, for vocoder, prosody predictor and gallery; None: Griffin-Lim, the
        profile prosody-kept and no gallery.
    device
        "cpu" or "cuda".
    limits
        On a recording that is converted; by default twelve hours.
    """

    def __init__(
        self, model: Model, *, folder: Path | None = None, device: str = "cpu", limits: audio.Limits = audio.LONG
    ):
        self.limits = limits
        self.model = model.to(device).eval()
        self.vocoder = build_vocoder(model.config.vocoder, folder, device=device)
        self.prosody = _load_prosody(model, folder, device)
        self.folder, self.device = folder, device
        self._gallery: Gallery | None = None

    @classmethod
    def from_pretrained(
        cls,
        weights: str | os.PathLike | None = None,
        *,
        revision: str | None = None,
        device: str = "cpu",
        limits: audio.Limits = audio.LONG,
    ) -> "Pipeline":
        """Load the bundled weights, those of a folder, or those of the Hub.

        Parameters
        ----------
        weights
            None, a folder, or ``ORG/NAME@COMMIT``: see :func:`saic.weights.resolve`.
        revision
            The commit, if ``weights`` is ``ORG/NAME`` without one.
        device, limits
            As for :class:`Pipeline`.

        Raises
        ------
        WeightsError
            The weights are missing, incomplete, damaged or of another format, or the Hub does not
            provide them.
        """
        folder = resolve(weights, revision)
        return cls(Model.from_pretrained(folder), folder=folder, device=device, limits=limits)

    def convert(
        self,
        source: Clip,
        targets: Clip | list[Clip] | Voice,
        *,
        profile: str | None = None,
        seed: int | None = None,
        reconstruct: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Conversion:
        """Convert a recording to a target voice (paper Fig. 2).

        Parameters
        ----------
        source
            Recording with at least half a second of speech, of at most twelve hours (``limits``).
        targets
            One recording, several recordings of one speaker (their embeddings are averaged), or the
            result of :meth:`voice`. Each has at most ten minutes.
        profile
            One of :attr:`profiles`; None takes :attr:`default_profile`.
        seed
            The profile strict draws pauses at random: the same seed gives the same ones.
        reconstruct
            Whether to return the reconstruction too, which about doubles the time. Without, it is None.
        progress
            Called before each stage, and at least every few seconds in between. An error that it
            raises ends the conversion.

        Raises
        ------
        AudioError
            A recording cannot be used; the message says why.
        UsageError
            The profile is unknown.
        WeightsError
            The weights have no prosody predictor, which the profile needs.
        """
        options = {"profile": profile, "seed": seed, "reconstruct": reconstruct, "progress": progress}
        return self.convert_spooled(source, targets, **options).whole()

    @torch.inference_mode()
    def convert_spooled(
        self,
        source: Clip,
        targets: Clip | list[Clip] | Voice,
        *,
        profile: str | None = None,
        seed: int | None = None,
        reconstruct: bool = False,
        progress: ProgressCallback | None = None,
    ) -> SpooledConversion:
        """:meth:`convert` for recordings of hours: what is long is in temporary files.


        >>> conversion = pipeline.convert_spooled("consultation.mp3", "other.wav")
        >>> with saic.audio.encode_blocks(conversion.blocks(), "flac", 16_000) as file:
        ...     saic.audio.write("anonymous.flac", file)

        Raises
        ------
        DiskError
            There is no space for the temporary files.
        """
        profile = self._require_profile(profile)
        steps = _Steps(progress, "Reading the recordings", 0.0)
        recording = self._open(source, steps)
        steps.enter("Analyzing the target voice", 0.1)
        voice = targets if isinstance(targets, Voice) else self.voice(targets)
        return self._convert(recording, voice.to(self.device), profile, seed, reconstruct, steps)

    def anonymize(
        self,
        clip: Clip,
        *,
        voice: Voice | None = None,
        seed: int | None = None,
        register: str = "any",
        profile: str | None = None,
        reconstruct: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Conversion:
        """Convert a recording to a pseudonym: a random blend of gallery voices.

        Parameters
        ----------
        clip
            Recording with at least half a second of speech.
        voice
            A pseudonym from :meth:`pseudonym` or another voice, instead of a new pseudonym.
        seed
            The same seed gives the same pseudonym, whoever speaks, and the same output. None draws
            pseudonyms until one does not count as the speaker's own voice, at most 50; then the least
            similar is taken.
        register
            "lower" gives a pseudonym of men's voices, "higher" of women's, "any" one of the two.
            "same" is "lower" if the median F0 of the recording is below 165 Hz, else "higher".
        profile, reconstruct, progress
            As for :meth:`convert`.

        Raises
        ------
        AudioError
            The recording cannot be used; the message says why.
        UsageError
            ``voice`` is given together with ``seed`` or ``register``, or the register or the profile
            is unknown.
        WeightsError
            The weights have no gallery, or lack the prosody predictor that the profile needs.
        """
        options = {"profile": profile, "reconstruct": reconstruct, "progress": progress}
        return self.anonymize_spooled(clip, voice=voice, seed=seed, register=register, **options).whole()

    @torch.inference_mode()
    def anonymize_spooled(
        self,
        clip: Clip,
        *,
        voice: Voice | None = None,
        seed: int | None = None,
        register: str = "any",
        profile: str | None = None,
        reconstruct: bool = False,
        progress: ProgressCallback | None = None,
    ) -> SpooledConversion:
        """:meth:`anonymize` for recordings of hours, see :meth:`convert_spooled`."""
        if voice is not None and (seed is not None or register != "any"):
            raise UsageError("A voice is given, so no pseudonym is drawn. Leave out seed and register, or the voice.")
        profile = self._require_profile(profile)
        steps = _Steps(progress, "Reading the recording", 0.0)
        recording = self._open(clip, steps)
        own = windowed.encode_speaker(self.model, recording.mel, recording.mask, steps).cpu()
        if voice is None:
            steps.enter("Drawing a pseudonym", 0.1)
            register = _register_of(recording.vowel_f0) if register == "same" else register
            if seed is None:
                voice = self.gallery.distant_pseudonym(own, register, iter(random_bits, None))
            else:
                voice = self.gallery.pseudonym(bits_of_seed(seed), register)
        similarity = float(F.cosine_similarity(own, voice.embedding.cpu()))
        conversion = self._convert(recording, voice.to(self.device), profile, seed, reconstruct, steps)
        return dataclasses.replace(conversion, voice_similarity=similarity)

    def stream(self, blocks: Iterable[np.ndarray], rate_hz: float, **options: Any) -> Iterator[np.ndarray]:
        """:meth:`anonymize_spooled` for a recording that arrives in blocks; yields blocks of its output.

        This is not for live use: the first block is yielded when all have arrived and the whole is
        converted (ARCHITECTURE.md, "Windows and latency"), which takes about 3 % of its length.

        >>> for block in pipeline.stream(microphone_blocks, 48_000, register="lower"):
        ...     speaker.write(block)

        Parameters
        ----------
        blocks
            Samples (n,) or (n, channels), of any lengths, as for :func:`saic.audio.from_array`.
        options
            Those of :meth:`anonymize_spooled`.

        Returns
        -------
        Iterator of blocks (n,), 16 kHz.
        """
        yield from self.anonymize_spooled((iter(blocks), rate_hz), **options).blocks()

    def pseudonym(
        self,
        *,
        key: Key | str | os.PathLike | None = None,
        subject: str | None = None,
        study: str = "",
        register: str = "any",
        new_voices: bool = False,
        unlike: Clip | None = None,
        seed: int | None = None,
    ) -> Voice:
        """The pseudonym of a subject, or a random one, for :meth:`anonymize`.

        The voice of a subject depends on key, study, subject, register and gallery alone: it is the
        same for each recording, in each order and on each machine. It is not drawn again if it
        happens to be near the speaker's own: see `Conversion.voice_similarity`.

        Parameters
        ----------
        key
            A key or the path of its file; None draws a random pseudonym.
        subject, study
            As for :meth:`saic.keys.Key.bits`.
        register
            "lower", "higher" or "any", as for :meth:`anonymize`.
        new_voices
            Use the key with other weights than those that it was made for: subjects then sound
            different.
        unlike
            A recording of the speaker. A random pseudonym is drawn again while it counts as the speaker's
            own voice, by the `threshold` of the gallery.
        seed
            Makes the draws of ``unlike`` reproducible, for an evaluation.

        Raises
        ------
        KeyFileError
            The key file cannot be read.
        OtherVoices
            The key was made for other weights or another gallery.
        AudioError
            ``unlike`` cannot be used; the message says why.
        UsageError
            A subject without a key, a key without a subject or with ``unlike``, a seed without
            ``unlike``, or a register that cannot be given.
        """
        if register == "same":
            raise UsageError(
                "The register same depends on the recording, but a pseudonym here does not. Use lower, higher or any."
            )
        if seed is not None and unlike is None:
            raise UsageError("A seed needs a recording that the voice is to be unlike. Give unlike, or leave out seed.")
        if key is None:
            if subject is not None or study:
                raise UsageError("A subject needs a key: without one, whoever guesses the name can compute the voice.")
            if unlike is not None:
                with torch.inference_mode():
                    own = mean_embedding(self.model, self._read_voice(unlike))
                draws = (random_bits() if seed is None else bits_of_seed(seed, draw) for draw in itertools.count())
                return self.gallery.distant_pseudonym(own, register, draws).to(self.device)
            return self.gallery.pseudonym(random_bits(), register).to(self.device)
        if subject is None:
            raise UsageError("A key needs a subject: name the person who speaks.")
        if unlike is not None:
            raise UsageError("A key gives one voice, whoever speaks: it cannot be drawn again. Leave out unlike.")
        key = key if isinstance(key, Key) else Key.load(key)
        gallery = self.gallery  # checks that there is one
        if not new_voices:
            key.require(*self._hashes)
        return gallery.pseudonym(key.bits(subject, study), register).to(self.device)

    @torch.inference_mode()
    def voice(self, clips: Clip | list[Clip]) -> Voice:
        """Measure a target voice once, to convert many recordings to it.

        Parameters
        ----------
        clips
            One recording or several of one speaker, each with at least half a second of speech and
            at most ten minutes.

        Raises
        ------
        AudioError
            A recording cannot be used; the message says why.
        UsageError
            There is no recording.
        """
        return Voice.from_speech(self.model, self._read_voice(clips))

    @torch.inference_mode()
    def embed(self, clip: Clip) -> Embedding:
        """Speaker embedding and content codes of a clip.

        It needs half a second of speech and has at most ten minutes, else :class:`AudioError` is
        raised. A steady sound is not refused, since a short part of speech may be one.
        """
        speech = self._read(clip)
        speaker = self.model.encode_speaker(speech.mel, speech.mask)
        content = self.model.encode_content(speech.mel, speech.mask)
        return Embedding(speaker[0].cpu().numpy(), content[0].cpu().numpy())

    @torch.inference_mode()
    def identify(
        self, clip: Clip, enrolled: Mapping[str, Clip | list[Clip]], threshold: float | None = None
    ) -> list[Match]:
        """Compare a clip with enrolled voices (open-set speaker identification).

        Parameters
        ----------
        clip
            The recording to identify.
        enrolled
            Name to one recording, or several, of that speaker.
        threshold
            Lowest cosine similarity at which a match is accepted; None takes the gallery's.

        Returns
        -------
        One :class:`Match` per enrolled voice, best first. If none is accepted, the speaker counts
        as unknown.

        Raises
        ------
        AudioError
            A recording cannot be used; the message says why.
        UsageError
            Nobody is enrolled, or a name has no recording.
        WeightsError
            The weights have no gallery, and no threshold is given.
        """
        if not enrolled:
            raise UsageError("Nobody is enrolled. Give at least one name with a recording.")
        limit = self.gallery.threshold if threshold is None else threshold
        probe = mean_embedding(self.model, self._read_voice(clip))
        matches = []
        for name, clips in enrolled.items():
            score = float(F.cosine_similarity(probe, mean_embedding(self.model, self._read_voice(clips))))
            matches.append(Match(name, score, score >= limit))
        return sorted(matches, key=lambda match: -match.score)

    @torch.inference_mode()
    def resynthesize(self, clip: Clip) -> np.ndarray:
        """Copy synthesis: (N,) float32 from a clip's own mel and F0, by the vocoder alone.

        :class:`AudioError` is raised as by :meth:`embed`.
        """
        speech = self._read(clip)
        return self._vocode(Spool.of(speech.mel[0]), speech.f0[0], len(speech.wav))[:]

    def with_griffin_lim(self) -> "Pipeline":
        """The same pipeline with Griffin-Lim as its vocoder, the baseline for a neural one."""
        other = copy.copy(self)
        other.vocoder = GriffinLim(self.model.config.vocoder.iterations)
        return other

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles (:mod:`saic.profiles`) that the weights allow."""
        return (PROSODY_KEPT,) if self.prosody is None else PROFILES

    @property
    def default_profile(self) -> str:
        """balanced, or prosody-kept if the weights have no prosody predictor."""
        return BALANCED if BALANCED in self.profiles else PROSODY_KEPT

    def _require_profile(self, profile: str | None) -> str:
        if profile is None:
            return self.default_profile
        if profile not in PROFILES:
            raise UsageError(f"There is no such profile. Use one of {', '.join(PROFILES)}.")
        if profile not in self.profiles:
            raise WeightsError(
                f"These weights have no prosody predictor, so the only profile is {PROSODY_KEPT}. Make one with"
                " python -m train.prosody."
            )
        return profile

    @property
    def gallery(self) -> Gallery:
        """The built-in gallery of the weights."""
        if self._gallery is None:
            self._gallery = self._load_gallery()
        return self._gallery

    def _load_gallery(self) -> Gallery:
        remedy = "Make one with python -m train.voices."
        if self.folder is not None:
            verify(self.folder)  # again: files may have changed since the model was loaded
        if self.folder is None or not (self.folder / VOICES).is_file():
            raise WeightsError(f"These weights have no gallery of voices. {remedy}")
        gallery, config = Gallery.load(self.folder / VOICES), self.model.config
        if (
            gallery.speaker.shape[-1] != config.speaker_encoder.embedding_size
            or gallery.content.shape[-1] % config.content_encoder.code_channels
        ):
            raise WeightsError(f"The gallery of voices was made for other weights. {remedy}")
        return gallery

    @cached_property
    def _hashes(self) -> tuple[str, str]:
        """Of weights and gallery, as a key has them."""
        return hashes(self.folder)

    def info(self) -> dict[str, object]:
        """Hash, sizes, rates, vocoder and device of the loaded weights."""
        count = {name: sum(p.numel() for p in part.parameters()) for name, part in self.model.named_children()}
        path = None if self.folder is None else self.folder / MODEL
        return {
            "sha256": None if self.folder is None else fingerprint(self.folder),
            "size_bytes": None if path is None else path.stat().st_size,
            "parameters": count | {"total": sum(count.values())},
            "sample_rate_hz": SAMPLE_RATE,
            "content_codes_per_s": SAMPLE_RATE / self.model.config.audio.hop_samples / self.model.config.content_stride,
            "vocoder": self.model.config.vocoder.kind,
            "device": self.device,
        }

    def _convert(
        self, source: Source, voice: Voice, profile: str, seed: int | None, reconstruct: bool, steps: "_Steps"
    ) -> SpooledConversion:
        n_calls = windowed.n_calls(self.model, len(source.mel))
        steps.enter("Converting", 0.25, 0.35, n_calls)
        content = windowed.encode_content(self.model, source.mel, source.mask, steps)
        # Pauses, noise and voices in the background are not converted: they would become louder.
        kept = source.kept
        mels, wavs, f0_hz = {"original": source.mel}, {}, {"original": source.f0[0]}
        if reconstruct:
            made = reconstruct_source(self.model, source, content, steps)
            mels["reconstructed"] = muted(made, kept, source.loud, source.power)
            f0_hz["reconstructed"] = source.f0[0] * kept
            steps.enter("Vocoding the reconstruction", 0.35, 0.65, len(windowed.windows(len(kept))))
            wavs["reconstructed"] = self._vocode(mels["reconstructed"], source.f0[0], len(source.wav), steps)
        power, f0, mask, loud, inside = source.power, source.f0, source.mask, source.loud, None
        vowel_f0 = source.vowel_f0
        if profile == STRICT:
            stride = self.prosody.stride
            change = windowed.code_change(content)
            timing = new_timing(change, kept, source.span, stride, float(self.prosody.rate), _random(seed))
            content = windowed.retimed(content, timing, stride)
            inside = timing.inside(len(kept))
            power, f0, mask, kept, loud = (timing.frames(x) for x in (power, f0, mask, kept, loud))
            mask, kept, loud = mask * inside, kept & inside, loud & inside
        if profile != PROSODY_KEPT:
            slow = slow_contour(f0 * _near(vowel_f0), vowel_f0) if profile == BALANCED else None
            prediction = windowed.predict_prosody(self.prosody, content, mask, slow)
            f0, vowel_f0 = predicted_f0(prediction, mask, voice.f0_stats), None
        made, f0 = convert_source(self.model, content, f0, mask, voice, steps, vowel_f0)
        if profile == STRICT:
            # Quiet frames fade like pauses: at the source's own level they would tell its room.
            kept, power = kept & ~quiet_frames(power, loud), None
        mels["converted"] = muted(made, kept, loud, power, inside)
        f0_hz["converted"] = f0[0] * kept
        steps.enter("Vocoding the new voice", 0.65 if reconstruct else 0.35, 1.0, len(windowed.windows(len(kept))))
        n_samples = len(kept) * HOP_SAMPLES if profile == STRICT else len(source.wav)
        wavs["converted"] = self._vocode(mels["converted"], f0[0], n_samples, steps)
        steps.enter("Done", 1.0)
        return SpooledConversion(profile, source.notes, None, wavs, mels, f0_hz, voice.notes)

    def _open(self, clip: Clip, steps: "_Steps") -> Source:
        """Read a recording of any length whose voice is converted: a tone has none."""
        if isinstance(clip, tuple):
            spool = audio.spool_blocks if isinstance(clip[0], Iterator) else audio.spool_array
            recording = spool(*clip, limits=self.limits)
        else:
            recording = audio.spool(clip, limits=self.limits, on_block=steps)
        return Source(recording.wav, recording.notes, self.device, steps)

    def _read(self, clip: Clip) -> Speech:
        is_array = isinstance(clip, tuple)
        recording = audio.spool_array(*clip, limits=audio.Limits()) if is_array else audio.read(clip)
        wav = recording.wav[:]
        require_speech(wav)
        return Speech.from_wav(wav, self.device, recording.notes)

    def _read_voice(self, clips: Clip | list[Clip]) -> list[Speech]:
        """Read the recordings of a voice: a tone has none."""
        several = clips if isinstance(clips, list) else [clips]
        if not several:
            raise UsageError("There is no recording of the voice. Give at least one.")
        recordings = [self._read(clip) for clip in several]
        for speech in recordings:
            require_varied(speech.wav)
        return recordings

    def _vocode(
        self, mel: Spool, f0: torch.Tensor, n_samples: int, on_window: Callable[[], None] = lambda: None
    ) -> Spool:
        """Vocode a (80, T) mel with F0 (T,): (N,) samples at -23 LUFS.

        The level does not depend on the source's, which would link recordings.
        """
        wav = Spool()
        for part in self.vocoder.parts(mel, f0):
            wav.append(part[: n_samples - len(wav)].cpu().numpy())
            on_window()
        return normalize(wav)


class _Steps:
    """Reports the steps of a conversion to a progress callback.

    It is called after each window, and reports no more than twice a second.
    """

    def __init__(self, progress: ProgressCallback | None, stage: str, start: float) -> None:
        self._tell = progress or (lambda stage, share: None)
        self._trimmed_at = time.monotonic()
        self.enter(stage, start)

    def enter(self, stage: str, start: float, stop: float | None = None, n_calls: int = 1) -> None:
        """A stage begins, that goes from one share of the work to another in about ``n_calls`` calls."""
        self._stage, self._start, self._stop = stage, start, start if stop is None else stop
        self._n_calls, self._done = n_calls, 0
        self._report()

    def __call__(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._trimmed_at >= _TRIM_EVERY_S:
            return_free_memory()
            self._trimmed_at = now
        if now - self._told_at >= _EVERY_S:
            self._report()

    def _report(self) -> None:
        self._tell(self._stage, self._start + (self._stop - self._start) * min(1.0, self._done / self._n_calls))
        self._told_at = time.monotonic()


def _load_prosody(model: Model, folder: Path | None, device: str) -> ProsodyPredictor | None:
    """The prosody predictor of a weights folder, if it has one."""
    if folder is None or not (folder / PROSODY).is_file():
        return None
    channels, stride = model.config.content_encoder.code_channels, model.config.content_stride
    return ProsodyPredictor.load(folder / PROSODY, channels, stride).to(device)


def _near(f0: torch.Tensor) -> torch.Tensor:
    """(1, T) of 0 and 1: the frames within 50 ms of voiced ones, which belong to the same sounds."""
    return F.max_pool1d((f0 > 0).to(f0), 2 * _NEAR_FRAMES + 1, 1, _NEAR_FRAMES)


def _random(seed: int | None) -> np.random.Generator:
    """Random numbers of a seed; None takes others every time."""
    return np.random.default_rng(None if seed is None else int.from_bytes(bits_of_seed(seed)))


def _register_of(f0: torch.Tensor) -> str:
    """The register of a (1, T) F0 track of vowels by its median; "any" if no frame is voiced."""
    if not f0.any():
        return "any"
    median_hz = 2 ** float(measure_f0_stats(f0[0].cpu())[0])
    return "lower" if median_hz < REGISTER_HZ else "higher"
