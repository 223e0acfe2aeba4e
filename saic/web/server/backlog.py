"""Limits on what Gradio keeps in memory for sessions: their state, and unfetched results.

By default Gradio keeps the state of 10,000 sessions (130 KB each for this page) and any number of
results. Here both are deleted with the session, and the unfetched results of one address are
limited.
"""

import time

import gradio as gr

from saic.web.server.store import MAX_SESSIONS, ClipStore
from saic.web.server.visitors import within_fair_share

MAX_CALLS = 400
"""Calls that are under way or whose results were not fetched."""

MAX_ADDRESS_SHARE = 0.25
"""Fraction of the free places that one address may hold, see `within_fair_share`."""

_RESULT_KEEP_S = 60.0  # seconds to fetch a result after the session was deleted, such as that of /delete itself


class Backlog:
    """Limits Gradio's memory for sessions.

    Protects the server from clients that never fetch results.

    Parameters
    ----------
    page : the Gradio page
    store : gives the address of a session, and calls `forget` when it deletes one
    """

    def __init__(self, page: gr.Blocks, store: ClipStore) -> None:
        self._page, self._store = page, store
        self._expires_at: dict[str, float] = {}  # deleted session -> time from which its results may go
        # Twice the store's limit: the store deletes a session before Gradio evicts the one that was
        # used least recently, whose page may be open.
        page.state_session_capacity = 2 * MAX_SESSIONS
        page._queue.pending_messages_per_session.max_size = 2 * MAX_SESSIONS
        store.on_forget = self.forget

    def has_room(self, session: str) -> bool:
        """Whether a session's address may make one more call."""
        address, own, others = self._store.address_of(session), 0, 0
        for other, calls in list(self._page._queue.pending_event_ids_session.items()):
            if self._store.address_of(other) == address:
                own += len(calls)
            else:
                others += len(calls)
        return within_fair_share(own + 1, others, MAX_CALLS, MAX_ADDRESS_SHARE)

    def forget(self, session: str) -> None:
        """Delete a session's state now.

        Its unfetched results are deleted by a later call, after `_RESULT_KEEP_S` or more.
        """
        queue, states, now = self._page._queue, self._page.state_holder, time.monotonic()
        with states.lock:
            states.session_data.pop(session, None)
            states.time_last_used.pop(session, None)
        self._expires_at[session] = now + _RESULT_KEEP_S
        expired = [name for name, at in list(self._expires_at.items()) if at <= now and not self._is_active(name)]
        for name in expired:
            self._expires_at.pop(name, None)
            queue.pending_messages_per_session.pop(name, None)
            queue.pending_event_ids_session.pop(name, None)

    def _is_active(self, session: str) -> bool:
        """Whether Gradio will still send messages to a session: it then needs its entries."""
        queue = self._page._queue
        waiting = [event for events in queue.event_queue_per_concurrency_id.values() for event in events.queue]
        running = [event for job in queue.active_jobs if job for event in job]
        active = any(event.session_hash == session for event in (*waiting, *running))
        return active or self._store.has_open_page(session)
