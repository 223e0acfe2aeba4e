"""Launch settings: what the page must never do is switched off here, whoever starts it."""

import gradio as gr
import torch
from starlette.middleware import Middleware

from saic.web.desk import LIMITS
from saic.web.guard import Guard
from saic.web.page import warm_up
from saic.web.style import CSS, SCRIPT, theme

MAX_WAITING = 20


def launch(page: gr.Blocks, **options) -> tuple:
    """Serve a page of `build_page`; `options` go to `gr.Blocks.launch` (``server_name``, ``server_port``, ...).

    Gradio itself reads GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
    """
    torch.set_num_threads(1)  # a job a core: two jobs that share their cores take longer than one after the other
    guard = Middleware(Guard, desk=page.desk, max_bytes=LIMITS.max_bytes)
    settings = {
        "theme": theme(),
        "css": CSS,
        "js": SCRIPT,
        "run_history": False,  # it would write file names into the browser's localStorage
        "show_error": False,  # it would show server paths; gr.Error is shown all the same
        "share": False,
        "pwa": False,
        "enable_monitoring": False,
        "footer_links": ["api"],
        "app_kwargs": {"middleware": [guard]},  # which also bounds uploads: Gradio's own limit would show their names
        "ssr_mode": False,
    }
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=page.desk.jobs.slots)
    blocks = not options.pop("prevent_thread_lock", False)
    served = page.launch(**(settings | options), prevent_thread_lock=True)  # it would never come back to warm up
    warm_up(page)
    if blocks:
        page.block_thread()
    return served
