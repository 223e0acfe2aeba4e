"""Config keys and tensor names of earlier versions, so that their weights, configs and runs load."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

FORMAT_VERSION = 6
"""Format of ``config.json``, raised when keys or tensors get other names."""

OLD_FORMAT_VERSION = 5
"""The previous format: the same weights, under the old names below."""

LAST_RELEASES = {1: "0.2", 2: "0.3", 3: "0.6", 4: "0.7"}
"""Formats that are no longer read, and the last version of SAIC that reads each."""

CONFIG_KEYS = {
    "content_encoder.listener": "content_encoder.phone_encoder",
    "decoder.correlation_share": "conversion.correlation_share",
    "decoder.likeness_share": "conversion.spectral_correction_share",
    "stage2.codes_first": "stage2.distill_steps",
    "stage2.listener_pace": "stage2.phone_encoder_lr_scale",
    "stage2.words_share": "stage2.phone_loss_share",
    "stage2.disguise.warps": "stage2.augmentation.vtlp_factors",
    "stage2.disguise.equalizer_db": "stage2.augmentation.equalizer_db",
    "stage2.disguise.targets": "stage2.augmentation.target_share",
    "stage2.disguise.degraded": "stage2.augmentation.degraded_share",
    "stage2.weights.pitch": "stage2.weights.f0",
    "stage2.weights.voice": "stage2.weights.speaker_style",
    "stage2.weights.listening": "stage2.weights.phone_features",
    "stage2.weights.words": "stage2.weights.phone_loss",
    "vocoder.steps": "vocoder_training.steps",
    "vocoder.lr": "vocoder_training.lr",
    "vocoder.batch_size": "vocoder_training.batch_size",
    "vocoder.segment_frames": "vocoder_training.segment_frames",
    "vocoder.windows": "vocoder_training.windows",
    "vocoder.words": "vocoder_training.phone_loss_weight",
    "vocoder.hardened_share": "vocoder_training.blurred_share",
}

REMOVED_KEYS = (
    "stage2.code_noise",
    "speaker_training.teacher_weight",
    "speaker_training.margin",
    "speaker_training.scale",
    "vocoder.gain_db",
    "vocoder_training.gain_db",
)
"""Keys of training until 0.11, constants since then. A saved config, which names its format, has all of them."""

TENSORS = {
    r"^content_encoder\.front\.listener\.": "content_encoder.front.phone_encoder.",
    r"^(decoder\.)?voice\.": r"\1pitch_projection.",  # without "decoder." in a checkpoint of stage 1
    r"^register$": "f0_stats",  # of the gallery
    r"^timbre$": "mel_statistics",
}
"""Regular expression of a tensor's old name to its new one."""

REPORT_KEYS = {"judges": "evaluators", "evaluators.recogniser": "evaluators.asr"}
"""Keys of ``report.json`` until schema 2."""

UNNAMED_CORPUS = "corpus"
"""Name of the one corpus of a report of schema 3 or older."""

T = TypeVar("T")


def other_format(found: object) -> str:
    """Why weights of a format that is not read are refused, and what to do."""
    formats = f"{OLD_FORMAT_VERSION} or {FORMAT_VERSION}"
    if type(found) is not int or not 0 < found < 1_000:
        return f"These weights are of an unknown format. Get weights of format {formats}."
    refused = f"These weights are of format {found}, but this version of SAIC reads {formats}"
    if found > FORMAT_VERSION:
        return f"{refused}. Install a newer version."
    last = LAST_RELEASES[found]
    return f"{refused}. Install SAIC {last}, the last version that reads format {found}, or train the weights again."


def migrate_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested config values with the old keys renamed; unknown keys stay and are reported later.

    Removed keys are dropped from a saved config. In a file written by hand they are unknown.
    """
    migrated = _copied(values)
    if "format_version" in migrated:
        for key in REMOVED_KEYS:
            section, name = key.split(".")
            if isinstance(migrated.get(section), dict):
                migrated[section].pop(name, None)
    for old, new in CONFIG_KEYS.items():
        _move(migrated, old.split("."), new.split("."))
    if migrated.get("format_version") == OLD_FORMAT_VERSION:
        migrated["format_version"] = FORMAT_VERSION
    return migrated


def migrate_tensors(tensors: Mapping[str, T]) -> dict[str, T]:
    """Tensors by name, with the old names replaced."""
    return {_new_name(name): tensor for name, tensor in tensors.items()}


def migrate_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report of ``saic evaluate`` with the old keys renamed.

    Until schema 3 a report had one corpus, and attackers that are no longer used: their figures are
    left out.
    """
    migrated = _copied(report, depth=2)
    for old, new in REPORT_KEYS.items():
        _move(migrated, old.split("."), new.split("."))
    if {"data", "systems"} <= migrated.keys():
        systems = {
            system: {group: figures for group, figures in groups.items() if group != "privacy"}
            for system, groups in migrated.pop("systems").items()
        }
        migrated["corpora"] = {UNNAMED_CORPUS: {"data": migrated.pop("data"), "systems": systems}}
        migrated["privacy"] = None
        migrated["claims"] = ["Privacy was not measured by the attackers of this version."]
    return migrated


def _copied(values: Mapping[str, Any], depth: int = 3) -> dict[str, Any]:
    """A copy of nested sections; no key lies deeper than ``depth``."""
    return {
        key: _copied(value, depth - 1) if isinstance(value, dict) and depth > 1 else value
        for key, value in values.items()
    }


def _new_name(name: str) -> str:
    for old, new in TENSORS.items():
        name = re.sub(old, new, name)
    return name


def _move(values: dict[str, Any], old: list[str], new: list[str]) -> None:
    """Move a value from key path ``old`` to ``new`` unless that is set; drop empty sections."""
    section: Any = values
    parents = []
    for key in old[:-1]:
        parents.append((section, key))
        section = section.get(key)
        if not isinstance(section, dict):
            return
    if old[-1] not in section:
        return
    target: Any = values
    for key in new[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            return
    if new[-1] in target:
        return
    target[new[-1]] = section.pop(old[-1])
    for parent, key in reversed(parents):
        if not parent[key]:
            del parent[key]
