"""Anonymize a folder: what becomes of each file is planned, done by an engine, and kept in a journal.

::

    plan ──► journal ──► engine: workers convert ──► this process writes ──► journal
             (what is     (here, in processes,       (atomically)
              left)        or on a Ray cluster)

Workers only convert: they give the bytes of an output back. So a worker that dies, or converts a
file twice, leaves nothing half done, and all outputs and the journal have one writer.
"""
