"""Report of the linkage evaluation: the part ``privacy`` of report.json, and its tables.

::

    {schema, command, seed, weights_sha256, versions,
     data {split, corpora {NAME: manifest_sha256}, training_speakers, speakers {LENGTH: number},
           median_s {LENGTH: seconds of a side}, all {speakers, median_s}},
     attackers [NAME],
     systems {NAME: {privacy: {FIGURE: {value, low, high, n, unit}}}},
     transcripts {FIGURE: {value, low, high, n, unit}},
     worst {NAME: {LENGTH: ATTACKER}},
     claims {NAME: one sentence}}

LENGTH is 5, 15, 28 or "all". Figures are ATTACKER.eer_LENGTHs[@PART], ATTACKER.top1_LENGTHs (of 40
enrolled speakers), fused.top1_of_NUMBER_LENGTHs, fused.gain_LENGTHs (EER less that of the profile
prosody-kept, in points), database_MATCH.top1, database_chance.top1, inference.ATTRIBUTE and
inference.ATTRIBUTE_chance; LENGTHs is 5s, 15s, 28s or all. PART is a corpus, its children, its
pairs of one language or of two sessions, or `same speakers`: those who have trials of every length in
seconds, where a length has others too. In ``transcripts`` the attackers are ``text`` and ``language``. The key ``all``
is missing if speakers were not pooled, and so are figures that the data do not allow.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from saic.errors import SaicError
from saic.evaluation.linkage.material import ALL, Length, length_name
from saic.evaluation.linkage.result import (
    FUSED,
    GALLERY_SIZE,
    INFERENCE_S,
    ONE_LANGUAGE,
    OTHER_GALLERY_SIZES,
    SAME_SPEAKERS,
    TWO_SESSIONS,
    LinkageResult,
)
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.report_parts import by_part, estimates_of, table, versions, with_values
from saic.evaluation.systems import MIN_CONTROL_SPEAKERS, PROFILE_BASELINE, SYSTEMS

SCHEMA = 1
HEADLINE_S = 15
VARIANTS = ("_cosine", "_ignorant")
"""Endings of the names of attackers that use an embedding in a weaker way."""
MAX_ORIGINAL_PERCENT = 10.0
MAX_REAL_PERCENT = 30.0  # of the fused attacker; the weakest attackers have 17 %
MAX_COPY_DIFFERENCE = 2.0  # points, or one speaker of fewer than 50

_NOTES = {
    "strongest": """\
- Equal error rate of the strongest attacker: of all attackers the one with the lowest. 50 % is chance.
  The attacker decides whether two recordings are of one speaker; both are converted, each to a
  voice of its own. Both sides have the seconds that the column names, of different clips, and of
  different sessions where the corpus states them.
- The strongest attacker is chosen on the trials that are reported, so the EER is too low on average:
  the attack looks stronger than on new trials, and the more so the fewer speakers there are. The
  interval is that of the chosen attacker.
- Pairs are of one corpus, one sex (or register, where the sex is not stated) and one age group.
- Top-1: how often an attacker names the right one of {gallery} enrolled speakers of all corpora; that
  of the attacker who does so most often, whose EER may be higher. Chance is {chance:.1f} %.
- `real` is original speech: what the same attackers reach without anonymization.
""",
    "seconds": """\
- A side ends with a segment: it has at least the seconds that the column names, less half a second, and
  in the median {medians} s.
""",
    "same": """\
- The strongest attacker on the {n} speakers who have trials of every length, so that columns differ in
  seconds alone. In the table above, each column has all speakers with so much speech. Others than
  these may be harder or easier to link.
""",
    "gain": """\
- Difference of the EER of the attacker `fused` to that on `{baseline}`. Every recording has the same
  pseudonym in both systems, and the intervals are of a bootstrap in pairs, by speaker.
""",
    "pooled": """\
- An attacker who pools all files of a subject: all recordings of a speaker that the split has, in
  two halves of different clips, and of different sessions where the corpus states them. Each of the
  {speakers} speakers is enrolled with one half and tested with the other. The median half has
  {seconds:.0f} s.
""",
    "transcripts": """\
- An attacker who only reads the transcripts. `text`: cosine of the character n-grams of both sides.
  A conversion of the voice keeps the words, so that these figures are the same for every system, and
  no system can take them away. The attackers of the other tables have no transcripts.
""",
    "language": """\
- `language`: whether both sides are of one language. Where its EER is low, whoever
  tells languages apart links most speakers, in every voice. What the other attackers measure may
  depend on the language as well. Rows `{one_language}`, here and in the table of corpora, have
  pairs of one language only, so that the language tells nothing.
""",
    "law": """\
- Singling out: how often the attacker `fused` names the right one of all {n} enrolled speakers. This
  is the risk that one person is picked out of a data set of that size; chance is {chance:.1f} %.
- Linkability: how well two recordings of one person are recognized as such. The EER is that of the
  strongest attacker; 50 % is chance.
- Inference: how often an attribute of a speaker is told from the outputs, as the mean over its
  classes (balanced accuracy). A logistic regression on all that the attackers measure in
  {seconds} s is tested on unseen speakers. Chance is the last row. The age groups are children of at
  most 14 years and older speakers. Speakers without the attribute in the manifest are left out.
- These are the three risks of the Article 29 Working Party (Opinion 05/2014). Anonymization
  in its sense prevents all three. Outputs that are linked better than by chance are not anonymous.
- What a key can link is pseudonymous, not anonymous (GDPR, Article 4(5)). If a key gives a subject
  the same voice each time, whoever holds the key can link the recordings to the subject. The
  recordings remain personal data.
- Similarity figures of a person's voice are biometric data. Keep them with the key.
""",
    "attackers": """\
- Each attacker measures segments of about 5 s and averages over a side. NAME: a PLDA trained on
  converted speech of other speakers scores the averages (semi-informed). NAME_cosine: their cosine
  (lazy-informed). NAME_ignorant: cosine with original speech as enrollment. `fused`: logistic
  regression on the scores of all others.
- In parentheses: the attacker's EER on original speech is above 10 %, so it shows nothing when it
  fails. It counts when it succeeds.
""",
    "gallery": """\
- How often the attacker `fused` names the right person, by the number of enrolled people. Chance is
  one over that number. In the sense of the Article 29 Working Party (Opinion 05/2014) this is the risk
  of singling out: it grows with what an attacker knows and shrinks with the number of people.
""",
    "database": """\
- Who holds the original recordings: how often the right one of all is found, by the energy envelope
  and by the duration alone. A conversion that keeps the timing cannot hide from this attacker.
""",
    "aligned": """\
- Aligned: by the slope of the envelope, after the best alignment in time (dynamic time warping). Where
  a conversion changes the timing, this is the comparison that counts.
""",
    "corpora": """\
- The attacker `fused`, each corpus apart; children (at most 14 years) apart from adults.
""",
    "sessions": """\
- Rows `{two_sessions}` have the speakers whose sides are of different sessions.
""",
}


def build(
    result: LinkageResult,
    *,
    attackers: Sequence[str],
    command: str,
    seed: int,
    weights_sha256: Any,
    split: str,
    manifests: Mapping[str, str],
    n_training: int,
) -> dict[str, Any]:
    """Assemble a report, ready for JSON.

    Parameters
    ----------
    attackers
        Names of the kinds of evidence.
    manifests
        Corpus to SHA-256 of its manifest.
    n_training
        Number of speakers of ``train`` that the attackers were trained on.
    """
    in_seconds = {length: trials for length, trials in result.trials.items() if length != ALL}
    data = {
        "split": split,
        "corpora": dict(manifests),
        "training_speakers": n_training,
        "speakers": {str(length): len(trials.enrollments) for length, trials in in_seconds.items()},
        "median_s": {str(length): trials.median_s for length, trials in in_seconds.items()},
    }
    if pooled := result.trials.get(ALL):
        data[ALL] = {"speakers": len(pooled.enrollments), "median_s": pooled.median_s}
    return {
        "schema": SCHEMA,
        "command": command,
        "seed": seed,
        "weights_sha256": weights_sha256,
        "versions": versions(),
        "data": data,
        "attackers": list(attackers),
        "systems": {
            system: {"privacy": {name: asdict(estimate) for name, estimate in estimates.items()}}
            for system, estimates in result.estimates.items()
        },
        "transcripts": {name: asdict(estimate) for name, estimate in result.transcripts.items()},
        "worst": {
            system: {str(length): strongest(estimates, length)[0] for length in result.trials}
            for system, estimates in result.estimates.items()
        },
        "claims": {system: claim(estimates, list(in_seconds)) for system, estimates in result.estimates.items()},
    }


def require_controls(result: LinkageResult) -> None:
    """Raise :class:`SaicError` if the fused attacker does not recognize unchanged speech.

    Original speech (``real``) of 20 speakers or more must have an EER of at most 30 % at 15 s, else
    a failure on a system shows nothing. ``copy_source`` is the source itself: its EER must be that of
    original speech, within 2 points or what one speaker counts for.
    """
    for length in result.trials:
        name = f"{FUSED}.eer_{length_name(length)}"
        real, copy = (result.estimates.get(system, {}).get(name) for system in ("real", "copy_source"))
        if real is None or real.value is None:
            continue
        if length == HEADLINE_S and real.n >= MIN_CONTROL_SPEAKERS and real.value > MAX_REAL_PERCENT:
            raise SaicError(
                f"The fused attacker has an EER of {real.value:.0f} % on original speech (at most"
                f" {MAX_REAL_PERCENT:.0f} % expected): its failure on a system would show nothing, and no report is"
                " written. Take more attackers."
            )
        allowed = max(MAX_COPY_DIFFERENCE, 100 / real.n)
        if copy is not None and copy.value is not None and abs(copy.value - real.value) > allowed:
            raise SaicError(
                f"The fused attacker has an EER of {copy.value:.1f} % on copies and of {real.value:.1f} % on the same"
                " original speech: the attack is broken, and no report is written."
            )


def strongest(estimates: Estimates, length: Length) -> tuple[str, Estimate | None]:
    """The attacker with the lowest EER at a length, and its estimate."""
    ending = f".eer_{length_name(length)}"
    rates = {
        name.removesuffix(ending): estimate
        for name, estimate in estimates.items()
        if name.endswith(ending) and estimate.value is not None
    }
    if not rates:
        return "", None
    attacker = min(rates, key=lambda name: rates[name].value)
    return attacker, rates[attacker]


def strongest_eers(estimates: Estimates, lengths: Sequence[Length]) -> dict[Length, Estimate]:
    """Length to the EER of the strongest attacker there, for the lengths that have one."""
    found = {length: strongest(estimates, length)[1] for length in lengths}
    return {length: eer for length, eer in found.items() if eer is not None}


def claim(estimates: Estimates, lengths_s: Sequence[int]) -> str:
    """One sentence on the strongest attacker."""
    parts: list[str] = []
    for length in sorted(lengths_s, key=lambda length: (length != HEADLINE_S, length)):
        attacker, estimate = strongest(estimates, length)
        if estimate is not None:
            parts.append(f"{percent(estimate)} at {length} s ({estimate.n} speakers, attacker {attacker})")
    same = strongest_eers(by_part(estimates).get(SAME_SPEAKERS, {}), sorted(lengths_s))
    at_lengths = ", ".join(f"{percent(estimate)} at {length} s" for length, estimate in same.items())
    n_same = min((estimate.n for estimate in same.values()), default=0)
    alike = f"; lengths have different speakers, for the same {n_same} it is {at_lengths}" if same else ""
    named = best_top1(estimates, HEADLINE_S)
    naming = f"; the right one of {GALLERY_SIZE} people is named in {named.value:.0f} % of cases" if named else ""
    return f"EER of the strongest attacker: {', '.join(parts)}{alike}{naming}."


def percent(estimate: Estimate) -> str:
    """A rate with its interval, if it has one: "19 % [14, 25]"."""
    interval = "" if estimate.low is None else f" [{estimate.low:.0f}, {estimate.high:.0f}]"
    return f"{estimate.value:.0f} %{interval}"


def markdown(report: Mapping[str, Any]) -> str:
    """The report as tables with notes."""
    data = report["data"]
    systems = {system: groups["privacy"] for system, groups in estimates_of(report).items()}
    lengths = sorted(int(length) for length in data["speakers"])
    counts = ", ".join(f"{data['speakers'][str(length)]} at {length} s" for length in lengths)
    eers = {f"eer_{length}s": f"EER at {length} s, %" for length in lengths}
    lines = [
        "# Privacy",
        "",
        f"Split `{data['split']}` of {', '.join(data['corpora'])}; speakers: {counts}. Attackers trained on"
        f" {data['training_speakers']} speakers of `train` and on those of `attack`. Seed {report['seed']}. Command:"
        f" `{report['command']}`.",
        "",
    ]
    lines += table(
        "Strongest attacker",
        eers | {f"top1_{length}s": f"top-1 at {length} s, %" for length in lengths},
        {system: _strongest_row(estimates, lengths) for system, estimates in systems.items()},
        _NOTES["strongest"].format(gallery=GALLERY_SIZE, chance=100 / GALLERY_SIZE)
        + _seconds_note(data.get("median_s", {}), lengths)
        + "".join(
            f"- `{name}`: {SYSTEMS[name].title.replace('``', '`')}.\n"
            for name in systems
            if name in SYSTEMS and SYSTEMS[name].is_linkage_only
        ),
    )
    parts = {system: by_part(estimates) for system, estimates in systems.items()}
    same = {system: _eer_row(of_system.get(SAME_SPEAKERS, {}), lengths) for system, of_system in parts.items()}
    if any(same.values()):
        n_same = min(estimate.n for row in same.values() for estimate in row.values())
        lines += table("Same speakers at all lengths", eers, same, _NOTES["same"].format(n=n_same))
    gains = {f"{FUSED}.gain_{length}s": f"EER at {length} s, points" for length in lengths}
    if gained := _having(systems, gains):
        lines += table(f"Against `{PROFILE_BASELINE}`", gains, gained, _NOTES["gain"].format(baseline=PROFILE_BASELINE))
    if pooled := data.get(ALL):
        lines += table(
            "All recordings of a subject",
            {
                f"eer_{ALL}": "Strongest attacker: EER, %",
                f"top1_{ALL}": f"top-1 of {GALLERY_SIZE}, %",
                f"{FUSED}.eer_{ALL}": f"`{FUSED}`: EER, %",
                f"{FUSED}.top1_of_all_{ALL}": "top-1 of all, %",
            },
            {system: estimates | _strongest_row(estimates, [ALL]) for system, estimates in systems.items()},
            _NOTES["pooled"].format(speakers=pooled["speakers"], seconds=pooled["median_s"]),
        )
    sizes = {f"{FUSED}.top1_of_{n}_{HEADLINE_S}s": f"of {n}, %" for n in OTHER_GALLERY_SIZES}
    sizes |= {f"{FUSED}.top1_{HEADLINE_S}s": f"of {GALLERY_SIZE}, %"}
    if _having(systems, sizes):
        lines += table(f"Naming one person of several, {HEADLINE_S} s", sizes, systems, _NOTES["gallery"])
    converted = {system: estimates for system, estimates in systems.items() if system != "real"}
    if found := _having(converted, _FINDERS):
        columns = with_values(_FINDERS, found)
        note = _NOTES["database"] + _NOTES["aligned"] * (_ALIGNED in columns)
        lines += table("Finding the original", columns, found, note)
    if report.get("transcripts"):
        columns = {f"eer_{length_name(length)}": f"EER, {length} s, %" for length in lengths}
        columns |= {f"eer_{ALL}": "EER, all, %", f"top1_{HEADLINE_S}s": f"top-1 at {HEADLINE_S} s, %"}
        rows = _transcript_rows(report["transcripts"])
        has_languages = any(row.startswith("language") for row in rows)
        note = _NOTES["transcripts"] + _NOTES["language"].format(one_language=ONE_LANGUAGE) * has_languages
        lines += table("Who only reads", columns, rows, note, first="Attacker")
    if _having(systems, [_SINGLED_OUT]):
        rows = _law_rows(systems)
        columns = {_SINGLED_OUT: "Singling out: top-1 of all, %", f"eer_{HEADLINE_S}s": "Linkability: EER, %"}
        columns |= with_values(_INFERRED, rows)
        n = data["speakers"][str(HEADLINE_S)]
        note = _NOTES["law"].format(n=n, chance=100 / n, seconds=INFERENCE_S)
        lines += table("In the words of data protection law", columns, rows, note)
    for system, estimates in converted.items():
        shown = [*lengths, ALL] if ALL in data else lengths
        columns = eers | ({f"eer_{ALL}": "EER, all, %"} if ALL in data else {})
        columns |= {"top1": f"top-1 at {HEADLINE_S} s, %", "original": f"On originals, {HEADLINE_S} s: EER, %"}
        names = dict.fromkeys(name.split(".")[0] for name in estimates if ".eer_" in name)
        rows = {name: _attacker_row(name, estimates, systems["real"], shown) for name in names}
        weak = {name for name, row in rows.items() if "original" in row and not _counts(row["original"])}
        note = _NOTES["attackers"]
        lines += table(f"Attackers on `{system}`", columns, rows, note, first="Attacker", bracketed=weak)
        of_parts = parts[system]
        if rows := {part: of_parts[part] for part in sorted(of_parts) if part not in ("", SAME_SPEAKERS)}:
            columns = {f"{FUSED}.{name}": label for name, label in eers.items()}
            has_sessions = any(part.endswith(TWO_SESSIONS) for part in rows)
            note = _NOTES["corpora"] + _NOTES["sessions"].format(two_sessions=TWO_SESSIONS) * has_sessions
            lines += table(f"Corpora, `{system}`", columns, rows, note, first="Corpus")
    return "\n".join(lines)


_INFERRED = {
    "inference.sex": "Inference: sex, %",
    "inference.age_group": "age group, %",
    "inference.corpus": "corpus, %",
    "inference.language": "language, %",
}
_SINGLED_OUT = f"{FUSED}.top1_of_all_{HEADLINE_S}s"
_ALIGNED = "database_aligned.top1"
_FINDERS = {
    "database_envelope.top1": "By envelope: top-1, %",
    _ALIGNED: "By envelope, aligned: top-1, %",
    "database_duration.top1": "By duration: top-1, %",
    "database_chance.top1": "By chance, %",
}


def _seconds_note(medians: Mapping[str, float], lengths: Sequence[int]) -> str:
    """What a side has in fact; nothing of a report that does not state it."""
    if not medians:
        return ""
    *first, last = [f"{medians[str(length)]:.1f}" for length in lengths]
    return _NOTES["seconds"].format(medians=f"{', '.join(first)} and {last}" if first else last)


def _having(rows: Mapping[str, Estimates], columns: Iterable[str]) -> dict[str, Estimates]:
    """The rows that have one of the columns."""
    return {row: figures for row, figures in rows.items() if not figures.keys().isdisjoint(columns)}


def _transcript_rows(transcripts: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimates]:
    """Row of the table to its figures: each attacker, then each of its parts."""
    rows: dict[str, Estimates] = {}
    for name, estimate in transcripts.items():
        attacker, figure = name.split(".", 1)
        column, _, part = figure.partition("@")
        rows.setdefault(f"{attacker}, {part}" if part else attacker, {})[column] = Estimate(**estimate)
    return dict(sorted(rows.items()))


def _law_rows(systems: Mapping[str, Estimates]) -> dict[str, Estimates]:
    """The figures of each system with the EER of its strongest attacker, then those of chance."""
    rows = {system: estimates | _eer_row(estimates, [HEADLINE_S]) for system, estimates in systems.items()}
    figures = ChainMap(*systems.values())  # chance is the same for all systems
    chances = {name: figures[f"{name}_chance"] for name in _INFERRED if f"{name}_chance" in figures}
    return rows | ({"chance": chances} if chances else {})


def _eer_row(estimates: Estimates, lengths: Sequence[Length]) -> Estimates:
    return {f"eer_{length_name(length)}": eer for length, eer in strongest_eers(estimates, lengths).items()}


def _strongest_row(estimates: Estimates, lengths: Sequence[Length]) -> Estimates:
    top1 = {f"top1_{length_name(length)}": best_top1(estimates, length) for length in lengths}
    return _eer_row(estimates, lengths) | {name: named for name, named in top1.items() if named is not None}


def best_top1(estimates: Estimates, length: Length) -> Estimate | None:
    """How often the right one of 40 enrolled speakers is named, by the attacker who does so most often."""
    rates = [
        e for name, e in estimates.items() if name.endswith(f".top1_{length_name(length)}") and e.value is not None
    ]
    return max(rates, key=lambda estimate: estimate.value, default=None)


def _attacker_row(name: str, estimates: Estimates, original: Estimates, lengths: Sequence[Length]) -> Estimates:
    keys = {f"eer_{length_name(x)}": f"{name}.eer_{length_name(x)}" for x in lengths}
    keys["top1"] = f"{name}.top1_{HEADLINE_S}s"
    row = {column: estimates[key] for column, key in keys.items() if key in estimates}
    if f"{name}.eer_{HEADLINE_S}s" in original:
        row["original"] = original[f"{name}.eer_{HEADLINE_S}s"]
    return row


def _counts(original: Estimate | None) -> bool:
    return original is not None and original.value is not None and original.value <= MAX_ORIGINAL_PERCENT
