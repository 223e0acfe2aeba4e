"""The parts and the model: lengths, masks, statistics, save and load."""

import json

import pytest
import torch

from saic.config import Config
from saic.errors import ConfigError, WeightsError
from saic.model.content_encoder import ContentEncoder
from saic.model.model import Model
from saic.signal.f0 import (
    measure_f0_stats,
    transpose_f0,
)
from saic.signal.masking import masked_statistics
from saic.weights import write_sums

TINY = {
    "content_encoder": {"channels": 8, "bank_kernels": 2, "code_channels": 4, "listener": None},
    "speaker_encoder": {"channels": 8, "bank_kernels": 2, "embedding_size": 6},
    "decoder": {"channels": 8},
}


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model(Config.from_dict(TINY)).eval().requires_grad_(False)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 5, 40, 41, 42, 43, 301])
def test_output_has_exactly_the_frames_of_the_source(model: Model, n_frames: int) -> None:
    source, target = torch.randn(2, 80, n_frames), torch.randn(2, 80, 57)
    mask = (torch.rand(2, 1, n_frames) > 0.3).float()
    f0 = torch.full((2, n_frames), 120.0)
    assert model(source, target, f0).shape == source.shape
    assert model(source, target, f0, mask).shape == source.shape


def test_stride_8_keeps_the_length_too() -> None:
    sizes = {**TINY, "decoder": {"channels": 8, "upsampling": [2, 1, 2, 1, 2, 1]}}
    sizes["content_encoder"] = {**TINY["content_encoder"], "strides": [1, 2, 1, 2, 1, 2]}
    model = Model(Config.from_dict(sizes)).eval()
    assert model(torch.randn(1, 80, 99), torch.randn(1, 80, 20), torch.zeros(1, 99)).shape == (1, 80, 99)
    assert model.encode_content(torch.randn(1, 80, 99)).shape == (1, 4, 13)


def test_the_content_codes_of_a_clip_have_a_mean_that_no_clip_can_set(model: Model) -> None:
    """Instance norm closes every way round it: what is constant over a clip cannot reach the codes' mean."""
    encoder, one, other = model.content_encoder, torch.randn(1, 80, 200), 3 * torch.randn(1, 80, 200) + 2
    for mel in (one, other):
        normalized, _ = encoder.front.norm(encoder.front.bank(mel), None)
        torch.testing.assert_close(normalized.mean(dim=-1), torch.zeros(1, 8), atol=1e-4, rtol=0)


def test_the_colour_and_level_of_a_recording_change_no_content_code(model: Model) -> None:
    mel = torch.randn(1, 80, 120, generator=torch.Generator().manual_seed(0))
    colour, contrast = torch.linspace(-1, 2, 80)[:, None], torch.linspace(0.5, 2, 80)[:, None]
    before, after = model.encode_content(mel), model.encode_content(mel * contrast + colour)
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    assert (model.encode_content(mel.roll(7, dims=-1)) - before).abs().max() > 0.1


def test_without_instance_norm_the_colour_passes(model: Model) -> None:
    """So that the ablation is one."""
    parts = model.config.content_encoder.model_copy(update={"instance_norm": False})
    bare = Model(model.config.model_copy(update={"content_encoder": parts})).eval()
    bare.load_state_dict(model.state_dict())
    mel = torch.randn(1, 80, 120, generator=torch.Generator().manual_seed(0))
    colour = torch.linspace(-1, 1, 80)[:, None]
    assert (bare.encode_content(mel + colour) - bare.encode_content(mel)).abs().max() > 0.1


def test_a_band_that_only_pauses_fill_does_not_drown_the_others(model: Model) -> None:
    mel = torch.randn(1, 80, 120, generator=torch.Generator().manual_seed(0))
    mel[:, 70:] = -11.5  # above a codec's edge
    mask = (torch.arange(120) < 80).float().expand(1, 1, 120)
    hiss = mel.clone()
    hiss[:, 70:, 80:] = -5.0
    quiet, noisy = (model.encode_content(x, mask) for x in (mel, hiss))
    assert (noisy - quiet).abs().max() < 20 * quiet.std()  # not the thousands that the hiss is away


def test_pitch_moves_to_the_other_voice_and_its_melody_stays(model: Model) -> None:
    melody = 100 * 2 ** (0.2 * torch.sin(torch.arange(400) / 20))
    f0 = torch.where(torch.arange(400) % 50 < 30, melody, 0)[None]
    speaker = torch.randn(1, 6)
    moved = transpose_f0(f0, model.pitch_of(speaker))
    assert torch.equal(moved > 0, f0 > 0)
    median, spread = measure_f0_stats(moved[0])
    wanted = model.pitch_of(speaker)[0]
    assert abs(median - wanted[0]) < 0.01
    own_spread = measure_f0_stats(f0[0])[1]
    assert abs(spread / own_spread - (wanted[1] / own_spread).clamp(0.7, 1.4)) < 0.02
    voiced = f0[0] > 0
    assert torch.corrcoef(torch.stack([f0[0, voiced].log(), moved[0, voiced].log()]))[0, 1] > 0.999
    assert transpose_f0(torch.zeros(1, 9), model.pitch_of(speaker)).eq(0).all()


def test_the_decoder_hears_the_pitch_it_is_given(model: Model) -> None:
    content, speaker = torch.randn(1, 4, 100 // model.config.content_stride), torch.randn(1, 6)
    low, high = (model.decode(content, speaker, torch.full((1, 100), hz)) for hz in (90.0, 210.0))
    assert (low - high).abs().mean() > 0.01


def test_frames_outside_the_mask_do_not_enter_the_statistics() -> None:
    x = torch.randn(2, 3, 50)
    mask = torch.ones(2, 1, 50)
    mask[..., 30:] = 0
    changed = x.clone()
    changed[..., 30:] = 1e3
    for one, other in zip(masked_statistics(x, mask), masked_statistics(changed, mask), strict=True):
        torch.testing.assert_close(one, other)
    mean, std = masked_statistics(x[..., :30], None)
    torch.testing.assert_close(masked_statistics(x, mask)[0], mean)
    torch.testing.assert_close(std, (x[..., :30].var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt())


def test_a_clip_without_speech_frames_uses_all_of_them() -> None:
    x = torch.randn(1, 3, 10)
    torch.testing.assert_close(masked_statistics(x, torch.zeros(1, 1, 10)), masked_statistics(x, None))


def test_a_chunk_with_the_whole_clips_statistics_gives_the_whole_clips_codes(model: Model) -> None:
    encoder: ContentEncoder = model.content_encoder
    mel = torch.randn(1, 80, 1200)
    whole, statistics = encoder(mel)
    stride = model.config.content_stride
    margin = -(-encoder.receptive_field // stride) * stride
    first, last = 400, 800
    chunk, _ = encoder(mel[..., first - margin : last + margin], statistics=statistics)
    inner = chunk[..., margin // stride : (margin + last - first) // stride]
    torch.testing.assert_close(inner, whole[..., first // stride : last // stride], atol=1e-5, rtol=1e-4)


def test_the_decoder_too_goes_in_chunks(model: Model) -> None:
    decoder, stride = model.decoder, model.config.content_stride
    content, speaker = torch.randn(1, 4, 1200 // stride), torch.randn(1, 6)
    f0 = torch.full((1, 1200), 130.0)
    whole, statistics = decoder(content, speaker, f0)
    margin = -(-decoder.receptive_field // stride) * stride
    first, last = 400, 800
    codes = content[..., (first - margin) // stride : (last + margin) // stride]
    chunk, _ = decoder(codes, speaker, f0[:, first - margin : last + margin], statistics=statistics)
    torch.testing.assert_close(chunk[..., margin:-margin], whole[..., first:last], atol=1e-5, rtol=1e-4)


def test_what_lies_beyond_the_receptive_field_changes_nothing(model: Model) -> None:
    """The stated fields are true: with fixed statistics a far frame has no effect, and some near one has."""
    encoder = model.content_encoder
    mel = torch.randn(1, 80, 800)
    before, statistics = encoder(mel)
    for distance, moves in ((encoder.receptive_field, False), (encoder.receptive_field // 4, True)):
        changed = mel.clone()
        changed[..., 400 + distance] += 100
        after, _ = encoder(changed, statistics=statistics)
        assert bool((after - before)[..., 400 // model.config.content_stride].abs().max() > 1e-6) == moves


def test_saved_weights_come_back_and_are_verified(model: Model, tmp_path) -> None:
    model.save_pretrained(tmp_path, half=False)
    again = Model.from_pretrained(tmp_path)
    mel, f0 = torch.randn(1, 80, 33), torch.full((1, 33), 150.0)
    torch.testing.assert_close(again(mel, mel, f0), model(mel, mel, f0))
    assert again.config == model.config

    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="differs from its hash"):
        Model.from_pretrained(tmp_path)


def test_weights_that_do_not_fit_their_config_are_refused(model: Model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["decoder"]["channels"] = 12
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_sums(tmp_path)
    with pytest.raises(WeightsError, match="do not fit"):
        Model.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="no such weights folder"):
        Model.from_pretrained(tmp_path / "elsewhere")


def test_weights_of_another_format_say_so(model: Model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format_version": 1}))
    write_sums(tmp_path)
    with pytest.raises(WeightsError, match=r"format 1.*format 5"):
        Model.from_pretrained(tmp_path)


def test_config_is_strict_and_explains_itself() -> None:
    with pytest.raises(ConfigError, match=r"'decoder\.chanels'.*channels, kernel, upsampling"):
        Config.from_dict({"decoder": {"chanels": 8}})
    with pytest.raises(ConfigError, match=r"stage1\.noise_std"):
        Config.from_dict({"stage1": {"noise_std": -1}})
    with pytest.raises(ConfigError, match="must agree"):
        Config.from_dict({"decoder": {"upsampling": [2, 2, 2]}})
    assert Config.from_dict(Config().to_dict()) == Config()
