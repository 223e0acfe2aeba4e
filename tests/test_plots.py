"""The figures: what they show, that they can be read, and that they leave no state behind."""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from saic import audio
from saic.errors import UsageError
from saic.evaluation import plots
from saic.gallery import Gallery
from saic.pipeline import Embedding
from saic.plots import (
    PANELS,
    UnseenSpeakers,
    View,
    embedding_maps,
    mel_arrays,
    mel_comparison,
    plotly_figure,
    plotly_map,
    save,
    speaker_plane,
)
from saic.plots.maps import map_to_plane, same_voice_rate, voice_style
from saic.plots.spectrograms import DIFFERENCE_DB, MAX_COLUMNS, Columns, panels, speech_peak
from saic.signal.f0 import track_f0
from saic.signal.mel import FLOOR, FRAMES_PER_S, log_mel
from saic.weights import VOICES, resolve
from tests.conftest import RATE, voice
from tests.fakes import FakePipeline, fake_gallery

TELEPHONE_PX = 340  # what a 390-pixel page leaves for a figure
EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
TEN_DB = np.log(10) / 2


def mel_of(wav: np.ndarray) -> np.ndarray:
    return log_mel(torch.from_numpy(wav.astype(np.float32))).numpy()


def tone(hz: float, duration_s: float, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(int(duration_s * RATE)) / RATE)


@pytest.fixture(scope="module")
def mels() -> dict[str, np.ndarray]:
    """The same synthetic speech three times, the last one slower and quieter."""
    wav = voice(150, 2.0)
    return {
        "original": mel_of(wav),
        "reconstructed": mel_of(wav),
        "converted": mel_of(0.1 * voice(200, 3.0)),
    }


@pytest.fixture(scope="module")
def f0_hz() -> dict[str, np.ndarray]:
    return {"original": track_f0(voice(150, 2.0))}


@pytest.fixture(scope="module")
def mel_figure(mels, f0_hz) -> Figure:
    return drawn(mel_comparison(mels, f0_hz))


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


def test_spectrograms_lie_below_one_another_on_one_time_axis(mel_figure: Figure) -> None:
    shown = mel_figure.axes[:3]
    assert [axes.get_title(loc="left") for axes in shown] == list(PANELS.values())
    assert [axes.images[0].get_extent()[1] for axes in shown] == [2.0, 2.0, 3.0]
    assert {axes.get_xlim() for axes in shown} == {(0.0, 3.0)}
    lefts, tops = zip(*[(axes.get_position().x0, axes.get_position().y1) for axes in shown], strict=True)
    assert max(lefts) - min(lefts) < 1e-6 and list(tops) == sorted(tops, reverse=True)
    assert "(Hz)" in mel_figure.get_supylabel() and "(s)" in shown[-1].get_xlabel()


def test_level_of_a_recording_does_not_change_its_colors(mels) -> None:
    loud, quiet = (panels(Columns.of({"original": mel_of(gain * voice(150, 2.0))}))[0].level_db for gain in (1.0, 0.1))
    np.testing.assert_allclose(loud, quiet, atol=0.1)
    assert loud.min() == -View().range_db and -15 < loud.max() <= 0


def test_hum_and_knocks_leave_the_colors_to_speech() -> None:
    wav = 0.1 * voice(150, 3.0)
    hum = wav + 0.5 * np.sin(2 * np.pi * 50 * np.arange(len(wav)) / RATE).astype(np.float32)
    knocked = wav.copy()
    knocked[RATE : RATE + 160] += 0.9
    for disturbed in (hum, knocked):
        assert mel_of(disturbed).max() > mel_of(wav).max() + TEN_DB
        assert speech_peak(mel_of(disturbed)) == pytest.approx(speech_peak(mel_of(wav)), abs=0.7 * TEN_DB)


def test_top_of_the_colors_is_near_the_loudest_point_of_clean_speech() -> None:
    mel = mel_of(audio.load(EXAMPLES / "voice_a.flac"))
    assert np.mean(mel > speech_peak(mel)) < 0.01 and speech_peak(mel) > mel.max() - np.log(2)


def test_silence_is_dark_and_muted_pauses_do_not_change_the_colors() -> None:
    silence = np.full((80, 100), np.log(FLOOR))
    assert (panels(Columns.of({"original": silence}))[0].level_db == -View().range_db).all()
    mel = mel_of(voice(150, 2.0))
    with_pauses = np.concatenate([mel, np.full((80, 900), np.log(FLOOR), np.float32)], axis=1)
    assert speech_peak(with_pauses) == pytest.approx(speech_peak(mel), abs=0.1)


@pytest.mark.parametrize("axis", ["mel", "linear"])
def test_tone_and_f0_lie_at_their_tick(axis) -> None:
    view = View(axis, range_db=90)
    wav = tone(2000, 1.0)
    (panel,) = panels(Columns.of({"original": mel_of(wav)}), view)
    rows, labels = view.ticks
    tick = dict(zip(labels, rows, strict=True))["2,000"]
    assert panel.level_db.mean(axis=1).argmax() == pytest.approx(tick, abs=1)
    figure = drawn(mel_comparison({"original": mel_of(wav)}, {"original": np.full(80, 2000.0)}, view))
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(np.full(80, tick))


def test_f0_line_has_gaps_where_nothing_is_voiced(mel_figure: Figure, f0_hz) -> None:
    (line,) = mel_figure.axes[0].lines
    assert np.array_equal(np.isnan(line.get_ydata()), f0_hz["original"] == 0)
    assert not mel_figure.axes[1].lines


def test_difference_view_shows_what_was_amplified() -> None:
    mel = mel_of(voice(150, 2.0))
    louder = mel.copy()
    louder[60:70, 40:80] += TEN_DB
    original, converted = panels(
        Columns.of({"original": mel, "converted": louder}), View(range_db=120, difference=True)
    )
    assert not original.is_difference and converted.is_difference and "minus original" in converted.title
    changed = converted.level_db[60:70, 40:80]
    assert np.median(changed) == pytest.approx(10, abs=1)
    assert np.median(np.abs(np.delete(converted.level_db, slice(60, 70), axis=0))) < 1
    assert np.abs(converted.level_db).max() <= DIFFERENCE_DB


def test_difference_of_other_lengths_and_unknown_settings_are_refused(mels) -> None:
    with pytest.raises(UsageError, match="differ in length"):
        mel_comparison(mels, view=View(difference=True))
    for wrong in ({"axis": "bark"}, {"palette": "jet"}, {"range_db": 0}):
        with pytest.raises(UsageError):
            View(**wrong)


def test_arrays_rebuild_the_figure(mels, f0_hz) -> None:
    arrays = mel_arrays(mels, f0_hz)
    shown = np.clip((arrays["converted"] - arrays["converted_top"]) * 20 / np.log(10), -View().range_db, 0)
    np.testing.assert_allclose(shown, panels(Columns.of(mels))[2].level_db, atol=1e-3)
    assert arrays["frequency_hz"].shape == (80,) and arrays["frames_per_s"] == FRAMES_PER_S
    assert np.array_equal(arrays["original_f0_hz"], f0_hz["original"])


# The Plotly figure ----------------------------------------------------------------------------------------


def decoded(array: dict) -> np.ndarray:
    """Values of a typed array of Plotly."""
    values = np.frombuffer(base64.b64decode(array["bdata"]), f"<{array['dtype']}")
    return values.reshape([int(size) for size in array["shape"].split(",")]) if "shape" in array else values


def test_plotly_figure_shows_the_levels_on_one_time_axis(mels, f0_hz) -> None:
    figure = json.loads(json.dumps(plotly_figure(mels, f0_hz)))  # plain values
    heatmaps = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
    for trace, panel in zip(heatmaps, panels(Columns.of(mels), View(range_db=120)), strict=True):
        np.testing.assert_allclose(decoded(trace["z"]), panel.level_db, atol=0.51)
    assert {trace["xaxis"] for trace in figure["data"]} == {"x"}
    assert [trace["yaxis"] for trace in heatmaps] == ["y", "y2", "y3"]
    assert {figure["layout"][name]["matches"] for name in ("yaxis2", "yaxis3")} == {"y"}
    domains = [figure["layout"][name]["domain"] for name in ("yaxis3", "yaxis2", "yaxis")]
    edges = [edge for domain in domains for edge in domain]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] == pytest.approx(1)
    assert figure["layout"]["xaxis"]["range"] == [0, 3.0]


def test_range_and_palette_change_nothing_but_the_color_axis(mels) -> None:
    """So a browser changes them without new data."""
    views = View(), View(range_db=30, palette="gray")
    default, other = (plotly_figure(mels, view=view) for view in views)
    assert default["data"] == other["data"]
    axes = [figure["layout"].pop("coloraxis") for figure in (default, other)]
    assert default["layout"] == other["layout"]
    palettes = default["layout"]["meta"]["palettes"]
    for axis, view in zip(axes, views, strict=True):
        assert axis["cmin"] == -view.range_db and axis["colorscale"] == palettes[view.palette]


def test_columns_are_saved_and_give_the_same_figure(mels, f0_hz) -> None:
    columns = Columns.of(mels, f0_hz)
    again = Columns.from_arrays(columns.arrays())
    assert (again.duration_s, again.column_s) == (columns.duration_s, columns.column_s)
    for view in (View(), View("linear")):
        for one, other in zip(panels(columns, view), panels(again, view), strict=True):
            np.testing.assert_allclose(one.level_db, other.level_db, atol=0.05)
            assert (one.f0_hz is None) == (other.f0_hz is None)


def test_plotly_f0_is_in_hertz_with_gaps(mels, f0_hz) -> None:
    lines = [trace for trace in plotly_figure(mels, f0_hz)["data"] if trace["type"] == "scatter"]
    assert len(lines) == 2  # white over black
    shown = decoded(lines[1]["customdata"])
    assert np.array_equal(np.nan_to_num(shown), f0_hz["original"])
    assert np.array_equal(np.isnan(decoded(lines[0]["y"])), np.isnan(shown))


def test_figures_of_a_long_recording_have_few_columns_with_the_mean_power() -> None:
    n_frames = 600 * FRAMES_PER_S
    mel = np.tile(np.array([0.0, -TEN_DB]), n_frames // 2)[None].repeat(80, axis=0)  # 0 and -10 dB in turn
    f0_hz = np.linspace(100, 200, n_frames)
    heatmap, _, line = plotly_figure({"original": mel}, {"original": f0_hz})["data"]
    levels = decoded(heatmap["z"])
    assert levels.shape == (80, MAX_COLUMNS)
    mean_db = 10 * np.log10(0.55) + 20 / np.log(10) * (0 - speech_peak(mel))
    np.testing.assert_allclose(levels, mean_db, atol=0.51)
    assert MAX_COLUMNS * heatmap["dx"] == pytest.approx(600)
    at_s = heatmap["x0"] + heatmap["dx"] * np.arange(MAX_COLUMNS)
    np.testing.assert_allclose(decoded(line["customdata"]), np.interp(at_s, [0, 600], [100, 200]), atol=0.1)
    (image,) = mel_comparison({"original": mel}, {"original": f0_hz}).axes[0].images
    np.testing.assert_allclose(image.get_array(), mean_db, atol=0.01)
    assert image.get_array().shape == (80, MAX_COLUMNS) and image.get_extent()[:2] == pytest.approx([0, 600])


# Maps and saved files -------------------------------------------------------------------------------------


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
def unseen() -> UnseenSpeakers:
    """Ten speakers in islands of their own, whose contents are noise."""
    rng = np.random.default_rng(5)
    speaker = rng.standard_normal((10, 1, 128)) + 0.05 * rng.standard_normal((10, 4, 128))
    return UnseenSpeakers(speaker, rng.standard_normal((10, 4, 64 * 40)), 12.0, 3.3, "dev speakers")


@pytest.fixture(scope="module")
def probe_figure(unseen: UnseenSpeakers) -> Figure:
    return drawn(embedding_maps(fake_gallery(), {}, unseen))


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


def test_sixty_voices_have_sixty_looks() -> None:
    assert len({tuple(voice_style(k).values()) for k in range(60)}) == 60


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


def test_maps_of_unseen_speakers_say_where_they_were_measured(probe_figure: Figure) -> None:
    captions = [axes.get_xlabel() for axes in probe_figure.axes]
    assert "100% (chance 1.3%)" in captions[0]  # 3 of the 239 other points
    assert "Probe" in captions[1] and "12% (chance 3.3%)" in captions[1]
    (legend,) = probe_figure.legends
    assert legend.get_title().get_text() == "Measured on 2 s parts of 10 dev speakers"
    assert [text.get_text() for text in legend.get_texts()] == ["Gallery: 40 voices", "10 dev speakers"]
    assert len(probe_figure.axes[0].collections) == 1 + 10  # the gallery is one gray backdrop


def test_separation_is_measured_on_unseen_speakers_alone(unseen: UnseenSpeakers) -> None:
    noise = np.random.default_rng(6).standard_normal((10, 4, 8))
    islands = np.arange(40)[:, None, None] + 1e-3 * np.random.default_rng(7).standard_normal((40, 5, 8)) + 100
    plane = map_to_plane(islands, {}, noise)
    assert plane.same_voice < 0.3 and map_to_plane(islands, {}).same_voice == 1.0
    assert plane.gallery.shape == (40, 5, 2) and plane.unseen.shape == (10, 4, 2)
    alone = map_to_plane(None, {}, unseen.speaker)
    assert alone.same_voice == 1.0 and alone.chance == 3 / 39 and len(alone.gallery) == 0


def test_plotly_map_has_unseen_speakers_in_color_and_the_gallery_in_gray(unseen: UnseenSpeakers) -> None:
    plane = speaker_plane(fake_gallery(), {}, unseen)
    labels = {"gallery_label": "Gallery", "unseen_label": "Unseen", "speaker_label": "Speaker {number}"}
    behind, *speakers = plotly_map(plane, "map", **labels)["data"]
    assert len(behind["x"]) == 40 * plane.gallery.shape[1] and len(speakers) == 10
    assert len({(one["marker"]["color"], one["marker"]["symbol"]) for one in speakers}) == 10
    assert [one["name"] for one in (behind, *speakers) if one["showlegend"]] == ["Gallery", "Unseen"]
    assert speakers[9]["hovertemplate"].startswith("Speaker 10<")
    np.testing.assert_allclose(speakers[9]["x"], plane.unseen[9, :, 0], atol=0.006)


def test_small_differences_between_machines_hardly_move_the_maps() -> None:
    gallery = Gallery.load(resolve(None) / VOICES)
    noise = np.random.default_rng(0)
    for points in (gallery.speaker.astype(float), gallery.content.astype(float)):
        one, other = (map_to_plane(points * (1 + x * noise.standard_normal(points.shape)), {}) for x in (0, 1e-6))
        moved = np.linalg.norm(one.gallery - other.gallery, axis=-1)
        assert np.median(moved) < 0.05 * np.ptp(one.gallery)


def test_saved_figure_is_a_complete_and_reproducible_png(mels_figure: Figure, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.png"):
        plots.save_png(mels_figure, tmp_path / name)
    data = (tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")
    assert data == (tmp_path / "b.png").read_bytes()
    assert int.from_bytes(data[16:20]) == 960  # pixels across
    assert len(list(tmp_path.iterdir())) == 2


def test_svg_is_reproducible_and_other_formats_are_refused(mels, f0_hz, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        mel_figure = mel_comparison(mels, f0_hz)
        save(mel_figure, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"</svg>" in (tmp_path / "a.svg").read_bytes()
    with pytest.raises(FileExistsError):
        save(mel_figure, tmp_path / "a.svg")
    with pytest.raises(UsageError, match="png or"):
        save(mel_figure, tmp_path / "a.pdf")


def test_figures_leave_no_pyplot_state(map_figure: Figure, mel_figure: Figure) -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
