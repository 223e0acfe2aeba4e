"""The texts of the page in English.

The other languages have the same names, tags and placeholders; `tests/test_texts.py` compares them.
"""

from saic.profiles import BALANCED, PROSODY_KEPT, STRICT
from saic.web.server.store import GRACE_S, KEEP_S

CODE, DECIMAL = "en", "."
"""Language of `html lang`, and the decimal separator."""

TITLE = "Speech anonymizer"
TABS = {
    "anonymize": "Anonymize",
    "batch": "Batch",
    "explore": "Explore",
    "identify": "Identify",
    "evaluation": "Evaluation",
    "about": "About",
}

HEADER = """
<header class="title"><h1>Speech anonymizer</h1>
<p class="warning"><strong>It changes the voice, not the words:</strong> spoken names stay. Not for patient data
on a public server.</p></header>
<p id="microphone-note" class="note-warning" role="status" hidden></p>
<p id="live" class="sr-only" role="status"></p>
"""

# --- in the browser: `saic.web.script` ---------------------------------------------------------

MICROPHONE = {
    "NotAllowedError": "The browser does not let this page use the microphone. Allow it in the address bar's settings, "
    "then record again, or upload a file.",
    "NotFoundError": "No microphone was found. Plug one in and try again, or upload a file.",
    "NotReadableError": "Another program is using the microphone. Close it and try again, or upload a file.",
    "other": "The microphone cannot be used. Upload a file instead.",
    "insecure": "Browsers allow recording only over https or on the computer itself. Open the page at its https "
    "address, or upload a file.",
}
CONNECTION = {
    "lost": "The connection to the server broke. Start again what was running.",
    "offline": "The server cannot be reached. This page goes on once it can.",
}
NOT_AUDIO = "This file is not a recording: upload WAV, FLAC, MP3, M4A or another audio or video file."
REPLACE = "This removes the present recording. Go on?"

# --- Anonymize ---------------------------------------------------------------------------------

PSEUDONYM = "A pseudonym (nobody's)"
OWN_RECORDING = "Another person's recording"
SOURCE_LABEL, CHOICE_LABEL, TARGET_LABEL = "Voice to protect", "Voice", "New voice"
REGISTER_LABEL, PROFILE_LABEL = "Register", "Profile"
UPLOAD, RECORD = "Upload a file", "Use the microphone"
CONVERT, CANCEL, EXAMPLE = "Convert", "Cancel", "Try it with bundled voices"

SOURCE = """<h2><span class="step">1</span> The voice to protect</h2>
<p>Record or upload up to {minutes} min. A few sentences are enough.</p>"""

TARGET = """<h2><span class="step">2</span> The new voice</h2>
<p>A pseudonym blends three voices of the gallery. It is nobody's voice.</p>"""

REGISTERS = {"any": "Any", "lower": "Low", "higher": "High", "same": "Like the speaker's"}
SUBJECT = "Subject's label"
SUBJECT_INFO = (
    "The same label and register get the same voice, on this and every other day. Use a code, not a name. "
    "Empty: a new voice each time."
)
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
    BALANCED: "The melody is made anew; rhythm, loudness and length stay.",
    STRICT: "The melody is made anew, the rhythm evened, most pauses shortened; the length changes.",
    PROSODY_KEPT: "Melody, loudness and rhythm as they were, for those who study them; easiest to link.",
}
PROFILE_FIGURE = "An attacker errs in {eer} of cases."
PROFILE_NOTE = """Attacker: software that decides whether two recordings of {seconds} seconds are of one
person. A guess is wrong in 50 % of cases: the nearer to that, the better the protection. With more speech, attackers
err less. Measured with pseudonyms."""
NO_PATIENT = "None of it was measured on a patient."
STAYS = {
    BALANCED: "Rhythm, pauses, emphasis, accent, choice of words and slow changes of the melody stay.",
    STRICT: "Emphasis, accent, choice of words, the places of the longest pauses and a part of the rhythm stay.",
    PROSODY_KEPT: "Rhythm, pauses, melody, emphasis, accent and choice of words stay.",
}

CONSENT = "The person who speaks here has agreed to this use of their voice"

EMPTY = """<div class="empty">
<h2>Nothing converted yet</h2>
<p>You will get a verdict, the anonymized voice and a report to file.{times} Recordings longer than
{minutes} min are refused: cut them into parts first.</p>
</div>"""

TIMES = """ On this server, ten seconds of speech take {ten}, five minutes {five}, if nobody else
converts at that moment."""

NO_OVERWRITE = "Clear your recording first: the example would replace it."
NO_SOURCE = "Record or upload the voice to protect first."
NO_TARGET = "Record or upload the other person's voice, or choose a pseudonym."
SUBJECT_REGISTER = "A subject has one voice, which cannot follow each recording. Choose low, high or any."
NO_CONSENT = "Tick that the other person has agreed to the use of their voice."

NOTED = {"source": "The voice to protect", "target": "The new voice", "query": "The recording in question"}
"""What a note is on."""

SERVER_ERROR = "Something went wrong on the server. Try again, or report event {event}."

DELETE = "Delete now"
DELETED = """<div class="empty" role="status"><h2>Deleted</h2>
<p>Your recordings and results were removed from this server.</p></div>"""

PROGRESS_LABEL = "Conversion"
LEFT = "{time} left"
ABOUT_SECOND, ABOUT_SECONDS = "about {seconds} second", "about {seconds} seconds"
ABOUT_MINUTES, ABOUT_MINUTES_SECONDS = "about {minutes} min", "about {minutes} min {seconds} s"

CHANGED = """<div class="empty" role="status"><h2>Not converted yet</h2>
<p>The recording or your choice changed. Press Convert to convert it.</p></div>"""

DETAILS = "Details and spectrograms"

LISTEN = """<h2>Listen to the original and the reconstruction</h2>
<p>They play at the loudness of the anonymized voice. The reconstruction keeps the original voice: the model
takes the recording apart and rebuilds it. It shows how much the model loses without a change of
voice.</p>"""

ORIGINAL, RECONSTRUCTED, ANONYMIZED = "Original", "Reconstructed", "Anonymized voice"
GUARD = """I know that reconstruction and data are not anonymous: they have the speaker's own voice, and
software can recognize it."""
GUARD_MEASURED = " Depending on the corpus, Resemblyzer named the right speaker of up to {share} of reconstructions."
GUARDED_DOWNLOADS = {"reconstruction": "Download the reconstruction", "data": "Spectrograms as data (NPZ)"}
DOWNLOAD_REPORTS = {"report": "Report to print (HTML)", "json": "Report (JSON)"}
REPORT = """<p class="soft">Download the voice as WAV, FLAC, MP3 or Opus. The report says how it was made and what was
measured. It has no name and no file name. Its similarities are measurements of a person: keep it with the
original. The six digits in the file names begin the SHA-256 in the report.</p>"""
PRINTED_TITLE = "Report of a voice conversion"
PRINTED_NOTE = """This report has no name and no file name. Its similarities are measurements of a person: keep
it with the original, not with the anonymized recording."""

PRINTED = {
    "made": "Made",
    "voice": "New voice",
    "register": "Register",
    "profile": "Way of speaking",
    "length": "Length",
    "similarity": "Similarity to the speaker",
    "usual": "Usual similarity",
    "judge": "Measured by",
    "words": "Words kept",
    "weights": "Weights (SHA-256)",
    "wav": "WAV file (SHA-256)",
}
"""Rows of the printed report."""
PRINTED_MADE = "{date}, with SAIC {version}"
PRINTED_SIMILARITY = "{before} before, {after} after"
PRINTED_USUAL = "{same} for recordings of one person, {different} for two people"
PRINTED_JUDGE = "{name} on {basis}"
PRINTED_NO_WORDS = "not counted"
PRINTED_NOTES = "Notes on the recording"
PRINTED_NO_PATIENT = "The figures about attackers were not measured on patients."

VERDICT_SAME = """<strong>The voice is hardly protected:</strong> software that recognizes voices may still take
it for the speaker's."""
VERDICT_BETWEEN = """<strong>The voice is partly protected:</strong> it is less similar to the speaker than two
recordings of one person usually are, but more similar than two people usually are."""
VERDICT_DIFFERENT = """<strong>The voice sounds like another person's:</strong> it is no more similar to the speaker
than two people usually are to each other. The way of speaking can still identify the speaker."""
VERDICT_UNKNOWN = "The anonymized recording has too little speech to compare the voices."
VERDICT_NEXT = {
    "little": "Convert it again before you pass it on: each pseudonym is another voice.",
    "some": "Convert it again before you pass it on: each pseudonym is another voice.",
    "unknown": "Use a longer recording.",
}
"""What to do next, by the word of a verdict."""

PSEUDONYM_TARGET = """The new voice is a pseudonym. It belongs to no real person, so there is no
recording to compare it with."""
KNOWN_TARGET = """Whoever has the recording of the new voice links the results to the speaker more often. A
pseudonym protects better."""

SIMILARITY_TITLE = "What was measured, and what is not protected"
SIMILARITY_SOURCE, SIMILARITY_TARGET = "Similarity to the speaker", "Similarity to the new voice"
SIMILARITY_BEFORE, SIMILARITY_AFTER = "before,", "after"
SIMILARITY_SCALE = "{title}: original {before}, anonymized voice {after}"
SIMILARITY_LEGEND = """<ul class="key">
<li><span class="swatch different"></span>two people: usually {different}</li>
<li><span class="swatch same"></span>one person: usually {same}</li>
<li><span class="swatch before"></span>original</li>
<li><span class="swatch after"></span>anonymized voice</li></ul>"""
RANGE = "{low} to {high}"
SIMILARITY_NOTE = """Cosine similarity of speaker embeddings: the nearer to 1, the more alike the
voices. Measured by {verifier}. "Usually" covers the middle 90 % of the values on natural
recordings of {basis}. The original's similarity to the speaker is that of its first half to its
second."""
NOT_INDEPENDENT = "It took part in the conversion, so this measurement is not independent."

WORDS_TITLE = "Words kept"
WORDS_KEPT = """Of the words that a speech recognizer finds in the original, it finds
{percent}% in the anonymized voice too."""
WORDS_NOT_COUNTED = {
    "absent": "Not counted: no speech recognizer is installed on this server. Compare the "
    "result with the original before you rely on a word.",
    "running": "The speech recognizer is running …",
    "stopped": "Not counted: the speech recognizer was stopped.",
    "wordless": "Not counted: the speech recognizer finds no words in the original.",
}

NOT_PROTECTED = """<h3>What is not protected</h3>
<ul class="plain">
<li><strong>It is not anonymous in the legal sense.</strong> Treat the result as personal data.</li>
<li><strong>What is said.</strong> Names, dates, places and anything else that is spoken.</li>
<li><strong>How it is said.</strong> {stays}</li>
<li><strong>Against attackers who know this system.</strong> {linkage}</li>
<li><strong>Against people who know more.</strong> The more recordings of one person there are, the
easier they are to link. Whoever has the original can find the anonymized voice made from it. Whoever knows the
new voice, and has other recordings of the speaker, finds the speaker more easily. The words alone can tell who
speaks.</li>
</ul>"""
PROFILE_USED = """<h3>Profile</h3>
<p id="profile-used"><strong>{name}.</strong> {profile}</p>"""

LINKAGE_UNKNOWN = """Someone who trains software on its output can link recordings to the speaker more
often than by chance."""
LINKAGE = """Software that somebody trains on its output decides whether two recordings of {seconds}
seconds, both converted to pseudonyms, are of one person. It errs in only {eer} of cases{beside}; a guess errs in 50 %
of cases."""
LINKAGE_OTHER_LENGTH = "{eer} with {seconds} seconds"
LINKAGE_TOP1 = "The software names the right one of {people} people in {top1} of cases."

LINKAGE_TITLE = "Who can link a recording to its speaker"
LINKAGE_HEADLINE = """<strong>The strongest attacker has an EER of {eer} with {seconds} seconds of
speech</strong> on each side ({speakers} speakers){others}. New pseudonyms, profile {profile}. 50 % is
chance."""
LINKAGE_HEADLINE_OTHER = ", {eer} with {seconds}"
LINKAGE_LABEL, LINKAGE_PROFILE = "Strongest attacker", "Profile"
LINKAGE_EER, LINKAGE_NAMED = "EER at {seconds} s, %", "Found among {people}, %"
LINKAGE_ORIGINAL = "Original speech"
LINKAGE_KNOWN_VOICE = "{profile}, attacker knows the new voice"
LINKAGE_NOTE = """EER: error rate of the decision whether two recordings are of one person, by the
strongest of all attackers that were tried. They know this system and train on its output. Found: how
often the strongest attacker finds the right person with {seconds} seconds of speech. An attacker who
knows the new voice converts the candidates' recordings to it first. No patient was measured."""

MELS = """<h3>What changed in the sound</h3>
<p>Time runs to the right, frequency upwards; bright is loud speech. The white line is the pitch of
the voice. Drag over a part to enlarge it in all three, double-click to go back. On a touch screen,
use the buttons above the picture. While a clip plays, a line runs along; a click in a
spectrogram plays its clip from there.</p>
<p>The reconstruction should look like the original. In the anonymized voice the fine stripes and
the line move. The words keep their timing{strict}.</p>"""
MELS_STRICT = ", except in the profile Strict, which changes the length"
MELS_LABEL = "Spectrograms"
DOWNLOAD_MELS = "Download the picture ({kind})"
VIEW = "How the spectrograms are drawn"
VIEW_AXIS, VIEW_AXES = "Frequency axis", {"mel": "Mel, as we hear", "linear": "Linear"}
VIEW_PALETTE = "Colors"
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
        """<p>The strongest of all attackers decides whether two recordings are of one person. It knows this system and
trains on its output. Equal error rate (EER): 50 % is chance, 0 % finds every person. The more speech it has on each
side, the better it succeeds.</p>""",
    ),
    "sound": (
        "Sound and prosody",
        """<p>DNSMOS predicts how listeners rate the sound, from 1 to 5. The correlation of F0 says how much of the
melody is the source's. Balanced makes the melody anew, but keeps its slow changes. Strict changes the timing, so
that it has no value.</p>""",
    ),
    "degraded": (
        "Degraded recordings",
        """<p>WER if the recording has noise, a room's echo, a codec, little level or an offset, or comes over a
telephone line. Filled marks: converted. Hollow marks: the degraded recording itself.</p>""",
    ),
}
EACH_ATTACKER = (
    "Each attacker alone",
    """<p>The same with {seconds} seconds of speech on each side, for each attacker: some recognize voices, others
measure only the timing, the energy, the articulation, the melody, the noise or the like. <code>fused</code> is all of
them together. <code>real</code> is original speech: an attacker that is weak on it proves nothing.</p>""",
)
TOPIC_TABLES = "Tables"
TOPIC_COMMAND = "Measured by "
SYSTEM_NAMES = "What the names of the systems mean"
FIGURE_ALT = "Figure: {title}. The tables below have its values."
SAVE_SVG = "Save the figure (SVG)"

# --- Batch -------------------------------------------------------------------------------------

BATCH_ADD = """<h2><span class="step">1</span> The recordings of one person</h2>
<p>Give the person a label and add the recordings, then the next person: up to {files} recordings in all. {keyed} Use
codes, not names: the results are named by label and number, in the order of the file list. Everybody can hear that
the results of one label belong together.</p>"""
BATCH_KEYED = "The page's key gives each label its voice."
BATCH_UNKEYED = "Each label gets one voice, drawn for this batch."
BATCH_CONVERT = """<h2><span class="step">2</span> Convert all</h2>
<p>What is done stays while the page is open, also if you add more.</p>"""
BATCH_PROFILE = "The way of speaking"
BATCH_FILES, BATCH_ADD_BUTTON, BATCH_CONVERT_BUTTON = "Recordings", "Add", "Convert all"
BATCH_COLUMNS = {"subject": "Subject", "number": "Recording", "length": "Length", "state": "State"}
BATCH_COUNT = "{done} of {all} done"
BATCH_ZIP, BATCH_CLEAR = "Download all voices and reports (ZIP)", "Clear the list"
BATCH_NOTHING = '<p class="empty">No recordings yet.</p>'
BATCH_READY, BATCH_DONE, BATCH_STOPPED = "Ready", "Done.", "Stopped"
BATCH_NO_SUBJECT = "Give a label for the person who speaks."
BATCH_NO_FILES = "Choose the recordings of this person first."
BATCH_TOO_MANY = """A batch has up to {files} recordings. Convert these, save the ZIP and clear the list: the voices of
the labels stay. Or use saic anonymize for a folder."""
BATCH_EMPTY = "There is nothing to convert. Add recordings first."

# --- Explore -----------------------------------------------------------------------------------

EXPLORE = """<h2>Who speaks, and what is said</h2>
<p>Each dot is a short piece of speech of one voice of the built-in gallery. Each voice has its own
combination of color and shape. Point at a dot, or choose a voice, to highlight that voice in both
maps. Convert a recording on the tab Anonymize to see it here, with the anonymized voice and, if it is a recording,
the new voice. Only the first five minutes of each are used.</p>"""

EXPLORE_HELP = """<div class="columns">
<p><strong>Speaker embeddings</strong> describe who speaks. They should form one cluster for each
voice. The anonymized voice should lie near the new voice, and not in the cluster of the original.</p>
<p><strong>Content embeddings</strong> describe what is said. They should form one mixed cloud,
because they should not depend on who speaks. The anonymized voice should lie near the original.</p>
<p>A map (PCA, then t-SNE) shows which points are neighbors. The distance between two clusters means
nothing. The percentage above each map is computed before PCA and t-SNE.</p></div>"""

EXPLORE_CLIPS = {"original": "Original", "target": "New voice", "swapped": "Anonymized"}
MAPS = {
    "highlight": "Voice to highlight",
    "all": "all",
    "speaker": "Speaker embeddings",
    "content": "Content embeddings",
    "legend": "{voices} voices of the gallery, each in its own color and shape",
    "map": "Map: {title}. {measured}",
    "measured": "Nearest neighbor is the same voice: {same}% (chance {chance}%), measured on the {speakers} "
    "voices of the gallery",
}
SEXES = {"F": "female", "M": "male"}
UNSEEN = """<h2>Speakers that our training did not use</h2>
<p>In color: four pieces of two seconds of each of {speakers} speakers of {corpus}, split {split}. None of them
took part in our training. Some of them may be in the unknown training data of the phone recognizer that the content
encoder began with. In gray: the
voices of the gallery. The figures under the maps were measured on the colored points, before PCA and t-SNE. Drag over
a part to enlarge it, double-click to go back; the camera saves the map (SVG). <code>saic plot map DATA -o
map.svg</code>
draws both.</p>"""
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
you remove it or {KEEP_S // 60} minutes after you close the page.</p>"""

IDENTIFY_QUERY = """<h2><span class="step">2</span> Who is this?</h2>
<p>A recording of one speaker.</p>"""

IDENTIFY_NAME, IDENTIFY_CLIP, IDENTIFY_QUERY_LABEL = "Name", "Voice to enroll", "Recording in question"
IDENTIFY_ENROLL_BUTTON, IDENTIFY_REMOVE, IDENTIFY_BUTTON, IDENTIFY_EXAMPLE = (
    "Enroll",
    "Remove all",
    "Who speaks?",
    "Try it",
)
IDENTIFY_NO_CLIP = "Record or upload the voice first."
IDENTIFY_NO_NAME = "Give the voice a name."
IDENTIFY_TOO_MANY_VOICES = "All {voices} places for voices are taken. Remove the voices to start again."
IDENTIFY_TOO_MANY_CLIPS = "{clips} clips of this voice are enrolled. More would not help."
IDENTIFY_NO_OVERWRITE = "Remove your voices first: the example would replace them."
IDENTIFY_NO_QUERY = "Record or upload the recording in question first."
IDENTIFY_NOBODY = "Enroll at least one voice first."
IDENTIFY_SECOND_HALF = "The second half of {voice}."
IDENTIFY_FIRST_HALVES = "The first half of each."
CLIP, CLIPS = "{clips} clip", "{clips} clips"
MATCH = "Most likely <strong>{name}</strong>."
NO_PROOF = "A score is no proof of identity."
NOBODY_ENROLLED = '<p class="empty">Nobody is enrolled yet.</p>'
NO_MATCH = "<strong>None of these voices.</strong>"
WHY_ACCEPTED = "The score of {name} is {score}: not below the threshold of {threshold}, and the highest."
WHY_REJECTED = "{name} has the highest score, {score}. It is below the threshold of {threshold}."
EXAMPLE_KNOWN = '<p class="example">Who speaks in the second half of {voice}, whose first half is enrolled?</p>'
EXAMPLE_STRANGER = '<p class="example">Who speaks in the second half of {voice}, who is not enrolled?</p>'
USUAL_TWO_PEOPLE = "two people: usually {low} to {high}"
USUAL_ONE_PERSON = "one person: usually {low} to {high}"
THRESHOLD = "threshold: {threshold}"
IDENTIFY_NOTE = """Cosine similarity of speaker embeddings. A voice with a score of {threshold} or
more (the line) is accepted. The threshold was set with four seconds of speech of speakers
that the model was not trained on: there, an enrolled person is missed as often as a stranger is accepted. With
more speech, fewer enrolled people are missed. "Usually" covers
the middle 90 % of the values in the built-in gallery. Strangers of the speaker's sex score higher than others."""

# --- About -------------------------------------------------------------------------------------

ABOUT = """
## How it works

SAIC separates a recording into *what is said* (content), *who speaks* (a speaker embedding) and the
melody (pitch). It combines the content with the speaker embedding of another voice. The profiles
Balanced and Strict predict the melody from the content, Prosody kept moves it to the new voice's
range. A new recording is made from these. It implements *SAIC: Integration of
Speech Anonymization and Identity Classification* (Cheng, Diao, Cheng and Liu). It runs on the
processor of the computer that serves this page, and uses no other service.
"""

LIMITS_AND_ETHICS = """
## Limits

- A research prototype, trained on read English. In other languages most words are lost.
- Children are easier to link than adults, and more of their words are lost. Noise and echo cost words too.
  Singing and several speakers at once were not tested.
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
  `.venv/bin/python -m saic anonymize RECORDING --output anonymous.wav` converts a recording to a pseudonym.
- An upload is decoded to a plain 16 kHz copy, in a separate process with limited memory and time.
  The upload is then removed at once.
- While a recording of over nine minutes is converted, parts of it are in temporary files that only the
  account of the server can open. They are gone when the conversion ends.
- The copy, the results and their report are in a private temporary folder, under names that cannot
  be guessed. They stay while your page is open, and are removed {KEEP_S // 60} minutes after you close
  it. A result is removed earlier if you change the recording, the voice or the profile, and a
  recording {GRACE_S} seconds after another has replaced it. *Delete now* stops what runs and removes all
  clips at once, in all tabs of this browser. A restart of the server removes everything.
- A cookie tells your browser from others, so that nobody else gets your recordings. It holds a
  random number and is removed when you close the browser.
- *Cancel* frees your page at once. The server stops the conversion after its current step, which
  takes up to five seconds for a recording of five minutes and longer for a longer one, and keeps nothing of it.
- Nothing is sent elsewhere: no analytics, no history in your browser, no fonts or scripts from other
  sites. The log holds numbers and durations, never a file name.
- Recording needs your browser's permission to use the microphone. On any computer but the one that
  runs this page, browsers allow that over https only.
"""

PICTURE_ALT = """A content encoder takes what is said from your recording, and a pitch tracker takes
its melody, of which the profile keeps a part. A speaker encoder takes who speaks from the new voice.
A decoder combines the three into a mel spectrogram, and a vocoder turns it into sound."""

PICTURE = {
    "title": "How it works",
    "recording": "Your recording",
    "protected": "the voice to protect",
    "target": "The new voice",
    "seconds": "a few seconds of it",
    "content": "Content encoder",
    "content_1": "Content",
    "content_2": "encoder",
    "speaker": "Speaker encoder",
    "speaker_1": "Speaker",
    "speaker_2": "encoder",
    "pitch": "Pitch",
    "decoder": "Decoder",
    "swapped": "Anonymized",
    "words": "same words",
    "said": "what is said",
    "melody": "melody",
    "speaks": "who speaks",
    "vocoder": "vocoder",
}
"""Labels of the picture; `_1` and `_2` are two lines of one label, on a narrow screen."""

LOADED = "## What is loaded\n\n{facts}. Code: Apache-2.0."
LOADED_PARAMETERS, LOADED_SIZE = "{millions} million parameters", "{megabytes} MB"
LOADED_VOCODER, LOADED_WEIGHTS = "vocoder: {vocoder}", "weights `{weights}`"
MODEL_CARD = "Model card"

# --- sentences from below the page -------------------------------------------------------------

MESSAGES = {
    # stages of a conversion
    "starting": "Starting",
    "reading": "Reading the recording",
    "reading_several": "Reading the recordings",
    "analyzing": "Analyzing the target voice",
    "drawing": "Drawing a pseudonym",
    "converting": "Converting",
    "vocoding_reconstruction": "Vocoding the reconstruction",
    "vocoding": "Vocoding the new voice",
    "writing": "Writing the files",
    "comparing": "Comparing the voices",
    "showing": "Showing the result",
    "waiting": "Waiting for a free processor core, {before} ahead of you",
    # a recording that cannot be used
    "silent": "The recording is silent. Check the microphone and its volume, then record again.",
    "too_short": "The recording holds {speech} s of speech; at least {needed} s are needed. Speak a little longer.",
    "not_speech": "The recording holds a steady sound, not speech. Use a recording of a voice.",
    "too_long": "The recording is longer than {duration}. Cut it into shorter parts.",
    "too_large": "The recording is larger than {megabytes} MB. Cut it into parts, or use FLAC or MP3.",
    "empty": "The recording is empty (0 bytes). Record or export it again.",
    "no_samples": "The recording holds no samples. Record or export it again.",
    "not_audio": "This is no recording that can be decoded: use {formats} or {last}.",
    "not_decoded": "This recording cannot be decoded within the limits of this server. Export it as WAV or FLAC of "
    "one channel and try again.",
    "no_sound": "The file has no sound track. Use a recording with sound.",
    "rate": "The sample rate is {rate} Hz. Use {low} to {high} Hz.",
    "out_of_range": "The samples are far outside [-1, 1]. Scale them so that full scale is 1.",
    "channels": "The recording has {channels} channels. Use 1 to {most}.",
    "not_finite": "The recording has NaN or infinite samples. Export it again.",
    # notes on a recording
    "damaged": "Only {decoded} s of {total} s could be decoded: the file is damaged.",
    "tracks": "The file has {tracks} sound tracks: only the first is used.",
    "mixed": "{channels} channels carry different speakers: they are mixed into one.",
    "mostly_silent": "Only {kept} s of {total} s of sound are kept: the rest is far quieter than the loudest voice.",
    # the server
    "upload_stopped": "The upload stopped. Try again.",
    "upload_incomplete": "The upload was not complete. Try again, with one file at a time.",
    "gone": "This recording is no longer on the server. Add it again.",
    "not_uploaded": "This recording is not on the server. Upload it first.",
    "out_of_date": "This page is out of date. Reload it.",
    "files": "Up to {files} recordings can be sent at once. Send fewer.",
    "requests": "Too many requests. Wait a few seconds.",
    "full": "The server is full. Delete what you no longer need, or try again in half an hour.",
    "visitors": "The server has too many visitors. Try again in half an hour.",
    "temporary": "A temporary file cannot be written or read: {reason}.",
    "not_kept": "The server cannot keep recordings now. Try again later.",
    "stopped": "Stopped. Nothing was kept of this run.",
    "took_too_long": "This took too long and was stopped. Try again later, or with a shorter recording.",
    "busy": "The server is busy with other work of yours or of others. Try again in a minute.",
    # choices that do not go together
    "no_difference": "The recordings differ in length, as in the profile strict, so they have no difference.",
    # spectrograms
    "original": "Original",
    "reconstructed": "Reconstructed",
    "swapped": "Anonymized",
    "minus": "{panel} minus original",
    "time": "Time (s)",
    "level": "Level (dB, 0 is loud speech)",
    "difference": "Difference (dB)",
    # judges, and whose voices they were measured on
    "own_encoder": "the model's own speaker encoder",
    "readers": "{speakers} readers of LibriSpeech",
    "gallery": "the {voices} voices of the built-in gallery",
    # bundled voices
    "female": "Voice {name} (female)",
    "male": "Voice {name} (male)",
}
"""Sentences of the library, and what else it gives the page in English. Others stay in English."""
