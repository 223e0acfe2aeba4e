"""The texts of the page in Spanish."""

from saic.profiles import BALANCED, PROSODY_KEPT, STRICT
from saic.web.server.recordings import LIMITS
from saic.web.server.store import GRACE_S, KEEP_S

CODE, DECIMAL = "es", ","

TITLE = "Anonimizar la voz"
TABS = {
    "anonymize": "Anonimizar",
    "batch": "Lote",
    "explore": "Explorar",
    "identify": "Identificar",
    "evaluation": "Evaluación",
    "about": "Info",
}
_KEEP_MINUTES = KEEP_S // 60
_MINUTES = f"{LIMITS.max_duration_s / 60:g}"

HEADER = """
<header class="title"><h1>Anonimizar la voz</h1>
<p class="warning"><strong>Cambia la voz, no las palabras:</strong> los nombres dichos permanecen. No para datos de
pacientes en un servidor público.</p></header>
<p id="microphone-note" class="note-warning" role="status" hidden></p>
"""

# --- in the browser: `saic.web.script` ---------------------------------------------------------

MICROPHONE = {
    "NotAllowedError": "El navegador no permite que esta página use el micrófono. Permítalo en los ajustes de la "
    "barra de direcciones y grabe de nuevo, o suba un archivo.",
    "NotFoundError": "No se encontró ningún micrófono. Conecte uno e inténtelo de nuevo, o suba un archivo.",
    "NotReadableError": "Otro programa está usando el micrófono. Ciérrelo e inténtelo de nuevo, o suba un archivo.",
    "other": "No se puede usar el micrófono. Suba un archivo en su lugar.",
    "insecure": "Los navegadores permiten grabar solo por https o en el propio ordenador. Abra la página en su "
    "dirección https, o suba un archivo.",
}
NOT_AUDIO = "Este archivo no es una grabación: suba WAV, FLAC, MP3, M4A u otro archivo de audio o vídeo."

# --- Anonymize ---------------------------------------------------------------------------------

PSEUDONYM = "Un seudónimo (de nadie)"
OWN_RECORDING = "La grabación de otra persona"
SOURCE_LABEL, CHOICE_LABEL, TARGET_LABEL = "Voz que proteger", "Voz", "Voz nueva"
REGISTER_LABEL, PROFILE_LABEL = "Registro", "Perfil"
UPLOAD, RECORD = "Subir un archivo", "Grabar"
CONVERT, CANCEL, EXAMPLE = "Convertir", "Cancelar", "Probar con voces incluidas"

SOURCE = f"""<h2><span class="step">1</span> La voz que proteger</h2>
<p>Grabe o suba hasta {_MINUTES} minutos. Bastan unas frases.</p>"""

TARGET = """<h2><span class="step">2</span> La voz nueva</h2>
<p>Un seudónimo mezcla tres voces de la galería. No es la voz de nadie.</p>"""

REGISTERS = {"any": "Todos", "lower": "Más grave", "higher": "Más agudo", "same": "Parecido"}
SUBJECT = "Código de la persona"
SUBJECT_INFO = (
    "El mismo código y el mismo registro reciben la misma voz, hoy y cualquier otro día. Use un código, no "
    "un nombre. Vacío: una voz nueva cada vez."
)
VOICE_KINDS = {
    "random": "un seudónimo, extraído al azar: la voz de nadie",
    "seed": "un seudónimo, extraído de una semilla: la voz de nadie",
    "key": "el seudónimo de una persona, por la clave del estudio: la voz de nadie",
    "target": "la voz de otra grabación",
}

PROFILE = """<h2><span class="step">3</span> La manera de hablar</h2>"""

PROFILE_NAMES = {BALANCED: "Equilibrado", STRICT: "Estricto", PROSODY_KEPT: "Prosodia conservada"}

PROFILES = {
    BALANCED: "La melodía se hace de nuevo; el ritmo, el volumen y la duración permanecen.",
    STRICT: "La melodía, el ritmo y las pausas se hacen de nuevo; la duración cambia.",
    PROSODY_KEPT: "Melodía, volumen y ritmo como estaban, para quien los estudia; lo más fácil de vincular.",
}
PROFILE_FIGURE = "Tasa de error del atacante: {eer}."
PROFILE_NOTE = """Atacante: software que decide si dos grabaciones de {seconds} segundos son de una misma persona.
Adivinar yerra en 50 %. Medido con seudónimos."""
NO_PATIENT = "Nada de ello se midió en un paciente."
STAYS = {
    BALANCED: "El ritmo, las pausas, el énfasis, el acento, la elección de palabras y los cambios lentos de la melodía "
    "permanecen.",
    STRICT: "El acento, la elección de palabras, los lugares de las pausas y una parte del ritmo permanecen.",
    PROSODY_KEPT: "El ritmo, las pausas, la melodía, el énfasis, el acento y la elección de palabras permanecen.",
}

CONSENT = "La persona que habla aquí ha consentido este uso de su voz"

EMPTY = f"""<div class="empty">
<h2>Todavía no se ha convertido nada</h2>
<p>Recibirá un veredicto, la voz anonimizada y un informe para archivar.{{times}} Las grabaciones de más de
{_MINUTES} minutos se rechazan: córtelas antes.</p>
</div>"""

TIMES = """ En este servidor, diez segundos de habla tardan {ten}, cinco minutos {five}, si nadie más convierte en ese
momento."""

NO_SOURCE = "Grabe o suba primero la voz que proteger."
NO_TARGET = "Grabe o suba la voz de la otra persona, o elija un seudónimo."
SUBJECT_REGISTER = "La voz de un código no puede seguir a cada grabación. Elija Más grave, Más agudo o Todos."
NO_CONSENT = "Confirme que la otra persona ha consentido el uso de su voz."

NOTED = {"source": "La voz que proteger", "target": "La voz nueva", "query": "La grabación en cuestión"}

SERVER_ERROR = "Algo falló en el servidor. Inténtelo de nuevo, o comunique el suceso {event}."

DELETE = "Borrar ahora"
DELETED = """<div class="empty" role="status"><h2>Borrado</h2>
<p>No queda nada suyo en este servidor.</p></div>"""

STARTING = "Inicio"
PROGRESS_LABEL = "Conversión"
LEFT = "faltan {time}"
ABOUT_SECOND, ABOUT_SECONDS = "cerca de {seconds} segundo", "cerca de {seconds} segundos"
ABOUT_MINUTES, ABOUT_MINUTES_SECONDS = "cerca de {minutes} min", "cerca de {minutes} min {seconds} s"

CHANGED = """<div class="empty" role="status"><h2>Todavía sin convertir</h2>
<p>La grabación o su elección ha cambiado. Pulse «Convertir» para convertirla.</p></div>"""

DETAILS = "Detalles: original, reconstrucción, espectrogramas"

LISTEN = """<h2>Escuchar el original y la reconstrucción</h2>
<p>Se reproducen con la sonoridad de la voz anonimizada. La reconstrucción conserva la voz original: el modelo
descompone la grabación y la reconstruye. Muestra cuánto pierde el modelo sin un cambio de voz.</p>"""

ORIGINAL, RECONSTRUCTED, ANONYMIZED = "Original", "Reconstrucción", "Voz anonimizada"
GUARD = """Sé que la reconstrucción y los datos no son anónimos: tienen la propia voz de la persona, y el software la
reconoce."""
GUARDED_DOWNLOADS = {"reconstruction": "Descargar la reconstrucción", "data": "Espectrogramas como datos (NPZ)"}
DOWNLOAD_REPORTS = {"report": "Informe para imprimir (HTML)", "json": "Informe (JSON)"}
REPORT = """<p class="soft">Descargue la voz como WAV, FLAC o MP3. El informe dice cómo se hizo y qué se midió. No
contiene ningún nombre ni nombre de archivo. Sus similitudes son mediciones de una persona: guárdelo con el
original.</p>"""
PRINTED_TITLE = "Grabación anonimizada"
PRINTED_NOTE = """Este informe no contiene ningún nombre ni nombre de archivo. Sus similitudes son mediciones de una
persona: guárdelo con el original, no con la grabación anonimizada."""

PRINTED = {
    "made": "Fecha",
    "voice": "Voz nueva",
    "register": "Registro",
    "profile": "Manera de hablar",
    "length": "Duración",
    "similarity": "Similitud con la persona",
    "usual": "Similitud habitual",
    "judge": "Medido por",
    "words": "Palabras conservadas",
    "weights": "Pesos (SHA-256)",
    "wav": "Archivo WAV (SHA-256)",
}
PRINTED_MADE = "{date}, con SAIC {version}"
PRINTED_SIMILARITY = "{before} antes, {after} después"
PRINTED_USUAL = "{same} para grabaciones de una misma persona, {different} para dos personas"
PRINTED_JUDGE = "{name}, en {basis}"
PRINTED_NO_WORDS = "no contadas"
PERCENT = "{percent} %"
PRINTED_NOTES = "Notas sobre la grabación"

VERDICT_SAME = """<strong>La voz apenas está protegida:</strong> el software que reconoce voces todavía puede tomarla
por la de la persona."""
VERDICT_BETWEEN = """<strong>La voz está protegida en parte:</strong> se parece menos a la de la persona de lo que
suelen parecerse dos grabaciones de una misma persona, pero más de lo que suelen parecerse dos personas."""
VERDICT_DIFFERENT = """<strong>La voz suena como la de otra persona:</strong> no se parece a la de la persona más de
lo que suelen parecerse dos personas. La manera de hablar todavía puede identificar a la persona."""
VERDICT_UNKNOWN = "La grabación convertida contiene demasiada poca habla para comparar las voces."

PSEUDONYM_TARGET = """La voz nueva es un seudónimo. No es de ninguna persona real, así que no hay ninguna grabación
con que compararla."""

SIMILARITY_TITLE = "Qué se midió, y qué no está protegido"
SIMILARITY_SOURCE, SIMILARITY_TARGET = "Similitud con la persona", "Similitud con la voz nueva"
SIMILARITY_BEFORE, SIMILARITY_AFTER = "antes,", "después"
SIMILARITY_SCALE = "{title}: original {before}, voz convertida {after}"
SIMILARITY_LEGEND = """<ul class="key">
<li><span class="swatch different"></span>dos personas: habitualmente {different}</li>
<li><span class="swatch same"></span>una persona: habitualmente {same}</li>
<li><span class="swatch before"></span>original</li><li><span class="swatch after"></span>voz convertida</li></ul>"""
RANGE = "{low} a {high}"
SIMILARITY_NOTE = """Similitud coseno de vectores de locutor: cuanto más cerca de 1, más se parecen las voces. Medida
por {verifier}. «Habitualmente» abarca el 90 % central de los valores en grabaciones naturales ({basis}). La similitud
del original con la persona es la de su primera mitad con la segunda."""
NOT_INDEPENDENT = "Este instrumento participó en la conversión, así que la medición no es independiente."

WORDS_TITLE = "Palabras conservadas"
WORDS_KEPT = """De las palabras que un reconocedor de habla inglesa encuentra en el original, encuentra el {percent} %
también en la voz convertida."""
WORDS_NOT_COUNTED = {
    "absent": "No contadas: no hay ningún reconocedor de habla instalado en este servidor.",
    "running": "El reconocedor de habla está trabajando …",
    "stopped": "No contadas: se detuvo el reconocedor de habla.",
}

NOT_PROTECTED = """<h3>Qué no está protegido</h3>
<ul class="plain">
<li><strong>Lo que se dice.</strong> Nombres, fechas, lugares y todo lo demás que se dice.</li>
<li><strong>Cómo se dice.</strong> {stays}</li>
<li><strong>Contra atacantes que conocen este sistema.</strong> {linkage}</li>
</ul>"""
PROFILE_USED = """<h3>Perfil</h3>
<p id="profile-used"><strong>{name}.</strong> {profile}</p>"""

LINKAGE_UNKNOWN = """Quien entrena software con lo que produce este sistema puede vincular grabaciones a la persona
con más frecuencia que por azar."""
LINKAGE = """Quien entrena software con lo que produce este sistema decide si dos grabaciones de {seconds} segundos
son de una misma persona, y yerra en solo {eer} de los casos{beside}. Quien adivina yerra en 50 %."""
LINKAGE_OTHER_LENGTH = "{eer} con {seconds} segundos"
LINKAGE_TOP1 = "En {top1} de los casos nombra a la correcta entre {people} personas."

LINKAGE_TITLE = "Quién puede vincular una grabación a la persona que habla"
LINKAGE_HEADLINE = """<strong>El atacante más fuerte tiene una EER de {eer} con {seconds} segundos de habla</strong> en
cada lado{others} ({speakers} locutores, seudónimos nuevos, perfil {profile}). 50 % es el azar."""
LINKAGE_HEADLINE_OTHER = ", {eer} con {seconds}"
LINKAGE_LABEL, LINKAGE_PROFILE = "Atacante más fuerte", "Perfil"
LINKAGE_EER, LINKAGE_NAMED = "EER con {seconds} s, %", "Encontrados entre {people}, %"
LINKAGE_ORIGINAL = "Habla original"
LINKAGE_NOTE = """EER: tasa de error de la decisión de si dos grabaciones son de una misma persona, por el más
fuerte de todos los atacantes que se probaron. Conocen este sistema y se entrenan con lo que produce. Encontrados: con
qué frecuencia el atacante más fuerte encuentra a la persona correcta con {seconds} segundos de habla. No se midió a
ningún paciente."""

MELS = """<h3>Qué cambió en el sonido</h3>
<p>El tiempo va hacia la derecha, la frecuencia hacia arriba; lo claro es habla fuerte. La línea blanca es el tono de
la voz. Arrastre sobre una parte para ampliarla en las tres imágenes; con un doble clic se vuelve atrás. En una
pantalla táctil, use los botones que están sobre la imagen.
Mientras suena un fragmento, una línea avanza; un clic en un espectrograma lleva allí su fragmento.</p>
<p>La reconstrucción debería parecerse al original. En la voz convertida se desplazan las rayas finas y la línea. Las
palabras conservan su momento{strict}.</p>"""
MELS_STRICT = ", excepto en el perfil Estricto, que cambia la duración"
MELS_LABEL = "Espectrogramas"
DOWNLOAD_MELS = "Descargar la imagen ({kind})"
VIEW = "Cómo se dibujan los espectrogramas"
VIEW_AXIS, VIEW_AXES = "Eje de frecuencia", {"mel": "Mel, como oímos", "linear": "Lineal"}
VIEW_PALETTE = "Colores"
VIEW_RANGE = "Intervalo de los colores por debajo del habla fuerte (dB)"
VIEW_DIFFERENCE = "Mostrar lo que difiere del original, en dB"

NO_EVALUATION = """<p>Esta instalación no incluye la evaluación. Está en el repositorio, en
<code>benchmarks/evaluation/report.md</code>; <code>saic evaluate</code> la repite.</p>"""
OTHER_WEIGHTS = "<p><strong>Estas cifras se midieron con otros pesos que los cargados.</strong></p>"

# --- Evaluation --------------------------------------------------------------------------------

EVALUATION = """<h2>Cómo funciona por término medio</h2>
<p>Medido en grabaciones de locutores con los que no se entrenó el modelo. Una marca es la media de los locutores, su
línea el intervalo del 95 %. No se midió a ningún paciente.</p>"""
EVALUATION_WAITING = '<div class="empty"><p>Dibujando las figuras …</p></div>'
TOPICS = {
    "words": (
        "Palabras",
        """<p>Tasa de error de palabras (WER): cuántas palabras entiende mal un reconocedor de habla en el resultado.
Arriba se compara con lo que encuentra en el original; abajo, con el texto verdadero, donde el corpus lo tiene.
<code>real</code> es la propia grabación: no cabe esperar que ninguna conversión lo haga mejor.</p>""",
    ),
    "identity": (
        "Identidad",
        """<p>Con qué frecuencia un reconocedor de locutor (Resemblyzer) toma el resultado por el locutor de origen, y
por el locutor de destino, entre todos los locutores del corpus. Lo primero debería ser tan raro como el azar. No sabe
nada de este sistema: un atacante que sí sabe encuentra más (figura siguiente).</p>""",
    ),
    "attackers": (
        "Atacantes según los segundos de habla",
        """<p>El más fuerte de todos los atacantes decide si dos grabaciones son de una misma persona. Conoce este
sistema y se entrena con lo que produce. Equal error rate (EER): 50 % es el azar, 0 % encuentra a cada persona. Cuanta
más habla tiene en cada lado, mejor lo logra.</p>""",
    ),
    "sound": (
        "Sonido y prosodia",
        """<p>DNSMOS predice cómo valoran los oyentes el sonido, de 1 a 5. La correlación de F0 dice cuánto de la
melodía es de la fuente: los perfiles Equilibrado y Estricto hacen la melodía de nuevo, por eso es baja.</p>""",
    ),
    "degraded": (
        "Grabaciones degradadas",
        """<p>WER si la grabación tiene ruido, el eco de una sala, un códec, poco nivel o una componente continua.
Marcas llenas: convertida. Marcas huecas: la propia grabación degradada.</p>""",
    ),
}
TOPIC_TABLES = "Tablas"
TOPIC_COMMAND = "Medido por "
SYSTEM_NAMES = "Qué significan los nombres de los sistemas"
FIGURE_ALT = "Figura: {title}. Las tablas de abajo tienen sus valores."
SAVE_SVG = "Guardar la figura (SVG)"

# --- Batch -------------------------------------------------------------------------------------

BATCH_ADD = """<h2><span class="step">1</span> Las grabaciones de una persona</h2>
<p>Dé un código a la persona y añada las grabaciones; después, la persona siguiente. {keyed} Use códigos, no nombres:
los resultados llevan el código y un número.</p>"""
BATCH_KEYED = "La clave de la página da a cada código su voz."
BATCH_UNKEYED = "Cada código recibe una voz, extraída para este lote."
BATCH_CONVERT = """<h2><span class="step">2</span> Convertir todo</h2>
<p>Lo que está hecho permanece mientras la página está abierta, también si añade más.</p>"""
BATCH_PROFILE = "La manera de hablar"
BATCH_FILES, BATCH_ADD_BUTTON, BATCH_CONVERT_BUTTON = "Grabaciones", "Añadir", "Convertir todo"
BATCH_COLUMNS = {"subject": "Persona", "number": "Grabación", "state": "Estado"}
BATCH_ZIP = "Descargar todas las voces e informes (ZIP)"
BATCH_NOTHING = '<p class="empty">Todavía no hay grabaciones.</p>'
BATCH_READY, BATCH_DONE, BATCH_STOPPED = "Lista", "Hecha.", "Detenida"
BATCH_NO_SUBJECT = "Dé un código a la persona que habla."
BATCH_NO_FILES = "Elija primero las grabaciones de esta persona."
BATCH_TOO_MANY = """Un lote tiene hasta {files} grabaciones. Convierta primero estas, o use saic anonymize para una
carpeta."""
BATCH_EMPTY = "No hay nada que convertir. Añada primero grabaciones."

# --- Explore -----------------------------------------------------------------------------------

EXPLORE = """<h2>Quién habla, y qué se dice</h2>
<p>Cada punto es un breve trozo de habla de una voz de la galería incorporada. Cada voz tiene su propia combinación de
color y forma. Señale un punto, o elija una voz, para resaltarla en los dos mapas. Sus grabaciones convertidas están
marcadas.</p>"""

EXPLORE_HELP = """<div class="columns">
<p><strong>Los vectores de locutor</strong> describen quién habla. Deberían formar un grupo por cada voz. La grabación
convertida debería estar cerca de la voz nueva, lejos del original.</p>
<p><strong>Los vectores de contenido</strong> describen qué se dice. Deberían formar una sola nube mezclada, porque no
deberían depender de quién habla. La grabación convertida debería estar cerca del original.</p>
<p>Un mapa (PCA, después t-SNE) muestra qué puntos son vecinos. La distancia entre dos grupos no significa nada. El
porcentaje sobre cada mapa se calcula antes de PCA y t-SNE.</p></div>"""

EXPLORE_CLIPS = {"original": "Su grabación", "target": "Voz nueva", "swapped": "Convertida"}
MAPS = {
    "highlight": "Voz que resaltar",
    "all": "todas",
    "speaker": "Vectores de locutor",
    "content": "Vectores de contenido",
    "legend": "{voices} voces de la galería, cada una con su color y su forma",
    "map": "Mapa: {title}. {measured}",
    "measured": "El vecino más próximo es la misma voz: {same} % (azar {chance} %), medido en {speakers} locutores del "
    "entrenamiento",
}
SEXES = {"F": "mujer", "M": "hombre"}
UNSEEN = """<h2>Locutores que el modelo nunca ha oído</h2>
<p>En color: cuatro trozos de dos segundos de cada uno de {speakers} locutores de {corpus}, parte {split}. Ninguno
participó en el entrenamiento. En gris: la galería, cuyas voces son locutores del entrenamiento. Las cifras bajo los
mapas se midieron en los puntos de color, antes de PCA y t-SNE. Arrastre sobre una parte para ampliarla, haga doble
clic para volver; la cámara guarda el mapa (SVG). <code>saic plot map DATA -o map.svg</code> dibuja los dos.</p>"""
UNSEEN_GALLERY, UNSEEN_SPEAKERS, UNSEEN_SPEAKER = (
    "{voices} voces de la galería",
    "{speakers} locutores nunca oídos",
    "Locutor {number}",
)
NEAREST = "El vecino más próximo es el mismo locutor: <strong>{rate}</strong>, por azar {chance}."
PROBE = """Una sonda que se entrena para encontrar al locutor en los códigos de contenido acierta en
<strong>{accuracy} %</strong> [{low}, {high}] de los casos, por azar en {chance} % ({speakers} locutores)."""
EXPLORE_WAITING = '<div class="empty"><p>Dibujando los mapas …</p></div>'

# --- Identify ----------------------------------------------------------------------------------

IDENTIFY_ENROLL = f"""<h2><span class="step">1</span> Voces que usted conoce</h2>
<p>Dé a cada una un nombre y unos segundos de habla. Solo se guarda un resumen numérico de la voz, hasta que usted lo
elimine o {_KEEP_MINUTES} minutos después de cerrar la página.</p>"""

IDENTIFY_QUERY = """<h2><span class="step">2</span> ¿Quién es?</h2>
<p>Una grabación de un solo locutor.</p>"""

IDENTIFY_NAME, IDENTIFY_CLIP, IDENTIFY_QUERY_LABEL = "Nombre", "Voz que registrar", "Grabación en cuestión"
IDENTIFY_ENROLL_BUTTON, IDENTIFY_REMOVE, IDENTIFY_BUTTON, IDENTIFY_EXAMPLE = (
    "Registrar",
    "Eliminar todo",
    "¿Quién habla?",
    "Probar",
)
IDENTIFY_NO_CLIP = "Grabe o suba primero la voz."
IDENTIFY_NO_NAME = "Dé un nombre a la voz."
IDENTIFY_TOO_MANY_VOICES = "Los {voices} lugares para voces están ocupados. Elimine las voces para empezar de nuevo."
IDENTIFY_TOO_MANY_CLIPS = "Hay {clips} fragmentos registrados de esta voz. Más no ayudarían."
IDENTIFY_NO_QUERY = "Grabe o suba primero la grabación en cuestión."
IDENTIFY_NOBODY = "Registre primero al menos una voz."
IDENTIFY_SECOND_HALF = "La segunda mitad de {voice}."
IDENTIFY_FIRST_HALVES = "La primera mitad de cada una."
CLIP, CLIPS = "{clips} fragmento", "{clips} fragmentos"
MATCH = "Es <strong>{name}</strong>."
NOBODY_ENROLLED = '<p class="empty">Todavía no hay ninguna voz registrada.</p>'
NO_MATCH = "<strong>Ninguna de estas voces.</strong>"
WHY_ACCEPTED = "La puntuación de {name} es {score}: no está por debajo del umbral de {threshold}, y es la más alta."
WHY_REJECTED = "{name} tiene la puntuación más alta, {score}. Está por debajo del umbral de {threshold}."
EXAMPLE_KNOWN = (
    '<p class="example">¿Quién habla en la segunda mitad de {voice}, cuya primera mitad está registrada?</p>'
)
EXAMPLE_STRANGER = '<p class="example">¿Quién habla en la segunda mitad de {voice}, que no está registrada?</p>'
USUAL_TWO_PEOPLE = "dos personas: habitualmente {low} a {high}"
USUAL_ONE_PERSON = "una persona: habitualmente {low} a {high}"
THRESHOLD = "umbral: {threshold}"
IDENTIFY_NOTE = """Similitud coseno de vectores de locutor. Se acepta una voz con una puntuación de {threshold} o más
(la línea). Con este umbral, en locutores con los que no se entrenó el modelo, es igual de frecuente que no se
reconozca a una persona registrada y que se acepte a un desconocido. «Habitualmente» abarca el 90 % central de los
valores en la galería incorporada. Los desconocidos del sexo de la persona que habla tienen puntuaciones más altas que
otros. Una puntuación no es una prueba de identidad."""

# --- About -------------------------------------------------------------------------------------

ABOUT = """
## Cómo funciona

SAIC separa una grabación en *lo que se dice* (contenido), *quién habla* (un vector de locutor) y la melodía (tono).
Combina el contenido con el vector de locutor de otra voz. Los perfiles Equilibrado y Estricto predicen la melodía a
partir del contenido; el tercero la lleva al intervalo de la voz nueva. Con ello hace una grabación nueva.
Pone en práctica *SAIC: Integration of Speech Anonymization and Identity Classification* (Cheng, Diao, Cheng y Liu).
Funciona en el procesador del ordenador que sirve esta página, y no usa ningún otro servicio.
"""

LIMITS_AND_ETHICS = """
## Límites

- Un prototipo de investigación, entrenado con inglés leído. Otras lenguas, los niños, el canto, varias personas que
  hablan a la vez y las salas ruidosas no se probaron o funcionan peor.
- El resultado suena procesado, y se pierden palabras: la evaluación dice cuántas.
- **El resultado no es anónimo en sentido jurídico.** Es más difícil de vincular a la persona que el original.
  {linkage} También puede lograrlo quien conoce la manera de hablar de la persona. Compruebe cada grabación antes de
  entregarla.

## Ética

- Convierta a la voz de una persona solo con el consentimiento de esa persona. Las voces incluidas son sintéticas por
  esta razón.
- No lo use para hablar en nombre de alguien, ni para engañar sobre quién habló.
- Para identificar a personas por la voz necesita su consentimiento y, en muchos lugares, una base jurídica: una voz
  es un dato biométrico.
"""

RETENTION = f"""
## Qué ocurre con las grabaciones

- **No para datos reales de pacientes en un servidor público: ejecute la página en su propio equipo.** Con Python
  3.11, en una copia del repositorio: `make app`. Sin la página, `saic anonymize RECORDING --output anonymous.wav`
  convierte una grabación en un seudónimo.
- Un archivo subido se decodifica en una copia sencilla de 16 kHz, en un proceso aparte con memoria y tiempo
  limitados. El archivo subido se elimina entonces de inmediato.
- La copia, los resultados y su informe están en una carpeta temporal privada, con nombres que no se pueden adivinar.
  Permanecen mientras su página está abierta, y se eliminan {KEEP_S // 60} minutos después de que la cierre. Un
  resultado se elimina antes si usted cambia la grabación, la voz o el perfil, y una grabación {GRACE_S} segundos
  después de que otra la haya reemplazado. *Borrar ahora* detiene lo que está en marcha y elimina todos los fragmentos
  de inmediato, en todas las pestañas de este navegador. Un reinicio del servidor lo elimina todo.
- Una cookie distingue su navegador de otros, para que nadie más reciba sus grabaciones. Contiene un número aleatorio
  y se elimina cuando usted cierra el navegador.
- *Cancelar* libera su página de inmediato. El servidor detiene la conversión tras su paso actual, que tarda hasta
  cinco segundos en una grabación de cinco minutos, y no guarda nada de ella.
- Nada se envía a otro lugar: sin analítica, sin historial en su navegador, sin tipos de letra ni scripts de otros
  sitios. El registro contiene números y duraciones, nunca un nombre de archivo.
- Para grabar, su navegador debe permitir el uso del micrófono. En cualquier ordenador que no sea el que ejecuta esta
  página, los navegadores lo permiten solo por https.
"""

PICTURE_ALT = """Un codificador de contenido toma de su grabación lo que se dice, y un análisis del tono toma su
melodía, de la que el perfil conserva una parte. Un codificador de locutor toma de la voz nueva quién habla. Un
decodificador combina los tres en un espectrograma de Mel, y un vocoder lo convierte en sonido."""

PICTURE = {
    "title": "Cómo funciona",
    "recording": "Su grabación",
    "protected": "la voz que proteger",
    "target": "La voz nueva",
    "seconds": "unos segundos de ella",
    "content": "Cod. contenido",
    "content_1": "Codificador",
    "content_2": "de contenido",
    "speaker": "Cod. locutor",
    "speaker_1": "Codificador",
    "speaker_2": "de locutor",
    "pitch": "Tono",
    "decoder": "Decodif.",
    "swapped": "Voz convertida",
    "words": "mismas palabras",
    "said": "lo que se dice",
    "melody": "melodía",
    "speaks": "quién habla",
    "vocoder": "vocoder",
}

LOADED = "## Qué está cargado\n\n{facts}. Código: Apache-2.0."
LOADED_PARAMETERS, LOADED_SIZE = "{millions} millones de parámetros", "{megabytes} MB"
LOADED_VOCODER, LOADED_WEIGHTS = "vocoder: {vocoder}", "pesos `{weights}`"
MODEL_CARD = "Ficha del modelo (en inglés)"

# --- sentences from below the page -------------------------------------------------------------

MESSAGES = {
    # stages of a conversion
    "reading": "Leyendo la grabación",
    "reading_several": "Leyendo las grabaciones",
    "analyzing": "Analizando la voz de destino",
    "drawing": "Extrayendo un seudónimo",
    "converting": "Convirtiendo",
    "vocoding_reconstruction": "Sintetizando la reconstrucción",
    "vocoding": "Sintetizando la voz nueva",
    "writing": "Escribiendo los archivos",
    "comparing": "Comparando las voces",
    "showing": "Mostrando el resultado",
    "waiting": "Esperando un núcleo de procesador libre, {before} antes que usted",
    # a recording that cannot be used
    "silent": "La grabación está en silencio. Compruebe el micrófono y su volumen, y grabe de nuevo.",
    "too_short": "La grabación contiene {speech} s de habla; se necesitan al menos {needed} s. Hable un poco más.",
    "not_speech": "La grabación contiene un sonido constante, no habla. Use la grabación de una voz.",
    "too_long": "La grabación dura más de {seconds} s. Córtela en partes más cortas.",
    "too_large": "La grabación ocupa más de {megabytes} MB. Córtela, o use FLAC o MP3.",
    "empty": "La grabación está vacía (0 bytes). Grábela o expórtela de nuevo.",
    "no_samples": "La grabación no contiene ninguna muestra. Grábela o expórtela de nuevo.",
    "not_audio": "Esto no es una grabación que se pueda decodificar: use {formats} o {last}.",
    "not_decoded": "Esta grabación no se puede decodificar dentro de los límites de este servidor. Expórtela como WAV "
    "o FLAC e inténtelo de nuevo.",
    "no_sound": "El archivo no tiene pista de sonido. Use una grabación con sonido.",
    "rate": "La frecuencia de muestreo es de {rate} Hz. Use de {low} a {high} Hz.",
    "channels": "La grabación tiene {channels} canales. Use de 1 a {most}.",
    "not_finite": "La grabación contiene muestras NaN o infinitas. Expórtela de nuevo.",
    # notes on a recording
    "damaged": "Solo se pudieron decodificar {decoded} s de {total} s: el archivo está dañado.",
    "mixed": "{channels} canales llevan locutores distintos: se mezclan en uno.",
    # the server
    "upload_stopped": "La subida se detuvo. Inténtelo de nuevo.",
    "upload_incomplete": "La subida no estaba completa. Inténtelo de nuevo, con un archivo cada vez.",
    "gone": "Esta grabación ya no está en el servidor. Añádala de nuevo.",
    "full": "El servidor está lleno. Borre lo que ya no necesite, o inténtelo de nuevo dentro de media hora.",
    "visitors": "El servidor tiene demasiados visitantes. Inténtelo de nuevo dentro de media hora.",
    "not_kept": "El servidor no puede guardar grabaciones ahora. Inténtelo más tarde.",
    "stopped": "Detenido. No se guardó nada de esta ejecución.",
    "took_too_long": "Esto tardó demasiado y se detuvo. Inténtelo más tarde, o con una grabación más corta.",
    "busy": "El servidor está ocupado con otro trabajo suyo o de otros. Inténtelo de nuevo dentro de un minuto.",
    # choices that do not go together
    "no_difference": "Las grabaciones tienen distinta duración, como en el perfil Estricto, así que no hay diferencia.",
    # spectrograms
    "original": "Original",
    "reconstructed": "Reconstruida",
    "swapped": "Convertida",
    "minus": "{panel} menos original",
    "time": "Tiempo (s)",
    "level": "Nivel (dB, 0 es habla fuerte)",
    "difference": "Diferencia (dB)",
    # judges, and whose voices they were measured on
    "own_encoder": "el propio codificador de locutor del modelo",
    "readers": "{speakers} lectores de LibriSpeech",
    "gallery": "las {voices} voces de la galería incorporada",
    # bundled voices
    "female": "Voz {name} (mujer)",
    "male": "Voz {name} (hombre)",
}
