"""The networks of a :class:`~saic.model.model.Model` on a recording of any length, in bounded memory.

A layer at a time goes through the whole recording, in windows of at most 15 s::

    mel ─► windows with the frames beside them that a convolution needs ─► layer ─► spool ─► next layer
                                                                       │               ▲
                                                                       └─► mean and deviation
                                                                           over the whole recording

Instance normalization needs the statistics of the whole recording, which are known once the layer
before it is done. So the result is that of the whole recording at once, up to rounding, whatever the
windows are; the windows of attention are the phone encoder's own. What a layer gives is in a
:class:`~saic.spool.Spool`, on disk if it is long.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from saic.model import phone_encoder
from saic.model.content_encoder import ContentBlock, ConvolutionFront, PhoneEncoderFront, limit_deviations
from saic.model.decoder import FLICKER_REACH, DecoderBlock, pixel_shuffle, remove_flicker
from saic.model.layers import Moments, interpolate
from saic.model.model import Model
from saic.model.prosody import REACH_CODES, ProsodyPredictor
from saic.model.spectral_correction import CONTEXT_CODES as CORRECTION_REACH
from saic.model.spectral_correction import CorrectionExamples, mean_key, spectral_correction
from saic.model.timing import TimeMap, rate_of_change
from saic.signal.masking import RunningStatistics, average_pool, counted_frames, downsample_mask
from saic.spool import Spool

WINDOW_FRAMES = 1_200
"""Longest window of a layer, in its frames: 15 s at the frame rate of the mel."""

OnWindow = Callable[[], None]
"""Called after each window of each layer; an error that it raises ends the computation."""


def n_calls(model: Model, n_frames: int) -> int:
    """About how often :func:`encode_content` and :func:`decode` together call ``on_window``."""
    sizes = model.config.content_encoder.phone_encoder
    n_layers = 1.5 * len(model.content_encoder.blocks) + 3 * len(model.decoder.blocks)
    return round((n_layers + (2 * sizes.blocks + 4 if sizes else 8)) * len(windows(n_frames)))


def windows(n_frames: int, longest: int | None = None) -> list[tuple[int, int]]:
    """First and last frame of windows of equal length, as ``torch.tensor_split`` divides."""
    count = max(1, -(-n_frames // (longest or WINDOW_FRAMES)))
    size, n_longer = divmod(n_frames, count)
    edges = [k * size + min(k, n_longer) for k in range(count + 1)]
    return list(itertools.pairwise(edges))


def encode_content(model: Model, mel: Spool, mask: Tensor, on_window: OnWindow = lambda: None) -> Spool:
    """(1, C, ceil(T / stride)) content codes; see :meth:`Model.encode_content`.

    Parameters
    ----------
    mel
        (1, 80, T) log-mel.
    mask
        (1, 1, T) of 0 and 1: speech frames.
    """
    encoder = model.content_encoder
    level = model.level(_statistics(mel, mask).masked_statistics()[0])
    normalized = _layer(mel, lambda x: model.standardize(model.at_usual_level(x, level)), on_window)
    front = _phone_front if isinstance(encoder.front, PhoneEncoderFront) else _convolution_front
    x, code_mask = front(encoder.front, normalized, mask, on_window)
    for block in encoder.blocks:
        x, code_mask = _content_block(block, x, code_mask, on_window)
    if encoder.detail is None:
        return _layer(x, encoder.out, on_window)
    known = _statistics(normalized, mask).masked_statistics()

    def with_detail(x: Tensor, mel: Tensor) -> Tensor:
        detail = limit_deviations(encoder.norm(mel, None, known))
        return torch.cat([encoder.out(x), encoder.detail(average_pool(detail, encoder.stride))], dim=1)

    return _spooled(_over([x, normalized], with_detail, on_window))


def encode_speaker(model: Model, mel: Spool, mask: Tensor, on_window: OnWindow = lambda: None) -> Tensor:
    """(1, E) speaker embedding; arguments as for :func:`encode_content`."""
    encoder = model.speaker_encoder

    def features(x: Tensor) -> Tensor:
        return encoder.features(model.standardize(x))

    parts = _over([mel], features, on_window, encoder.reach, stride=encoder.stride)
    statistics = _statistics_of(parts, encoder.downsample(mask))
    return encoder.pool(*statistics.masked_statistics())


def decode(
    model: Model, content: Spool, embedding: Tensor, f0: Tensor, mask: Tensor, on_window: OnWindow = lambda: None
) -> Spool:
    """(1, 80, T) log-mel; see :meth:`Model.decode`.

    Parameters
    ----------
    content
        (1, C, ceil(T / stride)) content codes.
    embedding
        (1, E).
    f0
        (1, T) F0 of the output in Hz, 0 where unvoiced.
    mask
        (1, 1, T) of 0 and 1: speech frames.
    """
    decoder, n_frames, stride = model.decoder, f0.shape[-1], model.decoder.stride
    condition = decoder.dense(model.speaker_encoder.renormalized(embedding))
    padding = (0, -n_frames % stride)
    f0, mask = Spool.of(F.pad(f0, padding)), F.pad(mask, padding)
    x = _layer(content, decoder.lead, on_window, decoder.lead.reach)
    for i, block in enumerate(decoder.blocks):
        block_mask, stride = downsample_mask(mask, stride), stride // block.upsampling
        harmonics = f0 if i == decoder.last_upsampling else None
        masks = block_mask, downsample_mask(mask, stride)
        x = _decoder_block(block, x, condition, masks, on_window, harmonics, decoder.harmonics)

    def last(x: Tensor) -> Tensor:
        return remove_flicker(decoder.out(x)) * model.mel_std + model.mel_mean

    out = _over([x], last, on_window, decoder.out.reach + FLICKER_REACH)
    return _spooled(_until(out, n_frames))


def mel_statistics(mel: Spool, mask: Tensor) -> RunningStatistics:
    """Mean and covariance of a (1, 80, T) log-mel over the speech frames of a (1, 1, T) mask."""
    return _statistics(mel, mask, with_covariance=True)


def predict_prosody(predictor: ProsodyPredictor, content: Spool, mask: Tensor, slow: Tensor | None) -> Tensor:
    """(1, 2, T) contour and voicing; see :meth:`ProsodyPredictor.forward`."""
    inputs = [content, Spool.of(mask)] + ([] if slow is None else [Spool.of(slow)])
    parts = _over(inputs, predictor, None, REACH_CODES, up=predictor.stride)
    return torch.cat(list(_until(parts, mask.shape[-1])), dim=-1)


def code_change(content: Spool) -> Tensor:
    """(L,) :func:`saic.model.timing.rate_of_change` of (1, C, L) codes."""
    return torch.cat([part[0] for part in _over([content], rate_of_change, reach=1)])


def retimed(content: Spool, timing: TimeMap, stride: int) -> Spool:
    """(1, C, L) content codes with a new timing, interpolated linearly at :meth:`TimeMap.code_places`."""
    places = timing.code_places(len(content), stride)
    return _spooled(_interpolated(content, places[a:b]) for a, b in windows(len(places)))


def correction_parts(
    content: Spool, mask: Tensor, examples: CorrectionExamples, on_window: OnWindow = lambda: None
) -> Iterator[Tensor]:
    """Parts (80, n) of :func:`saic.model.spectral_correction.spectral_correction`; arguments as there."""
    n_codes, n_frames = len(content), mask.shape[-1]
    stride = -(-n_frames // n_codes)

    def with_neighbors() -> Iterator[tuple[Tensor, Tensor]]:
        speech = downsample_mask(mask, stride)
        for a, b in windows(n_codes):
            part = content[max(a - 1, 0) : b + 1]
            yield F.pad(part, (int(a == 0), int(b == n_codes)), mode="replicate"), speech[..., a:b]

    mean = mean_key(with_neighbors())

    def correction(content: Tensor, mask: Tensor) -> Tensor:
        return spectral_correction(content[0], mask[0, 0], examples, mean)

    yield from _until(_over([content, Spool.of(mask)], correction, on_window, CORRECTION_REACH, up=stride), n_frames)


def _phone_front(front: PhoneEncoderFront, mel: Spool, mask: Tensor, on_window: OnWindow) -> tuple[Spool, Tensor]:
    n_codes, mask = -(-len(mel) // front.stride), downsample_mask(mask, front.stride)
    features = _phone_features(front.phone_encoder, mel, on_window)

    def at_codes() -> Iterator[Tensor]:
        for a, b in windows(n_codes):
            places = (phone_encoder.code_places(a, b, front.stride, len(x)) for x in features)
            yield torch.cat([_interpolated(x, at) for x, at in zip(features, places, strict=True)], dim=1)
            on_window()

    # Interpolated twice: they are larger than what all other layers give.
    known = _statistics_of(at_codes(), mask).masked_statistics()
    return _spooled(front.mix(front.norm(x, None, known)) for x in at_codes()), mask


def _phone_features(encoder: phone_encoder.PhoneEncoder, mel: Spool, on_window: OnWindow) -> list[Spool]:
    """(1, C, T') outputs of all blocks but the first."""
    x = _spooled(_lead(mel, lambda x: F.gelu(encoder.lead(encoder.to_own_mel(x))), on_window))
    features = []
    for block in encoder.blocks:
        x = _spooled(_over([x], _over_time(block.attend), on_window, longest=phone_encoder.WINDOW))
        x = _layer(x, _over_time(block.convolve), on_window, block.convolution.depthwise.kernel_size[0] // 2)
        features.append(x)
    return features[1:]


def _lead(mel: Spool, layer: Callable[[Tensor], Tensor], on_window: OnWindow) -> Iterator[Tensor]:
    """A layer with a stride of 2 on the mel at 100 frames per s: parts (1, C, n), 50 frames per s."""
    n_own, margin, stride = phone_encoder.recognizer_length(len(mel)), 4, phone_encoder.STRIDE
    for a, b in windows(-(-n_own // stride)):
        first, last = max(0, stride * a - margin), min(n_own, stride * b + margin)
        y = layer(_interpolated(mel, phone_encoder.recognizer_places(first, last, len(mel))))
        yield y[..., a - first // stride : b - first // stride]
        on_window()


def _convolution_front(front: ConvolutionFront, mel: Spool, mask: Tensor, on_window: OnWindow) -> tuple[Spool, Tensor]:
    known = _statistics(mel, mask).masked_statistics()

    def bank(x: Tensor) -> Tensor:
        return front.bank(limit_deviations(front.norm(x, None, known)))

    x, second = _measured(_over([mel], bank, on_window, front.bank.reach), mask)
    x = _layer(x, lambda x: front.norm(x, None, second), on_window)
    for block in front.blocks:
        x, mask = _content_block(block, x, mask, on_window)
    return x, mask


def _content_block(block: ContentBlock, x: Spool, mask: Tensor, on_window: OnWindow) -> tuple[Spool, Tensor]:
    y, first = _measured(_over([x], block.conv1, on_window, block.conv1.reach), mask)
    mask = downsample_mask(mask, block.stride)

    def between(y: Tensor) -> Tensor:
        return block.conv2(F.relu(block.norm(y, None, first)))

    def after(y: Tensor, x: Tensor) -> Tensor:
        return average_pool(x, block.stride) + F.relu(block.norm(y, None, second))

    y, second = _measured(_over([y], between, on_window, block.conv2.reach, stride=block.stride), mask)
    return _spooled(_over([y, x], after)), mask


def _decoder_block(
    block: DecoderBlock,
    x: Spool,
    condition: Tensor,
    masks: tuple[Tensor, Tensor],
    on_window: OnWindow,
    f0: Spool | None,
    harmonics: Callable[[Tensor], Tensor],
) -> Spool:
    up = block.upsampling
    y, first = _measured(_over([x], block.conv1, on_window, block.conv1.reach), masks[0])

    def between(y: Tensor) -> Tensor:
        return pixel_shuffle(block.conv2(F.relu(block.adain1(y, condition, None, first))), up)

    def after(x: Tensor, y: Tensor, *hz: Tensor) -> Tensor:
        x = x.repeat_interleave(up, dim=-1) + F.relu(block.adain2(y, condition, None, second))
        return x + harmonics(hz[0]) if hz else x

    y, second = _measured(_over([y], between, on_window, block.conv2.reach, up=up), masks[1])
    return _spooled(_over([x, y] if f0 is None else [x, y, f0], after, on_window, up=up))


def _over(
    inputs: Sequence[Spool],
    layer: Callable[..., Tensor],
    on_window: OnWindow | None = None,
    reach: int = 0,
    *,
    stride: int = 1,
    up: int = 1,
    longest: int | None = None,
) -> Iterator[Tensor]:
    """The parts of what a layer gives for a recording.

    Parameters
    ----------
    inputs
        Of the layer. Those after the first may have a higher frame rate.
    reach
        Frames of the first input, on each side, that an output frame depends on.
    stride, up
        Factors from the frame rate of the first input to that of the output, down and up.
    """
    first_length = len(inputs[0])
    n_frames, margin = -(-first_length // stride), -(-reach // stride)
    rates = [stride * -(-len(x) // first_length) for x in inputs]
    for a, b in windows(n_frames, longest or WINDOW_FRAMES // stride):
        first, last = max(0, a - margin), min(n_frames, b + margin)
        y = layer(*(x[first * rate : last * rate] for x, rate in zip(inputs, rates, strict=True)))
        yield y[..., (a - first) * up : (b - first) * up]
        if on_window is not None:
            on_window()


def _layer(x: Spool, layer: Callable[[Tensor], Tensor], on_window: OnWindow, reach: int = 0) -> Spool:
    return _spooled(_over([x], layer, on_window, reach))


def _over_time(layer: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A layer of (1, n, C) as one of (1, C, n)."""
    return lambda x: layer(x.transpose(1, 2)).transpose(1, 2)


def _spooled(parts: Iterable[Tensor]) -> Spool:
    return Spool().extend(parts)


def _until(parts: Iterable[Tensor], n_frames: int) -> Iterator[Tensor]:
    """The parts up to a frame."""
    place = 0
    for part in parts:
        yield part[..., : n_frames - place]
        place += part.shape[-1]


def _interpolated(x: Spool, places: Tensor) -> Tensor:
    """A spool's values at ascending fractional places."""
    first = int(places[0])
    part = x[first : int(places[-1]) + 2]
    return interpolate(part, (places - first).to(part.device))


def _measured(parts: Iterable[Tensor], mask: Tensor) -> tuple[Spool, Moments]:
    """Parts as a spool, and their statistics over speech frames."""
    spool, statistics = Spool(), RunningStatistics()
    for part, weight in _weighted(parts, mask):
        spool.append(part)
        statistics.add(part, weight)
    return spool, statistics.masked_statistics()


def _statistics(spool: Spool, mask: Tensor, with_covariance: bool = False) -> RunningStatistics:
    return _statistics_of(_over([spool], lambda x: x), mask, with_covariance)


def _statistics_of(parts: Iterable[Tensor], mask: Tensor, with_covariance: bool = False) -> RunningStatistics:
    statistics = RunningStatistics(with_covariance)
    for part, weight in _weighted(parts, mask):
        statistics.add(part, weight)
    return statistics


def _weighted(parts: Iterable[Tensor], mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    counted, place = counted_frames(mask), 0
    for part in parts:
        yield part, counted[..., place : place + part.shape[-1]]
        place += part.shape[-1]
