"""The texts of the page in German."""

from saic.profiles import BALANCED, PROSODY_KEPT, STRICT
from saic.web.server.store import GRACE_S, KEEP_S

CODE, DECIMAL = "de", ","

TITLE = "Sprache anonymisieren"
TABS = {
    "anonymize": "Anonymisieren",
    "batch": "Stapel",
    "explore": "Karten",
    "identify": "Erkennen",
    "evaluation": "Zahlen",
    "about": "Info",
}

HEADER = """
<header class="title"><h1>Sprache anonymisieren</h1>
<p class="warning"><strong>Ändert die Stimme, nicht die Worte:</strong> Gesprochene Namen bleiben. Keine Patientendaten
auf öffentlichen Servern.</p></header>
<p id="microphone-note" class="note-warning" role="status" hidden></p>
<p id="live" class="sr-only" role="status"></p>
"""

# --- in the browser: `saic.web.script` ---------------------------------------------------------

MICROPHONE = {
    "NotAllowedError": "Der Browser erlaubt dieser Seite den Zugriff auf das Mikrofon nicht. Erlauben Sie ihn in den "
    "Einstellungen der Adressleiste und nehmen Sie erneut auf, oder laden Sie eine Datei hoch.",
    "NotFoundError": "Kein Mikrofon gefunden. Schließen Sie eines an und versuchen Sie es erneut, oder laden Sie eine "
    "Datei hoch.",
    "NotReadableError": "Ein anderes Programm verwendet das Mikrofon. Schließen Sie das Programm und versuchen Sie es "
    "erneut, oder laden Sie eine Datei hoch.",
    "other": "Das Mikrofon kann nicht verwendet werden. Laden Sie stattdessen eine Datei hoch.",
    "insecure": "Browser erlauben Aufnahmen nur über https oder auf dem Computer selbst. Öffnen Sie die Seite unter "
    "ihrer https-Adresse, oder laden Sie eine Datei hoch.",
}
CONNECTION = {
    "lost": "Die Verbindung zum Server ist abgebrochen. Starten Sie erneut, was gerade lief.",
    "offline": "Der Server ist nicht erreichbar. Sobald er es ist, macht diese Seite weiter.",
}
NOT_AUDIO = "Diese Datei ist keine Aufnahme: Laden Sie WAV, FLAC, MP3, M4A oder eine andere Ton- oder Videodatei hoch."
REPLACE = "Die jetzige Aufnahme wird dadurch entfernt. Fortfahren?"

# --- Anonymize ---------------------------------------------------------------------------------

PSEUDONYM = "Pseudonym (Kunststimme)"
OWN_RECORDING = "Andere Person (Aufnahme)"
SOURCE_LABEL, CHOICE_LABEL, TARGET_LABEL = "Zu schützende Stimme", "Stimme", "Neue Stimme"
REGISTER_LABEL, PROFILE_LABEL = "Stimmlage", "Profil"
UPLOAD, RECORD = "Datei hochladen", "Mikrofon verwenden"
CONVERT, CANCEL, EXAMPLE = "Umwandeln", "Abbrechen", "Mit Beispielstimmen testen"

SOURCE = """<h2><span class="step">1</span> Die zu schützende Stimme</h2>
<p>Bis zu {minutes} min aufnehmen oder hochladen. Einige Sätze genügen.</p>"""

TARGET = """<h2><span class="step">2</span> Die neue Stimme</h2>
<p>Ein Pseudonym ist aus drei Stimmen der Galerie gemischt. Es gehört niemandem.</p>"""

REGISTERS = {"any": "Beliebig", "lower": "Tief", "higher": "Hoch", "same": "Wie im Original"}
SUBJECT = "Kennung der Person"
SUBJECT_INFO = (
    "Dieselbe Kennung mit derselben Stimmlage bekommt dieselbe Stimme, heute und an jedem anderen Tag. "
    "Verwenden Sie einen Code, keinen Namen. Leer: jedes Mal eine neue Stimme."
)
VOICE_KINDS = {
    "random": "ein zufällig gezogenes Pseudonym: Die Stimme gehört niemandem",
    "seed": "ein Pseudonym aus einem Startwert: Die Stimme gehört niemandem",
    "key": "das Pseudonym einer Kennung, mit dem Schlüssel der Studie gezogen: Die Stimme gehört niemandem",
    "target": "die Stimme einer anderen Aufnahme",
}

PROFILE = """<h2><span class="step">3</span> Die Sprechweise</h2>"""

PROFILE_NAMES = {BALANCED: "Ausgewogen", STRICT: "Streng", PROSODY_KEPT: "Prosodie erhalten"}

PROFILES = {
    BALANCED: "Die Melodie wird neu gebildet; Rhythmus, Lautstärke und Länge bleiben.",
    STRICT: "Melodie neu gebildet, Rhythmus ausgeglichen, die meisten Pausen gekürzt; die Länge ändert sich.",
    PROSODY_KEPT: "Melodie, Lautstärke und Rhythmus bleiben, für alle, die sie erforschen; am leichtesten zuzuordnen.",
}
PROFILE_FIGURE = "Ein Angreifer irrt in {eer} der Fälle."
PROFILE_NOTE = """Angreifer: Software, die entscheidet, ob zwei Aufnahmen von {seconds} Sekunden von derselben Person
stammen. Wer rät, irrt in 50 % der Fälle: je näher daran, desto besser der Schutz. Mit mehr Sprache
irren Angreifer seltener. Gemessen mit Pseudonymen."""
NO_PATIENT = "Nichts davon wurde an Patienten gemessen."
STAYS = {
    BALANCED: "Rhythmus, Pausen, Betonung, Akzent, Wortwahl und langsame Änderungen der Melodie bleiben.",
    STRICT: "Betonung, Akzent, Wortwahl, die Stellen der längsten Pausen und ein Teil des Rhythmus bleiben.",
    PROSODY_KEPT: "Rhythmus, Pausen, Melodie, Betonung, Akzent und Wortwahl bleiben.",
}

CONSENT = "Die Person, die hier spricht, hat in diese Verwendung ihrer Stimme eingewilligt"

EMPTY = """<div class="empty">
<h2>Noch nichts umgewandelt</h2>
<p>Sie erhalten eine Bewertung, die anonymisierte Stimme und einen Bericht zum Ablegen.{times} Aufnahmen von mehr als
{minutes} min werden abgelehnt: Teilen Sie sie vorher in kürzere Stücke.</p>
</div>"""

TIMES = """ Auf diesem Server dauert die Umwandlung von zehn Sekunden Sprache {ten}, von fünf Minuten {five}, wenn
gerade niemand sonst umwandelt."""

NO_OVERWRITE = "Entfernen Sie zuerst Ihre Aufnahme: Das Beispiel würde sie ersetzen."
NO_SOURCE = "Nehmen Sie zuerst die zu schützende Stimme auf oder laden Sie sie hoch."
NO_TARGET = "Nehmen Sie die Stimme der anderen Person auf, laden Sie sie hoch oder wählen Sie ein Pseudonym."
SUBJECT_REGISTER = """Mit einer Kennung ist „Wie im Original“ nicht möglich: Die Stimme gilt für alle Aufnahmen der
Person. Wählen Sie „Tief“, „Hoch“ oder „Beliebig“."""
NO_CONSENT = "Bestätigen Sie, dass die andere Person in die Verwendung ihrer Stimme eingewilligt hat."

NOTED = {"source": "Die zu schützende Stimme", "target": "Die neue Stimme", "query": "Die fragliche Aufnahme"}

SERVER_ERROR = "Auf dem Server ist ein Fehler aufgetreten. Versuchen Sie es erneut, oder melden Sie Ereignis {event}."

DELETE = "Jetzt löschen"
DELETED = """<div class="empty" role="status"><h2>Gelöscht</h2>
<p>Ihre Aufnahmen und Ergebnisse wurden von diesem Server gelöscht.</p></div>"""

PROGRESS_LABEL = "Umwandlung"
LEFT = "noch {time}"
ABOUT_SECOND, ABOUT_SECONDS = "etwa {seconds} Sekunde", "etwa {seconds} Sekunden"
ABOUT_MINUTES, ABOUT_MINUTES_SECONDS = "etwa {minutes} min", "etwa {minutes} min {seconds} s"

CHANGED = """<div class="empty" role="status"><h2>Noch nicht umgewandelt</h2>
<p>Die Aufnahme oder Ihre Auswahl hat sich geändert. Drücken Sie „Umwandeln“, um sie umzuwandeln.</p></div>"""

DETAILS = "Einzelheiten und Spektrogramme"

LISTEN = """<h2>Original und Rekonstruktion anhören</h2>
<p>Beide werden mit der Lautstärke der anonymisierten Stimme abgespielt. Die Rekonstruktion behält die ursprüngliche
Stimme: Das Modell zerlegt die Aufnahme und setzt sie wieder zusammen. So hören Sie, wie viel das Modell auch ohne
Wechsel der Stimme verliert.</p>"""

ORIGINAL, RECONSTRUCTED, ANONYMIZED = "Original", "Rekonstruktion", "Anonymisierte Stimme"
GUARD = """Ich weiß, dass die Rekonstruktion und die Daten nicht anonym sind: Sie enthalten die eigene Stimme der
Person, und Software kann die Person daran erkennen."""
GUARD_MEASURED = " Je nach Korpus nannte Resemblyzer bei bis zu {share} der Rekonstruktionen die richtige Person."
GUARDED_DOWNLOADS = {"reconstruction": "Rekonstruktion herunterladen", "data": "Spektrogramme als Daten (NPZ)"}
DOWNLOAD_REPORTS = {"report": "Bericht zum Drucken (HTML)", "json": "Bericht (JSON)"}
REPORT = """<p class="soft">Laden Sie die Stimme als WAV, FLAC, MP3 oder Opus herunter. Im Bericht steht, wie sie
entstanden ist und was gemessen wurde. Er enthält keinen Namen und keinen Dateinamen. Die Ähnlichkeitswerte darin sind
Messwerte einer Person: Bewahren Sie ihn beim Original auf. Mit den sechs Stellen in den Dateinamen beginnt der SHA-256
im Bericht.</p>"""
PRINTED_TITLE = "Bericht über eine Stimmumwandlung"
PRINTED_NOTE = """Dieser Bericht enthält keinen Namen und keinen Dateinamen. Die Ähnlichkeitswerte darin sind Messwerte
einer Person: Bewahren Sie ihn beim Original auf, nicht bei der anonymisierten Aufnahme."""

PRINTED = {
    "made": "Erstellt",
    "voice": "Neue Stimme",
    "register": "Stimmlage",
    "profile": "Sprechweise",
    "length": "Länge",
    "similarity": "Ähnlichkeit mit der sprechenden Person",
    "usual": "Übliche Ähnlichkeit",
    "judge": "Gemessen mit",
    "words": "Erhaltene Wörter",
    "weights": "Modellgewichte (SHA-256)",
    "wav": "WAV-Datei (SHA-256)",
}
PRINTED_MADE = "{date}, mit SAIC {version}"
PRINTED_SIMILARITY = "{before} vorher, {after} nachher"
PRINTED_USUAL = "{same} für Aufnahmen einer Person, {different} für zwei Personen"
PRINTED_JUDGE = "{name}, an: {basis}"
PRINTED_NO_WORDS = "nicht gezählt"
PRINTED_NOTES = "Hinweise zur Aufnahme"
PRINTED_NO_PATIENT = "Die Angaben zu Angreifern wurden nicht an Patienten gemessen."

VERDICT_SAME = """<strong>Die Stimme ist kaum geschützt:</strong> Software, die Stimmen erkennt, kann sie noch für die
der sprechenden Person halten."""
VERDICT_BETWEEN = """<strong>Die Stimme ist teilweise geschützt:</strong> Die Ähnlichkeit mit der sprechenden Person
ist kleiner als meist bei zwei Aufnahmen derselben Person, aber größer als meist bei zwei verschiedenen Personen."""
VERDICT_DIFFERENT = """<strong>Die Stimme klingt wie die einer anderen Person:</strong> Die Ähnlichkeit mit der
sprechenden Person ist nicht größer als meist bei zwei verschiedenen Personen. Die Sprechweise kann die Person
weiterhin verraten."""
VERDICT_UNKNOWN = "Die anonymisierte Aufnahme enthält zu wenig Sprache, um die Stimmen zu vergleichen."
VERDICT_NEXT = {
    "little": "Wandeln Sie die Aufnahme vor der Weitergabe noch einmal um: Jedes Pseudonym ist eine andere Stimme.",
    "some": "Wandeln Sie die Aufnahme vor der Weitergabe noch einmal um: Jedes Pseudonym ist eine andere Stimme.",
    "unknown": "Verwenden Sie eine längere Aufnahme.",
}

PSEUDONYM_TARGET = """Die neue Stimme ist ein Pseudonym. Sie gehört keiner wirklichen Person, daher gibt es keine
Aufnahme zum Vergleich."""
KNOWN_TARGET = """Wer die Aufnahme der neuen Stimme hat, kann die Ergebnisse häufiger der sprechenden Person zuordnen.
Ein Pseudonym schützt besser."""

SIMILARITY_TITLE = "Was gemessen wurde und was nicht geschützt ist"
SIMILARITY_SOURCE = "Ähnlichkeit mit der sprechenden Person"
SIMILARITY_TARGET = "Ähnlichkeit mit der neuen Stimme"
SIMILARITY_BEFORE, SIMILARITY_AFTER = "vorher,", "nachher"
SIMILARITY_SCALE = "{title}: Original {before}, anonymisierte Stimme {after}"
SIMILARITY_LEGEND = """<ul class="key">
<li><span class="swatch different"></span>zwei Personen: meist {different}</li>
<li><span class="swatch same"></span>eine Person: meist {same}</li>
<li><span class="swatch before"></span>Original</li>
<li><span class="swatch after"></span>anonymisierte Stimme</li></ul>"""
RANGE = "{low} bis {high}"
SIMILARITY_NOTE = """Kosinus-Ähnlichkeit von Sprecher-Embeddings: je näher an 1, desto ähnlicher die Stimmen. Gemessen
mit: {verifier}. „Meist“ umfasst die mittleren 90 % der Werte natürlicher Aufnahmen ({basis}). Beim Original ist es
die Ähnlichkeit seiner ersten Hälfte mit seiner zweiten."""
NOT_INDEPENDENT = "Dieses Verfahren war an der Umwandlung beteiligt, daher ist die Messung nicht unabhängig."

WORDS_TITLE = "Erhaltene Wörter"
WORDS_KEPT = """Von den Wörtern, die eine Spracherkennung im Original erkennt, erkennt sie {percent} % auch
in der anonymisierten Stimme."""
WORDS_NOT_COUNTED = {
    "absent": "Nicht gezählt: Auf diesem Server ist keine Spracherkennung installiert. Vergleichen Sie das "
    "Ergebnis mit dem Original, bevor Sie sich auf ein Wort verlassen.",
    "running": "Die Spracherkennung läuft …",
    "stopped": "Nicht gezählt: Die Spracherkennung wurde abgebrochen.",
    "wordless": "Nicht gezählt: Die Spracherkennung findet im Original keine Wörter.",
}

NOT_PROTECTED = """<h3>Was nicht geschützt ist</h3>
<ul class="plain">
<li><strong>Im rechtlichen Sinn ist das Ergebnis nicht anonym.</strong> Behandeln Sie es als
personenbezogene Daten.</li>
<li><strong>Was gesagt wird.</strong> Namen, Datumsangaben, Orte und alles andere, was gesprochen wird.</li>
<li><strong>Wie es gesagt wird.</strong> {stays}</li>
<li><strong>Vor Angreifern, die dieses System kennen.</strong> {linkage}</li>
<li><strong>Vor Menschen, die mehr wissen.</strong> Je mehr Aufnahmen einer Person es gibt, desto leichter
lassen sie sich einander zuordnen. Wer das Original hat, kann die daraus gemachte anonymisierte Stimme finden.
Wer die neue Stimme kennt und andere Aufnahmen der Person hat, findet die Person leichter. Schon die Worte können
verraten, wer spricht.</li>
</ul>"""
PROFILE_USED = """<h3>Profil</h3>
<p id="profile-used"><strong>{name}.</strong> {profile}</p>"""

LINKAGE_UNKNOWN = """Wer Software mit Ergebnissen dieses Systems trainiert, kann Aufnahmen öfter als durch Zufall der
sprechenden Person zuordnen."""
LINKAGE = """Software, die jemand mit Ergebnissen dieses Systems trainiert, entscheidet, ob zwei Aufnahmen von {seconds}
Sekunden, beide in Pseudonyme umgewandelt, von derselben Person stammen. Sie irrt nur in {eer} der Fälle{beside}. Wer
rät, irrt in 50 % der Fälle."""
LINKAGE_OTHER_LENGTH = "{eer} bei {seconds} Sekunden"
LINKAGE_TOP1 = "In {top1} der Fälle nennt die Software unter {people} Personen die richtige."

LINKAGE_TITLE = "Wer eine Aufnahme der sprechenden Person zuordnen kann"
LINKAGE_HEADLINE = """<strong>Der stärkste Angreifer hat eine EER von {eer} bei {seconds} Sekunden Sprache</strong> je
Aufnahme ({speakers} Sprecher){others}. Neue Pseudonyme, Profil {profile}. 50 % entsprechen dem Zufall."""
LINKAGE_HEADLINE_OTHER = ", {eer} bei {seconds} Sekunden"
LINKAGE_LABEL, LINKAGE_PROFILE = "Stärkster Angreifer", "Profil"
LINKAGE_EER, LINKAGE_NAMED = "EER bei {seconds} s, %", "Gefunden unter {people}, %"
LINKAGE_ORIGINAL = "Originalaufnahmen"
LINKAGE_KNOWN_VOICE = "{profile}, Angreifer kennt die neue Stimme"
LINKAGE_NOTE = """EER: Fehlerrate bei der Entscheidung, ob zwei Aufnahmen von derselben Person stammen. Sie gilt für den
stärksten aller erprobten Angreifer. Die Angreifer kennen dieses System und trainieren mit seinen Ergebnissen. Gefunden:
wie oft der stärkste Angreifer mit {seconds} Sekunden Sprache die richtige Person findet. Ein Angreifer, der die neue
Stimme kennt, wandelt die Aufnahmen der Kandidaten zuerst in sie um. Es wurde an keinem Patienten gemessen."""

MELS = """<h3>Was sich am Klang geändert hat</h3>
<p>Die Zeit läuft nach rechts, die Frequenz nach oben. Laute Stellen sind hell. Die weiße Linie ist die Tonhöhe der
Stimme. Ziehen Sie mit der Maus über einen Bereich, um ihn in allen drei Bildern zu vergrößern. Ein Doppelklick führt
zurück. Auf einem Touchscreen verwenden Sie die Schaltflächen über dem Bild. Beim Abspielen läuft eine Linie mit. Ein
Klick in ein Spektrogramm spielt seine Aufnahme ab dieser Stelle ab.</p>
<p>Die Rekonstruktion sollte aussehen wie das Original. In der anonymisierten Stimme verschieben sich die feinen
Streifen und die weiße Linie. Die Wörter bleiben an ihrer Stelle{strict}.</p>"""
MELS_STRICT = ", außer im Profil „Streng“, das die Länge ändert"
MELS_LABEL = "Spektrogramme"
DOWNLOAD_MELS = "Bild herunterladen ({kind})"
VIEW = "Darstellung der Spektrogramme"
VIEW_AXIS, VIEW_AXES = "Frequenzachse", {"mel": "Mel (wie das Gehör)", "linear": "Linear"}
VIEW_PALETTE = "Farben"
VIEW_RANGE = "Farbbereich unterhalb des Pegels lauter Stellen (dB)"
VIEW_DIFFERENCE = "Abweichung vom Original anzeigen (dB)"

NO_EVALUATION = """<p>Diese Installation enthält die Auswertung nicht. Sie steht im Repository in
<code>benchmarks/evaluation/report.md</code>; <code>saic evaluate</code> wiederholt sie.</p>"""
OTHER_WEIGHTS = "<p><strong>Diese Zahlen wurden mit anderen Modellgewichten als den geladenen gemessen.</strong></p>"

# --- Evaluation --------------------------------------------------------------------------------

EVALUATION = """<h2>Wie gut es im Mittel gelingt</h2>
<p>Gemessen an Aufnahmen von Sprechern, mit denen das Modell nicht trainiert wurde. Ein Zeichen steht für den Mittelwert
über die Sprecher, seine Linie für das 95-%-Intervall. Es wurde an keinem Patienten gemessen.</p>"""
EVALUATION_WAITING = '<div class="empty"><p>Die Abbildungen werden gezeichnet …</p></div>'
TOPICS = {
    "words": (
        "Wörter",
        """<p>Wortfehlerrate (WER): wie viele Wörter eine Spracherkennung im Ergebnis falsch erkennt. Oben wird mit
dem verglichen, was sie im Original erkennt, unten mit dem wahren Text, wo das Korpus ihn hat. <code>real</code> ist
die Aufnahme selbst: Von keiner Umwandlung ist Besseres zu erwarten.</p>""",
    ),
    "identity": (
        "Identität",
        """<p>Wie oft eine Sprechererkennung (Resemblyzer) unter allen Sprechern des Korpus das Ergebnis für den
Quellsprecher hält und wie oft für den Zielsprecher. Den Quellsprecher sollte sie nicht öfter nennen als durch Zufall.
Sie weiß nichts von diesem System. Ein Angreifer, der es kennt, findet mehr (nächste Abbildung).</p>""",
    ),
    "attackers": (
        "Angreifer je nach Dauer der Sprache",
        """<p>Der stärkste aller Angreifer entscheidet, ob zwei Aufnahmen von derselben Person stammen. Er kennt
dieses System und trainiert mit seinen Ergebnissen. Fehlerrate (EER): 50 % entsprechen dem Zufall, bei 0 % findet er
jede Person. Je mehr Sprache jede der beiden Aufnahmen enthält, desto besser gelingt es ihm.</p>""",
    ),
    "sound": (
        "Klang und Prosodie",
        """<p>DNSMOS sagt vorher, wie Menschen den Klang bewerten würden, von 1 bis 5. Die Korrelation von F0 sagt,
wie viel von der Melodie des Originals bleibt. „Ausgewogen“ bildet die Melodie neu, behält aber ihre langsamen
Änderungen. „Streng“ ändert den zeitlichen Verlauf, daher gibt es dort keinen Wert.</p>""",
    ),
    "degraded": (
        "Gestörte Aufnahmen",
        """<p>Wortfehlerrate (WER), wenn die Aufnahme verrauscht, verhallt, mit einem Codec komprimiert oder zu
leise ist, einen Gleichanteil hat oder über eine Telefonleitung kommt. Gefüllte Zeichen:
umgewandelt. Leere Zeichen: die gestörte Aufnahme selbst.</p>""",
    ),
}
EACH_ATTACKER = (
    "Jeder Angreifer für sich",
    """<p>Dasselbe mit {seconds} Sekunden Sprache in jeder der beiden Aufnahmen, für jeden Angreifer: Einige erkennen
Stimmen, andere messen nur das Timing, die Energie, die Artikulation, die Melodie, das Rauschen oder Ähnliches.
<code>fused</code> sind alle zusammen. <code>real</code> sind die Originalaufnahmen: Ein Angreifer, der an ihnen
scheitert, beweist nichts.</p>""",
)
TOPIC_TABLES = "Tabellen"
TOPIC_COMMAND = "Gemessen mit "
SYSTEM_NAMES = "Was die Namen der Systeme bedeuten"
FIGURE_ALT = "Abbildung: {title}. Die Werte stehen in den Tabellen darunter."
SAVE_SVG = "Abbildung speichern (SVG)"

# --- Batch -------------------------------------------------------------------------------------

BATCH_ADD = """<h2><span class="step">1</span> Die Aufnahmen einer Person</h2>
<p>Geben Sie der Person eine Kennung und fügen Sie ihre Aufnahmen hinzu, dann die nächste Person: insgesamt bis zu
{files} Aufnahmen. {keyed} Verwenden Sie Codes, keine Namen: Die Ergebnisse werden nach Kennung und Nummer benannt, in
der Reihenfolge der Dateiliste. Jeder kann hören, dass die Ergebnisse einer Kennung zusammengehören.</p>"""
BATCH_KEYED = "Der Schlüssel dieser Seite bestimmt die Stimme jeder Kennung."
BATCH_UNKEYED = "Jede Kennung bekommt eine Stimme, die für diesen Stapel gezogen wird."
BATCH_CONVERT = """<h2><span class="step">2</span> Alle umwandeln</h2>
<p>Fertige Ergebnisse bleiben, solange die Seite offen ist, auch wenn Sie weitere Aufnahmen hinzufügen.</p>"""
BATCH_PROFILE = "Die Sprechweise"
BATCH_FILES, BATCH_ADD_BUTTON, BATCH_CONVERT_BUTTON = "Aufnahmen", "Hinzufügen", "Alle umwandeln"
BATCH_COLUMNS = {"subject": "Kennung", "number": "Aufnahme", "length": "Länge", "state": "Status"}
BATCH_COUNT = "{done} von {all} fertig"
BATCH_ZIP, BATCH_CLEAR = "Alle Stimmen und Berichte herunterladen (ZIP)", "Liste leeren"
BATCH_NOTHING = '<p class="empty">Noch keine Aufnahmen.</p>'
BATCH_READY, BATCH_DONE, BATCH_STOPPED = "Bereit", "Fertig.", "Abgebrochen"
BATCH_NO_SUBJECT = "Geben Sie der sprechenden Person eine Kennung."
BATCH_NO_FILES = "Wählen Sie zuerst die Aufnahmen dieser Person."
BATCH_TOO_MANY = """Ein Stapel fasst höchstens {files} Aufnahmen. Wandeln Sie diese um, speichern Sie das ZIP und leeren
Sie die Liste: Die Stimmen der Kennungen bleiben. Oder verwenden Sie saic anonymize für einen Ordner."""
BATCH_EMPTY = "Es gibt nichts umzuwandeln. Fügen Sie zuerst Aufnahmen hinzu."

# --- Explore -----------------------------------------------------------------------------------

EXPLORE = """<h2>Wer spricht und was gesagt wird</h2>
<p>Jeder Punkt ist ein kurzes Stück Sprache einer Stimme der eingebauten Galerie. Jede Stimme hat ihre eigene
Kombination von Farbe und Form. Zeigen Sie auf einen Punkt oder wählen Sie eine Stimme, um sie in beiden Karten
hervorzuheben. Wandeln Sie auf der Seite Anonymisieren eine Aufnahme um, um sie hier zu sehen, mit der anonymisierten
Stimme und, wenn sie eine Aufnahme ist, der neuen Stimme. Verwendet werden jeweils nur die ersten fünf Minuten.</p>"""

EXPLORE_HELP = """<div class="columns">
<p><strong>Sprecher-Embeddings</strong> beschreiben, wer spricht. Sie sollten für jede Stimme eine Gruppe bilden. Die
anonymisierte Stimme sollte bei der neuen Stimme liegen und nicht in der Gruppe des Originals.</p>
<p><strong>Inhalts-Embeddings</strong> beschreiben, was gesagt wird. Sie sollten eine gemischte Wolke bilden, weil sie
nicht davon abhängen sollten, wer spricht. Die anonymisierte Stimme sollte beim Original liegen.</p>
<p>Eine Karte (PCA, dann t-SNE) zeigt, welche Punkte Nachbarn sind. Der Abstand zweier Gruppen bedeutet nichts. Der
Prozentwert über jeder Karte wird vor PCA und t-SNE berechnet.</p></div>"""

EXPLORE_CLIPS = {"original": "Original", "target": "Neue Stimme", "swapped": "Anonymisiert"}
MAPS = {
    "highlight": "Stimme hervorheben",
    "all": "alle",
    "speaker": "Sprecher-Embeddings",
    "content": "Inhalts-Embeddings",
    "legend": "{voices} Stimmen der Galerie, jede in eigener Farbe und Form",
    "map": "Karte: {title}. {measured}",
    "measured": "Nächster Nachbar ist dieselbe Stimme: {same} % (Zufall {chance} %), gemessen an den {speakers} "
    "Stimmen der Galerie",
}
SEXES = {"F": "weiblich", "M": "männlich"}
UNSEEN = """<h2>Sprecher, die unser Training nicht verwendet hat</h2>
<p>In Farbe: je vier Stücke von zwei Sekunden von {speakers} Sprechern aus {corpus}, Teil {split}. Mit keinem von ihnen
haben wir trainiert. Einige sind vielleicht in den unbekannten Trainingsdaten der Lauterkennung, aus der der
Inhalts-Encoder entstand. In Grau: die Stimmen der Galerie.
Die Zahlen unter den Karten
wurden an den farbigen Punkten gemessen, vor PCA und t-SNE. Ziehen Sie über einen Bereich, um ihn zu vergrößern. Ein
Doppelklick führt zurück. Das Kamerasymbol speichert die Karte (SVG). <code>saic plot map DATA -o map.svg</code>
zeichnet beide Karten.</p>"""
UNSEEN_GALLERY, UNSEEN_SPEAKERS, UNSEEN_SPEAKER = (
    "{voices} Stimmen der Galerie",
    "{speakers} Sprecher außerhalb des Trainings",
    "Sprecher {number}",
)
NEAREST = "Der nächste Nachbar ist derselbe Sprecher: <strong>{rate}</strong>, durch Zufall {chance}."
PROBE = """Ein Prüfprogramm, das lernt, den Sprecher in den Inhaltscodes zu finden, liegt in
<strong>{accuracy} %</strong> [{low}, {high}] der Fälle richtig, durch Zufall in {chance} % ({speakers} Sprecher)."""
EXPLORE_WAITING = '<div class="empty"><p>Die Karten werden gezeichnet …</p></div>'

# --- Identify ----------------------------------------------------------------------------------

IDENTIFY_ENROLL = f"""<h2><span class="step">1</span> Stimmen, die Sie kennen</h2>
<p>Geben Sie jeder Stimme einen Namen. Einige Sekunden Sprache genügen. Gespeichert wird nur eine Zusammenfassung der
Stimme in Zahlen, bis Sie die Stimme entfernen, sonst bis {KEEP_S // 60} Minuten nach dem Schließen der Seite.</p>"""

IDENTIFY_QUERY = """<h2><span class="step">2</span> Wer ist das?</h2>
<p>Eine Aufnahme, in der nur eine Person spricht.</p>"""

IDENTIFY_NAME, IDENTIFY_CLIP, IDENTIFY_QUERY_LABEL = "Name", "Stimme", "Fragliche Aufnahme"
IDENTIFY_ENROLL_BUTTON, IDENTIFY_REMOVE, IDENTIFY_BUTTON, IDENTIFY_EXAMPLE = (
    "Hinzufügen",
    "Alle entfernen",
    "Wer spricht?",
    "Ausprobieren",
)
IDENTIFY_NO_CLIP = "Nehmen Sie zuerst die Stimme auf oder laden Sie sie hoch."
IDENTIFY_NO_NAME = "Geben Sie der Stimme einen Namen."
IDENTIFY_TOO_MANY_VOICES = (
    "Alle {voices} Plätze für Stimmen sind belegt. Entfernen Sie die Stimmen, um neu zu beginnen."
)
IDENTIFY_TOO_MANY_CLIPS = "Von dieser Stimme gibt es schon {clips} Aufnahmen. Weitere würden nicht helfen."
IDENTIFY_NO_OVERWRITE = "Entfernen Sie zuerst Ihre Stimmen: Das Beispiel würde sie ersetzen."
IDENTIFY_NO_QUERY = "Nehmen Sie zuerst die fragliche Aufnahme auf oder laden Sie sie hoch."
IDENTIFY_NOBODY = "Fügen Sie zuerst mindestens eine Stimme hinzu."
IDENTIFY_SECOND_HALF = "Die zweite Hälfte von {voice}."
IDENTIFY_FIRST_HALVES = "Jeweils die erste Hälfte."
CLIP, CLIPS = "{clips} Aufnahme", "{clips} Aufnahmen"
MATCH = "Am wahrscheinlichsten <strong>{name}</strong>."
NO_PROOF = "Ein Wert ist kein Beweis der Identität."
NOBODY_ENROLLED = '<p class="empty">Noch ist keine Stimme hinzugefügt.</p>'
NO_MATCH = "<strong>Keine dieser Stimmen.</strong>"
WHY_ACCEPTED = "{name} hat den höchsten Wert, {score}. Er liegt nicht unter der Schwelle von {threshold}."
WHY_REJECTED = "{name} hat den höchsten Wert, {score}. Er liegt unter der Schwelle von {threshold}."
EXAMPLE_KNOWN = (
    '<p class="example">Wer spricht in der zweiten Hälfte von {voice}, deren erste Hälfte hinzugefügt ist?</p>'
)
EXAMPLE_STRANGER = '<p class="example">Wer spricht in der zweiten Hälfte von {voice}, die nicht hinzugefügt ist?</p>'
USUAL_TWO_PEOPLE = "zwei Personen: meist {low} bis {high}"
USUAL_ONE_PERSON = "eine Person: meist {low} bis {high}"
THRESHOLD = "Schwelle: {threshold}"
IDENTIFY_NOTE = """Kosinus-Ähnlichkeit von Sprecher-Embeddings. Eine Stimme gilt als erkannt, wenn ihr Wert mindestens
{threshold} beträgt (die Linie). Die Schwelle wurde mit vier Sekunden Sprache eingestellt, von Sprechern, mit
denen das Modell nicht trainiert wurde: Dort wird eine bekannte Person so oft nicht erkannt, wie eine fremde
angenommen wird. Mit mehr Sprache werden weniger bekannte Personen nicht erkannt. „Meist“
umfasst die mittleren 90 % der Werte in der eingebauten Galerie. Fremde mit dem Geschlecht der sprechenden Person
erreichen höhere Werte als andere."""

# --- About -------------------------------------------------------------------------------------

ABOUT = """
## Wie es funktioniert

SAIC zerlegt eine Aufnahme in drei Teile: *was gesagt wird* (Inhalt), *wer spricht* (ein Sprecher-Embedding) und die
Melodie (Tonhöhe). Es verbindet den Inhalt mit dem Sprecher-Embedding einer anderen Stimme. Die Profile „Ausgewogen“
und „Streng“ sagen die Melodie aus dem Inhalt vorher. „Prosodie erhalten“ verschiebt sie in den Bereich der neuen
Stimme. Daraus entsteht eine neue Aufnahme. Das Programm setzt *SAIC: Integration of Speech Anonymization and Identity
Classification* (Cheng, Diao, Cheng und Liu) um. Es läuft auf dem Prozessor des Computers, der diese Seite bereitstellt,
und verwendet keinen anderen Dienst.
"""

LIMITS_AND_ETHICS = """
## Grenzen

- Ein Forschungsprototyp, trainiert mit vorgelesenem Englisch. In anderen Sprachen gehen die meisten Wörter verloren.
- Kinder sind leichter zuzuordnen als Erwachsene, und von ihren Wörtern gehen mehr verloren. Auch Lärm und Hall
  kosten Wörter. Gesang und mehrere gleichzeitig sprechende Personen wurden nicht geprüft.
- Das Ergebnis klingt bearbeitet, und Wörter gehen verloren. Wie viele, steht unter „Zahlen“.
- **Das Ergebnis ist nicht anonym im rechtlichen Sinn.** Es ist der sprechenden Person schwerer zuzuordnen als das
  Original. {linkage} Auch wer die Sprechweise der Person kennt, kann Erfolg haben. Prüfen Sie jede Aufnahme, bevor Sie
  sie weitergeben.

## Ethik

- Wandeln Sie eine Aufnahme nur dann in die Stimme einer anderen Person um, wenn diese eingewilligt hat. Aus diesem
  Grund sind die mitgelieferten Stimmen synthetisch.
- Sprechen Sie damit nicht im Namen anderer. Täuschen Sie niemanden darüber, wer gesprochen hat.
- Um Personen an der Stimme zu erkennen, brauchen Sie deren Einwilligung und vielerorts eine Rechtsgrundlage:
  Stimmen sind biometrische Daten.
"""

RETENTION = f"""
## Was mit Aufnahmen geschieht

- **Keine echten Patientendaten auf einem öffentlichen Server: Betreiben Sie die Seite auf Ihrem eigenen Computer.**
  Mit Python 3.11, in einer Kopie des Repositorys: `make app`. Ohne die Seite wandelt
  `.venv/bin/python -m saic anonymize RECORDING --output anonymous.wav` eine Aufnahme in ein Pseudonym um.
- Eine hochgeladene Datei wird in eine einfache Kopie mit 16 kHz dekodiert, in einem eigenen Prozess mit begrenztem
  Speicher und begrenzter Zeit. Die hochgeladene Datei wird dann sofort gelöscht.
- Während eine Aufnahme von mehr als neun Minuten umgewandelt wird, liegen Teile von ihr in temporären Dateien, die
  nur das Konto des Servers öffnen kann. Nach der Umwandlung gibt es sie nicht mehr.
- Die Kopie, die Ergebnisse und ihr Bericht liegen in einem privaten temporären Ordner, unter Namen, die nicht zu
  erraten sind. Sie bleiben, solange Ihre Seite offen ist. {KEEP_S // 60} Minuten nach dem Schließen der Seite werden
  sie gelöscht. Ein Ergebnis wird früher gelöscht, wenn Sie die Aufnahme, die Stimme oder das Profil ändern. Eine
  Aufnahme wird {GRACE_S} Sekunden, nachdem eine andere sie ersetzt hat, gelöscht. *Jetzt löschen* bricht ab, was
  läuft, und löscht alle Aufnahmen sofort, in allen Tabs dieses Browsers. Ein Neustart des Servers löscht alles.
- Ein Cookie unterscheidet Ihren Browser von anderen, damit niemand sonst Ihre Aufnahmen bekommt. Es enthält eine
  Zufallszahl und wird gelöscht, wenn Sie den Browser schließen.
- *Abbrechen* gibt Ihre Seite sofort frei. Der Server beendet noch den laufenden Schritt der Umwandlung. Das dauert
  bei einer Aufnahme von fünf Minuten bis zu fünf Sekunden, bei längeren länger. Gespeichert wird davon nichts.
- Nichts wird anderswohin gesendet: keine Analyse der Nutzung, kein Verlauf in Ihrem Browser, keine Schriften oder
  Skripte von anderen Websites. Das Protokoll enthält Zahlen und Dauern, nie einen Dateinamen.
- Zum Aufnehmen braucht die Seite die Erlaubnis Ihres Browsers, das Mikrofon zu verwenden. Auf jedem anderen Computer
  als dem, auf dem diese Seite läuft, erlauben Browser das nur über https.
"""

PICTURE_ALT = """Ein Inhalts-Encoder entnimmt Ihrer Aufnahme, was gesagt wird, und eine Tonhöhenanalyse ihre Melodie,
von der das Profil einen Teil behält. Ein Sprecher-Encoder entnimmt der neuen Stimme, wer spricht. Ein Decoder
verbindet die drei zu einem Mel-Spektrogramm, und ein Vocoder macht daraus Klang."""

PICTURE = {
    "title": "Wie es funktioniert",
    "recording": "Ihre Aufnahme",
    "protected": "zu schützende Stimme",
    "target": "Die neue Stimme",
    "seconds": "einige Sekunden davon",
    "content": "Inhalts-Encoder",
    "content_1": "Inhalts-",
    "content_2": "Encoder",
    "speaker": "Sprecher-Encoder",
    "speaker_1": "Sprecher-",
    "speaker_2": "Encoder",
    "pitch": "Tonhöhe",
    "decoder": "Decoder",
    "swapped": "Anonymisiert",
    "words": "gleiche Wörter",
    "said": "was gesagt wird",
    "melody": "Melodie",
    "speaks": "wer spricht",
    "vocoder": "Vocoder",
}

LOADED = "## Was geladen ist\n\n{facts}. Code: Apache-2.0."
LOADED_PARAMETERS, LOADED_SIZE = "{millions} Millionen Parameter", "{megabytes} MB"
LOADED_VOCODER, LOADED_WEIGHTS = "Vocoder: {vocoder}", "Modellgewichte `{weights}`"
MODEL_CARD = "Modellkarte (englisch)"

# --- sentences from below the page -------------------------------------------------------------

MESSAGES = {
    # stages of a conversion
    "starting": "Wird gestartet",
    "reading": "Die Aufnahme wird gelesen",
    "reading_several": "Die Aufnahmen werden gelesen",
    "analyzing": "Die neue Stimme wird analysiert",
    "drawing": "Ein Pseudonym wird gezogen",
    "converting": "Die Aufnahme wird umgewandelt",
    "vocoding_reconstruction": "Der Klang der Rekonstruktion wird erzeugt",
    "vocoding": "Der Klang der neuen Stimme wird erzeugt",
    "writing": "Die Dateien werden geschrieben",
    "comparing": "Die Stimmen werden verglichen",
    "showing": "Das Ergebnis wird angezeigt",
    "waiting": "Warten auf einen freien Prozessorkern, {before} vor Ihnen",
    # a recording that cannot be used
    "silent": "Die Aufnahme ist stumm. Prüfen Sie das Mikrofon und seine Lautstärke und nehmen Sie erneut auf.",
    "too_short": "Die Aufnahme enthält {speech} s Sprache; mindestens {needed} s sind nötig. Sprechen Sie etwas "
    "länger.",
    "not_speech": "Die Aufnahme enthält ein gleichförmiges Geräusch, keine Sprache. Verwenden Sie die Aufnahme einer "
    "Stimme.",
    "too_long": "Die Aufnahme ist länger als {duration}. Teilen Sie sie in kürzere Stücke.",
    "too_large": "Die Aufnahme ist größer als {megabytes} MB. Teilen Sie sie, oder verwenden Sie FLAC oder MP3.",
    "empty": "Die Aufnahme ist leer (0 Bytes). Nehmen Sie sie erneut auf oder exportieren Sie sie erneut.",
    "no_samples": "Die Aufnahme enthält keinen Ton. Nehmen Sie sie erneut auf oder exportieren Sie sie erneut.",
    "not_audio": "Das ist keine Aufnahme, die dekodiert werden kann: Verwenden Sie {formats} oder {last}.",
    "not_decoded": "Diese Aufnahme kann in den Grenzen dieses Servers nicht dekodiert werden. Exportieren Sie sie als "
    "WAV oder FLAC mit einem Kanal und versuchen Sie es erneut.",
    "no_sound": "Die Datei hat keine Tonspur. Verwenden Sie eine Aufnahme mit Ton.",
    "rate": "Die Abtastrate ist {rate} Hz. Verwenden Sie {low} bis {high} Hz.",
    "out_of_range": "Die Abtastwerte liegen weit außerhalb von [-1, 1]. Skalieren Sie sie so, dass Vollaussteuerung "
    "1 ist.",
    "channels": "Die Aufnahme hat {channels} Kanäle. Verwenden Sie 1 bis {most}.",
    "not_finite": "Die Aufnahme enthält NaN oder unendliche Abtastwerte. Exportieren Sie sie erneut.",
    # notes on a recording
    "damaged": "Nur {decoded} s von {total} s konnten dekodiert werden: Die Datei ist beschädigt.",
    "tracks": "Die Datei hat {tracks} Tonspuren: Nur die erste wird verwendet.",
    "mixed": "{channels} Kanäle enthalten verschiedene Sprecher. Die Kanäle werden zu einem gemischt.",
    "mostly_silent": "Nur {kept} s von {total} s Ton bleiben erhalten: "
    "Der Rest ist viel leiser als die lauteste Stimme.",
    # the server
    "upload_stopped": "Das Hochladen brach ab. Versuchen Sie es erneut.",
    "upload_incomplete": "Das Hochladen war unvollständig. Versuchen Sie es erneut, immer nur mit einer Datei.",
    "gone": "Diese Aufnahme ist nicht mehr auf dem Server. Fügen Sie sie erneut hinzu.",
    "not_uploaded": "Diese Aufnahme ist nicht auf dem Server. Laden Sie sie zuerst hoch.",
    "out_of_date": "Diese Seite ist veraltet. Laden Sie sie neu.",
    "files": "Es können höchstens {files} Aufnahmen auf einmal gesendet werden. Senden Sie weniger.",
    "requests": "Zu viele Anfragen. Warten Sie einige Sekunden.",
    "full": "Der Server ist voll. Löschen Sie, was Sie nicht mehr brauchen, oder versuchen Sie es in einer halben "
    "Stunde erneut.",
    "visitors": "Der Server hat zu viele Besucher. Versuchen Sie es in einer halben Stunde erneut.",
    "temporary": "Eine temporäre Datei kann nicht geschrieben oder gelesen werden: {reason}.",
    "not_kept": "Der Server kann gerade keine Aufnahmen aufbewahren. Versuchen Sie es später erneut.",
    "stopped": "Abgebrochen. Von diesem Durchgang wurde nichts gespeichert.",
    "took_too_long": "Das dauerte zu lange und wurde abgebrochen. Versuchen Sie es später erneut oder mit einer "
    "kürzeren Aufnahme.",
    "busy": "Der Server ist mit anderer Arbeit von Ihnen oder anderen beschäftigt. Versuchen Sie es in einer Minute "
    "erneut.",
    # choices that do not go together
    "no_difference": "Die Aufnahmen sind verschieden lang, wie im Profil „Streng“. Daher gibt es keine Differenz.",
    # spectrograms
    "original": "Original",
    "reconstructed": "Rekonstruktion",
    "swapped": "Anonymisiert",
    "minus": "{panel} minus Original",
    "time": "Zeit (s)",
    "level": "Pegel (dB, 0 = laute Stellen)",
    "difference": "Differenz (dB)",
    # judges, and whose voices they were measured on
    "own_encoder": "der eigene Sprecher-Encoder des Modells",
    "readers": "{speakers} Vorlesende aus LibriSpeech",
    "gallery": "die {voices} Stimmen der eingebauten Galerie",
    # bundled voices
    "female": "Stimme {name} (Frau)",
    "male": "Stimme {name} (Mann)",
}
