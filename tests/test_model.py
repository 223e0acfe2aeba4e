"""The model and its parts: lengths, masks, normalization, F0, saving and loading, config."""

import json

import pytest
import torch

from saic.config import Config
from saic.conversion import Voice, convert_mel
from saic.errors import ConfigError, WeightsError
from saic.migration import (
    CONFIG_KEYS,
    FORMAT_VERSION,
    LAST_RELEASES,
    OLD_FORMAT_VERSION,
    REMOVED_KEYS,
    migrate_tensors,
)
from saic.model.decoder import remove_flicker
from saic.model.model import Model
from saic.signal.f0 import (
    measure_f0_stats,
    transpose_f0,
)
from saic.signal.masking import masked_statistics
from saic.signal.mel_statistics import measure_mel_statistics
from saic.weights import write_sums

TINY = {
    "content_encoder": {"channels": 8, "bank_kernels": 2, "code_channels": 4, "phone_encoder": None},
    "speaker_encoder": {"channels": 8, "bank_kernels": 2, "embedding_size": 6},
    "decoder": {"channels": 8},
}


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model(Config.from_dict(TINY)).eval().requires_grad_(False)


def converted(
    model: Model, source: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Convert a (B, 80, T) source to the voice of a (B, 80, T') target: (B, 80, T)."""
    mask = torch.ones_like(source[:, :1]) if mask is None else mask
    f0 = torch.full_like(source[:, 0], 120.0)
    speaker = model.encode_speaker(target)
    voice = Voice(speaker, model.predict_f0_stats(speaker), measure_mel_statistics(target))
    return convert_mel(model, model.encode_content(source, mask), f0, mask, voice)[0]


@pytest.mark.parametrize("n_frames", [1, 2, 3, 5, 40, 41, 42, 43, 301])
def test_conversion_has_as_many_frames_as_the_source(model: Model, n_frames: int) -> None:
    source, target = torch.randn(2, 80, n_frames), torch.randn(2, 80, 57)
    mask = (torch.rand(2, 1, n_frames) > 0.3).float()
    assert converted(model, source, target).shape == source.shape
    assert converted(model, source, target, mask).shape == source.shape


def test_conversion_at_content_stride_8_has_as_many_frames_as_the_source() -> None:
    sizes = {**TINY, "decoder": {"channels": 8, "upsampling": [2, 1, 2, 1, 2, 1]}}
    sizes["content_encoder"] = {**TINY["content_encoder"], "strides": [1, 2, 1, 2, 1, 2]}
    model = Model(Config.from_dict(sizes)).eval()
    assert converted(model, torch.randn(1, 80, 99), torch.randn(1, 80, 20)).shape == (1, 80, 99)
    assert model.encode_content(torch.randn(1, 80, 99)).shape == (1, 4, 13)


def test_instance_norm_gives_every_clip_the_mean_zero(model: Model) -> None:
    """So nothing that is constant over a clip can set the mean of its content codes."""
    encoder, one, other = model.content_encoder, torch.randn(1, 80, 200), 3 * torch.randn(1, 80, 200) + 2
    for mel in (one, other):
        normalized = encoder.front.norm(encoder.front.bank(mel), None)
        torch.testing.assert_close(normalized.mean(dim=-1), torch.zeros(1, 8), atol=1e-4, rtol=0)


def test_scale_and_offset_of_mel_bands_do_not_change_content_codes(model: Model) -> None:
    mel = torch.randn(1, 80, 120, generator=torch.Generator().manual_seed(0))
    offset, scale = torch.linspace(-1, 2, 80)[:, None], torch.linspace(0.5, 2, 80)[:, None]
    codes, changed = model.encode_content(mel), model.encode_content(mel * scale + offset)
    torch.testing.assert_close(changed, codes, atol=1e-3, rtol=0)
    assert (model.encode_content(mel.roll(7, dims=-1)) - codes).abs().max() > 0.1


def test_without_instance_norm_the_offset_of_mel_bands_changes_content_codes(model: Model) -> None:
    """The ablation ``instance_norm: false`` has an effect."""
    settings = model.config.content_encoder.model_copy(update={"instance_norm": False})
    without_norm = Model(model.config.model_copy(update={"content_encoder": settings})).eval()
    without_norm.load_state_dict(model.state_dict())
    mel = torch.randn(1, 80, 120, generator=torch.Generator().manual_seed(0))
    offset = torch.linspace(-1, 1, 80)[:, None]
    assert (without_norm.encode_content(mel + offset) - without_norm.encode_content(mel)).abs().max() > 0.1


def test_band_with_energy_only_in_pauses_does_not_dominate_content_codes(model: Model) -> None:
    mel = torch.randn(1, 80, 120, generator=torch.Generator().manual_seed(0))
    mel[:, 70:] = -11.5  # above a codec's cutoff
    mask = (torch.arange(120) < 80).float().expand(1, 1, 120)
    noisy_mel = mel.clone()
    noisy_mel[:, 70:, 80:] = -5.0
    codes, noisy_codes = (model.encode_content(x, mask) for x in (mel, noisy_mel))
    # Normalized by the deviation over speech, the noise is about 2,000 deviations from the mean.
    assert (noisy_codes - codes).abs().max() < 20 * codes.std()


def test_transposed_f0_has_the_statistics_of_the_target_and_the_contour_of_the_source(model: Model) -> None:
    contour = 100 * 2 ** (0.2 * torch.sin(torch.arange(400) / 20))
    f0 = torch.where(torch.arange(400) % 50 < 30, contour, 0)[None]
    speaker = torch.randn(1, 6)
    transposed = transpose_f0(f0, model.predict_f0_stats(speaker))
    assert torch.equal(transposed > 0, f0 > 0)
    median, spread = measure_f0_stats(transposed[0])
    target = model.predict_f0_stats(speaker)[0]
    assert abs(median - target[0]) < 0.01
    own_spread = measure_f0_stats(f0[0])[1]
    assert abs(spread / own_spread - (target[1] / own_spread).clamp(0.7, 1.4)) < 0.02
    voiced = f0[0] > 0
    assert torch.corrcoef(torch.stack([f0[0, voiced].log(), transposed[0, voiced].log()]))[0, 1] > 0.999
    assert transpose_f0(torch.zeros(1, 9), model.predict_f0_stats(speaker)).eq(0).all()


def test_decoder_output_depends_on_f0(model: Model) -> None:
    content, speaker = torch.randn(1, 4, 100 // model.config.content_stride), torch.randn(1, 6)
    low, high = (model.decode(content, speaker, torch.full((1, 100), hz)) for hz in (90.0, 210.0))
    assert (low - high).abs().mean() > 0.01


def test_masked_statistics_do_not_depend_on_frames_outside_the_mask() -> None:
    x = torch.randn(2, 3, 50)
    mask = torch.ones(2, 1, 50)
    mask[..., 30:] = 0
    changed = x.clone()
    changed[..., 30:] = 1e3
    for original, altered in zip(masked_statistics(x, mask), masked_statistics(changed, mask), strict=True):
        torch.testing.assert_close(original, altered)
    mean, std = masked_statistics(x[..., :30], None)
    torch.testing.assert_close(masked_statistics(x, mask)[0], mean)
    torch.testing.assert_close(std, (x[..., :30].var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt())


def test_masked_statistics_without_speech_frames_use_all_frames() -> None:
    x = torch.randn(1, 3, 10)
    torch.testing.assert_close(masked_statistics(x, torch.zeros(1, 1, 10)), masked_statistics(x, None))


def test_saved_weights_load_unchanged_and_an_altered_file_raises_weights_error(model: Model, tmp_path) -> None:
    model.save_pretrained(tmp_path, half=False)
    loaded = Model.from_pretrained(tmp_path)
    mel = torch.randn(1, 80, 33)
    torch.testing.assert_close(converted(loaded, mel, mel), converted(model, mel, mel))
    assert loaded.config == model.config

    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="differs from its hash"):
        Model.from_pretrained(tmp_path)


def test_weights_of_other_sizes_than_the_config_or_a_missing_folder_raise_weights_error(model: Model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["decoder"]["channels"] = 12
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_sums(tmp_path)
    with pytest.raises(WeightsError, match="do not fit"):
        Model.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="no such weights folder"):
        Model.from_pretrained(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        *(
            (old, rf"format {old}.*5 or 6\. Install SAIC {last}, the last .* train")
            for old, last in LAST_RELEASES.items()
        ),
        (FORMAT_VERSION + 1, r"format 7.*5 or 6\. Install a newer version"),
        (0, "unknown format.*5 or 6"),
        ("4", "unknown format.*5 or 6"),
    ],
)
def test_weights_of_another_format_raise_weights_error_with_what_to_do(
    model: Model, tmp_path, found: object, remedy: str
) -> None:
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"format_version": found}))
    write_sums(tmp_path)
    with pytest.raises(WeightsError, match=remedy):
        Model.from_pretrained(tmp_path)


def test_every_format_is_read_or_has_a_last_release() -> None:
    assert [*LAST_RELEASES, OLD_FORMAT_VERSION, FORMAT_VERSION] == list(range(1, FORMAT_VERSION + 1))


def test_invalid_config_raises_config_error_with_the_key_and_the_valid_keys() -> None:
    with pytest.raises(ConfigError, match=r"'decoder\.chanels'.*channels, kernel, upsampling"):
        Config.from_dict({"decoder": {"chanels": 8}})
    with pytest.raises(ConfigError, match=r"stage1\.noise_std"):
        Config.from_dict({"stage1": {"noise_std": -1}})
    with pytest.raises(ConfigError, match="must agree"):
        Config.from_dict({"decoder": {"upsampling": [2, 2, 2]}})
    assert Config.from_dict(Config().to_dict()) == Config()


@pytest.mark.parametrize(
    "text",
    [
        "seed: 1  # \udce9",
        "seed: 2026-02-30",
        "a: " + "[" * 3_000,
        "seed: -1",
        "stage2: {augmentation: {vtlp_factors: [0.0]}}",
        "vocoder_training: {windows: [0]}",
        "vocoder_training: {windows: [4096], segment_frames: 16}",
        "perceptual: {channels: []}",
        "perceptual: {channels: [4, 8, 8, 8, 8]}",
        "seed: 20240101120000",
        "parallel_speech: {voices: 2, voices_per_sentence: 3}",
        "speaker_encoder: {tdnn: {dilations: [0]}}",
    ],
)
def test_config_file_that_no_training_could_use_raises_config_error(tmp_path, text: str) -> None:
    (tmp_path / "config.yaml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError):
        Config.from_yaml(tmp_path / "config.yaml")


OLD_NAMES = {
    "format_version": 5,
    "content_encoder": {"channels": 8, "bank_kernels": 2, "code_channels": 4, "listener": None},
    "speaker_encoder": {"channels": 8, "bank_kernels": 2, "embedding_size": 6},
    "decoder": {"channels": 8, "correlation_share": 0.5, "likeness_share": 0.25},
    "stage2": {
        "codes_first": 3,
        "listener_pace": 0.5,
        "words_share": 0.2,
        "disguise": {"warps": [1.0], "targets": 0.1},
    },
    "vocoder": {"layers": 2, "steps": 7, "words": 0.1, "hardened_share": 0.2},
}


def test_config_of_version_0_9_loads_under_the_new_names() -> None:
    config = Config.from_dict(OLD_NAMES)
    assert config.content_encoder.phone_encoder is None
    assert (config.conversion.correlation_share, config.conversion.spectral_correction_share) == (0.5, 0.25)
    stage = config.stage2
    assert (stage.distill_steps, stage.phone_encoder_lr_scale, stage.phone_loss_share) == (3, 0.5, 0.2)
    assert (stage.augmentation.vtlp_factors, stage.augmentation.target_share) == ((1.0,), 0.1)
    assert (config.vocoder.layers, config.vocoder_training.steps) == (2, 7)
    assert (config.vocoder_training.phone_loss_weight, config.vocoder_training.blurred_share) == (0.1, 0.2)
    assert Config.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="codes_first"):  # both names of one key
        Config.from_dict({"stage2": {"codes_first": 1, "distill_steps": 1}})


def test_saved_config_loads_without_the_keys_that_are_constants_now_and_a_new_config_may_not_have_them() -> None:
    saved = Config().to_dict()
    saved["stage2"]["code_noise"] = 0.0
    saved["speaker_training"] |= {"teacher_weight": 10.0, "margin": 0.2, "scale": 30.0}
    saved["vocoder_training"]["gain_db"] = [-20.0, 6.0]
    assert Config.from_dict(saved) == Config()
    assert Config.from_dict({"format_version": 5, "vocoder": {"gain_db": [-20.0, 6.0]}}) == Config()
    for key in REMOVED_KEYS:
        section, name = key.split(".")
        with pytest.raises(ConfigError, match=name):
            Config.from_dict({section: {name: 1.0}})


def test_every_new_name_of_the_migration_is_a_config_key() -> None:
    values = Config().to_dict()
    for new in CONFIG_KEYS.values():
        section = values
        for key in new.split("."):
            assert key in section, new
            section = section[key]


def test_tensors_of_version_0_9_load_under_the_new_names() -> None:
    names = ("content_encoder.front.listener.lead.weight", "decoder.voice.conv.bias", "voice.conv.bias", "register")
    assert list(migrate_tensors(dict.fromkeys(names))) == [
        "content_encoder.front.phone_encoder.lead.weight",
        "decoder.pitch_projection.conv.bias",
        "pitch_projection.conv.bias",
        "f0_stats",
    ]
    unchanged = Model(Config.from_dict(TINY)).state_dict()
    assert migrate_tensors(unchanged).keys() == unchanged.keys()


def test_decoder_output_does_not_alternate_from_frame_to_frame(model: Model) -> None:
    """The taps remove the highest frequency of the frames and leave slow changes as they are."""
    alternating = (-1.0) ** torch.arange(40)
    slow = torch.sin(torch.arange(40) * torch.pi / 40 * 5)
    assert remove_flicker((3 + alternating).expand(1, 80, -1))[..., 2:-2].sub(3).abs().max() < 1e-6
    assert remove_flicker(slow.expand(1, 80, -1)).sub(slow)[..., 2:-2].abs().max() < 0.01
    made = model.decoder(torch.randn(1, 4, 30), torch.randn(1, 6), torch.zeros(1, 60))
    middle = made[..., 4:-4]
    window = torch.hann_window(middle.shape[-1], periodic=False)
    spectrum = torch.fft.rfft((middle - middle.mean(dim=-1, keepdim=True)) * window).abs()
    assert spectrum[..., -1].max() < 0.05 * spectrum.max()
