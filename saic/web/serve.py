"""Launch settings: what the page must never do is switched off here, whoever starts it."""

import gradio as gr

from saic.web.handlers import LIMITS
from saic.web.style import CSS, theme


def launch(page: gr.Blocks, **options) -> tuple:
    """Serve a page; `options` go to `gr.Blocks.launch` (``server_name``, ``server_port``, ...).

    Gradio itself reads GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
    """
    settings = {
        "theme": theme(),
        "css": CSS,
        "run_history": False,  # it would write file names into the browser's localStorage
        "show_error": False,  # it would show server paths; gr.Error is shown all the same
        "share": False,
        "pwa": False,
        "footer_links": ["api"],
        "max_file_size": LIMITS.max_bytes,
    }
    page.queue(max_size=20, default_concurrency_limit=1)
    return page.launch(**(settings | options))
