"""The texts of the page in French."""

from saic.profiles import BALANCED, PROSODY_KEPT, STRICT
from saic.web.server.recordings import LIMITS
from saic.web.server.store import GRACE_S, KEEP_S

CODE, DECIMAL = "fr", ","

TITLE = "Anonymiser la parole"
TABS = {
    "anonymize": "Anonymiser",
    "batch": "Lot",
    "explore": "Explorer",
    "identify": "Identifier",
    "evaluation": "Évaluation",
    "about": "Infos",
}
_KEEP_MINUTES = KEEP_S // 60
_MINUTES = f"{LIMITS.max_duration_s / 60:g}"

HEADER = """
<header class="title"><h1>Anonymiser la parole</h1>
<p class="warning"><strong>La voix change, pas les mots :</strong> les noms prononcés restent. Pas de données de
patients sur un serveur public.</p></header>
<p id="microphone-note" class="note-warning" role="status" hidden></p>
"""

# --- in the browser: `saic.web.script` ---------------------------------------------------------

MICROPHONE = {
    "NotAllowedError": "Le navigateur n’autorise pas cette page à utiliser le microphone. Autorisez-le dans les "
    "paramètres de la barre d’adresse, puis enregistrez à nouveau, ou téléversez un fichier.",
    "NotFoundError": "Aucun microphone n’a été trouvé. Branchez-en un et réessayez, ou téléversez un fichier.",
    "NotReadableError": "Un autre programme utilise le microphone. Fermez-le et réessayez, ou téléversez un fichier.",
    "other": "Le microphone ne peut pas être utilisé. Téléversez plutôt un fichier.",
    "insecure": "Les navigateurs n’autorisent l’enregistrement que par https ou sur l’ordinateur lui-même. Ouvrez la "
    "page à son adresse https, ou téléversez un fichier.",
}
NOT_AUDIO = """Ce fichier n’est pas un enregistrement : téléversez du WAV, FLAC, MP3, M4A ou un autre fichier audio ou
vidéo."""

# --- Anonymize ---------------------------------------------------------------------------------

PSEUDONYM = "Un pseudonyme (à personne)"
OWN_RECORDING = "Enregistrement d’autrui"
SOURCE_LABEL, CHOICE_LABEL, TARGET_LABEL = "Voix à protéger", "Voix", "Nouvelle voix"
REGISTER_LABEL, PROFILE_LABEL = "Registre", "Profil"
UPLOAD, RECORD = "Choisir un fichier", "Enregistrer"
CONVERT, CANCEL, EXAMPLE = "Convertir", "Annuler", "Essayer les voix fournies"

SOURCE = f"""<h2><span class="step">1</span> La voix à protéger</h2>
<p>Au plus {_MINUTES} minutes. Quelques phrases suffisent.</p>"""

TARGET = """<h2><span class="step">2</span> La nouvelle voix</h2>
<p>Un pseudonyme mêle trois voix de la galerie. Ce n’est la voix de personne.</p>"""

REGISTERS = {"any": "Tous", "lower": "Plus grave", "higher": "Plus aigu", "same": "Semblable"}
SUBJECT = "Code de la personne"
SUBJECT_INFO = (
    "Le même code et le même registre reçoivent la même voix, aujourd’hui et tout autre jour. Utilisez un "
    "code, pas un nom. Vide : une nouvelle voix à chaque fois."
)
VOICE_KINDS = {
    "random": "un pseudonyme, tiré au hasard : la voix de personne",
    "seed": "un pseudonyme, tiré d’une graine : la voix de personne",
    "key": "le pseudonyme d’une personne, par la clé de l’étude : la voix de personne",
    "target": "la voix d’un autre enregistrement",
}

PROFILE = """<h2><span class="step">3</span> La manière de parler</h2>"""

PROFILE_NAMES = {BALANCED: "Équilibré", STRICT: "Strict", PROSODY_KEPT: "Prosodie conservée"}

PROFILES = {
    BALANCED: "La mélodie est refaite ; le rythme, l’intensité et la durée restent.",
    STRICT: "La mélodie, le rythme et les pauses sont refaits ; la durée change.",
    PROSODY_KEPT: "Mélodie, intensité et rythme inchangés, pour qui les étudie ; le plus facile à relier.",
}
PROFILE_FIGURE = "Taux d’erreur de l’attaquant : {eer}."
PROFILE_NOTE = """Attaquant : logiciel qui décide si deux enregistrements de {seconds} secondes sont d’une même
personne. Le hasard se trompe dans 50 %. Mesuré avec des pseudonymes."""
NO_PATIENT = "Rien de cela n’a été mesuré sur un patient."
STAYS = {
    BALANCED: "Le rythme, les pauses, l’accentuation, l’accent, le choix des mots et les changements lents de la "
    "mélodie restent.",
    STRICT: "L’accent, le choix des mots, la place des pauses et une partie du rythme restent.",
    PROSODY_KEPT: "Le rythme, les pauses, la mélodie, l’accentuation, l’accent et le choix des mots restent.",
}

CONSENT = "La personne qui parle ici a consenti à cet usage de sa voix"

EMPTY = f"""<div class="empty">
<h2>Rien n’a encore été converti</h2>
<p>Vous recevrez un verdict, la voix anonymisée et un rapport à classer.{{times}} Les enregistrements de plus de
{_MINUTES} minutes sont refusés : coupez-les d’abord.</p>
</div>"""

TIMES = """ Sur ce serveur, dix secondes de parole demandent {ten}, cinq minutes {five}, si personne d’autre ne
convertit à ce moment."""

NO_SOURCE = "Enregistrez ou téléversez d’abord la voix à protéger."
NO_TARGET = "Enregistrez ou téléversez la voix de l’autre personne, ou choisissez un pseudonyme."
SUBJECT_REGISTER = """La voix d’un code ne peut pas suivre chaque enregistrement. Choisissez Plus grave, Plus aigu
ou Tous."""
NO_CONSENT = "Confirmez que l’autre personne a consenti à l’usage de sa voix."

NOTED = {"source": "La voix à protéger", "target": "La nouvelle voix", "query": "L’enregistrement en question"}

SERVER_ERROR = "Une erreur s’est produite sur le serveur. Réessayez, ou signalez l’événement {event}."

DELETE = "Tout effacer"
DELETED = """<div class="empty" role="status"><h2>Supprimé</h2>
<p>Il ne reste rien de vous sur ce serveur.</p></div>"""

STARTING = "Démarrage"
PROGRESS_LABEL = "Conversion"
LEFT = "encore {time}"
ABOUT_SECOND, ABOUT_SECONDS = "environ {seconds} seconde", "environ {seconds} secondes"
ABOUT_MINUTES, ABOUT_MINUTES_SECONDS = "environ {minutes} min", "environ {minutes} min {seconds} s"

CHANGED = """<div class="empty" role="status"><h2>Pas encore converti</h2>
<p>L’enregistrement ou votre choix a changé. Cliquez sur « Convertir » pour le convertir.</p></div>"""

DETAILS = "Détails : original, reconstruction, spectrogrammes"

LISTEN = """<h2>Écouter l’original et la reconstruction</h2>
<p>Ils sont lus au niveau sonore de la voix anonymisée. La reconstruction garde la voix d’origine : le modèle décompose
l’enregistrement et le reconstruit. Elle montre ce que le modèle perd sans changement de voix.</p>"""

ORIGINAL, RECONSTRUCTED, ANONYMIZED = "Original", "Reconstruction", "Voix anonymisée"
GUARD = """Je sais que la reconstruction et les données ne sont pas anonymes : elles ont la propre voix de la
personne, et un logiciel la reconnaît."""
GUARDED_DOWNLOADS = {"reconstruction": "Télécharger la reconstruction", "data": "Spectrogrammes en données (NPZ)"}
DOWNLOAD_REPORTS = {"report": "Rapport à imprimer (HTML)", "json": "Rapport (JSON)"}
REPORT = """<p class="soft">Téléchargez la voix en WAV, FLAC ou MP3. Le rapport dit comment elle a été faite et ce qui
a été mesuré. Il ne contient ni nom ni nom de fichier. Ses similarités sont des mesures sur une personne :
conservez-le avec l’original.</p>"""
PRINTED_TITLE = "Enregistrement anonymisé"
PRINTED_NOTE = """Ce rapport ne contient ni nom ni nom de fichier. Ses similarités sont des mesures sur une personne :
conservez-le avec l’original, pas avec l’enregistrement anonymisé."""

PRINTED = {
    "made": "Établi le",
    "voice": "Nouvelle voix",
    "register": "Registre",
    "profile": "Manière de parler",
    "length": "Durée",
    "similarity": "Similarité avec la personne",
    "usual": "Similarité habituelle",
    "judge": "Mesuré par",
    "words": "Mots conservés",
    "weights": "Poids (SHA-256)",
    "wav": "Fichier WAV (SHA-256)",
}
PRINTED_MADE = "{date}, avec SAIC {version}"
PRINTED_SIMILARITY = "{before} avant, {after} après"
PRINTED_USUAL = "{same} pour des enregistrements d’une même personne, {different} pour deux personnes"
PRINTED_JUDGE = "{name}, sur {basis}"
PRINTED_NO_WORDS = "non comptés"
PERCENT = "{percent} %"
PRINTED_NOTES = "Remarques sur l’enregistrement"

VERDICT_SAME = """<strong>La voix n’est guère protégée :</strong> un logiciel qui reconnaît les voix peut encore la
prendre pour celle de la personne."""
VERDICT_BETWEEN = """<strong>La voix est protégée en partie :</strong> elle ressemble moins à celle de la personne que
ne se ressemblent d’habitude deux enregistrements d’une même personne, mais plus que ne se ressemblent d’habitude deux
personnes."""
VERDICT_DIFFERENT = """<strong>La voix semble être celle d’une autre personne :</strong> elle ne ressemble pas plus à
celle de la personne que deux personnes ne se ressemblent d’habitude. La manière de parler peut encore identifier la
personne."""
VERDICT_UNKNOWN = "L’enregistrement converti contient trop peu de parole pour comparer les voix."

PSEUDONYM_TARGET = """La nouvelle voix est un pseudonyme. Elle n’appartient à aucune personne réelle, il n’y a donc pas
d’enregistrement auquel la comparer."""

SIMILARITY_TITLE = "Ce qui a été mesuré, et ce qui n’est pas protégé"
SIMILARITY_SOURCE, SIMILARITY_TARGET = "Similarité avec la personne", "Similarité avec la nouvelle voix"
SIMILARITY_BEFORE, SIMILARITY_AFTER = "avant,", "après"
SIMILARITY_SCALE = "{title} : original {before}, voix convertie {after}"
SIMILARITY_LEGEND = """<ul class="key">
<li><span class="swatch different"></span>deux personnes : d’habitude {different}</li>
<li><span class="swatch same"></span>une personne : d’habitude {same}</li>
<li><span class="swatch before"></span>original</li><li><span class="swatch after"></span>voix convertie</li></ul>"""
RANGE = "{low} à {high}"
SIMILARITY_NOTE = """Similarité cosinus de plongements de locuteur : plus elle est proche de 1, plus les voix se
ressemblent. Mesurée par {verifier}. « D’habitude » couvre les 90 % centraux des valeurs sur des enregistrements
naturels ({basis}). La similarité de l’original avec la personne est celle de sa première moitié avec sa seconde."""
NOT_INDEPENDENT = "Cet instrument a pris part à la conversion, la mesure n’est donc pas indépendante."

WORDS_TITLE = "Mots conservés"
WORDS_KEPT = """Des mots qu’un système de reconnaissance de l’anglais trouve dans l’original, il trouve {percent} %
aussi dans la voix convertie."""
WORDS_NOT_COUNTED = {
    "absent": "Non comptés : aucun système de reconnaissance de la parole n’est installé sur ce serveur.",
    "running": "La reconnaissance de la parole est en cours …",
    "stopped": "Non comptés : la reconnaissance de la parole a été arrêtée.",
}

NOT_PROTECTED = """<h3>Ce qui n’est pas protégé</h3>
<ul class="plain">
<li><strong>Ce qui est dit.</strong> Les noms, les dates, les lieux et tout ce qui est prononcé.</li>
<li><strong>Comment c’est dit.</strong> {stays}</li>
<li><strong>Contre des attaquants qui connaissent ce système.</strong> {linkage}</li>
</ul>"""
PROFILE_USED = """<h3>Profil</h3>
<p id="profile-used"><strong>{name}.</strong> {profile}</p>"""

LINKAGE_UNKNOWN = """Qui entraîne un logiciel avec ce que produit ce système peut relier des enregistrements à la
personne plus souvent que par hasard."""
LINKAGE = """Qui entraîne un logiciel avec ce que produit ce système décide si deux enregistrements de {seconds}
secondes sont d’une même personne, et ne se trompe que dans {eer} des cas{beside}. Qui devine se trompe dans 50 %."""
LINKAGE_OTHER_LENGTH = "{eer} avec {seconds} secondes"
LINKAGE_TOP1 = "Dans {top1} des cas, il nomme la bonne parmi {people} personnes."

LINKAGE_TITLE = "Qui peut relier un enregistrement à la personne qui parle"
LINKAGE_HEADLINE = """<strong>L’attaquant le plus fort a un EER de {eer} avec {seconds} secondes de parole</strong>
de chaque côté{others} ({speakers} locuteurs, nouveaux pseudonymes, profil {profile}). 50 % correspondent au hasard."""
LINKAGE_HEADLINE_OTHER = ", {eer} avec {seconds}"
LINKAGE_LABEL, LINKAGE_PROFILE = "Attaquant le plus fort", "Profil"
LINKAGE_EER, LINKAGE_NAMED = "EER à {seconds} s, %", "Trouvés parmi {people}, %"
LINKAGE_ORIGINAL = "Parole originale"
LINKAGE_NOTE = """EER : taux d’erreur de la décision que deux enregistrements sont ou non d’une même personne, par le
plus fort de tous les attaquants essayés. Ils connaissent ce système et s’entraînent avec ce qu’il produit. Trouvés :
combien de fois l’attaquant le plus fort trouve la bonne personne avec {seconds} secondes de parole. Aucun patient n’a
été mesuré."""

MELS = """<h3>Ce qui a changé dans le son</h3>
<p>Le temps va vers la droite, la fréquence vers le haut ; le clair est de la parole forte. La ligne blanche est la
hauteur de la voix. Faites glisser sur une partie pour l’agrandir dans les trois images ; un double clic revient en
arrière. Sur un écran tactile, utilisez les boutons au-dessus de l’image.
Pendant la lecture d’un extrait, une ligne avance ; un clic dans un spectrogramme y place son extrait.</p>
<p>La reconstruction devrait ressembler à l’original. Dans la voix convertie, les fines rayures et la ligne se
déplacent. Les mots gardent leur place dans le temps{strict}.</p>"""
MELS_STRICT = ", sauf dans le profil Strict, qui change la durée"
MELS_LABEL = "Spectrogrammes"
DOWNLOAD_MELS = "Télécharger l’image ({kind})"
VIEW = "Comment les spectrogrammes sont dessinés"
VIEW_AXIS, VIEW_AXES = "Axe des fréquences", {"mel": "Mel, comme l’oreille", "linear": "Linéaire"}
VIEW_PALETTE = "Couleurs"
VIEW_RANGE = "Étendue des couleurs sous la parole forte (dB)"
VIEW_DIFFERENCE = "Montrer ce qui diffère de l’original, en dB"

NO_EVALUATION = """<p>Cette installation ne contient pas l’évaluation. Elle est dans le dépôt, dans
<code>benchmarks/evaluation/report.md</code> ; <code>saic evaluate</code> la répète.</p>"""
OTHER_WEIGHTS = "<p><strong>Ces chiffres ont été mesurés avec d’autres poids que ceux qui sont chargés.</strong></p>"

# --- Evaluation --------------------------------------------------------------------------------

EVALUATION = """<h2>Ce que vaut la méthode en moyenne</h2>
<p>Mesuré sur des enregistrements de locuteurs avec lesquels le modèle n’a pas été entraîné. Une marque est la moyenne
des locuteurs, sa ligne l’intervalle à 95 %. Aucun patient n’a été mesuré.</p>"""
EVALUATION_WAITING = '<div class="empty"><p>Les figures sont en cours de dessin …</p></div>'
TOPICS = {
    "words": (
        "Mots",
        """<p>Taux d’erreur de mots (WER) : combien de mots un système de reconnaissance de la parole comprend mal
dans le résultat. En haut, la référence est ce qu’il trouve dans l’original ; en bas, le vrai texte, là où le corpus
l’a. <code>real</code> est l’enregistrement lui-même : aucune conversion ne devrait faire mieux.</p>""",
    ),
    "identity": (
        "Identité",
        """<p>Combien de fois un système de reconnaissance du locuteur (Resemblyzer) prend le résultat pour le
locuteur source, et pour le locuteur cible, parmi tous les locuteurs du corpus. Le premier cas devrait être aussi rare
que le hasard. Il ne sait rien de ce système : un attaquant qui le connaît trouve davantage (figure suivante).</p>""",
    ),
    "attackers": (
        "Attaquants selon les secondes de parole",
        """<p>Le plus fort de tous les attaquants décide si deux enregistrements sont d’une même personne. Il connaît
ce système et s’entraîne avec ce qu’il produit. Equal error rate (EER) : 50 % est le hasard, 0 % trouve chaque
personne. Plus il a de parole de chaque côté, mieux il réussit.</p>""",
    ),
    "sound": (
        "Son et prosodie",
        """<p>DNSMOS prédit comment des auditeurs notent le son, de 1 à 5. La corrélation de F0 dit quelle part de la
mélodie est celle de la source : les profils Équilibré et Strict refont la mélodie, elle est donc faible.</p>""",
    ),
    "degraded": (
        "Enregistrements dégradés",
        """<p>WER si l’enregistrement a du bruit, l’écho d’une pièce, un codec, peu de niveau ou une composante
continue. Marques pleines : converti. Marques creuses : l’enregistrement dégradé lui-même.</p>""",
    ),
}
TOPIC_TABLES = "Tableaux"
TOPIC_COMMAND = "Mesuré par "
SYSTEM_NAMES = "Ce que signifient les noms des systèmes"
FIGURE_ALT = "Figure : {title}. Les tableaux ci-dessous ont ses valeurs."
SAVE_SVG = "Enregistrer la figure (SVG)"

# --- Batch -------------------------------------------------------------------------------------

BATCH_ADD = """<h2><span class="step">1</span> Les enregistrements d’une personne</h2>
<p>Donnez un code à la personne et ajoutez les enregistrements ; puis la personne suivante. {keyed} Utilisez des
codes, pas des noms : les résultats sont nommés d’après le code et un numéro.</p>"""
BATCH_KEYED = "La clé de la page donne à chaque code sa voix."
BATCH_UNKEYED = "Chaque code reçoit une voix, tirée pour ce lot."
BATCH_CONVERT = """<h2><span class="step">2</span> Tout convertir</h2>
<p>Ce qui est fait reste tant que la page est ouverte, même si vous ajoutez autre chose.</p>"""
BATCH_PROFILE = "La manière de parler"
BATCH_FILES, BATCH_ADD_BUTTON, BATCH_CONVERT_BUTTON = "Enregistrements", "Ajouter", "Tout convertir"
BATCH_COLUMNS = {"subject": "Personne", "number": "Enregistrement", "state": "État"}
BATCH_ZIP = "Télécharger toutes les voix et tous les rapports (ZIP)"
BATCH_NOTHING = '<p class="empty">Pas encore d’enregistrements.</p>'
BATCH_READY, BATCH_DONE, BATCH_STOPPED = "Prêt", "Terminé.", "Arrêté"
BATCH_NO_SUBJECT = "Donnez un code à la personne qui parle."
BATCH_NO_FILES = "Choisissez d’abord les enregistrements de cette personne."
BATCH_TOO_MANY = """Un lot contient jusqu’à {files} enregistrements. Convertissez d’abord ceux-ci, ou utilisez saic
anonymize pour un dossier."""
BATCH_EMPTY = "Il n’y a rien à convertir. Ajoutez d’abord des enregistrements."

# --- Explore -----------------------------------------------------------------------------------

EXPLORE = """<h2>Qui parle, et ce qui est dit</h2>
<p>Chaque point est un court morceau de parole d’une voix de la galerie intégrée. Chaque voix a sa propre combinaison
de couleur et de forme. Pointez un point, ou choisissez une voix, pour la mettre en évidence sur les deux cartes. Vos
enregistrements convertis sont marqués.</p>"""

EXPLORE_HELP = """<div class="columns">
<p><strong>Les plongements de locuteur</strong> décrivent qui parle. Ils devraient former un groupe pour chaque voix.
L’enregistrement converti devrait se trouver près de la nouvelle voix, loin de l’original.</p>
<p><strong>Les plongements de contenu</strong> décrivent ce qui est dit. Ils devraient former un seul nuage mêlé,
parce qu’ils ne devraient pas dépendre de qui parle. L’enregistrement converti devrait se trouver près de
l’original.</p>
<p>Une carte (PCA, puis t-SNE) montre quels points sont voisins. La distance entre deux groupes ne signifie rien. Le
pourcentage au-dessus de chaque carte est calculé avant PCA et t-SNE.</p></div>"""

EXPLORE_CLIPS = {"original": "Votre enregistrement", "target": "Nouvelle voix", "swapped": "Converti"}
MAPS = {
    "highlight": "Voix à mettre en évidence",
    "all": "toutes",
    "speaker": "Plongements de locuteur",
    "content": "Plongements de contenu",
    "legend": "{voices} voix de la galerie, chacune de sa couleur et de sa forme",
    "map": "Carte : {title}. {measured}",
    "measured": "Le plus proche voisin est la même voix : {same} % (hasard {chance} %), mesuré sur {speakers} "
    "locuteurs de l’entraînement",
}
SEXES = {"F": "femme", "M": "homme"}
UNSEEN = """<h2>Des locuteurs que le modèle n’a jamais entendus</h2>
<p>En couleur : quatre morceaux de deux secondes de chacun de {speakers} locuteurs de {corpus}, partie {split}. Aucun
n’a pris part à l’entraînement. En gris : la galerie, dont les voix sont des locuteurs de l’entraînement. Les chiffres
sous les cartes ont été mesurés sur les points colorés, avant PCA et t-SNE. Faites glisser sur une partie pour
l’agrandir, double-cliquez pour revenir ; l’appareil photo enregistre la carte (SVG). <code>saic plot map DATA -o
map.svg</code> dessine les deux.</p>"""
UNSEEN_GALLERY, UNSEEN_SPEAKERS, UNSEEN_SPEAKER = (
    "{voices} voix de la galerie",
    "{speakers} locuteurs jamais entendus",
    "Locuteur {number}",
)
NEAREST = "Le plus proche voisin est le même locuteur : <strong>{rate}</strong>, par hasard {chance}."
PROBE = """Une sonde entraînée à trouver le locuteur dans les codes de contenu a raison dans
<strong>{accuracy} %</strong> [{low}, {high}] des cas, par hasard dans {chance} % ({speakers} locuteurs)."""
EXPLORE_WAITING = '<div class="empty"><p>Les cartes sont en cours de dessin …</p></div>'

# --- Identify ----------------------------------------------------------------------------------

IDENTIFY_ENROLL = f"""<h2><span class="step">1</span> Les voix que vous connaissez</h2>
<p>Donnez à chacune un nom et quelques secondes de parole. Seul un résumé numérique de la voix est conservé, jusqu’à
ce que vous le supprimiez ou {_KEEP_MINUTES} minutes après la fermeture de la page.</p>"""

IDENTIFY_QUERY = """<h2><span class="step">2</span> Qui est-ce ?</h2>
<p>Un enregistrement d’un seul locuteur.</p>"""

IDENTIFY_NAME, IDENTIFY_CLIP, IDENTIFY_QUERY_LABEL = "Nom", "Voix à inscrire", "Enregistrement en question"
IDENTIFY_ENROLL_BUTTON, IDENTIFY_REMOVE, IDENTIFY_BUTTON, IDENTIFY_EXAMPLE = (
    "Inscrire",
    "Supprimer",
    "Qui parle ?",
    "Essayer",
)
IDENTIFY_NO_CLIP = "Enregistrez ou téléversez d’abord la voix."
IDENTIFY_NO_NAME = "Donnez un nom à la voix."
IDENTIFY_TOO_MANY_VOICES = "Les {voices} places pour des voix sont prises. Supprimez les voix pour recommencer."
IDENTIFY_TOO_MANY_CLIPS = "{clips} extraits de cette voix sont inscrits. Davantage n’aiderait pas."
IDENTIFY_NO_QUERY = "Enregistrez ou téléversez d’abord l’enregistrement en question."
IDENTIFY_NOBODY = "Inscrivez d’abord au moins une voix."
IDENTIFY_SECOND_HALF = "La seconde moitié de {voice}."
IDENTIFY_FIRST_HALVES = "La première moitié de chacune."
CLIP, CLIPS = "{clips} extrait", "{clips} extraits"
MATCH = "C’est <strong>{name}</strong>."
NOBODY_ENROLLED = '<p class="empty">Aucune voix n’est encore inscrite.</p>'
NO_MATCH = "<strong>Aucune de ces voix.</strong>"
WHY_ACCEPTED = "Le score de {name} est {score} : pas sous le seuil de {threshold}, et le plus élevé."
WHY_REJECTED = "{name} a le score le plus élevé, {score}. Il est sous le seuil de {threshold}."
EXAMPLE_KNOWN = (
    '<p class="example">Qui parle dans la seconde moitié de {voice}, dont la première moitié est inscrite ?</p>'
)
EXAMPLE_STRANGER = '<p class="example">Qui parle dans la seconde moitié de {voice}, qui n’est pas inscrite ?</p>'
USUAL_TWO_PEOPLE = "deux personnes : d’habitude {low} à {high}"
USUAL_ONE_PERSON = "une personne : d’habitude {low} à {high}"
THRESHOLD = "seuil : {threshold}"
IDENTIFY_NOTE = """Similarité cosinus de plongements de locuteur. Une voix dont le score est d’au moins {threshold}
(la ligne) est acceptée. À ce seuil, sur des locuteurs avec lesquels le modèle n’a pas été entraîné, il est aussi
fréquent qu’une personne inscrite soit manquée et qu’un inconnu soit accepté. « D’habitude » couvre les 90 % centraux
des valeurs dans la galerie intégrée. Des inconnus du sexe de la personne qui parle ont un score plus élevé que
d’autres. Un score n’est pas une preuve d’identité."""

# --- About -------------------------------------------------------------------------------------

ABOUT = """
## Comment cela fonctionne

SAIC sépare un enregistrement en *ce qui est dit* (le contenu), *qui parle* (un plongement de locuteur) et la mélodie
(la hauteur). Il combine le contenu avec le plongement de locuteur d’une autre voix. Les profils Équilibré et Strict
prédisent la mélodie à partir du contenu, le troisième la déplace vers l’étendue de la nouvelle voix. Il en fait un
nouvel enregistrement. Il met en œuvre *SAIC: Integration of Speech Anonymization and Identity Classification*
(Cheng, Diao, Cheng et Liu). Il fonctionne sur le processeur de l’ordinateur qui fournit cette page, et n’utilise
aucun autre service.
"""

LIMITS_AND_ETHICS = """
## Limites

- Un prototype de recherche, entraîné sur de l’anglais lu. D’autres langues, les enfants, le chant, plusieurs
  personnes qui parlent en même temps et les pièces bruyantes n’ont pas été testés ou réussissent moins bien.
- Le son produit paraît traité, et des mots se perdent : l’évaluation dit combien.
- **Le résultat n’est pas anonyme au sens juridique.** Il est plus difficile à relier à la personne que l’original.
  {linkage} Qui connaît la manière de parler de la personne peut aussi réussir. Vérifiez chaque enregistrement avant
  de le transmettre.

## Éthique

- Ne convertissez vers la voix d’une personne qu’avec son consentement. Les voix fournies sont synthétiques pour cette
  raison.
- Ne l’utilisez pas pour parler au nom de quelqu’un, ni pour tromper sur la personne qui a parlé.
- Pour identifier des personnes par la voix, il vous faut leur consentement et, en beaucoup d’endroits, une base
  juridique : une voix est une donnée biométrique.
"""

RETENTION = f"""
## Ce qu’il advient des enregistrements

- **Pas de vraies données de patients sur un serveur public : faites fonctionner la page sur votre propre machine.**
  Avec Python 3.11, dans une copie du dépôt : `make app`. Sans la page,
  `saic anonymize RECORDING --output anonymous.wav` convertit un enregistrement en un pseudonyme.
- Un fichier téléversé est décodé en une simple copie à 16 kHz, dans un processus séparé à mémoire et durée limitées.
  Le fichier téléversé est ensuite supprimé aussitôt.
- La copie, les résultats et leur rapport sont dans un dossier temporaire privé, sous des noms qui ne peuvent être
  devinés. Ils restent tant que votre page est ouverte, et sont supprimés {KEEP_S // 60} minutes après sa fermeture.
  Un résultat est supprimé plus tôt si vous changez l’enregistrement, la voix ou le profil, et un enregistrement
  {GRACE_S} secondes après qu’un autre l’a remplacé. *Tout effacer* arrête ce qui est en cours et supprime aussitôt tous
  les extraits, dans tous les onglets de ce navigateur. Un redémarrage du serveur supprime tout.
- Un cookie distingue votre navigateur des autres, pour que personne d’autre ne reçoive vos enregistrements. Il
  contient un nombre aléatoire et est supprimé quand vous fermez le navigateur.
- *Annuler* libère votre page aussitôt. Le serveur arrête la conversion après son étape en cours, qui prend jusqu’à
  cinq secondes pour un enregistrement de cinq minutes, et n’en garde rien.
- Rien n’est envoyé ailleurs : pas de mesure d’audience, pas d’historique dans votre navigateur, pas de polices ni de
  scripts d’autres sites. Le journal contient des nombres et des durées, jamais un nom de fichier.
- Pour enregistrer, il faut que votre navigateur autorise l’usage du microphone. Sur tout autre ordinateur que celui
  qui fait fonctionner cette page, les navigateurs ne l’autorisent que par https.
"""

PICTURE_ALT = """Un encodeur de contenu prend dans votre enregistrement ce qui est dit, et une analyse de la hauteur
sa mélodie, dont le profil garde une partie. Un encodeur de locuteur prend dans la nouvelle voix qui
parle. Un décodeur combine les trois en un spectrogramme de Mel, et un vocodeur en fait du son."""

PICTURE = {
    "title": "Comment cela fonctionne",
    "recording": "Enregistrement",
    "protected": "la voix à protéger",
    "target": "Nouvelle voix",
    "seconds": "quelques secondes",
    "content": "Enc. de contenu",
    "content_1": "Encodeur",
    "content_2": "de contenu",
    "speaker": "Enc. de locuteur",
    "speaker_1": "Encodeur",
    "speaker_2": "de locuteur",
    "pitch": "Hauteur",
    "decoder": "Décodeur",
    "swapped": "Voix convertie",
    "words": "mêmes mots",
    "said": "ce qui est dit",
    "melody": "mélodie",
    "speaks": "qui parle",
    "vocoder": "vocodeur",
}

LOADED = "## Ce qui est chargé\n\n{facts}. Code : Apache-2.0."
LOADED_PARAMETERS, LOADED_SIZE = "{millions} millions de paramètres", "{megabytes} Mo"
LOADED_VOCODER, LOADED_WEIGHTS = "vocodeur : {vocoder}", "poids `{weights}`"
MODEL_CARD = "Fiche du modèle (en anglais)"

# --- sentences from below the page -------------------------------------------------------------

MESSAGES = {
    # stages of a conversion
    "reading": "Lecture de l’enregistrement",
    "reading_several": "Lecture des enregistrements",
    "analyzing": "Analyse de la voix cible",
    "drawing": "Tirage d’un pseudonyme",
    "converting": "Conversion",
    "vocoding_reconstruction": "Synthèse de la reconstruction",
    "vocoding": "Synthèse de la nouvelle voix",
    "writing": "Écriture des fichiers",
    "comparing": "Comparaison des voix",
    "showing": "Affichage du résultat",
    "waiting": "En attente d’un cœur de processeur libre, {before} avant vous",
    # a recording that cannot be used
    "silent": "L’enregistrement est silencieux. Vérifiez le microphone et son volume, puis enregistrez à nouveau.",
    "too_short": "L’enregistrement contient {speech} s de parole ; il en faut au moins {needed} s. Parlez un peu plus "
    "longtemps.",
    "not_speech": "L’enregistrement contient un son constant, pas de la parole. Utilisez l’enregistrement d’une voix.",
    "too_long": "L’enregistrement dépasse {seconds} s. Coupez-le en parties plus courtes.",
    "too_large": "L’enregistrement dépasse {megabytes} Mo. Coupez-le, ou utilisez FLAC ou MP3.",
    "empty": "L’enregistrement est vide (0 octet). Enregistrez-le ou exportez-le à nouveau.",
    "no_samples": "L’enregistrement ne contient aucun échantillon. Enregistrez-le ou exportez-le à nouveau.",
    "not_audio": "Ce n’est pas un enregistrement qui puisse être décodé : utilisez {formats} ou {last}.",
    "not_decoded": "Cet enregistrement ne peut pas être décodé dans les limites de ce serveur. Exportez-le en WAV ou "
    "FLAC et réessayez.",
    "no_sound": "Le fichier n’a pas de piste sonore. Utilisez un enregistrement avec du son.",
    "rate": "La fréquence d’échantillonnage est de {rate} Hz. Utilisez {low} à {high} Hz.",
    "channels": "L’enregistrement a {channels} canaux. Utilisez-en 1 à {most}.",
    "not_finite": "L’enregistrement contient des échantillons NaN ou infinis. Exportez-le à nouveau.",
    # notes on a recording
    "damaged": "Seules {decoded} s sur {total} s ont pu être décodées : le fichier est endommagé.",
    "mixed": "{channels} canaux portent des locuteurs différents : ils sont mélangés en un seul.",
    # the server
    "upload_stopped": "Le téléversement s’est arrêté. Réessayez.",
    "upload_incomplete": "Le téléversement n’était pas complet. Réessayez, avec un fichier à la fois.",
    "gone": "Cet enregistrement n’est plus sur le serveur. Ajoutez-le à nouveau.",
    "full": "Le serveur est plein. Supprimez ce dont vous n’avez plus besoin, ou réessayez dans une demi-heure.",
    "visitors": "Le serveur a trop de visiteurs. Réessayez dans une demi-heure.",
    "not_kept": "Le serveur ne peut pas conserver d’enregistrements en ce moment. Réessayez plus tard.",
    "stopped": "Arrêté. Rien n’a été conservé de ce passage.",
    "took_too_long": "Cela a pris trop de temps et a été arrêté. Réessayez plus tard, ou avec un enregistrement plus "
    "court.",
    "busy": "Le serveur est occupé par d’autres travaux, les vôtres ou ceux d’autres. Réessayez dans une minute.",
    # choices that do not go together
    "no_difference": "Les enregistrements n’ont pas la même durée, comme dans le profil Strict, ils n’ont donc pas de "
    "différence.",
    # spectrograms
    "original": "Original",
    "reconstructed": "Reconstruction",
    "swapped": "Converti",
    "minus": "{panel} moins l’original",
    "time": "Temps (s)",
    "level": "Niveau (dB, 0 est de la parole forte)",
    "difference": "Différence (dB)",
    # judges, and whose voices they were measured on
    "own_encoder": "l’encodeur de locuteur du modèle lui-même",
    "readers": "{speakers} lecteurs de LibriSpeech",
    "gallery": "les {voices} voix de la galerie intégrée",
    # bundled voices
    "female": "Voix {name} (femme)",
    "male": "Voix {name} (homme)",
}
