"""Open the page: ``python app.py [--host 0.0.0.0] [--port 7860]``; a Hugging Face Space runs this file too."""

import argparse
import logging
import signal
import sys
from pathlib import Path

from saic.pipeline import Pipeline
from saic.web import Documents, build_page, launch, load_examples

ROOT = Path(__file__).parent


def build(recogniser: str | None = None):
    """The page with the bundled weights, voices and documents."""
    pipeline = Pipeline.from_pretrained()
    documents = Documents.read(ROOT, pipeline.info()["sha256"])
    return build_page(pipeline, load_examples(ROOT / "assets" / "examples"), documents=documents, recogniser=recogniser)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Open SAIC's page.")
    parser.add_argument("--host", help="address to listen on; default GRADIO_SERVER_NAME, else this computer only")
    parser.add_argument("--port", type=int, help="default GRADIO_SERVER_PORT, else the first free one from 7860")
    parser.add_argument("--asr", metavar="FOLDER", help="a faster-whisper model: count the words that are kept")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("saic.web").setLevel(logging.INFO)
    demo = build(arguments.asr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # as "docker stop" sends it: clips are removed at exit
    launch(demo, server_name=arguments.host, server_port=arguments.port)
