"""Evaluation of anonymization: identity, privacy, utility and disentanglement, beside controls.

============================  ==============================================================
``run``                       the whole evaluation: :func:`saic.evaluation.run.evaluate`
``paper``                     the paper's own protocol, on VoxCeleb1 or other corpora
``systems``                   registry of the evaluated systems: the model, controls, baselines
``data.trials``               enrollment, source and reference parts; trials
``data.evaluation_set``       the audio of those parts
``data.paper_set``            the speakers and trials of the paper's protocol
``data.codec``                the MP3 round trip that all audio passes
``data.degradations``         noise, a room, Opus, a telephone line and other degradations
``evaluators``                ``embedders``; ``whisper`` and ``moonshine`` (ASR) and the
                              ``normalizer`` of their texts; ``dnsmos`` and ``distillmos``
                              (speech quality)
``measures.identity``         top-1 of target and source among enrolled speakers (paper 4.2)
``linkage``                   privacy: EER of attackers who use everything in a file
``measures.utility``          words, speech quality and prosody (``prosody``)
``measures.words``            WER and CER by language, of children and adults (``text_errors``)
``measures.disentanglement``  speaker probes on content codes
``measures.classification``   speaker recognition on real recordings
``measures.robustness``       conversions of degraded recordings
``external``                  Chimera, an anonymizer that runs in an environment of its own
``protection``                similarity and words kept of one file, for the page and file reports
``metrics``                   estimates with confidence intervals, from scores
``report``                    report.json and report.md (``report_parts``)
``overview``                  a report in five figures
``plots``                     figures of one corpus: bars by speaker, Fig. 4, Fig. 5
``cache_keys``                what the keys of all caches share: weights, code, codec, seed
``protocols``                 interfaces: the evaluated pipeline, the progress callback
============================  ==============================================================
"""
