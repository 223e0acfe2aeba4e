"""The picture "How it works" of the About tab: SVG for a wide and for a narrow screen."""

from saic.web.texts import Texts


def picture_html(texts: Texts) -> str:
    """HTML of the picture."""
    return _PICTURE.format(alt=texts.PICTURE_ALT, **texts.PICTURE)


_PICTURE = """
<figure class="picture" tabindex="0" role="group" aria-label="{title}">
<svg class="wide" viewBox="0 0 900 250" role="img" aria-label="{alt}">
<g><rect x="10" y="22" width="150" height="58" rx="8"/><text x="85" y="47">{recording}</text>
<text x="85" y="67" class="small">{protected}</text></g>
<g><rect x="10" y="168" width="150" height="58" rx="8"/><text x="85" y="193">{target}</text>
<text x="85" y="213" class="small">{seconds}</text></g>
<g class="strong"><rect x="240" y="6" width="170" height="42" rx="8"/>
<text x="325" y="32">{content}</text></g>
<g class="strong"><rect x="240" y="62" width="170" height="42" rx="8"/><text x="325" y="88">{pitch}</text></g>
<g class="strong"><rect x="240" y="176" width="170" height="42" rx="8"/>
<text x="325" y="202">{speaker}</text></g>
<g class="strong"><rect x="560" y="88" width="120" height="58" rx="8"/><text x="620" y="122">{decoder}</text></g>
<g><rect x="760" y="88" width="130" height="58" rx="8"/><text x="825" y="113">{swapped}</text>
<text x="825" y="133" class="small">{words}</text></g>
<defs><marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path class="tip" d="M0 0 10 5 0 10z"/></marker></defs>
<g class="flow"><path d="M160 42H238" marker-end="url(#tip)"/>
<path d="M160 62C200 62 200 83 238 83" marker-end="url(#tip)"/>
<path d="M160 197H238" marker-end="url(#tip)"/>
<path d="M410 27C500 27 500 104 558 104" marker-end="url(#tip)"/>
<path d="M410 83C480 83 480 117 558 117" marker-end="url(#tip)"/>
<path d="M410 197C500 197 500 131 558 131" marker-end="url(#tip)"/>
<path d="M680 117H758" marker-end="url(#tip)"/></g>
<g class="note"><text x="474" y="22">{said}</text><text x="461" y="76">{melody}</text>
<text x="474" y="212">{speaks}</text><text x="716" y="108">{vocoder}</text></g>
</svg>
<svg class="tall" viewBox="0 0 360 390" role="img" aria-label="{alt}">
<g><rect x="8" y="6" width="164" height="56" rx="8"/><text x="90" y="30">{recording}</text>
<text x="90" y="50" class="small">{protected}</text></g>
<g><rect x="188" y="6" width="164" height="56" rx="8"/><text x="270" y="30">{target}</text>
<text x="270" y="50" class="small">{seconds}</text></g>
<g class="strong"><rect x="2" y="112" width="134" height="52" rx="8"/><text x="69" y="133">{content_1}</text>
<text x="69" y="153">{content_2}</text></g>
<g class="strong"><rect x="146" y="112" width="68" height="52" rx="8"/><text x="180" y="143">{pitch}</text></g>
<g class="strong"><rect x="224" y="112" width="134" height="52" rx="8"/><text x="291" y="133">{speaker_1}</text>
<text x="291" y="153">{speaker_2}</text></g>
<g class="strong"><rect x="120" y="226" width="120" height="46" rx="8"/><text x="180" y="255">{decoder}</text></g>
<g><rect x="98" y="326" width="164" height="58" rx="8"/><text x="180" y="350">{swapped}</text>
<text x="180" y="371" class="small">{words}</text></g>
<defs><marker id="tip-tall" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path class="tip" d="M0 0 10 5 0 10z"/></marker></defs>
<g class="flow"><path d="M70 62V110" marker-end="url(#tip-tall)"/>
<path d="M120 62C120 90 180 84 180 110" marker-end="url(#tip-tall)"/>
<path d="M290 62V110" marker-end="url(#tip-tall)"/>
<path d="M69 164C69 200 146 196 146 224" marker-end="url(#tip-tall)"/>
<path d="M180 164V224" marker-end="url(#tip-tall)"/>
<path d="M291 164C291 200 214 196 214 224" marker-end="url(#tip-tall)"/>
<path d="M180 272V324" marker-end="url(#tip-tall)"/></g>
<g class="note"><text x="52" y="206">{said}</text><text x="180" y="292" dx="34">{vocoder}</text>
<text x="306" y="206">{speaks}</text><text x="215" y="184">{melody}</text></g>
</svg></figure>
"""
