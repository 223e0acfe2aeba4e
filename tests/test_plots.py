"""The figures: what they show, that they can be read, and that they leave no state behind."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from saic.evaluation import plots
from saic.pipeline import Embedding
from saic.plots import PANELS, embedding_maps, mel_comparison, same_voice_rate, voice_style
from saic.signal.mel import log_mel
from tests.conftest import RATE, voice
from tests.fakes import FakePipeline, fake_gallery

TELEPHONE_PX = 340  # what a 390-pixel page leaves for a figure


def mel_of(wav: np.ndarray) -> np.ndarray:
    return log_mel(torch.from_numpy(wav.astype(np.float32))).numpy()


def tone(hz: float, duration_s: float, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(int(duration_s * RATE)) / RATE)


@pytest.fixture(scope="module")
def mel_figure() -> Figure:
    loud, quiet = mel_of(tone(1000, 2.0)), mel_of(tone(1000, 3.0, level=0.05))
    return drawn(mel_comparison({"original": loud, "reconstructed": quiet, "converted": quiet}))


@pytest.fixture(scope="module")
def clips() -> dict[str, Embedding]:
    pipeline = FakePipeline()
    return {name: pipeline.embed((voice(hz, 4.0), RATE)) for name, hz in {"Original": 110, "Swapped": 220}.items()}


@pytest.fixture(scope="module")
def map_figure(clips: dict[str, Embedding]) -> Figure:
    return drawn(embedding_maps(fake_gallery(), clips))


def drawn(figure: Figure) -> Figure:
    FigureCanvasAgg(figure).draw()  # lays the figure out
    return figure


def gallery_points(figure: Figure, panel: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the plotted points (n, 2) of a map and the voice of each."""
    groups = [np.asarray(group.get_offsets()) for group in figure.axes[panel].collections]
    return np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(group) for group in groups])


def test_mels_share_one_colour_scale_that_ends_at_the_loudest_point(mel_figure: Figure) -> None:
    images = [axes.images[0] for axes in mel_figure.axes[:3]]
    assert {image.get_clim() for image in images} == {(-80.0, 0.0)}
    assert images[0].get_array().max() == pytest.approx(0.0, abs=1e-4)
    assert images[1].get_array().max() == pytest.approx(-20.0, abs=0.1)  # a tenth of the amplitude


def test_mel_axes_are_in_seconds_and_hertz(mel_figure: Figure) -> None:
    first, second, third = mel_figure.axes[:3]
    assert [axes.get_title() for axes in (first, second, third)] == list(PANELS.values())
    assert "(Hz)" in first.get_ylabel() and "(s)" in second.get_xlabel()
    assert [axes.images[0].get_extent()[1] for axes in (first, second)] == [2.0, 3.0]
    assert {axes.get_xlim() for axes in (first, second, third)} == {(0.0, 3.0)}


def test_a_tone_lies_at_its_tick(mel_figure: Figure) -> None:
    axes = mel_figure.axes[0]
    ticks = dict(zip([t.get_text() for t in axes.get_yticklabels()], axes.get_yticks(), strict=True))
    loudest_bin = int(axes.images[0].get_array().mean(axis=1).argmax())
    assert loudest_bin == pytest.approx(ticks["1,000"], abs=1)


@pytest.fixture(scope="module")
def bar_figure() -> Figure:
    per_speaker = {"convert": [50, 0, 100, 75], "copy_source": [0, 25, np.nan, 5], "mcadams": [0, 0, 0, 0]}
    return drawn(plots.speaker_bars(per_speaker))


@pytest.fixture(scope="module")
def mels_figure() -> Figure:
    wav = np.concatenate([np.zeros(RATE), tone(1000, 2.0), tone(3000, 9.0)])
    wavs = {"original": wav, "reconstructed": wav / 10, "converted": wav[: 2 * RATE]}
    return drawn(plots.conversion_mels({"Female to male": wavs})["Female to male"])


@pytest.fixture(scope="module")
def probe_figure() -> Figure:
    gallery = fake_gallery()
    return drawn(
        plots.probe_maps(gallery.speaker, gallery.content, speaker_probe=(97.4, 2.5), content_probe=(12.0, 3.3))
    )


FIGURES = ["mel_figure", "map_figure", "bar_figure", "mels_figure", "probe_figure"]


@pytest.mark.parametrize("name", FIGURES)
def test_text_can_be_read_on_a_telephone(name: str, request: pytest.FixtureRequest) -> None:
    figure = request.getfixturevalue(name)
    scale = TELEPHONE_PX / (figure.get_figwidth() * 72)
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert len(shown) > 4
    assert min(text.get_fontsize() for text in shown) * scale >= 9.0


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off(name: str, request: pytest.FixtureRequest) -> None:
    figure = request.getfixturevalue(name)
    needed, page = figure.get_tightbbox(), figure.bbox_inches
    assert needed.x0 >= 0 and needed.y0 >= 0 and needed.x1 <= page.x1 and needed.y1 <= page.y1


def test_voices_form_islands_on_the_left_and_a_cloud_on_the_right(map_figure: Figure) -> None:
    left, right = (same_voice_rate(*gallery_points(map_figure, panel)) for panel in (0, 1))
    assert left > 0.9
    assert right < 0.2


def test_every_clip_is_marked_in_both_maps_and_in_the_legend(map_figure: Figure, clips: dict) -> None:
    assert [len(axes.lines) for axes in map_figure.axes] == [len(clips), len(clips)]
    labels = [text.get_text() for text in map_figure.legends[0].get_texts()]
    assert labels == ["Gallery: 40 voices", *clips]


def test_the_same_seed_gives_the_same_map(map_figure: Figure, clips: dict) -> None:
    again = drawn(embedding_maps(fake_gallery(), clips))
    assert np.array_equal(again.canvas.buffer_rgba(), map_figure.canvas.buffer_rgba())


def test_a_clip_shorter_than_a_window_can_be_mapped(clips: dict) -> None:
    short = Embedding(clips["Original"].speaker, clips["Original"].content[:, :10])
    figure = embedding_maps(fake_gallery(), {"Original": short})
    assert len(figure.axes[1].lines[0].get_xdata()) == 1


def test_forty_voices_have_forty_looks() -> None:
    assert len({tuple(voice_style(k).values()) for k in range(40)}) == 40


def test_same_voice_rate_is_one_for_islands_and_chance_for_noise() -> None:
    rng = np.random.default_rng(0)
    voice = np.repeat(np.arange(40), 10)
    noise = rng.standard_normal((400, 8))
    assert same_voice_rate(noise + 100 * voice[:, None], voice) == 1.0
    assert same_voice_rate(noise, voice) == pytest.approx(9 / 399, abs=0.03)


def test_same_voice_rate_does_not_count_a_point_as_its_own_neighbour() -> None:
    points = np.zeros((6, 2))  # all alike: whichever comes first, it may not be the point itself
    assert same_voice_rate(points, np.arange(6)) == 0.0


# Figures of a report ------------------------------------------------------------------------------------


def test_bars_keep_the_order_of_speakers(bar_figure: Figure) -> None:
    first, second, third = bar_figure.axes
    assert [bar.get_height() for bar in first.patches] == [100, 75, 50, 0]
    heights = [bar.get_height() for bar in second.patches]
    assert np.isnan(heights[0]) and heights[1:] == [5, 0, 25]
    assert [axes.get_title(loc="left") for axes in (first, second, third)] == [
        "convert: mean 56.2",
        "copy_source: mean 10.0",
        "mcadams: mean 0.0",
    ]
    assert first.lines[0].get_ydata()[0] == 56.25 and "(%)" in bar_figure.get_supylabel()
    assert {axes.get_ylim() for axes in bar_figure.axes} == {(0.0, 103.0)}


def test_bars_without_any_value_are_empty() -> None:
    figure = drawn(plots.speaker_bars({"convert": [np.nan, np.nan]}))
    assert figure.axes[0].get_title(loc="left") == "convert: mean -"


def test_conversion_mels_begin_with_speech_and_show_the_same_segment(mels_figure: Figure) -> None:
    assert [axes.images[0].get_extent()[1] for axes in mels_figure.axes[:3]] == pytest.approx([3.0, 3.0, 1.0], abs=0.1)
    original = mels_figure.axes[0].images[0].get_array()
    assert original[:, 20].argmax() < original[:, -20].argmax()  # 1 kHz for two seconds, then 3 kHz
    assert mels_figure.get_suptitle() == "Female to male"


def test_probe_maps_give_accuracy_and_chance(probe_figure: Figure) -> None:
    captions = [axes.get_xlabel() for axes in probe_figure.axes]
    assert ["97% (chance 2.5%)" in captions[0], "12% (chance 3.3%)" in captions[1]] == [True, True]
    assert not probe_figure.legends


def test_saved_figure_is_a_complete_and_reproducible_png(mels_figure: Figure, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.png"):
        plots.save_png(mels_figure, tmp_path / name)
    data = (tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")
    assert data == (tmp_path / "b.png").read_bytes()
    assert int.from_bytes(data[16:20]) == 960  # pixels across
    assert len(list(tmp_path.iterdir())) == 2


def test_figures_leave_no_pyplot_state(map_figure: Figure, mel_figure: Figure) -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
