"""Colours and spacing. Every pair of text and ground here has a contrast of at least 4.5 (WCAG 2 AA).

Fonts are the reader's own: a page that fetches fonts tells somebody else who opened it.
"""

import gradio as gr

_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_FONT_MONO = ("ui-monospace", "Consolas", "monospace")

# role: (light, dark)
_INK = ("#14242b", "#e8eff1")
_SOFT_INK = ("#48595f", "#a9bbc2")
_GROUND = ("#f4f7f7", "#0d161a")
_CARD = ("#ffffff", "#142127")
_RAISED = ("#eaf0f1", "#1d2d34")
_LINE = ("#c6d2d5", "#33464e")
_ACCENT = ("#0b6470", "#7fd3de")
_ACCENT_HOVER = ("#084d57", "#a5e2ea")
_ON_ACCENT = ("#ffffff", "#06222a")
_ALARM_GROUND = ("#fdf1ee", "#3a1d18")
_ALARM = ("#8f2412", "#ffb9a8")

_ROLES = {
    "body_background_fill": _GROUND,
    "background_fill_primary": _CARD,
    "background_fill_secondary": _RAISED,
    "body_text_color": _INK,
    "body_text_color_subdued": _SOFT_INK,
    "block_background_fill": _CARD,
    "block_border_color": _LINE,
    "block_label_background_fill": _RAISED,
    "block_label_border_color": _LINE,
    "block_label_text_color": _INK,
    "block_title_text_color": _INK,
    "block_info_text_color": _SOFT_INK,
    "border_color_primary": _LINE,
    "border_color_accent": _ACCENT,
    "color_accent_soft": _RAISED,
    "panel_background_fill": _CARD,
    "input_background_fill": _CARD,
    "input_border_color": _LINE,
    "input_placeholder_color": _SOFT_INK,
    "link_text_color": _ACCENT,
    "link_text_color_hover": _ACCENT_HOVER,
    "link_text_color_visited": _ACCENT,
    "link_text_color_active": _ACCENT_HOVER,
    "accordion_text_color": _INK,
    "checkbox_background_color": _CARD,
    "checkbox_background_color_selected": ("#0b6470", "#0b6470"),  # under a white tick
    "checkbox_border_color": _SOFT_INK,
    "checkbox_border_color_selected": _ACCENT,
    "checkbox_label_background_fill": _CARD,
    "checkbox_label_background_fill_hover": _RAISED,
    "checkbox_label_background_fill_selected": _RAISED,
    "checkbox_label_border_color": _LINE,
    "checkbox_label_border_color_selected": _ACCENT,
    "checkbox_label_text_color": _INK,
    "checkbox_label_text_color_selected": _INK,
    "button_primary_background_fill": _ACCENT,
    "button_primary_background_fill_hover": _ACCENT_HOVER,
    "button_primary_border_color": _ACCENT,
    "button_primary_text_color": _ON_ACCENT,
    "button_primary_text_color_hover": _ON_ACCENT,
    "button_secondary_background_fill": _CARD,
    "button_secondary_background_fill_hover": _RAISED,
    "button_secondary_border_color": _ACCENT,
    "button_secondary_text_color": _ACCENT,
    "button_secondary_text_color_hover": _ACCENT_HOVER,
    "error_background_fill": _ALARM_GROUND,
    "error_border_color": _ALARM,
    "error_text_color": _ALARM,
    "error_icon_color": _ALARM,
    "loader_color": _ACCENT,
    "slider_color": _ACCENT,
}

WAVEFORM = {"waveform_color": "#7d949c", "waveform_progress_color": "#1391a1"}
"""Bars of the players: both stand out from the light and from the dark card."""


def theme() -> gr.themes.Base:
    """Return the page's theme, light and dark."""
    roles = {name: light for name, (light, _) in _ROLES.items()}
    roles |= {f"{name}_dark": dark for name, (_, dark) in _ROLES.items()}
    base = gr.themes.Base(primary_hue="teal", neutral_hue="slate", font=_FONT, font_mono=_FONT_MONO)
    return base.set(
        **roles,
        block_shadow="none",
        button_border_width="1px",
        button_primary_shadow="none",
        color_accent="#0b6470",
    )


# Gradio puts ".contain" before every selector inside @media: there, name only what lies within the column.
CSS = """
.gradio-container { max-width: 1120px !important; margin: 0 auto !important;
  --neutral-400: var(--body-text-color-subdued); }  /* the players' times and buttons, by default too pale */
.gradio-container .main { padding: 1rem clamp(.8rem, 3vw, 2rem) !important; }
.gradio-container h1 { font-size: clamp(1.55rem, 4vw, 1.9rem); line-height: 1.2;
  margin: .5rem 0 .25rem; letter-spacing: -.01em; }
.gradio-container h2 { font-size: 1.2rem; margin: 0 0 .35rem; }
.gradio-container h3 { font-size: 1.05rem; margin: 0 0 .5rem; }
.gradio-container p { margin: 0 0 .6rem; line-height: 1.5; }
.html-container { padding: 0 !important; }
.html-container.pending { opacity: 0; }  /* the progress bar lies over it */
.lead { font-size: 1.15rem; color: var(--body-text-color-subdued); }
.notes { list-style: none; margin: .75rem 0 .25rem; padding: 0; display: grid; gap: .6rem 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.notes li { margin: 0 !important; padding: .6rem .9rem; border-radius: 4px; line-height: 1.45;
  border-left: 4px solid var(--button-primary-background-fill); background: var(--background-fill-secondary); }
.step { display: inline-block; width: 1.7em; height: 1.7em; line-height: 1.7em; margin-right: .35em;
  text-align: center; font-size: .85em; border-radius: 50%; background: var(--button-primary-background-fill);
  color: var(--button-primary-text-color); }
.card { background: var(--block-background-fill); border: 1px solid var(--border-color-primary);
  border-radius: 10px; padding: 1.1rem; }
.card > .hide-container { flex-grow: 0; }  /* a heading stays with what it heads */
.empty { border: 1.5px dashed var(--body-text-color-subdued); border-radius: 10px; padding: 2rem 1.25rem;
  text-align: center; }
.empty p { max-width: 38rem; margin: .25rem auto 0; color: var(--body-text-color-subdued); }
.figure { border: 0 !important; max-width: 600px; margin: 0 auto; }
.figure img { background: #fff; border-radius: 6px; padding: 2.4rem .4rem .4rem; }  /* room for its buttons */
.caption { align-self: center; }
#intro { min-height: 4rem; }
.dark .gradio-container { --color-accent: var(--border-color-accent); }  /* it has no dark variant */
.swapped { border: 2px solid var(--border-color-accent) !important; }
footer .divider { display: none; }
@media (max-width: 640px) {
  .card { padding: .8rem; }
  .figure-card { padding: 0 0 .8rem; }
  .figure-card .caption { padding: 0 .8rem; }
}
"""
