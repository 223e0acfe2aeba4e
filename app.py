"""Open the page: ``python app.py [--host 0.0.0.0] [--port 7860]``; a Hugging Face Space runs this file too."""

import argparse
import signal
import sys
from pathlib import Path

from saic.pipeline import Pipeline
from saic.web import build_page, launch, load_examples

demo = build_page(Pipeline.from_pretrained(), load_examples(Path(__file__).parent / "assets" / "examples"))

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Open SAIC's page.")
    parser.add_argument("--host", help="address to listen on; default GRADIO_SERVER_NAME, else this computer only")
    parser.add_argument("--port", type=int, help="default GRADIO_SERVER_PORT, else the first free one from 7860")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # as "docker stop" sends it: clips are removed at exit
    launch(demo, server_name=arguments.host, server_port=arguments.port)
