"""The texts of the page, in one place to be read, checked and translated."""

from collections.abc import Sequence

from saic.profiles import BALANCED, PROSODY_KEPT, STRICT
from saic.web.server.recordings import LIMITS
from saic.web.server.store import GRACE_S, KEEP_S

TITLE = "Speech anonymizer"
_KEEP_MINUTES = KEEP_S // 60
_MINUTES = f"{LIMITS.max_duration_s / 60:g}"

HEADER = """
<header class="title"><h1>Speech anonymizer</h1>
<p class="warning"><strong>It changes the voice, not the words:</strong> spoken names stay. Not for patient data
on a public server.</p></header>
<p id="microphone-note" class="note-warning" role="status" hidden></p>
"""

# --- Anonymize ---------------------------------------------------------------------------------

PSEUDONYM = "A pseudonym (nobody's)"
OWN_RECORDING = "Another person's recording"

SOURCE = f"""<h2><span class="step">1</span> The voice to protect</h2>
<p>Record or upload up to {_MINUTES} minutes. A few sentences are enough.</p>"""

TARGET = """<h2><span class="step">2</span> The new voice</h2>
<p>A pseudonym is drawn from the gallery, not made from A to F.</p>"""

REGISTERS = [("Any", "any"), ("Lower", "lower"), ("Higher", "higher"), ("Like the speaker's", "same")]
SUBJECT = "Subject's label"
SUBJECT_INFO = """The same label gets the same voice, on this and every other day. Use a code, not a name. Empty: a
new voice each time."""
NO_KEY = "This page has no key for subjects. Start it with app.py --key-file KEY, or leave the subject out."
SEED_AND_SUBJECT = "A subject's voice is not drawn from a seed. Leave out the seed or the subject."
VOICE_KINDS = {
    "random": "a pseudonym, drawn at random: nobody's voice",
    "seed": "a pseudonym, drawn from a seed: nobody's voice",
    "key": "the pseudonym of a subject, by the study's key: nobody's voice",
    "target": "the voice of another recording",
}
"""Where the voice of a result is from, by `saic.file_report.Settings.voice`."""

PROFILE = """<h2><span class="step">3</span> The way of speaking</h2>"""

PROFILE_NAMES = {BALANCED: "Balanced", STRICT: "Strict", PROSODY_KEPT: "Prosody kept"}
"""In the order of the page."""

PROFILES = {
    BALANCED: "The melody is made anew; rhythm and length stay.",
    STRICT: "Melody, rhythm and pauses are made anew; the length changes.",
    PROSODY_KEPT: "Melody, loudness and rhythm as they were, for those who study them; easiest to link.",
}
PROFILE_FIGURE = "Attacker errs in {eer}."
PROFILE_NOTE = """Attacker: software that decides whether two recordings of {seconds} seconds are of one
person. Guessing errs in 50 %. Measured with pseudonyms."""
NO_PATIENT = "None of it was measured on a patient."
_STAYS = {
    BALANCED: "Rhythm, pauses, emphasis, accent, choice of words and slow changes of the melody stay.",
    STRICT: "Accent, choice of words, the places of pauses and a part of the rhythm stay.",
    PROSODY_KEPT: "Rhythm, pauses, melody, accent and choice of words stay.",
}

CONSENT = "The person who speaks here has agreed to this use of their voice"

EMPTY = f"""<div class="empty">
<h2>Nothing converted yet</h2>
<p>You will get a verdict, the anonymized voice and a report to file.{{times}} Recordings longer than
{_MINUTES} minutes are refused: cut them first.</p>
</div>"""

TIMES = """ On this server, ten seconds of speech take {ten}, five minutes {five}, if nobody else
converts at that moment."""

NOTED_SOURCE, NOTED_TARGET, NOTED_QUERY = "The voice to protect", "The new voice", "The recording in question"

DELETE = "Delete now"
DELETED = """<div class="empty" role="status"><h2>Deleted</h2>
<p>Nothing of yours is left on this server.</p></div>"""

STARTING = "Starting"

NOT_AUDIO = "This file is not a recording: upload WAV, FLAC, MP3, M4A or another audio or video file."

WAITING = "Waiting for a free processor core, {before} ahead of you"

CHANGED = """<div class="empty" role="status"><h2>Not converted yet</h2>
<p>The recording or your choice changed. Press Convert to convert it.</p></div>"""

DETAILS = "Details: original, reconstruction, spectrograms"

LISTEN = """<h2>Listen to the original and the reconstruction</h2>
<p>They play at the loudness of the anonymized voice. The reconstruction keeps the original voice: the model
takes the recording apart and rebuilds it. It shows how much the model loses without a change of
voice.</p>"""

GUARD = """I know that reconstruction and data are not anonymous: they have the speaker's own voice, and
software recognizes it."""
GUARDED_DOWNLOADS = {"reconstruction": "Download the reconstruction", "data": "Spectrograms as data (NPZ)"}
DOWNLOAD_REPORTS = {"report": "Report to print (HTML)", "json": "Report (JSON)"}
REPORT = """<p class="soft">Download the voice as WAV, FLAC or MP3. The report says how it was made and what was
measured. It has no name and no file name. Its similarities are measurements of a person: keep it with the
original.</p>"""
PRINTED_NOTE = """This report has no name and no file name. Its similarities are measurements of a person: keep
it with the original, not with the anonymized recording."""

VERDICT_SAME = """<strong>The voice is hardly protected:</strong> software that recognizes voices may still take
it for the speaker's."""
VERDICT_BETWEEN = """<strong>The voice is partly protected:</strong> it is less similar to the speaker than two
recordings of one person usually are, but more similar than two people usually are."""
VERDICT_DIFFERENT = """<strong>The voice sounds like another person's:</strong> it is no more similar to the speaker
than two people usually are to each other. The way of speaking can still identify the speaker."""
VERDICT_UNKNOWN = "The swapped recording has too little speech to compare the voices."

PSEUDONYM_TARGET = """The new voice is a pseudonym. It belongs to no real person, so there is no
recording to compare it with."""

SIMILARITY_NOTE = """Cosine similarity of speaker embeddings: the nearer to 1, the more alike the
voices. Measured by {verifier}. "Usually" covers the middle 90 % of the values on natural
recordings of {basis}. The original's similarity to the speaker is that of its first half to its
second."""
NOT_INDEPENDENT = "It took part in the conversion, so this measurement is not independent."

WORDS_KEPT = """Of the words that an English speech recognizer finds in the original, it finds
{share:.0%} in the swapped voice too."""
WORDS_NOT_COUNTED = {
    "absent": "Not counted: no speech recognizer is installed on this server.",
    "running": "The speech recognizer is running …",
    "stopped": "Not counted: the speech recognizer was stopped.",
}


def not_protected(profile: str, linkage: str) -> str:
    """What is not protected; `linkage` is a sentence on attackers."""
    return f"""<h3>What is not protected</h3>
<ul class="plain">
<li><strong>What is said.</strong> Names, dates, places and anything else that is spoken.</li>
<li><strong>How it is said.</strong> {_STAYS[profile]}</li>
<li><strong>Against attackers who know this system.</strong> {linkage}</li>
</ul>"""


def profile_used(profile: str) -> str:
    """The profile of a result."""
    return f"""<h3>Profile</h3>
<p id="profile-used"><strong>{PROFILE_NAMES[profile]}.</strong> {PROFILES[profile]}</p>"""


LINKAGE_UNKNOWN = """Someone who trains software on its output can link recordings to the speaker more
often than by chance."""
LINKAGE = """Someone who trains software on its output decides whether two recordings of {seconds}
seconds are of one person, and errs in only {eer} of cases{beside}. Who guesses errs in 50 %."""
LINKAGE_OTHER_LENGTH = "{eer} with {seconds} seconds"
LINKAGE_TOP1 = "It names the right one of {people} people in {top1} of cases."

LINKAGE_TITLE = "Who can link a recording to its speaker"
LINKAGE_HEADLINE = """<strong>The worst attacker has an EER of {eer} with {seconds} seconds of
speech</strong> on each side{others} ({speakers} speakers, new pseudonyms, profile {profile}). 50 %
is chance."""
LINKAGE_ORIGINAL = "Original speech"
LINKAGE_NOTE = """EER: error rate of the decision whether two recordings are of one person, by the best
of all attackers that were tried. They know this system and train on its output. Named: how often the
best attacker finds the right person with {seconds} seconds of speech. No patient was measured."""


def mels(profiles: Sequence[str]) -> str:
    """Caption of the spectrograms, for weights that allow these profiles."""
    strict = ", except in the profile Strict, which changes the length" if STRICT in profiles else ""
    return f"""<h3>What changed in the sound</h3>
<p>Time runs to the right, frequency upwards; bright is loud speech. The white line is the pitch of
the voice. Drag over a part to enlarge it in all three, double-click to go back. On a touch screen,
use the buttons above the picture. While a clip plays, a line runs along; a click in a
spectrogram moves its clip there.</p>
<p>The reconstruction should look like the original. In the swapped voice the fine stripes and the
line move. The words keep their timing{strict}.</p>"""


DOWNLOAD_MELS = "Download the picture ({kind})"
VIEW = "How the spectrograms are drawn"
VIEW_AXES = [("Mel, as we hear", "mel"), ("Linear", "linear")]
VIEW_RANGE = "Range of the colors below loud speech (dB)"
VIEW_DIFFERENCE = "Show what differs from the original, in dB"

NO_EVALUATION = """<p>This installation does not include the evaluation. It is in the repository, in
<code>benchmarks/evaluation/report.md</code>; <code>saic evaluate</code> repeats it.</p>"""
OTHER_WEIGHTS = "<p><strong>These figures were measured with other weights than the loaded ones.</strong></p>"

# --- Evaluation --------------------------------------------------------------------------------

EVALUATION = """<h2>How well it works on average</h2>
<p>Measured on recordings of speakers that the model was not trained on. A mark is the mean over the
speakers, its line the 95 % interval. No patient was measured.</p>"""
EVALUATION_WAITING = '<div class="empty"><p>Drawing the figures …</p></div>'
TOPICS = {
    "words": (
        "Words",
        """<p>Word error rate (WER): how many words a speech recognizer gets wrong in the output. Above, it is
compared with what the recognizer finds in the original; below, with the true text, where the corpus has it.
<code>real</code> is the recording itself: no conversion can be expected to do better.</p>""",
    ),
    "identity": (
        "Identity",
        """<p>How often a speaker recognizer (Resemblyzer) takes the output for the source speaker, and for the
target speaker, among all speakers of the corpus. The first should be as rare as chance. It knows nothing of this
system: an attacker who does, finds more (next figure).</p>""",
    ),
    "attackers": (
        "Attackers by seconds of speech",
        """<p>The best of all attackers decides whether two recordings are of one person. It knows this system and
trains on its output. Equal error rate (EER): 50 % is chance, 0 % finds every person. The more speech it has on each
side, the better it succeeds.</p>""",
    ),
    "sound": (
        "Sound and prosody",
        """<p>DNSMOS predicts how listeners rate the sound, from 1 to 5. The correlation of F0 says how much of the
melody is the source's: the profiles balanced and strict make the melody anew, so that it is low.</p>""",
    ),
    "degraded": (
        "Degraded recordings",
        """<p>WER if the recording has noise, a room's echo, a codec, little level or an offset. Filled marks:
converted. Hollow marks: the degraded recording itself.</p>""",
    ),
}
TOPIC_TABLES = "Tables"
TOPIC_COMMAND = "Measured by "
SYSTEM_NAMES = "What the names of the systems mean"
FIGURE_ALT = "Figure: {title}. The tables below have its values."
SAVE_SVG = "Save the figure (SVG)"

# --- Batch -------------------------------------------------------------------------------------

BATCH_ADD = """<h2><span class="step">1</span> The recordings of one person</h2>
<p>Give the person a label and add the recordings; then the next person. {keyed} Use codes, not names: the
results are named by label and number.</p>"""
BATCH_KEYED = "The page's key gives each label its voice."
BATCH_UNKEYED = "Each label gets one voice, drawn for this batch."
BATCH_CONVERT = """<h2><span class="step">2</span> Convert all</h2>
<p>What is done stays while the page is open, also if you add more.</p>"""
BATCH_PROFILE = "The way of speaking"
BATCH_ZIP = "Download all voices and reports (ZIP)"
BATCH_NOTHING = '<p class="empty">No recordings yet.</p>'
BATCH_READY, BATCH_DONE, BATCH_STOPPED = "Ready", "Done.", "Stopped"
BATCH_NO_SUBJECT = "Give a label for the person who speaks."
BATCH_NO_FILES = "Choose the recordings of this person first."
BATCH_TOO_MANY = "A batch has up to {files} recordings. Convert these first, or use saic anonymize for a folder."
BATCH_EMPTY = "There is nothing to convert. Add recordings first."

# --- Explore -----------------------------------------------------------------------------------

EXPLORE = """<h2>Who speaks, and what is said</h2>
<p>Each dot is a short piece of speech of one voice of the built-in gallery. Each voice has its own
combination of color and shape. Point at a dot, or choose a voice, to highlight that voice in both
maps. Your converted recordings are marked.</p>"""

EXPLORE_HELP = """<div class="columns">
<p><strong>Speaker embeddings</strong> describe who speaks. They should form one cluster for each
voice. The swapped clip should lie near the new voice, away from the original.</p>
<p><strong>Content embeddings</strong> describe what is said. They should form one mixed cloud,
because they should not depend on who speaks. The swapped clip should lie near the original.</p>
<p>A map (PCA, then t-SNE) shows which points are neighbors. The distance between two clusters means
nothing. The percentage above each map is computed before PCA and t-SNE.</p></div>"""

MAP_TITLES = "Speaker embeddings", "Content embeddings"
UNSEEN = """<h2>Speakers that the model has never heard</h2>
<p>In color: four pieces of two seconds of each of {speakers} speakers of {corpus}, split {split}. None of them
took part in training. In gray: the gallery, whose voices are training speakers. The figures under the maps were
measured on the colored points, before PCA and t-SNE. Drag over a part to enlarge it, double-click to go back;
the camera saves the map (SVG). <code>saic plot map DATA -o map.svg</code> draws both.</p>"""
UNSEEN_GALLERY, UNSEEN_SPEAKERS, UNSEEN_SPEAKER = (
    "{voices} gallery voices",
    "{speakers} unseen speakers",
    "Speaker {number}",
)
NEAREST = "The nearest neighbor is the same speaker: <strong>{rate}</strong>, by chance {chance}."
PROBE = """A probe that is trained to find the speaker in content codes is right in <strong>{accuracy} %</strong>
[{low}, {high}] of cases, by chance in {chance} % ({speakers} speakers)."""
EXPLORE_WAITING = '<div class="empty"><p>Drawing the maps …</p></div>'

# --- Identify ----------------------------------------------------------------------------------

IDENTIFY_ENROLL = f"""<h2><span class="step">1</span> Voices you know</h2>
<p>Give each a name and a few seconds of speech. Only a numerical summary of the voice is kept, until
you remove it or {_KEEP_MINUTES} minutes after you close the page.</p>"""

IDENTIFY_QUERY = """<h2><span class="step">2</span> Who is this?</h2>
<p>A recording of one speaker.</p>"""

NOBODY_ENROLLED = '<p class="empty">Nobody is enrolled yet.</p>'
MATCH = "This is <strong>{name}</strong>."
NO_MATCH = "<strong>None of these voices.</strong>"
WHY_ACCEPTED = "The score of {name} is {score}: not below the threshold of {threshold}, and the highest."
WHY_REJECTED = "{name} has the highest score, {score}. It is below the threshold of {threshold}."
FIRST_HALVES = "The first half of each."
EXAMPLE_KNOWN = '<p class="example">Who speaks in the second half of {voice}, whose first half is enrolled?</p>'
EXAMPLE_STRANGER = '<p class="example">Who speaks in the second half of {voice}, who is not enrolled?</p>'
USUAL_TWO_PEOPLE = "two people: usually {low} to {high}"
USUAL_ONE_PERSON = "one person: usually {low} to {high}"
THRESHOLD = "threshold: {threshold}"
IDENTIFY_NOTE = """Cosine similarity of speaker embeddings. A voice with a score of {threshold:.2f} or
more (the line) is accepted. At this threshold, on speakers that the model was not trained on,
it is equally frequent that an enrolled person is missed and that a stranger is accepted. "Usually" covers
the middle 90 % of the values in the built-in gallery. Strangers of the speaker's sex score higher than others. A
score is no proof of identity."""

# --- About -------------------------------------------------------------------------------------

ABOUT = """
## How it works

SAIC separates a recording into *what is said* (content), *who speaks* (a speaker embedding) and the
melody (pitch). It combines the content with the speaker embedding of another voice, moves the pitch
to that voice's range, and makes a new recording from these. The profiles Balanced and Strict predict
the melody from the content instead of keeping it. It implements *SAIC: Integration of
Speech Anonymization and Identity Classification* (Cheng, Diao, Cheng and Liu). It runs on the
processor of the computer that serves this page, and uses no other service.
"""

LIMITS_AND_ETHICS = """
## Limits

- A research prototype, trained on read English. Other languages, children, singing, several
  speakers at once and noisy rooms were not tested or work worse.
- The output sounds processed, and words are lost: the evaluation says how many.
- **The output is not anonymous in the legal sense.** It is harder to link to the speaker than the
  original. {linkage} Someone who knows the speaker's manner of speaking can succeed too.
  Check each recording before you pass it on.

## Ethics

- Convert to a person's voice only with that person's consent. The bundled voices are synthetic for
  this reason.
- Don't use it to speak in somebody's name, or to mislead about who spoke.
- To identify people by voice, you need their consent and, in many places, a legal basis: a voice is
  biometric data.
"""

RETENTION = f"""
## What happens to recordings

- **Not for real patient data on a public server: run it on your own machine.** With Python 3.11, in
  a copy of the repository: `make app`. Without the page,
  `saic anonymize RECORDING --output anonymous.wav` does the same.
- An upload is decoded to a plain 16 kHz copy, in a separate process with limited memory and time.
  The upload is then removed at once.
- The copy, the results and their report are in a private temporary folder, under names that cannot
  be guessed. They stay while your page is open, and are removed {KEEP_S // 60} minutes after you close
  it. A result is removed earlier if you change the recording, the voice or the profile, and a
  recording {GRACE_S} seconds after another has replaced it. *Delete now* stops what runs and removes all
  clips at once, in all tabs of this browser. A restart of the server removes everything.
- A cookie tells your browser from others, so that nobody else gets your recordings. It holds a
  random number and is removed when you close the browser.
- *Cancel* frees your page at once. The server stops the conversion after its current step, which
  takes up to five seconds for a recording of five minutes, and keeps nothing of it.
- Nothing is sent elsewhere: no analytics, no history in your browser, no fonts or scripts from other
  sites. The log holds numbers and durations, never a file name.
- Recording needs your browser's permission to use the microphone. On any computer but the one that
  runs this page, browsers allow that over https only.
"""

_PICTURE_ALT = """A content encoder takes what is said from your recording, and a pitch tracker takes
its melody. A speaker encoder takes who speaks from the new voice. A decoder combines the three into
a mel spectrogram, and a vocoder turns it into sound."""

PICTURE = f"""
<figure class="picture" tabindex="0" role="group" aria-label="How it works">
<svg class="wide" viewBox="0 0 900 250" role="img" aria-label="{_PICTURE_ALT}">
<g class="box"><rect x="10" y="22" width="150" height="58" rx="8"/><text x="85" y="47">Your recording</text>
<text x="85" y="67" class="small">the voice to protect</text></g>
<g class="box"><rect x="10" y="168" width="150" height="58" rx="8"/><text x="85" y="193">The new voice</text>
<text x="85" y="213" class="small">a few seconds of it</text></g>
<g class="box strong"><rect x="240" y="6" width="170" height="42" rx="8"/>
<text x="325" y="32">Content encoder</text></g>
<g class="box strong"><rect x="240" y="62" width="170" height="42" rx="8"/><text x="325" y="88">Pitch</text></g>
<g class="box strong"><rect x="240" y="176" width="170" height="42" rx="8"/>
<text x="325" y="202">Speaker encoder</text></g>
<g class="box strong"><rect x="560" y="88" width="120" height="58" rx="8"/><text x="620" y="122">Decoder</text></g>
<g class="box"><rect x="760" y="88" width="130" height="58" rx="8"/><text x="825" y="113">Swapped voice</text>
<text x="825" y="133" class="small">same words</text></g>
<defs><marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path class="tip" d="M0 0 10 5 0 10z"/></marker></defs>
<g class="flow"><path d="M160 42H238" marker-end="url(#tip)"/>
<path d="M160 62C200 62 200 83 238 83" marker-end="url(#tip)"/>
<path d="M160 197H238" marker-end="url(#tip)"/>
<path d="M410 27C500 27 500 104 558 104" marker-end="url(#tip)"/>
<path d="M410 83C480 83 480 117 558 117" marker-end="url(#tip)"/>
<path d="M410 197C500 197 500 131 558 131" marker-end="url(#tip)"/>
<path d="M680 117H758" marker-end="url(#tip)"/></g>
<g class="note"><text x="474" y="22">what is said</text><text x="461" y="76">melody</text>
<text x="474" y="212">who speaks</text><text x="716" y="108">vocoder</text></g>
</svg>
<svg class="tall" viewBox="0 0 360 390" role="img" aria-label="{_PICTURE_ALT}">
<g class="box"><rect x="8" y="6" width="164" height="56" rx="8"/><text x="90" y="30">Your recording</text>
<text x="90" y="50" class="small">the voice to protect</text></g>
<g class="box"><rect x="188" y="6" width="164" height="56" rx="8"/><text x="270" y="30">The new voice</text>
<text x="270" y="50" class="small">a few seconds of it</text></g>
<g class="box strong"><rect x="2" y="112" width="134" height="52" rx="8"/><text x="69" y="133">Content</text>
<text x="69" y="153">encoder</text></g>
<g class="box strong"><rect x="146" y="112" width="68" height="52" rx="8"/><text x="180" y="143">Pitch</text></g>
<g class="box strong"><rect x="224" y="112" width="134" height="52" rx="8"/><text x="291" y="133">Speaker</text>
<text x="291" y="153">encoder</text></g>
<g class="box strong"><rect x="120" y="226" width="120" height="46" rx="8"/><text x="180" y="255">Decoder</text></g>
<g class="box"><rect x="98" y="326" width="164" height="58" rx="8"/><text x="180" y="350">Swapped voice</text>
<text x="180" y="371" class="small">same words</text></g>
<defs><marker id="tip-tall" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path class="tip" d="M0 0 10 5 0 10z"/></marker></defs>
<g class="flow"><path d="M70 62V110" marker-end="url(#tip-tall)"/>
<path d="M120 62C120 90 180 84 180 110" marker-end="url(#tip-tall)"/>
<path d="M290 62V110" marker-end="url(#tip-tall)"/>
<path d="M69 164C69 200 146 196 146 224" marker-end="url(#tip-tall)"/>
<path d="M180 164V224" marker-end="url(#tip-tall)"/>
<path d="M291 164C291 200 214 196 214 224" marker-end="url(#tip-tall)"/>
<path d="M180 272V324" marker-end="url(#tip-tall)"/></g>
<g class="note"><text x="52" y="206">what is said</text><text x="180" y="292" dx="34">vocoder</text>
<text x="306" y="206">who speaks</text><text x="215" y="184">melody</text></g>
</svg></figure>
"""
