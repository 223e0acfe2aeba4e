"""The texts of the page: each language says the same, and every text of the page is there."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

import saic
from saic.audio import decode
from saic.errors import SilentAudio, TooShort
from saic.plots import PALETTES, Plane
from saic.web import Documents, build_page, load_examples
from saic.web.failures import gradio_errors
from saic.web.linkage import Linkage
from saic.web.progress import COMPARING, SHOWING, WRITING, Pace, Progress
from saic.web.server.store import ClipStore
from saic.web.style import CSS
from saic.web.texts import ENGLISH, LANGUAGES, PageTexts, Texts, texts_for, texts_of, translated
from saic.web.unseen import UnseenMaps
from tests.fakes import FakePipeline

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "assets" / "examples"
OTHERS = [code for code in LANGUAGES if code != "en"]


def flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """The texts in a value, with a name each."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict | tuple | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(part, f"{name}.{key}")


def all_texts(texts: Texts) -> dict[str, str]:
    names = [name for name in vars(texts) if re.fullmatch("[A-Z][A-Z_0-9]*", name)]
    own = {name: getattr(texts, name) for name in names if isinstance(getattr(texts, name), str | dict | tuple)}
    return dict(flat(own))


def parts(text: str) -> tuple[list[str], list[str], list[str]]:
    """What a translation keeps: placeholders, HTML tags, and numbers, each in alphabetical order."""
    placeholders = [name for _, name, _, _ in Formatter().parse(text) if name]
    words = re.sub(r"\{\w+\}|<[^>]+>", " ", text)
    return sorted(placeholders), sorted(re.findall("<[^>]+>", text)), sorted(re.findall(r"\d+", words))


@pytest.mark.parametrize("code", OTHERS)
def test_languages_have_the_same_texts_placeholders_tags_and_numbers(code: str) -> None:
    english, others = all_texts(ENGLISH), all_texts(LANGUAGES[code])
    assert english.keys() == others.keys() and len(english) > 250
    assert code == LANGUAGES[code].CODE and list(gr.I18n(**{code: {}}).translations) == [code]
    for name, text in english.items():
        assert parts(text) == parts(others[name]), name
        assert text.count("`") == others[name].count("`") and text.count("**") == others[name].count("**"), name
        assert text[:1].isspace() == others[name][:1].isspace(), name


@pytest.mark.parametrize("code", OTHERS)
def test_translations_use_the_quotes_and_spaces_of_their_language(code: str) -> None:
    for name, text in all_texts(LANGUAGES[code]).items():
        words = re.sub("<[^>]+>|`[^`]+`", "", text)
        assert '"' not in words and "'" not in words, name
        assert code != "fr" or not re.search("(?<! ) [:;?!%»]|« |(?<=[^\N{NO-BREAK SPACE}\n ])[;?!%»]", words), name


def test_the_result_has_one_name() -> None:
    """The anonymized voice; the new voice is what a recording is converted to."""
    others = {
        "en": r"\bswapped\b|\bconverted (voice|recording)",
        "de": r"\bumgewandelten? (Stimme|Aufnahme)|^Umgewandelt$",
        "fr": r"\b(voix|enregistrements?) convertie?s?\b|^Convertie?$",
        "es": r"\b(voz|grabación|grabaciones) convertidas?\b|^Convertida$",
    }
    for code, texts in LANGUAGES.items():
        found = [name for name, text in all_texts(texts).items() if re.search(others[code], text, re.IGNORECASE)]
        assert found == [], code


def sentences_of_the_library() -> set[str]:
    """All texts in the source; what is put into one later is written as {}."""
    found = {decode.NOT_AUDIO} | {example.label for example in load_examples(EXAMPLES)}
    for path in Path(saic.__file__).parent.rglob("*.py"):
        if path.parent.name == "texts":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            if isinstance(node, ast.JoinedStr):
                found.add("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
    return found


def test_each_message_is_one_of_the_library() -> None:
    found = sentences_of_the_library()
    for name, message in ENGLISH.MESSAGES.items():
        pattern = re.compile(re.sub(r"\\{\w+\\}", ".+?", re.escape(message)))
        assert any(pattern.fullmatch(sentence) for sentence in found), f"{name}: the library no longer says this"


def test_every_stage_of_a_conversion_is_translated() -> None:
    """Also the one that is shown until the pipeline names its first."""
    shown = []
    with Progress(Pace(), 1.0).reported(lambda share, stage, left_s: shown.append(stage), every_s=60.0) as report:
        report()
    for stage in (*shown, "Converting", WRITING, COMPARING, SHOWING):
        assert translated(LANGUAGES["de"], stage) != stage


def test_messages_are_translated_with_their_values() -> None:
    german = LANGUAGES["de"]
    too_short = "The recording holds 0.3 s of speech; at least 0.5 s are needed. Speak a little longer."
    assert translated(german, too_short).startswith("Die Aufnahme enthält 0,3 s Sprache; mindestens 0,5 s")
    assert translated(german, "Anonymized minus original") == "Anonymisiert minus Original"
    assert translated(german, "60 readers of LibriSpeech") == "60 Vorlesende aus LibriSpeech"
    assert translated(german, decode.NOT_AUDIO).endswith("AIFF oder CAF.")
    for message in (too_short, decode.NOT_AUDIO):
        assert translated(ENGLISH, message) == message
    assert translated(german, "A new sentence.") == "A new sentence."


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("FR-ca", "fr"),
        ("es-419, en", "es"),
        ("it-IT,de;q=0.9", "en"),  # as in Gradio's front end, the second language does not count
        ("en-GB,de", "en"),
        ("*", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_language_is_the_first_of_the_browser(header: str | None, code: str) -> None:
    assert code == texts_of(header).CODE
    assert code == texts_for(SimpleNamespace(headers={"accept-language": header})).CODE


def test_error_is_in_the_language_of_the_request_and_in_english_for_programs() -> None:
    french = SimpleNamespace(headers={"accept-language": "fr-CH"})
    with pytest.raises(gr.Error, match="silencieux"), gradio_errors(french):
        raise SilentAudio(ENGLISH.MESSAGES["silent"])
    for request in (None, SimpleNamespace(headers={}), gr.Request(session_hash="me")):
        with pytest.raises(gr.Error, match="Speak a little longer"), gradio_errors(request):
            raise TooShort("The recording holds 0.3 s of speech; at least 0.5 s are needed. Speak a little longer.")


def test_every_text_of_the_page_is_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    figures = {"pseudonym": Linkage({5: 28.1, 15: 19.9}, 49.0, 96)}
    plane = Plane(np.zeros((40, 4, 2)), {}, 0.79, 0.01, np.ones((34, 4, 2)))
    unseen = UnseenMaps(
        "corpus", "test", plane, plane, {"value": 7.0, "low": 3.1, "high": 11.8, "n": 32}, {"value": 3.1}
    )
    documents = Documents(model_card="<p>card</p>", linkage=figures, unseen=unseen)  # the card is in English
    page = build_page(FakePipeline(), load_examples(EXAMPLES), store=ClipStore(tmp_path), documents=documents)
    config = page.get_config_file()
    in_english = {"WAV", "FLAC", "MP3", "Opus", *PALETTES, documents.model_card}
    for part in config["components"]:
        props = {} if part["type"] == "api" else part["props"]
        shown = [props.get(name) for name in ("label", "info", "placeholder")]
        shown += [label for label, _ in props.get("choices") or []]
        if part["type"] in ("html", "markdown", "button", "downloadbutton"):
            shown.append(props.get("value"))
        for text in shown:
            assert not text or text in in_english or str(text).startswith("__i18n__"), (part["type"], text)
    translations = config["i18n_translations"]
    assert translations.keys() == LANGUAGES.keys() and "errs in only 20\N{NO-BREAK SPACE}%" in json.dumps(
        translations["en"], ensure_ascii=False
    )
    assert "{" not in json.dumps([list(texts.values()) for texts in translations.values()])  # each is complete


def test_page_texts_name_what_is_missing() -> None:
    with pytest.raises(AttributeError, match="There is no text TITEL"):
        PageTexts().TITEL  # noqa: B018
    assert all(f':lang({code})::after {{ content: "{texts.RECORD}"' in CSS for code, texts in LANGUAGES.items())
