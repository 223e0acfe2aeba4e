"""The texts of the page in French."""

from saic.profiles import BALANCED, PROSODY_KEPT, STRICT
from saic.web.server.store import GRACE_S, KEEP_S

CODE, DECIMAL = "fr", ","

TITLE = "Anonymiser la parole"
TABS = {
    "anonymize": "Anonymiser",
    "batch": "Lot",
    "explore": "Explorer",
    "identify": "Identifier",
    "evaluation": "Évaluation",
    "about": "À propos",
}

HEADER = """
<header class="title"><h1>Anonymiser la parole</h1>
<p class="warning"><strong>La voix change, pas les mots :</strong> les noms prononcés restent. Pas de données de
patients sur un serveur public.</p></header>
<p id="microphone-note" class="note-warning" role="status" hidden></p>
<p id="live" class="sr-only" role="status"></p>
"""

# --- in the browser: `saic.web.script` ---------------------------------------------------------

MICROPHONE = {
    "NotAllowedError": "Le navigateur n’autorise pas cette page à utiliser le microphone. Autorisez-le dans les "
    "paramètres de la barre d’adresse, puis enregistrez à nouveau, ou choisissez un fichier.",
    "NotFoundError": "Aucun microphone n’a été trouvé. Branchez-en un et réessayez, ou choisissez un fichier.",
    "NotReadableError": "Un autre programme utilise le microphone. Fermez ce programme et réessayez, ou choisissez un "
    "fichier.",
    "other": "Le microphone ne peut pas être utilisé. Choisissez plutôt un fichier.",
    "insecure": "Les navigateurs n’autorisent l’enregistrement qu’en https, ou sur l’ordinateur qui fournit la page. "
    "Ouvrez la page à son adresse https, ou choisissez un fichier.",
}
CONNECTION = {
    "lost": "La connexion au serveur a été interrompue. Relancez ce qui était en cours.",
    "offline": "Le serveur est injoignable. Cette page continuera dès qu’il répondra.",
}
NOT_AUDIO = """Ce fichier n’est pas un enregistrement : choisissez un fichier WAV, FLAC, MP3, M4A ou un autre fichier
audio ou vidéo."""
REPLACE = "L’enregistrement actuel sera supprimé. Continuer ?"

# --- Anonymize ---------------------------------------------------------------------------------

PSEUDONYM = "Un pseudonyme (voix fictive)"
OWN_RECORDING = "Une autre personne"
SOURCE_LABEL, CHOICE_LABEL, TARGET_LABEL = "Voix à protéger", "Voix", "Nouvelle voix"
REGISTER_LABEL, PROFILE_LABEL = "Registre", "Profil"
UPLOAD, RECORD = "Choisir un fichier", "Utiliser le micro"
CONVERT, CANCEL, EXAMPLE = "Convertir", "Annuler", "Essayer avec les voix fournies"

SOURCE = """<h2><span class="step">1</span> La voix à protéger</h2>
<p>Enregistrez la voix, ou choisissez un fichier : {minutes} min au plus. Quelques phrases suffisent.</p>"""

TARGET = """<h2><span class="step">2</span> La nouvelle voix</h2>
<p>Un pseudonyme mêle trois voix de la galerie. Ce n’est la voix de personne.</p>"""

REGISTERS = {"any": "Indifférent", "lower": "Grave", "higher": "Aigu", "same": "Comme l’original"}
SUBJECT = "Code de la personne"
SUBJECT_INFO = (
    "Un même code, avec le même registre, donne toujours la même voix, quel que soit le jour. Utilisez un code, pas un "
    "nom. Champ vide : une nouvelle voix à chaque fois."
)
VOICE_KINDS = {
    "random": "un pseudonyme, tiré au hasard : une voix qui n’est celle de personne",
    "seed": "un pseudonyme, tiré à partir d’un nombre (graine) : une voix qui n’est celle de personne",
    "key": "le pseudonyme d’une personne, tiré avec la clé de l’étude : une voix qui n’est celle de personne",
    "target": "la voix d’un autre enregistrement",
}

PROFILE = """<h2><span class="step">3</span> La manière de parler</h2>"""

PROFILE_NAMES = {BALANCED: "Équilibré", STRICT: "Strict", PROSODY_KEPT: "Prosodie conservée"}

PROFILES = {
    BALANCED: "Mélodie refaite ; rythme, intensité et durée gardés.",
    STRICT: "Mélodie refaite, rythme uniformisé, la plupart des pauses abrégées ; la durée change.",
    PROSODY_KEPT: "Mélodie, intensité et rythme gardés, pour qui les étudie ; le profil le plus facile à relier.",
}
PROFILE_FIGURE = "Erreurs d’un attaquant : {eer}."
PROFILE_NOTE = """Attaquant : logiciel qui décide si deux enregistrements de {seconds} secondes sont d’une même
personne. Une réponse au hasard est fausse dans 50 % des cas : plus le taux en est proche, meilleure est la protection.
Avec plus de parole, les attaquants se trompent moins. Mesuré avec des pseudonymes."""
NO_PATIENT = "Aucune de ces mesures n’a été faite sur des patients."
STAYS = {
    BALANCED: "Le rythme, les pauses, l’accentuation, l’accent régional ou étranger, le choix des mots et les "
    "changements lents de la mélodie restent.",
    STRICT: "L’accentuation, l’accent régional ou étranger, le choix des mots, la place des pauses les plus longues et "
    "une partie du rythme restent.",
    PROSODY_KEPT: "Le rythme, les pauses, la mélodie, l’accentuation, l’accent régional ou étranger et le choix des "
    "mots restent.",
}

CONSENT = "La personne qui parle ici a consenti à cet usage de sa voix"

EMPTY = """<div class="empty">
<h2>Rien n’a encore été converti</h2>
<p>Vous obtiendrez un avis sur la protection, la voix anonymisée et un rapport à archiver.{times} Les
enregistrements de plus de {minutes} min sont refusés : coupez-les d’abord en parties.</p>
</div>"""

TIMES = """ Sur ce serveur, dix secondes de parole demandent {ten}, cinq minutes {five}, si personne d’autre ne
convertit à ce moment."""

NO_OVERWRITE = "Retirez d’abord votre enregistrement : l’exemple le remplacerait."
NO_SOURCE = "Enregistrez d’abord la voix à protéger, ou choisissez un fichier."
NO_TARGET = """Enregistrez la voix de l’autre personne ou choisissez un fichier. Sinon, choisissez un
pseudonyme."""
SUBJECT_REGISTER = """Un code a toujours la même voix : elle ne peut pas suivre le registre de chaque enregistrement.
Choisissez « Grave », « Aigu » ou « Indifférent »."""
NO_CONSENT = "Confirmez que l’autre personne a consenti à l’usage de sa voix."

NOTED = {"source": "La voix à protéger", "target": "La nouvelle voix", "query": "La voix à identifier"}

SERVER_ERROR = "Une erreur s’est produite sur le serveur. Réessayez, ou signalez l’événement {event}."

DELETE = "Tout supprimer"
DELETED = """<div class="empty" role="status"><h2>Tout est supprimé</h2>
<p>Vos enregistrements et vos résultats ont été supprimés de ce serveur.</p></div>"""

PROGRESS_LABEL = "Conversion"
LEFT = "encore {time}"
ABOUT_SECOND, ABOUT_SECONDS = "environ {seconds} seconde", "environ {seconds} secondes"
ABOUT_MINUTES, ABOUT_MINUTES_SECONDS = "environ {minutes} min", "environ {minutes} min {seconds} s"

CHANGED = """<div class="empty" role="status"><h2>Pas encore converti</h2>
<p>L’enregistrement ou votre choix a changé. Cliquez sur « Convertir » pour le convertir.</p></div>"""

DETAILS = "Détails et spectrogrammes"

LISTEN = """<h2>Écouter l’original et la reconstruction</h2>
<p>Ils sont lus au niveau sonore de la voix anonymisée. La reconstruction garde la voix d’origine : le modèle décompose
l’enregistrement et le reconstruit. Elle montre ce que le modèle perd, même sans changer la voix.</p>"""

ORIGINAL, RECONSTRUCTED, ANONYMIZED = "Original", "Reconstruction", "Voix anonymisée"
GUARD = """Je sais que la reconstruction et les données ne sont pas anonymes : elles contiennent la voix d’origine, et
un logiciel peut la reconnaître."""
GUARD_MEASURED = " Selon le corpus, Resemblyzer a nommé la bonne personne pour {share} des reconstructions au plus."
GUARDED_DOWNLOADS = {"reconstruction": "Télécharger la reconstruction", "data": "Données des spectrogrammes (NPZ)"}
DOWNLOAD_REPORTS = {"report": "Rapport à imprimer (HTML)", "json": "Rapport (JSON)"}
REPORT = """<p class="soft">Téléchargez la voix en WAV, FLAC, MP3 ou Opus. Le rapport dit comment elle a été faite et ce
qui a été mesuré. Il ne contient ni nom ni nom de fichier. Ses similarités ont été mesurées sur une personne :
conservez-le avec l’original. Le SHA-256 du rapport commence par les six chiffres des noms de fichiers.</p>"""
PRINTED_TITLE = "Rapport d’une conversion de voix"
PRINTED_NOTE = """Ce rapport ne contient ni nom ni nom de fichier. Ses similarités ont été mesurées sur une personne :
conservez-le avec l’original, pas avec l’enregistrement anonymisé."""

PRINTED = {
    "made": "Établi le",
    "voice": "Nouvelle voix",
    "register": "Registre",
    "profile": "Manière de parler",
    "length": "Durée",
    "similarity": "Similarité avec la voix d’origine",
    "usual": "Similarité habituelle",
    "judge": "Mesuré par",
    "words": "Mots conservés",
    "weights": "Poids du modèle (SHA-256)",
    "wav": "Fichier WAV (SHA-256)",
}
PRINTED_MADE = "{date}, avec SAIC {version}"
PRINTED_SIMILARITY = "{before} avant, {after} après"
PRINTED_USUAL = "{same} pour des enregistrements d’une même personne, {different} pour deux personnes"
PRINTED_JUDGE = "{name}, sur {basis}"
PRINTED_NO_WORDS = "non comptés"
PRINTED_NOTES = "Remarques sur l’enregistrement"
PRINTED_NO_PATIENT = "Les chiffres sur les attaquants n’ont pas été mesurés sur des patients."

VERDICT_SAME = """<strong>La voix n’est guère protégée :</strong> un logiciel qui reconnaît les voix peut encore la
prendre pour la voix d’origine."""
VERDICT_BETWEEN = """<strong>La voix est protégée en partie :</strong> elle ressemble moins à la voix d’origine que deux
enregistrements d’une même personne ne se ressemblent d’habitude. Elle lui ressemble plus que les voix de deux personnes
ne se ressemblent d’habitude."""
VERDICT_DIFFERENT = """<strong>La voix semble être celle d’une autre personne :</strong> elle ne ressemble pas plus à la
voix d’origine que les voix de deux personnes ne se ressemblent d’habitude. La manière de parler peut encore faire
reconnaître la personne."""
VERDICT_UNKNOWN = "L’enregistrement anonymisé contient trop peu de parole pour comparer les voix."
VERDICT_NEXT = {
    "little": "Convertissez-le encore avant de le transmettre : chaque pseudonyme est une autre voix.",
    "some": "Convertissez-le encore avant de le transmettre : chaque pseudonyme est une autre voix.",
    "unknown": "Utilisez un enregistrement plus long.",
}

PSEUDONYM_TARGET = """La nouvelle voix est un pseudonyme. Elle n’appartient à aucune personne réelle. Il n’y a donc pas
d’enregistrement auquel la comparer."""
KNOWN_TARGET = """Qui possède l’enregistrement de la nouvelle voix relie plus souvent les résultats à la personne. Un
pseudonyme protège mieux."""

SIMILARITY_TITLE = "Ce qui a été mesuré, et ce qui n’est pas protégé"
SIMILARITY_SOURCE, SIMILARITY_TARGET = "Similarité avec la voix d’origine", "Similarité avec la nouvelle voix"
SIMILARITY_BEFORE, SIMILARITY_AFTER = "avant,", "après"
SIMILARITY_SCALE = "{title} : original {before}, voix anonymisée {after}"
SIMILARITY_LEGEND = """<ul class="key">
<li><span class="swatch different"></span>deux personnes : d’habitude {different}</li>
<li><span class="swatch same"></span>une personne : d’habitude {same}</li>
<li><span class="swatch before"></span>original</li>
<li><span class="swatch after"></span>voix anonymisée</li></ul>"""
RANGE = "de {low} à {high}"
SIMILARITY_NOTE = """Similarité cosinus d’empreintes vocales : plus elle est proche de 1, plus les voix se ressemblent.
Mesurée par {verifier}. « D’habitude » couvre les 90 % centraux des valeurs sur des enregistrements naturels ({basis}).
Pour l’original, c’est la similarité de sa première moitié avec sa seconde."""
NOT_INDEPENDENT = "Cet outil a pris part à la conversion. La mesure n’est donc pas indépendante."

WORDS_TITLE = "Mots conservés"
WORDS_KEPT = """Un système de reconnaissance de la parole retrouve dans la voix anonymisée {percent} % des
mots qu’il trouve dans l’original."""
WORDS_NOT_COUNTED = {
    "absent": "Non comptés : aucun système de reconnaissance de la parole n’est installé sur ce serveur. "
    "Comparez le résultat à l’original avant de vous fier à un mot.",
    "running": "La reconnaissance de la parole est en cours…",
    "stopped": "Non comptés : la reconnaissance de la parole a été arrêtée.",
    "wordless": "Non comptés : la reconnaissance de la parole ne trouve aucun mot dans l’original.",
}

NOT_PROTECTED = """<h3>Ce qui n’est pas protégé</h3>
<ul class="plain">
<li><strong>Le résultat n’est pas anonyme au sens de la loi.</strong> Traitez-le comme une donnée personnelle.</li>
<li><strong>Ce qui est dit.</strong> Les noms, les dates, les lieux et tout autre mot prononcé.</li>
<li><strong>La manière de parler.</strong> {stays}</li>
<li><strong>Contre des attaquants qui connaissent ce système.</strong> {linkage}</li>
<li><strong>Contre des personnes qui en savent plus.</strong> Plus il y a d’enregistrements d’une
personne, plus il est facile de les relier entre eux. Qui possède l’original peut retrouver la voix anonymisée
qui en est issue. Qui connaît la nouvelle voix et possède d’autres enregistrements de la personne retrouve plus
facilement cette personne. Les mots seuls peuvent révéler qui parle.</li>
</ul>"""
PROFILE_USED = """<h3>Profil</h3>
<p id="profile-used"><strong>{name}.</strong> {profile}</p>"""

LINKAGE_UNKNOWN = """Un attaquant qui entraîne un logiciel sur ce que produit ce système peut relier des
enregistrements à la personne plus souvent que par hasard."""
LINKAGE = """Un attaquant peut entraîner un logiciel sur ce que produit ce système. Ce logiciel décide si deux
enregistrements de {seconds} secondes, convertis l’un et l’autre en pseudonymes, sont d’une même personne, et ne se
trompe que dans {eer} des cas{beside}. Une réponse au hasard est fausse dans 50 % des cas."""
LINKAGE_OTHER_LENGTH = "{eer} avec {seconds} secondes"
LINKAGE_TOP1 = "Dans {top1} des cas, ce logiciel trouve la bonne personne parmi {people}."

LINKAGE_TITLE = "Qui peut relier un enregistrement à la personne qui parle"
LINKAGE_HEADLINE = """<strong>L’attaquant le plus fort a un EER de {eer} avec {seconds} secondes de parole</strong> par
enregistrement ({speakers} locuteurs){others}. Nouveaux pseudonymes, profil {profile}. 50 % correspond au hasard."""
LINKAGE_HEADLINE_OTHER = ", {eer} avec {seconds}"
LINKAGE_LABEL, LINKAGE_PROFILE = "Attaquant le plus fort", "Profil"
LINKAGE_EER, LINKAGE_NAMED = "EER à {seconds} s, %", "Trouvés parmi {people}, %"
LINKAGE_ORIGINAL = "Parole originale"
LINKAGE_KNOWN_VOICE = "{profile}, l’attaquant connaît la nouvelle voix"
LINKAGE_NOTE = """EER : taux d’erreur du plus fort des attaquants essayés, quand il décide si deux enregistrements sont
d’une même personne. Ces attaquants connaissent ce système et s’entraînent sur ce qu’il produit. Trouvés : pourcentage
des cas où l’attaquant le plus fort trouve la bonne personne avec {seconds} secondes de parole. Un attaquant qui
connaît la nouvelle voix y convertit d’abord les enregistrements des candidats. Aucune mesure n’a été
faite sur des patients."""

MELS = """<h3>Ce qui a changé dans le son</h3>
<p>Le temps va vers la droite, la fréquence vers le haut ; les zones claires sont de la parole forte. La ligne blanche
est la hauteur de la voix. Faites glisser la souris sur une partie pour l’agrandir dans les trois images ;
double-cliquez pour tout revoir. Sur un écran tactile, utilisez les boutons au-dessus de l’image. Pendant la lecture
d’un enregistrement, une ligne avance. Cliquez dans un spectrogramme pour écouter son enregistrement à partir de là.</p>
<p>La reconstruction devrait ressembler à l’original. Dans la voix anonymisée, les fines rayures et la ligne se
déplacent. Les mots gardent leur place dans le temps{strict}.</p>"""
MELS_STRICT = ", sauf dans le profil Strict, qui change la durée"
MELS_LABEL = "Spectrogrammes"
DOWNLOAD_MELS = "Télécharger l’image ({kind})"
VIEW = "Affichage des spectrogrammes"
VIEW_AXIS, VIEW_AXES = "Axe des fréquences", {"mel": "Mel, comme l’oreille", "linear": "Linéaire"}
VIEW_PALETTE = "Couleurs"
VIEW_RANGE = "Plage des couleurs, au-dessous de la parole forte (dB)"
VIEW_DIFFERENCE = "Montrer ce qui diffère de l’original, en dB"

NO_EVALUATION = """<p>Cette installation ne contient pas l’évaluation. Elle est dans le dépôt, dans
<code>benchmarks/evaluation/report.md</code> ; <code>saic evaluate</code> la refait.</p>"""
OTHER_WEIGHTS = """<p><strong>Ces chiffres ont été mesurés avec d’autres poids du modèle que ceux qui sont
chargés.</strong></p>"""

# --- Evaluation --------------------------------------------------------------------------------

EVALUATION = """<h2>Ce que vaut la méthode en moyenne</h2>
<p>Mesuré sur des enregistrements de locuteurs avec lesquels le modèle n’a pas été entraîné. Chaque symbole est la
moyenne des locuteurs, son trait l’intervalle à 95 %. Aucune mesure n’a été faite sur des patients.</p>"""
EVALUATION_WAITING = '<div class="empty"><p>Tracé des figures en cours…</p></div>'
TOPICS = {
    "words": (
        "Mots",
        """<p>Taux d’erreur sur les mots (WER) : combien de mots un système de reconnaissance de la parole comprend
mal dans le résultat. En haut, la référence est ce qu’il trouve dans l’original ; en bas, le vrai texte, si le corpus
le fournit. <code>real</code> est l’enregistrement lui-même : aucune conversion ne devrait faire mieux.</p>""",
    ),
    "identity": (
        "Identité",
        """<p>À quelle fréquence un système de reconnaissance du locuteur (Resemblyzer) prend le résultat pour le
locuteur source, et pour le locuteur cible, parmi tous les locuteurs du corpus. Le premier cas ne devrait pas être
plus fréquent que par hasard. Resemblyzer ne sait rien de SAIC : un attaquant qui connaît SAIC trouve davantage de
personnes (figure suivante).</p>""",
    ),
    "attackers": (
        "Attaquants selon la durée de parole",
        """<p>Le plus fort de tous les attaquants décide si deux enregistrements sont d’une même personne. Il connaît
ce système et s’entraîne sur ce que le système produit. Taux d’égale erreur (EER) : 50 % correspond au hasard ; à
0 %, l’attaquant trouve chaque personne. Plus les deux enregistrements contiennent de parole, mieux il réussit.</p>""",
    ),
    "sound": (
        "Son et prosodie",
        """<p>DNSMOS prédit comment des auditeurs notent le son, de 1 à 5. La corrélation de F0 dit quelle part de la
mélodie est celle de la source. Équilibré refait la mélodie, mais en garde les changements lents. Strict change le
rythme et n’a donc pas de valeur.</p>""",
    ),
    "degraded": (
        "Enregistrements dégradés",
        """<p>WER quand l’enregistrement a du bruit, l’écho d’une pièce, une compression par un codec, un niveau
faible ou une composante continue, ou passe par une ligne téléphonique.
Symboles pleins : converti. Symboles vides : l’enregistrement dégradé lui-même.</p>""",
    ),
}
EACH_ATTACKER = (
    "Chaque attaquant seul",
    """<p>La même mesure avec {seconds} secondes de parole dans chacun des deux enregistrements, pour chaque attaquant :
certains reconnaissent les voix, d’autres ne mesurent que le rythme, l’énergie, l’articulation, la mélodie, le bruit ou
une grandeur semblable. <code>fused</code> les réunit tous. <code>real</code> est la parole originale : un attaquant qui
y échoue ne prouve rien.</p>""",
)
TOPIC_TABLES = "Tableaux"
TOPIC_COMMAND = "Mesuré par "
SYSTEM_NAMES = "Ce que signifient les noms des systèmes"
FIGURE_ALT = "Figure : {title}. Les tableaux ci-dessous donnent ses valeurs."
SAVE_SVG = "Télécharger la figure (SVG)"

# --- Batch -------------------------------------------------------------------------------------

BATCH_ADD = """<h2><span class="step">1</span> Les enregistrements d’une personne</h2>
<p>Donnez un code à la personne et ajoutez ses enregistrements, puis passez à la personne suivante : jusqu’à {files}
enregistrements en tout. {keyed} Utilisez des codes, pas des noms : les résultats sont nommés d’après le code et un
numéro, dans l’ordre de la liste des fichiers. Chacun peut entendre que les résultats d’un même code vont
ensemble.</p>"""
BATCH_KEYED = "La clé de la page donne à chaque code sa voix."
BATCH_UNKEYED = "Chaque code reçoit une voix, tirée pour ce lot."
BATCH_CONVERT = """<h2><span class="step">2</span> Tout convertir</h2>
<p>Ce qui est fait reste tant que la page est ouverte, même si vous ajoutez d’autres enregistrements.</p>"""
BATCH_PROFILE = "La manière de parler"
BATCH_FILES, BATCH_ADD_BUTTON, BATCH_CONVERT_BUTTON = "Enregistrements", "Ajouter", "Tout convertir"
BATCH_COLUMNS = {"subject": "Personne", "number": "Enregistrement", "length": "Durée", "state": "État"}
BATCH_COUNT = "{done} sur {all} terminés"
BATCH_ZIP, BATCH_CLEAR = "Télécharger toutes les voix et tous les rapports (ZIP)", "Vider la liste"
BATCH_NOTHING = '<p class="empty">Pas encore d’enregistrements.</p>'
BATCH_READY, BATCH_DONE, BATCH_STOPPED = "Prêt", "Terminé.", "Arrêté"
BATCH_NO_SUBJECT = "Donnez un code à la personne qui parle."
BATCH_NO_FILES = "Choisissez d’abord les enregistrements de cette personne."
BATCH_TOO_MANY = """Un lot contient jusqu’à {files} enregistrements. Convertissez ceux-ci, enregistrez le ZIP et videz
la liste : les voix des codes restent. Ou utilisez saic anonymize pour un dossier."""
BATCH_EMPTY = "Il n’y a rien à convertir. Ajoutez d’abord des enregistrements."

# --- Explore -----------------------------------------------------------------------------------

EXPLORE = """<h2>Qui parle, et ce qui est dit</h2>
<p>Chaque point est un court morceau de parole d’une voix de la galerie intégrée. Chaque voix a sa propre combinaison
de couleur et de forme. Placez le pointeur sur un point, ou choisissez une voix, pour mettre cette voix en évidence sur
les deux cartes. Convertissez un enregistrement sous l’onglet Anonymiser pour le voir ici, avec la voix anonymisée et,
si c’est un enregistrement, la nouvelle voix. Seules les cinq premières minutes de chacun sont utilisées.</p>"""

EXPLORE_HELP = """<div class="columns">
<p><strong>Les empreintes vocales</strong> (speaker embeddings) décrivent qui parle. Elles devraient former un groupe
pour chaque voix. La voix anonymisée devrait se trouver près de la nouvelle voix, et pas dans le groupe de
l’original.</p>
<p><strong>Les empreintes de contenu</strong> (content embeddings) décrivent ce qui est dit. Elles devraient former un
seul nuage mêlé, parce qu’elles ne devraient pas dépendre de la personne qui parle. La voix anonymisée devrait se
trouver près de l’original.</p>
<p>Une carte (ACP, puis t-SNE) montre quels points sont voisins. La distance entre deux groupes ne signifie rien. Le
pourcentage au-dessus de chaque carte est calculé avant l’ACP et le t-SNE.</p></div>"""

EXPLORE_CLIPS = {"original": "Original", "target": "Nouvelle voix", "swapped": "Voix anonymisée"}
MAPS = {
    "highlight": "Voix à mettre en évidence",
    "all": "toutes",
    "speaker": "Empreintes vocales",
    "content": "Empreintes de contenu",
    "legend": "{voices} voix de la galerie, chacune avec sa couleur et sa forme",
    "map": "Carte : {title}. {measured}",
    "measured": "Le plus proche voisin est de la même voix : {same} % (contre {chance} % par hasard), mesuré sur les "
    "{speakers} voix de la galerie",
}
SEXES = {"F": "femme", "M": "homme"}
UNSEEN = """<h2>Des locuteurs absents de notre entraînement</h2>
<p>En couleur : quatre morceaux de deux secondes de chacun des {speakers} locuteurs de {corpus}, partie {split}. Aucun
d’eux n’a servi à notre entraînement. Certains sont peut-être dans les données d’entraînement, inconnues, du système
de reconnaissance des phonèmes dont est issu l’encodeur de contenu. En gris : les voix de la galerie.
Les chiffres sous les cartes ont été mesurés sur les points colorés, avant l’ACP et le t-SNE. Faites glisser la souris
sur une partie pour l’agrandir, double-cliquez pour tout revoir ; l’appareil photo télécharge la carte (SVG).
<code>saic plot map DATA -o map.svg</code> dessine les deux.</p>"""
UNSEEN_GALLERY, UNSEEN_SPEAKERS, UNSEEN_SPEAKER = (
    "{voices} voix de la galerie",
    "{speakers} locuteurs hors de l’entraînement",
    "Locuteur {number}",
)
NEAREST = "Le plus proche voisin est du même locuteur : <strong>{rate}</strong>, contre {chance} par hasard."
PROBE = """Un classifieur entraîné à trouver le locuteur dans les codes de contenu a raison dans
<strong>{accuracy} %</strong> des cas [{low}, {high}], contre {chance} % par hasard ({speakers} locuteurs)."""
EXPLORE_WAITING = '<div class="empty"><p>Tracé des cartes en cours…</p></div>'

# --- Identify ----------------------------------------------------------------------------------

IDENTIFY_ENROLL = f"""<h2><span class="step">1</span> Les voix que vous connaissez</h2>
<p>Donnez un nom à chacune et ajoutez quelques secondes de parole. Seul un résumé numérique de la voix est conservé. Il
est supprimé sur votre demande, ou {KEEP_S // 60} minutes après la fermeture de la page.</p>"""

IDENTIFY_QUERY = """<h2><span class="step">2</span> Qui est-ce ?</h2>
<p>Un enregistrement d’un seul locuteur.</p>"""

IDENTIFY_NAME, IDENTIFY_CLIP, IDENTIFY_QUERY_LABEL = "Nom", "Voix à ajouter", "Voix à identifier"
IDENTIFY_ENROLL_BUTTON, IDENTIFY_REMOVE, IDENTIFY_BUTTON, IDENTIFY_EXAMPLE = (
    "Ajouter",
    "Supprimer les voix",
    "Qui parle ?",
    "Essayer",
)
IDENTIFY_NO_CLIP = "Enregistrez d’abord la voix, ou choisissez un fichier."
IDENTIFY_NO_NAME = "Donnez un nom à la voix."
IDENTIFY_TOO_MANY_VOICES = "Les {voices} places pour des voix sont prises. Supprimez les voix pour recommencer."
IDENTIFY_TOO_MANY_CLIPS = "Cette voix a déjà {clips} enregistrements. D’autres n’aideraient pas."
IDENTIFY_NO_OVERWRITE = "Retirez d’abord vos voix : l’exemple les remplacerait."
IDENTIFY_NO_QUERY = "Enregistrez d’abord la voix à identifier, ou choisissez un fichier."
IDENTIFY_NOBODY = "Ajoutez d’abord au moins une voix."
IDENTIFY_SECOND_HALF = "La seconde moitié de {voice}."
IDENTIFY_FIRST_HALVES = "La première moitié de chacune."
CLIP, CLIPS = "{clips} enregistrement", "{clips} enregistrements"
MATCH = "Le plus probable : <strong>{name}</strong>."
NO_PROOF = "Un score n’est pas une preuve d’identité."
NOBODY_ENROLLED = '<p class="empty">Aucune voix n’a encore été ajoutée.</p>'
NO_MATCH = "<strong>Aucune de ces voix.</strong>"
WHY_ACCEPTED = "Le score de {name} est {score}. C’est le plus élevé, et il atteint le seuil de {threshold}."
WHY_REJECTED = "{name} a le score le plus élevé, {score}. Il est inférieur au seuil de {threshold}."
EXAMPLE_KNOWN = (
    '<p class="example">La première moitié de {voice} est parmi les voix connues. Qui parle dans la seconde ?</p>'
)
EXAMPLE_STRANGER = '<p class="example">{voice} n’est pas parmi les voix connues. Qui parle dans sa seconde moitié ?</p>'
USUAL_TWO_PEOPLE = "deux personnes : d’habitude de {low} à {high}"
USUAL_ONE_PERSON = "une personne : d’habitude de {low} à {high}"
THRESHOLD = "seuil : {threshold}"
IDENTIFY_NOTE = """Similarité cosinus d’empreintes vocales. Une voix dont le score est d’au moins {threshold} (la ligne)
est acceptée. Le seuil a été réglé avec quatre secondes de parole de locuteurs avec lesquels le modèle n’a pas été
entraîné : le système y rejette une personne connue aussi souvent qu’il accepte un inconnu. Avec plus de parole, il
rejette moins de personnes connues. « D’habitude » couvre les 90 % centraux des valeurs dans la
galerie intégrée. Les inconnus du même sexe que la personne qui parle ont des scores plus élevés que les autres."""

# --- About -------------------------------------------------------------------------------------

ABOUT = """
## Fonctionnement

SAIC sépare un enregistrement en *ce qui est dit* (le contenu), *qui parle* (une empreinte vocale, *speaker embedding*)
et la mélodie (la hauteur). Il combine le contenu avec l’empreinte vocale d’une autre voix. Les profils Équilibré et
Strict prédisent la mélodie à partir du contenu. Le profil Prosodie conservée la déplace vers l’étendue de la nouvelle
voix. SAIC en fait un nouvel enregistrement. Il met en œuvre *SAIC: Integration of Speech Anonymization and Identity
Classification* (Cheng, Diao, Cheng et Liu). Il fonctionne sur le processeur de l’ordinateur qui fournit cette page, et
n’utilise aucun autre service.
"""

LIMITS_AND_ETHICS = """
## Limites

- Un prototype de recherche, entraîné sur de l’anglais lu. Dans les autres langues, la plupart des mots se perdent.
- Les enfants sont plus faciles à relier que les adultes, et davantage de leurs mots se perdent. Le bruit et l’écho
  font aussi perdre des mots. Le chant et plusieurs personnes qui parlent en même temps n’ont pas été testés.
- La voix anonymisée paraît artificielle, et des mots se perdent : l’évaluation dit combien.
- **Le résultat n’est pas anonyme au sens juridique.** Il est plus difficile à relier à la personne que l’original.
  {linkage} Quelqu’un qui connaît la manière de parler de la personne peut aussi la reconnaître. Vérifiez chaque
  enregistrement avant de le transmettre.

## Éthique

- Ne convertissez vers la voix d’une personne qu’avec son consentement. Les voix fournies sont synthétiques pour cette
  raison.
- N’utilisez pas ce logiciel pour parler au nom de quelqu’un, ni pour tromper sur la personne qui a parlé.
- Pour identifier des personnes par la voix, il vous faut leur consentement et, dans de nombreux pays, une base
  juridique : une voix est une donnée biométrique.
"""

RETENTION = f"""
## Ce qu’il advient des enregistrements

- **Pas de vraies données de patients sur un serveur public : installez le logiciel sur votre propre
  ordinateur.**
  Avec Python 3.11, dans une copie du dépôt : `make app`. Sans la page,
  `.venv/bin/python -m saic anonymize RECORDING --output anonymous.wav` convertit la voix d’un enregistrement
  en pseudonyme.
- Un fichier envoyé est décodé en une simple copie à 16 kHz, dans un processus séparé à mémoire et durée limitées.
  Le fichier envoyé est supprimé aussitôt après.
- Pendant la conversion d’un enregistrement de plus de neuf minutes, des parties de celui-ci sont dans des fichiers
  temporaires que seul le compte du serveur peut ouvrir. Ils disparaissent à la fin de la conversion.
- La copie, les résultats et leur rapport sont dans un dossier temporaire privé, sous des noms qui ne peuvent être
  devinés. Ils restent tant que votre page est ouverte, et sont supprimés {KEEP_S // 60} minutes après sa fermeture.
  Un résultat est supprimé plus tôt si vous changez l’enregistrement, la voix ou le profil, et un enregistrement
  {GRACE_S} secondes après qu’un autre l’a remplacé. *Tout supprimer* arrête ce qui est en cours et supprime aussitôt
  tous les enregistrements, dans tous les onglets de ce navigateur. Un redémarrage du serveur supprime tout.
- Un cookie distingue votre navigateur des autres, pour que personne d’autre ne reçoive vos enregistrements. Il
  contient un nombre aléatoire et est supprimé quand vous fermez le navigateur.
- *Annuler* libère votre page aussitôt. Le serveur arrête la conversion après son étape en cours, qui prend jusqu’à
  cinq secondes pour un enregistrement de cinq minutes et plus pour un enregistrement plus long, et n’en garde rien.
- Rien n’est envoyé ailleurs : pas de mesure d’audience, pas d’historique dans votre navigateur, pas de polices ni de
  scripts d’autres sites. Le journal contient des nombres et des durées, jamais un nom de fichier.
- Pour enregistrer, il faut que votre navigateur autorise l’usage du microphone. Sur tout autre ordinateur que celui
  qui fait fonctionner cette page, les navigateurs ne l’autorisent que par https.
"""

PICTURE_ALT = """Un encodeur de contenu extrait de votre enregistrement ce qui est dit. Une analyse de la hauteur en
extrait la mélodie, dont le profil garde une partie. Un encodeur de locuteur extrait de la nouvelle voix ce qui
identifie la personne. Un décodeur combine les trois en un spectrogramme de Mel, et un vocodeur en fait du son."""

PICTURE = {
    "title": "Fonctionnement",
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
    "swapped": "Voix anonymisée",
    "words": "mêmes mots",
    "said": "ce qui est dit",
    "melody": "mélodie",
    "speaks": "qui parle",
    "vocoder": "vocodeur",
}

LOADED = "## Modèle chargé\n\n{facts}. Code : Apache-2.0."
LOADED_PARAMETERS, LOADED_SIZE = "{millions} millions de paramètres", "{megabytes} Mo"
LOADED_VOCODER, LOADED_WEIGHTS = "vocodeur : {vocoder}", "poids du modèle `{weights}`"
MODEL_CARD = "Fiche du modèle (en anglais)"

# --- sentences from below the page -------------------------------------------------------------

MESSAGES = {
    # stages of a conversion
    "starting": "Démarrage",
    "reading": "Lecture de l’enregistrement",
    "reading_several": "Lecture des enregistrements",
    "analyzing": "Analyse de la nouvelle voix",
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
    "too_long": "L’enregistrement dépasse {duration}. Coupez-le en parties plus courtes.",
    "too_large": "L’enregistrement dépasse {megabytes} Mo. Coupez-le en parties, ou utilisez FLAC ou MP3.",
    "empty": "L’enregistrement est vide (0 octet). Enregistrez-le ou exportez-le à nouveau.",
    "no_samples": "L’enregistrement ne contient aucun échantillon. Enregistrez-le ou exportez-le à nouveau.",
    "not_audio": "Ce fichier ne peut pas être décodé : utilisez {formats} ou {last}.",
    "not_decoded": "Cet enregistrement ne peut pas être décodé dans les limites de ce serveur. Exportez-le en WAV ou "
    "FLAC à un canal et réessayez.",
    "no_sound": "Le fichier n’a pas de piste sonore. Utilisez un enregistrement avec du son.",
    "rate": "La fréquence d’échantillonnage est de {rate} Hz. Utilisez une fréquence de {low} à {high} Hz.",
    "out_of_range": "Les échantillons sont très en dehors de [-1, 1]. Réduisez-les pour que le niveau maximal soit 1.",
    "channels": "L’enregistrement a {channels} canaux. Il en faut de 1 à {most}.",
    "not_finite": "L’enregistrement contient des échantillons NaN ou infinis. Exportez-le à nouveau.",
    # notes on a recording
    "damaged": "Durée décodée : seulement {decoded} s sur {total} s. Le fichier est endommagé.",
    "tracks": "Le fichier a {tracks} pistes sonores : seule la première est utilisée.",
    "mixed": "{channels} canaux contiennent des voix différentes : ils sont mélangés en un seul.",
    "mostly_silent": "Durée de son conservée : seulement {kept} s sur {total} s. "
    "Le reste est bien plus faible que la voix la plus forte.",
    # the server
    "upload_stopped": "L’envoi du fichier s’est arrêté. Réessayez.",
    "upload_incomplete": "L’envoi du fichier n’est pas complet. Réessayez, avec un fichier à la fois.",
    "gone": "Cet enregistrement n’est plus sur le serveur. Ajoutez-le à nouveau.",
    "not_uploaded": "Cet enregistrement n’est pas sur le serveur. Envoyez-le d’abord.",
    "out_of_date": "Cette page n’est plus à jour. Rechargez-la.",
    "files": "Jusqu’à {files} enregistrements peuvent être envoyés à la fois. Envoyez-en moins.",
    "requests": "Trop de requêtes. Attendez quelques secondes.",
    "full": "Le serveur est plein. Supprimez ce dont vous n’avez plus besoin, ou réessayez dans une demi-heure.",
    "visitors": "Le serveur a trop de visiteurs. Réessayez dans une demi-heure.",
    "temporary": "Un fichier temporaire ne peut pas être écrit ou lu : {reason}.",
    "not_kept": "Le serveur ne peut pas conserver d’enregistrements en ce moment. Réessayez plus tard.",
    "stopped": "Arrêté. Rien n’a été conservé de ce traitement.",
    "took_too_long": "Le traitement a pris trop de temps et a été arrêté. Réessayez plus tard, ou avec un "
    "enregistrement plus court.",
    "busy": "Le serveur est occupé par d’autres tâches, les vôtres ou celles d’autrui. Réessayez dans une minute.",
    # choices that do not go together
    "no_difference": "Les enregistrements n’ont pas la même durée, comme dans le profil Strict. Leur différence ne "
    "peut donc pas être calculée.",
    # spectrograms
    "original": "Original",
    "reconstructed": "Reconstruction",
    "swapped": "Voix anonymisée",
    "minus": "{panel} moins l’original",
    "time": "Temps (s)",
    "level": "Niveau (dB, 0 = parole forte)",
    "difference": "Différence (dB)",
    # judges, and whose voices they were measured on
    "own_encoder": "l’encodeur de locuteur du modèle lui-même",
    "readers": "{speakers} lecteurs de LibriSpeech",
    "gallery": "les {voices} voix de la galerie intégrée",
    # bundled voices
    "female": "Voix {name} (femme)",
    "male": "Voix {name} (homme)",
}
