"""Profiles: how much of the source's prosody a conversion keeps.

=============  ==================================  ====================  ================
Profile        F0                                  Timing                Length
=============  ==================================  ====================  ================
prosody-kept   the source's, transposed            the source's          the source's
balanced       predicted, with slow changes of     the source's          the source's
               the source's
strict         predicted                           rate and pauses are   differs from the
                                                   changed               source's
=============  ==================================  ====================  ================

Slow changes are those below 1 Hz, within 2 semitones. Predicted F0 is contour and voicing
(:mod:`saic.model.prosody`).
"""

PROSODY_KEPT, BALANCED, STRICT = PROFILES = ("prosody-kept", "balanced", "strict")
