"""Evaluation: who is heard, what is understood, what is given away; beside controls that say what figures are worth.

==================  ========================================================
``trials``          which samples play which part, who is converted to whom
``corpus``          the audio of those parts
``codec``           the MP3 round trip that all audio passes
``systems``         what is measured: the model, and controls
``judges``          who judges: ``embedders``, ``recogniser``, ``quality``
``identity``        whose voice does it sound like? (paper 4.2)
``classification``  who speaks in real recordings?
``privacy``         can an attacker link it to its speaker? (``plda``)
``utility``         the same words, sound and melody? (``text``, ``prosody``)
``disentanglement`` does content tell who speaks?
``robustness``      what a worse recording does (``degrade``)
``metrics``         figures with intervals, from scores
``paper``           the paper's own protocol, on VoxCeleb1
``run``             all of it: :func:`saic.evaluation.run.evaluate`
``report``          report.json and report.md
``plots``           figures of it (``illustrations``: which)
==================  ========================================================
"""
