"""Every sentence on the page, so that it can be read, checked and translated in one place."""

from saic.web.store import KEEP_S

TITLE = "Speech anonymizer"

HEADER = """
<h1>Speech anonymizer</h1>
<p class="lead">Hear a patient's words in another person's voice.</p>
<ul class="notes" aria-label="Before you start">
  <li><strong>It changes the voice, not the words.</strong>
      Names, dates and places that are spoken stay in the recording.</li>
  <li><strong>Not for real patient data on a public server.</strong>
      This is a research tool; nobody has certified it as a safeguard.
      Its output is not anonymous to an attacker who knows it.</li>
</ul>
"""

SOURCE = """<h2><span class="step">1</span> The patient's voice</h2>
<p>Record or upload up to five minutes. A few sentences are enough.</p>"""

TARGET = """<h2><span class="step">2</span> The other voice</h2>
<p>The bundled voices are synthetic and belong to nobody.</p>"""

CONSENT = "The person who speaks here has agreed to this use of their voice"

EMPTY = """<div class="empty">
<h2>Nothing converted yet</h2>
<p>Here you will hear three versions: the original, the model's reconstruction of it, and the swapped voice.
Below them, two figures show what changed and what stayed.</p>
</div>"""

LISTEN = """<h2>Listen</h2>
<p>The reconstruction is the same voice, passed through the model: it shows what the model itself costs in
quality.</p>"""

MELS = """<h3>What changed in the sound</h3>
<p>Time runs to the right, pitch upwards; bright is loud. All three share one colour scale.</p>
<p>The reconstruction should look like the original. In the swapped voice the words keep their timing, while
the fine stripes, the pitch of the voice, move.</p>"""

MAPS = """<h3>Whose voice, and what is said</h3>
<p>Each dot is a short stretch of speech of one of the built-in gallery's voices; a colour and shape together
stand for one voice.</p>
<p><strong>Left:</strong> every voice should form an island of its own, and the swapped clip lie with the other
voice, away from the original.</p>
<p><strong>Right:</strong> the voices should mix in one cloud, for the content should not tell who speaks. The
swapped clip should lie with the original.</p>
<p>The maps show neighbours. The distance between two islands means nothing.</p>"""

MELS_ALT = "Mel spectrograms of the original, the reconstruction and the swapped voice, side by side"
MAPS_ALT = "Two maps of the gallery's voices, by speaker embedding and by content embedding, your clips marked"

PRIVACY = f"""
- **Uploads** are decoded to a plain 16 kHz copy, and the uploaded file is deleted within two minutes.
- **That copy and the results** lie in a private temporary folder of this server and are deleted after
  {KEEP_S // 60} minutes.
- **Nothing is sent elsewhere**: no analytics, no run history in your browser, no file names in the log.
- **Recording** needs your browser's permission to use the microphone. Away from the computer that runs this
  page browsers allow that over https only.
- **A changed voice can still be recognised**, by manner of speaking or by what is said. Judge each recording
  before you pass it on.
"""
