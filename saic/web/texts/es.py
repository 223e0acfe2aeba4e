"""The texts of the page in Spanish."""

from saic.profiles import BALANCED, PROSODY_KEPT, STRICT
from saic.web.server.store import GRACE_S, KEEP_S

CODE, DECIMAL = "es", ","

TITLE = "Anonimizar la voz"
TABS = {
    "anonymize": "Anonimizar",
    "batch": "Lote",
    "explore": "Explorar",
    "identify": "Identificar",
    "evaluation": "Evaluación",
    "about": "Acerca de",
}

HEADER = """
<header class="title"><h1>Anonimizar la voz</h1>
<p class="warning"><strong>Cambia la voz, no las palabras:</strong> los nombres que se dicen se siguen oyendo. No use
esta página con datos de pacientes en un servidor público.</p></header>
<p id="microphone-note" class="note-warning" role="status" hidden></p>
<p id="live" class="sr-only" role="status"></p>
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
CONNECTION = {
    "lost": "Se interrumpió la conexión con el servidor. Vuelva a iniciar lo que estaba en curso.",
    "offline": "No se puede acceder al servidor. Esta página continuará en cuanto responda.",
}
NOT_AUDIO = "Este archivo no es una grabación: suba WAV, FLAC, MP3, M4A u otro archivo de audio o vídeo."
REPLACE = "Esto quita la grabación actual. ¿Continuar?"

# --- Anonymize ---------------------------------------------------------------------------------

PSEUDONYM = "Un seudónimo (voz ficticia)"
OWN_RECORDING = "La grabación de otra persona"
SOURCE_LABEL, CHOICE_LABEL, TARGET_LABEL = "Voz que quiere proteger", "Voz", "Voz nueva"
REGISTER_LABEL, PROFILE_LABEL = "Tono", "Perfil"
UPLOAD, RECORD = "Subir un archivo", "Usar el micrófono"
CONVERT, CANCEL, EXAMPLE = "Convertir", "Cancelar", "Probar con voces de ejemplo"

SOURCE = """<h2><span class="step">1</span> La voz que quiere proteger</h2>
<p>Grabe o suba hasta {minutes} min. Bastan unas frases.</p>"""

TARGET = """<h2><span class="step">2</span> La voz nueva</h2>
<p>Un seudónimo mezcla tres voces de la galería. No es la voz de nadie.</p>"""

REGISTERS = {"any": "Cualquiera", "lower": "Grave", "higher": "Agudo", "same": "Como el de la persona"}
SUBJECT = "Código de la persona"
SUBJECT_INFO = (
    "El mismo código con el mismo tono recibe siempre la misma voz, hoy y cualquier otro día. Use un código, no "
    "un nombre. Si lo deja vacío: una voz nueva cada vez."
)
VOICE_KINDS = {
    "random": "un seudónimo, creado al azar: no es la voz de nadie",
    "seed": "un seudónimo, creado a partir de una semilla: no es la voz de nadie",
    "key": "el seudónimo de una persona, según la clave del estudio: no es la voz de nadie",
    "target": "la voz de otra grabación",
}

PROFILE = """<h2><span class="step">3</span> La manera de hablar</h2>"""

PROFILE_NAMES = {BALANCED: "Equilibrado", STRICT: "Estricto", PROSODY_KEPT: "Prosodia conservada"}

PROFILES = {
    BALANCED: "Entonación nueva; se conservan el ritmo, el volumen y la duración.",
    STRICT: "Entonación nueva, ritmo más uniforme, la mayoría de las pausas acortadas; la duración cambia.",
    PROSODY_KEPT: "Entonación, volumen y ritmo conservados, para quien los estudia; es el perfil más fácil de vincular "
    "a la persona.",
}
PROFILE_FIGURE = "Un atacante se equivoca en el {eer} de los casos."
PROFILE_NOTE = """Atacante: software que decide si dos grabaciones de {seconds} segundos son de una misma persona.
Quien responde al azar se equivoca en el 50 % de los casos: cuanto más cerca de ese valor, mejor es la protección.
Con más habla, los atacantes se equivocan menos. Medido con seudónimos."""
NO_PATIENT = "Nada de esto se midió con pacientes."
STAYS = {
    BALANCED: "El ritmo, las pausas, el énfasis, el acento, la elección de palabras y los cambios lentos de la "
    "entonación se conservan.",
    STRICT: "El énfasis, el acento, la elección de palabras, la posición de las pausas más largas y una parte del "
    "ritmo se conservan.",
    PROSODY_KEPT: "El ritmo, las pausas, la entonación, el énfasis, el acento y la elección de palabras se conservan.",
}

CONSENT = "La persona que habla aquí ha dado su consentimiento para este uso de su voz"

EMPTY = """<div class="empty">
<h2>Todavía no se ha convertido nada</h2>
<p>Recibirá una valoración, la voz anonimizada y un informe para archivar.{times} Las grabaciones de más de
{minutes} min se rechazan: córtelas antes en partes.</p>
</div>"""

TIMES = """ En este servidor, convertir diez segundos de habla tarda {ten}, y cinco minutos, {five}, si nadie más
convierte en ese momento."""

NO_OVERWRITE = "Quite primero su grabación: el ejemplo la reemplazaría."
NO_SOURCE = "Grabe o suba primero la voz que quiere proteger."
NO_TARGET = "Grabe o suba la voz de la otra persona, o elija un seudónimo."
SUBJECT_REGISTER = """Con un código, el tono de la voz nueva no puede depender de cada grabación. Elija «Grave», «Agudo»
o «Cualquiera»."""
NO_CONSENT = "Marque que la otra persona ha dado su consentimiento para el uso de su voz."

NOTED = {"source": "La voz que quiere proteger", "target": "La voz nueva", "query": "La voz que quiere identificar"}

SERVER_ERROR = "Algo falló en el servidor. Inténtelo de nuevo, o comunique el incidente {event}."

DELETE = "Borrar ahora"
DELETED = """<div class="empty" role="status"><h2>Borrado</h2>
<p>Sus grabaciones y resultados se han borrado de este servidor.</p></div>"""

PROGRESS_LABEL = "Conversión"
LEFT = "tiempo restante: {time}"
ABOUT_SECOND, ABOUT_SECONDS = "cerca de {seconds} segundo", "cerca de {seconds} segundos"
ABOUT_MINUTES, ABOUT_MINUTES_SECONDS = "cerca de {minutes} min", "cerca de {minutes} min {seconds} s"

CHANGED = """<div class="empty" role="status"><h2>Todavía sin convertir</h2>
<p>Ha cambiado la grabación o alguno de los ajustes. Pulse «Convertir» para convertirla.</p></div>"""

DETAILS = "Detalles y espectrogramas"

LISTEN = """<h2>Escuchar el original y la reconstrucción</h2>
<p>Se reproducen al mismo volumen que la voz anonimizada. La reconstrucción conserva la voz original: el modelo
descompone la grabación y la reconstruye. Muestra cuánto pierde el modelo aunque no cambie la voz.</p>"""

ORIGINAL, RECONSTRUCTED, ANONYMIZED = "Original", "Reconstrucción", "Voz anonimizada"
GUARD = """Sé que la reconstrucción y los datos no son anónimos: contienen la voz de la persona tal como es, y el
software puede reconocerla."""
GUARD_MEASURED = """ Según el corpus, Resemblyzer reconoció a la persona correcta en hasta el {share} de las
reconstrucciones."""
GUARDED_DOWNLOADS = {"reconstruction": "Descargar la reconstrucción", "data": "Espectrogramas como datos (NPZ)"}
DOWNLOAD_REPORTS = {"report": "Informe para imprimir (HTML)", "json": "Informe (JSON)"}
REPORT = """<p class="soft">Descargue la voz como WAV, FLAC, MP3 u Opus. El informe dice cómo se hizo y qué se midió. No
contiene nombres de personas ni de archivos. Sus valores de similitud son medidas tomadas a una persona: guarde el
informe con el original. Con los seis dígitos de los nombres de archivo empieza el SHA-256 del informe.</p>"""
PRINTED_TITLE = "Informe de una conversión de voz"
PRINTED_NOTE = """Este informe no contiene nombres de personas ni de archivos. Sus valores de similitud son medidas
tomadas a una persona: guarde el informe con el original, no con la grabación anonimizada."""

PRINTED = {
    "made": "Fecha",
    "voice": "Voz nueva",
    "register": "Tono de la voz nueva",
    "profile": "Manera de hablar",
    "length": "Duración",
    "similarity": "Similitud con la voz de la persona",
    "usual": "Similitud habitual",
    "judge": "Medido por",
    "words": "Palabras conservadas",
    "weights": "Pesos del modelo (SHA-256)",
    "wav": "Archivo WAV (SHA-256)",
}
PRINTED_MADE = "{date}, con SAIC {version}"
PRINTED_SIMILARITY = "{before} antes, {after} después"
PRINTED_USUAL = "{same} para grabaciones de una misma persona, {different} para dos personas"
PRINTED_JUDGE = "{name}, en {basis}"
PRINTED_NO_WORDS = "no contadas"
PRINTED_NOTES = "Notas sobre la grabación"
PRINTED_NO_PATIENT = "Las cifras sobre atacantes no se midieron con pacientes."

VERDICT_SAME = """<strong>La voz apenas está protegida:</strong> el software que reconoce voces todavía puede
atribuirla a la persona."""
VERDICT_BETWEEN = """<strong>La voz está protegida en parte:</strong> se parece a la voz de la persona menos de lo
habitual entre dos grabaciones de una misma persona, pero más de lo habitual entre dos personas distintas."""
VERDICT_DIFFERENT = """<strong>La voz suena como la de otra persona:</strong> su parecido con la voz de la persona no
supera lo habitual entre dos personas distintas. La manera de hablar todavía puede identificar a la persona."""
VERDICT_UNKNOWN = "La grabación anonimizada contiene demasiado poca habla para comparar las voces."
VERDICT_NEXT = {
    "little": "Conviértala otra vez antes de entregarla: cada seudónimo es otra voz.",
    "some": "Conviértala otra vez antes de entregarla: cada seudónimo es otra voz.",
    "unknown": "Use una grabación más larga.",
}

PSEUDONYM_TARGET = """La voz nueva es un seudónimo. No es de ninguna persona real, así que no hay ninguna grabación
con que compararla."""
KNOWN_TARGET = """Quien tiene la grabación de la voz nueva vincula los resultados con la persona más a menudo. Un
seudónimo protege mejor."""

SIMILARITY_TITLE = "Qué se midió, y qué no está protegido"
SIMILARITY_SOURCE, SIMILARITY_TARGET = "Similitud con la voz de la persona", "Similitud con la voz nueva"
SIMILARITY_BEFORE, SIMILARITY_AFTER = "antes,", "después"
SIMILARITY_SCALE = "{title}: original {before}, voz anonimizada {after}"
SIMILARITY_LEGEND = """<ul class="key">
<li><span class="swatch different"></span>dos personas: habitualmente {different}</li>
<li><span class="swatch same"></span>una persona: habitualmente {same}</li>
<li><span class="swatch before"></span>original</li>
<li><span class="swatch after"></span>voz anonimizada</li></ul>"""
RANGE = "de {low} a {high}"
SIMILARITY_NOTE = """Similitud coseno de vectores de hablante: cuanto más cerca de 1, más se parecen las voces. Medida
por {verifier}. «Habitualmente» abarca el 90 % central de los valores en grabaciones naturales ({basis}). La similitud
del original con la voz de la persona es la de su primera mitad con la segunda."""
NOT_INDEPENDENT = "Este programa participó en la conversión, así que la medición no es independiente."

WORDS_TITLE = "Palabras conservadas"
WORDS_KEPT = """Un reconocedor de habla encuentra en la voz anonimizada el {percent} % de las palabras que
encuentra en el original."""
WORDS_NOT_COUNTED = {
    "absent": "No contadas: no hay ningún reconocedor de habla instalado en este servidor. Compare el "
    "resultado con el original antes de fiarse de una palabra.",
    "running": "El reconocedor de habla está trabajando…",
    "stopped": "No contadas: se detuvo el reconocedor de habla.",
    "wordless": "No contadas: el reconocedor de habla no encuentra palabras en el original.",
}

NOT_PROTECTED = """<h3>Qué no está protegido</h3>
<ul class="plain">
<li><strong>El resultado no es anónimo en sentido legal.</strong> Trátelo como datos personales.</li>
<li><strong>Lo que se dice.</strong> Nombres, fechas, lugares y todo lo demás que se dice.</li>
<li><strong>Cómo se dice.</strong> {stays}</li>
<li><strong>Contra atacantes que conocen este sistema.</strong> {linkage}</li>
<li><strong>Contra personas que saben más.</strong> Cuantas más grabaciones hay de una persona, más
fácil es vincularlas entre sí. Quien tiene el original puede encontrar la voz anonimizada que se hizo con él. Quien
conoce la voz nueva y tiene otras grabaciones de la persona encuentra a esa persona con más facilidad. Las palabras por
sí solas pueden revelar quién habla.</li>
</ul>"""
PROFILE_USED = """<h3>Perfil</h3>
<p id="profile-used"><strong>{name}.</strong> {profile}</p>"""

LINKAGE_UNKNOWN = """Quien entrena software con lo que produce este sistema puede vincular grabaciones a la persona
con más frecuencia que por azar."""
LINKAGE = """Un software entrenado con lo que produce este sistema decide si dos grabaciones de {seconds} segundos,
ambas convertidas a seudónimos, son de una misma persona. Se equivoca solo en el {eer} de los casos{beside}. Quien
responde al azar se equivoca en el 50 % de los casos."""
LINKAGE_OTHER_LENGTH = "el {eer} con {seconds} segundos"
LINKAGE_TOP1 = "En el {top1} de los casos, el software acierta qué persona habla, entre {people} personas."

LINKAGE_TITLE = "Quién puede vincular una grabación a la persona que habla"
LINKAGE_HEADLINE = """<strong>El atacante más fuerte tiene una EER del {eer} con {seconds} segundos de habla</strong> en
cada grabación ({speakers} hablantes){others}. Seudónimos nuevos, perfil {profile}. El 50 % equivale al azar."""
LINKAGE_HEADLINE_OTHER = ", del {eer} con {seconds}"
LINKAGE_LABEL, LINKAGE_PROFILE = "Atacante más fuerte", "Perfil"
LINKAGE_EER, LINKAGE_NAMED = "EER con {seconds} s, %", "Encontrados entre {people}, %"
LINKAGE_ORIGINAL = "Habla original"
LINKAGE_KNOWN_VOICE = "{profile}, el atacante conoce la voz nueva"
LINKAGE_NOTE = """EER: con qué frecuencia se equivoca el atacante más fuerte al decidir si dos grabaciones son de una
misma persona. Es el más fuerte de todos los que se probaron. Los atacantes conocen este sistema y se entrenan con lo
que produce. Encontrados: con qué frecuencia el atacante más fuerte encuentra a la persona correcta con {seconds}
segundos de habla. Un atacante que conoce la voz nueva convierte antes a ella las grabaciones de los candidatos. No se
midió con pacientes."""

MELS = """<h3>Qué cambió en el sonido</h3>
<p>El tiempo va hacia la derecha, la frecuencia hacia arriba; lo claro es habla fuerte. La línea blanca es el tono de
la voz. Arrastre sobre una parte para ampliarla en las tres imágenes; con un doble clic se vuelve atrás. En una
pantalla táctil, use los botones que están sobre la imagen.
Mientras suena una grabación, una línea avanza. Haga clic en un espectrograma para oír su grabación desde ese punto.</p>
<p>La reconstrucción debería parecerse al original. En la voz anonimizada se desplazan las rayas finas y la línea. Las
palabras siguen en el mismo instante{strict}.</p>"""
MELS_STRICT = ", excepto en el perfil Estricto, que cambia la duración"
MELS_LABEL = "Espectrogramas"
DOWNLOAD_MELS = "Descargar la imagen ({kind})"
VIEW = "Cómo se dibujan los espectrogramas"
VIEW_AXIS, VIEW_AXES = "Eje de frecuencia", {"mel": "Mel, como oímos", "linear": "Lineal"}
VIEW_PALETTE = "Colores"
VIEW_RANGE = "Escala de colores: dB por debajo del habla fuerte"
VIEW_DIFFERENCE = "Mostrar lo que difiere del original, en dB"

NO_EVALUATION = """<p>Esta instalación no incluye la evaluación. Está en el repositorio, en
<code>benchmarks/evaluation/report.md</code>; <code>saic evaluate</code> la repite.</p>"""
OTHER_WEIGHTS = "<p><strong>Estas cifras se midieron con pesos del modelo distintos de los cargados.</strong></p>"

# --- Evaluation --------------------------------------------------------------------------------

EVALUATION = """<h2>Qué resultados da por término medio</h2>
<p>Medido en grabaciones de hablantes con los que no se entrenó el modelo. Cada marca es la media de los hablantes; su
línea, el intervalo del 95 %. No se midió con pacientes.</p>"""
EVALUATION_WAITING = '<div class="empty"><p>Dibujando las figuras…</p></div>'
TOPICS = {
    "words": (
        "Palabras",
        """<p>Tasa de error de palabras (WER): cuántas palabras entiende mal un reconocedor de habla en el resultado.
Arriba se compara con lo que encuentra en el original; abajo, con el texto verdadero, si el corpus lo incluye.
<code>real</code> es la propia grabación: no cabe esperar que ninguna conversión lo haga mejor.</p>""",
    ),
    "identity": (
        "Identidad",
        """<p>Con qué frecuencia un reconocedor de hablantes (Resemblyzer) atribuye el resultado al hablante original, y
con qué frecuencia al de la voz nueva, entre todos los hablantes del corpus. Lo primero no debería ocurrir más que por
azar. El reconocedor no conoce este sistema. Un atacante que sí lo conoce acierta más (figura siguiente).</p>""",
    ),
    "attackers": (
        "Atacantes según los segundos de habla",
        """<p>El más fuerte de todos los atacantes decide si dos grabaciones son de una misma persona. Conoce este
sistema y se entrena con lo que produce. Tasa de igual error (EER): con un 50 % acierta como por azar; con un 0 %,
encuentra a todas las personas. Cuanta más habla tiene en cada grabación, más acierta.</p>""",
    ),
    "sound": (
        "Sonido y prosodia",
        """<p>DNSMOS predice cómo valoran los oyentes el sonido, de 1 a 5. La correlación de F0 dice qué parte de la
entonación viene del original. Equilibrado genera la entonación de nuevo, pero conserva sus cambios lentos. Estricto
cambia el ritmo, por eso no tiene ningún valor.</p>""",
    ),
    "degraded": (
        "Grabaciones degradadas",
        """<p>WER si la grabación tiene ruido, el eco de una sala, un códec, un nivel bajo o una componente continua,
o llega por una línea telefónica. Marcas llenas: convertida. Marcas huecas: la propia grabación degradada.</p>""",
    ),
}
EACH_ATTACKER = (
    "Cada atacante por separado",
    """<p>Lo mismo con {seconds} segundos de habla en cada grabación, para cada atacante: algunos reconocen voces; otros
miden solo el ritmo, la energía, la articulación, la entonación, el ruido o algo parecido. <code>fused</code> los reúne
a todos. <code>real</code> es el habla original: un atacante que falla con ella no demuestra nada.</p>""",
)
TOPIC_TABLES = "Tablas"
TOPIC_COMMAND = "Medido por "
SYSTEM_NAMES = "Qué significan los nombres de los sistemas"
FIGURE_ALT = "Figura: {title}. Las tablas de abajo contienen sus valores."
SAVE_SVG = "Guardar la figura (SVG)"

# --- Batch -------------------------------------------------------------------------------------

BATCH_ADD = """<h2><span class="step">1</span> Las grabaciones de una persona</h2>
<p>Dé un código a la persona y añada las grabaciones. Después, haga lo mismo con la persona siguiente: hasta {files}
grabaciones en total. {keyed} Use códigos, no nombres: el nombre de cada resultado lleva el código y un número, en el
orden de la lista de archivos. Cualquiera puede oír que los resultados de un mismo código van juntos.</p>"""
BATCH_KEYED = "La clave de la página asigna a cada código su voz."
BATCH_UNKEYED = "Cada código recibe una voz, creada para este lote."
BATCH_CONVERT = """<h2><span class="step">2</span> Convertir todo</h2>
<p>Lo ya convertido se conserva mientras la página esté abierta, aunque añada más grabaciones.</p>"""
BATCH_PROFILE = "La manera de hablar"
BATCH_FILES, BATCH_ADD_BUTTON, BATCH_CONVERT_BUTTON = "Grabaciones", "Añadir", "Convertir todo"
BATCH_COLUMNS = {"subject": "Persona", "number": "Grabación", "length": "Duración", "state": "Estado"}
BATCH_COUNT = "{done} de {all} convertidas"
BATCH_ZIP, BATCH_CLEAR = "Descargar todas las voces e informes (ZIP)", "Vaciar la lista"
BATCH_NOTHING = '<p class="empty">Todavía no hay grabaciones.</p>'
BATCH_READY, BATCH_DONE, BATCH_STOPPED = "Pendiente", "Convertida.", "Detenida"
BATCH_NO_SUBJECT = "Dé un código a la persona que habla."
BATCH_NO_FILES = "Elija primero las grabaciones de esta persona."
BATCH_TOO_MANY = """Un lote admite hasta {files} grabaciones. Convierta estas, guarde el ZIP y vacíe la lista: las voces
de los códigos se conservan. O use saic anonymize para una carpeta."""
BATCH_EMPTY = "No hay nada que convertir. Añada primero grabaciones."

# --- Explore -----------------------------------------------------------------------------------

EXPLORE = """<h2>Quién habla, y qué se dice</h2>
<p>Cada punto es un breve trozo de habla de una voz de la galería incorporada. Cada voz tiene su propia combinación de
color y forma. Señale un punto, o elija una voz, para resaltar esa voz en los dos mapas. Convierta una grabación en la
pestaña Anonimizar para verla aquí, con la voz anonimizada y, si es una grabación, la voz nueva. De cada una se usan
solo los primeros cinco minutos.</p>"""

EXPLORE_HELP = """<div class="columns">
<p><strong>Los vectores de hablante</strong> describen quién habla. Deberían formar un grupo por cada voz. La voz
anonimizada debería estar cerca de la voz nueva, y no en el grupo del original.</p>
<p><strong>Los vectores de contenido</strong> describen qué se dice. Deberían formar una sola nube mezclada, porque no
deberían depender de quién habla. La voz anonimizada debería estar cerca del original.</p>
<p>Un mapa (PCA, después t-SNE) muestra qué puntos son vecinos. La distancia entre dos grupos no significa nada. El
porcentaje sobre cada mapa se calcula antes de PCA y t-SNE.</p></div>"""

EXPLORE_CLIPS = {"original": "Original", "target": "Voz nueva", "swapped": "Voz anonimizada"}
MAPS = {
    "highlight": "Resaltar una voz",
    "all": "todas",
    "speaker": "Vectores de hablante",
    "content": "Vectores de contenido",
    "legend": "{voices} voces de la galería, cada una con su color y su forma",
    "map": "Mapa: {title}. {measured}",
    "measured": "El vecino más próximo es la misma voz: {same} % (por azar, {chance} %), medido en las "
    "{speakers} voces de la galería",
}
SEXES = {"F": "mujer", "M": "hombre"}
UNSEEN = """<h2>Hablantes que nuestro entrenamiento no usó</h2>
<p>En color: cuatro trozos de dos segundos de cada uno de {speakers} hablantes de {corpus}, parte {split}. Ninguno
participó en nuestro entrenamiento. Algunos pueden estar en los datos de entrenamiento, desconocidos, del reconocedor
de fonemas del que partió el codificador de contenido.
En gris: las voces de la galería. Las cifras bajo los
mapas se midieron en los puntos de color, antes de PCA y t-SNE. Arrastre sobre una parte para ampliarla, haga doble
clic para volver; la cámara guarda el mapa (SVG). <code>saic plot map DATA -o map.svg</code> dibuja los dos.</p>"""
UNSEEN_GALLERY, UNSEEN_SPEAKERS, UNSEEN_SPEAKER = (
    "{voices} voces de la galería",
    "{speakers} hablantes fuera del entrenamiento",
    "Hablante {number}",
)
NEAREST = "El vecino más próximo es el mismo hablante: <strong>{rate}</strong>, por azar {chance}."
PROBE = """Un clasificador entrenado para encontrar al hablante en los códigos de contenido acierta en el
<strong>{accuracy} %</strong> [{low}, {high}] de los casos; por azar, en el {chance} % ({speakers} hablantes)."""
EXPLORE_WAITING = '<div class="empty"><p>Dibujando los mapas…</p></div>'

# --- Identify ----------------------------------------------------------------------------------

IDENTIFY_ENROLL = f"""<h2><span class="step">1</span> Voces que usted conoce</h2>
<p>Dé un nombre a cada una y añada unos segundos de habla. Solo se guarda un resumen numérico de la voz, hasta que usted
lo elimine o hasta {KEEP_S // 60} minutos después de cerrar la página.</p>"""

IDENTIFY_QUERY = """<h2><span class="step">2</span> ¿Quién es?</h2>
<p>Una grabación de un solo hablante.</p>"""

IDENTIFY_NAME, IDENTIFY_CLIP, IDENTIFY_QUERY_LABEL = "Nombre", "Voz que quiere registrar", "Voz que quiere identificar"
IDENTIFY_ENROLL_BUTTON, IDENTIFY_REMOVE, IDENTIFY_BUTTON, IDENTIFY_EXAMPLE = (
    "Registrar",
    "Eliminar todo",
    "¿Quién habla?",
    "Probar",
)
IDENTIFY_NO_CLIP = "Grabe o suba primero la voz."
IDENTIFY_NO_NAME = "Dé un nombre a la voz."
IDENTIFY_TOO_MANY_VOICES = "Ya hay {voices} voces registradas, el máximo. Elimínelas para empezar de nuevo."
IDENTIFY_TOO_MANY_CLIPS = "Ya hay {clips} grabaciones registradas de esta voz. Añadir más no ayudaría."
IDENTIFY_NO_OVERWRITE = "Quite primero sus voces: el ejemplo las reemplazaría."
IDENTIFY_NO_QUERY = "Grabe o suba primero la voz que quiere identificar."
IDENTIFY_NOBODY = "Registre primero al menos una voz."
IDENTIFY_SECOND_HALF = "La segunda mitad de {voice}."
IDENTIFY_FIRST_HALVES = "La primera mitad de cada una."
CLIP, CLIPS = "{clips} grabación", "{clips} grabaciones"
MATCH = "Lo más probable: <strong>{name}</strong>."
NO_PROOF = "Una puntuación no es una prueba de identidad."
NOBODY_ENROLLED = '<p class="empty">Todavía no hay ninguna voz registrada.</p>'
NO_MATCH = "<strong>Ninguna de estas voces.</strong>"
WHY_ACCEPTED = "La puntuación de {name} es {score}. Alcanza el umbral de {threshold} y es la más alta."
WHY_REJECTED = "{name} tiene la puntuación más alta, {score}. Está por debajo del umbral de {threshold}."
EXAMPLE_KNOWN = (
    '<p class="example">¿Quién habla en la segunda mitad de {voice}, cuya primera mitad está registrada?</p>'
)
EXAMPLE_STRANGER = '<p class="example">¿Quién habla en la segunda mitad de {voice}, que no está registrada?</p>'
USUAL_TWO_PEOPLE = "dos personas: habitualmente de {low} a {high}"
USUAL_ONE_PERSON = "una persona: habitualmente de {low} a {high}"
THRESHOLD = "umbral: {threshold}"
IDENTIFY_NOTE = """Similitud coseno de vectores de hablante. Se acepta una voz con una puntuación de {threshold} o más
(la línea). El umbral se fijó con cuatro segundos de habla de hablantes con los que no se entrenó el modelo: allí, el
sistema rechaza a una persona registrada con la misma frecuencia con que acepta a un desconocido. Con más habla,
rechaza a menos personas registradas. «Habitualmente» abarca el 90 % central de los
valores en la galería incorporada. Los desconocidos del mismo sexo que la persona que habla tienen puntuaciones más
altas que los demás."""

# --- About -------------------------------------------------------------------------------------

ABOUT = """
## Cómo funciona

SAIC separa una grabación en *lo que se dice* (contenido), *quién habla* (un vector de hablante) y la entonación (tono).
Combina el contenido con el vector de hablante de otra voz. Los perfiles Equilibrado y Estricto predicen la entonación a
partir del contenido; Prosodia conservada la traslada al rango de la voz nueva. Con todo ello hace una
grabación nueva. Es una implementación de *SAIC: Integration of Speech Anonymization and Identity Classification*
(Cheng, Diao, Cheng y Liu). Se ejecuta en el procesador del ordenador que sirve esta página, y no usa ningún otro
servicio.
"""

LIMITS_AND_ETHICS = """
## Límites

- Un prototipo de investigación, entrenado con inglés leído. En otras lenguas se pierde la mayoría de las palabras.
- Los niños son más fáciles de vincular que los adultos, y se pierden más palabras suyas. El ruido y el eco también
  hacen perder palabras. El canto y varias personas que hablan a la vez no se probaron.
- El resultado suena procesado, y se pierden palabras: la evaluación dice cuántas.
- **El resultado no es anónimo en sentido jurídico.** Es más difícil de vincular a la persona que el original.
  {linkage} Quien conoce la manera de hablar de la persona también puede reconocerla. Compruebe cada grabación antes de
  entregarla.

## Ética

- Convierta una grabación a la voz de otra persona solo si esa persona ha dado su consentimiento. Las voces de ejemplo
  son sintéticas por esta razón.
- No use el programa para hablar en nombre de otra persona, ni para engañar sobre quién habló.
- Para identificar a personas por la voz, necesita su consentimiento y, en muchos lugares, una base jurídica: la voz
  es un dato biométrico.
"""

RETENTION = f"""
## Qué ocurre con las grabaciones

- **No use la página con datos reales de pacientes en un servidor público: ejecútela en su propio ordenador.** Con
  Python 3.11, en una copia del repositorio: `make app`. Sin la página,
  `.venv/bin/python -m saic anonymize RECORDING --output anonymous.wav` convierte una grabación a la voz de un
  seudónimo.
- Un archivo subido se decodifica en una copia sencilla de 16 kHz, en un proceso aparte con memoria y tiempo
  limitados. El archivo subido se elimina entonces de inmediato.
- Mientras se convierte una grabación de más de nueve minutos, partes de ella están en archivos temporales que solo
  puede abrir la cuenta del servidor. Desaparecen cuando termina la conversión.
- La copia, los resultados y su informe están en una carpeta temporal privada, con nombres que no se pueden adivinar.
  Permanecen mientras su página está abierta, y se eliminan {KEEP_S // 60} minutos después de que la cierre. Un
  resultado se elimina antes si usted cambia la grabación, la voz o el perfil, y una grabación, {GRACE_S} segundos
  después de que otra la reemplace. *Borrar ahora* detiene lo que está en marcha y elimina todas las
  grabaciones de inmediato, en todas las pestañas de este navegador. Un reinicio del servidor lo elimina todo.
- Una cookie distingue su navegador de otros, para que nadie más reciba sus grabaciones. Contiene un número aleatorio
  y se elimina cuando usted cierra el navegador.
- *Cancelar* libera su página de inmediato. El servidor detiene la conversión tras su paso actual, que tarda hasta
  cinco segundos en una grabación de cinco minutos, y más en una más larga, y no guarda nada de ella.
- Nada se envía a otro lugar: sin estadísticas de uso, sin historial en su navegador, sin tipos de letra ni scripts
  de otros sitios. El archivo de registro del servidor contiene números y duraciones,
  nunca un nombre de archivo.
- Para grabar, su navegador debe permitir el uso del micrófono. En cualquier ordenador que no sea el que ejecuta esta
  página, los navegadores lo permiten solo por https.
"""

PICTURE_ALT = """Un codificador de contenido toma de su grabación lo que se dice, y un análisis del tono toma su
entonación, de la que el perfil conserva una parte. Un codificador de hablante toma de la voz nueva quién habla. Un
decodificador combina los tres en un espectrograma de Mel, y un vocoder lo convierte en sonido."""

PICTURE = {
    "title": "Cómo funciona",
    "recording": "Su grabación",
    "protected": "la voz a proteger",
    "target": "La voz nueva",
    "seconds": "unos segundos de ella",
    "content": "Cod. contenido",
    "content_1": "Codificador",
    "content_2": "de contenido",
    "speaker": "Cod. hablante",
    "speaker_1": "Codificador",
    "speaker_2": "de hablante",
    "pitch": "Tono",
    "decoder": "Decodif.",
    "swapped": "Voz anonimizada",
    "words": "mismas palabras",
    "said": "lo que se dice",
    "melody": "entonación",
    "speaks": "quién habla",
    "vocoder": "vocoder",
}

LOADED = "## Qué está cargado\n\n{facts}. Código fuente: Apache-2.0."
LOADED_PARAMETERS, LOADED_SIZE = "{millions} millones de parámetros", "{megabytes} MB"
LOADED_VOCODER, LOADED_WEIGHTS = "vocoder: {vocoder}", "pesos del modelo `{weights}`"
MODEL_CARD = "Ficha del modelo (en inglés)"

# --- sentences from below the page -------------------------------------------------------------

MESSAGES = {
    # stages of a conversion
    "starting": "Iniciando",
    "reading": "Leyendo la grabación",
    "reading_several": "Leyendo las grabaciones",
    "analyzing": "Analizando la voz nueva",
    "drawing": "Creando un seudónimo",
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
    "too_long": "La grabación dura más de {duration}. Córtela en partes más cortas.",
    "too_large": "La grabación ocupa más de {megabytes} MB. Córtela en partes, o use FLAC o MP3.",
    "empty": "La grabación está vacía (0 bytes). Grábela o expórtela de nuevo.",
    "no_samples": "La grabación no contiene datos de sonido. Grábela o expórtela de nuevo.",
    "not_audio": "Esto no es una grabación que se pueda decodificar: use {formats} o {last}.",
    "not_decoded": "Esta grabación no se puede decodificar dentro de los límites de este servidor. Expórtela como WAV "
    "o FLAC de un canal e inténtelo de nuevo.",
    "no_sound": "El archivo no tiene pista de sonido. Use una grabación con sonido.",
    "rate": "La frecuencia de muestreo es de {rate} Hz. Use de {low} a {high} Hz.",
    "out_of_range": "Las muestras están muy fuera de [-1, 1]. Escálelas de modo que el nivel máximo sea 1.",
    "channels": "La grabación tiene {channels} canales. Use de 1 a {most}.",
    "not_finite": "La grabación contiene valores no válidos (NaN o infinitos). Expórtela de nuevo.",
    # notes on a recording
    "damaged": "Solo se pudieron decodificar {decoded} s de {total} s: el archivo está dañado.",
    "tracks": "El archivo tiene {tracks} pistas de sonido: solo se usa la primera.",
    "mixed": "{channels} canales contienen voces de hablantes distintos: se mezclan en uno solo.",
    "mostly_silent": "Solo se conservan {kept} s de {total} s de sonido: "
    "el resto es mucho más débil que la voz más fuerte.",
    # the server
    "upload_stopped": "La subida se detuvo. Inténtelo de nuevo.",
    "upload_incomplete": "La subida no estaba completa. Inténtelo de nuevo, con un archivo cada vez.",
    "gone": "Esta grabación ya no está en el servidor. Añádala de nuevo.",
    "not_uploaded": "Esta grabación no está en el servidor. Súbala primero.",
    "out_of_date": "Esta página no está al día. Vuelva a cargarla.",
    "files": "Se pueden enviar hasta {files} grabaciones a la vez. Envíe menos.",
    "requests": "Demasiadas solicitudes. Espere unos segundos.",
    "full": "El servidor está lleno. Borre lo que ya no necesite, o inténtelo de nuevo dentro de media hora.",
    "visitors": "El servidor tiene demasiados visitantes. Inténtelo de nuevo dentro de media hora.",
    "temporary": "No se puede escribir o leer un archivo temporal: {reason}.",
    "not_kept": "El servidor no puede guardar grabaciones ahora. Inténtelo más tarde.",
    "stopped": "Detenido. No se guardó nada de este proceso.",
    "took_too_long": "Esto tardó demasiado y se detuvo. Inténtelo más tarde, o con una grabación más corta.",
    "busy": "El servidor está ocupado con otro trabajo, suyo o de otros. Inténtelo de nuevo dentro de un minuto.",
    # choices that do not go together
    "no_difference": "Las grabaciones tienen distinta duración, como en el perfil Estricto. Su diferencia no se puede "
    "calcular.",
    # spectrograms
    "original": "Original",
    "reconstructed": "Reconstrucción",
    "swapped": "Voz anonimizada",
    "minus": "{panel} menos original",
    "time": "Tiempo (s)",
    "level": "Nivel (dB, 0 es habla fuerte)",
    "difference": "Diferencia (dB)",
    # judges, and whose voices they were measured on
    "own_encoder": "el propio codificador de hablante del modelo",
    "readers": "{speakers} lectores de LibriSpeech",
    "gallery": "las {voices} voces de la galería incorporada",
    # bundled voices
    "female": "Voz {name} (mujer)",
    "male": "Voz {name} (hombre)",
}
