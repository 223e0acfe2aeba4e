"""What Gradio itself keeps in memory for a session: its state, and the results of its calls until they are fetched.

Gradio would keep the state of 10,000 sessions (130 KB each for this page) and any number of results. Here both go with
the session, and an address may only have so many results that nobody has fetched.
"""

import time

import gradio as gr

from saic.web.store import MAX_SESSIONS, ClipStore
from saic.web.visitors import has_room

MAX_CALLS = 400
"""Calls whose results are not made or not fetched yet."""

SHARE = 0.25
"""Of the free places, what one address may hold."""

_FETCHED_WITHIN_S = 60.0  # the answer to a call of /delete, above all


class Backlog:
    """The memory that a page of Gradio keeps for its sessions.

    Parameters
    ----------
    page : whose sessions
    store : which knows the sessions' addresses, and says when it forgets one
    """

    def __init__(self, page: gr.Blocks, store: ClipStore) -> None:
        self._page, self._store = page, store
        self._later: dict[str, float] = {}
        # The store forgets a session first: Gradio would take the oldest, whose page may be open.
        page.state_session_capacity = 2 * MAX_SESSIONS
        page._queue.pending_messages_per_session.max_size = 2 * MAX_SESSIONS
        store.on_forget = self.forget

    def has_room(self, session: str) -> bool:
        """Whether a session's address may make one more call."""
        address, mine, others = self._store.address_of(session), 0, 0
        for other, calls in list(self._page._queue.pending_event_ids_session.items()):
            if self._store.address_of(other) == address:
                mine += len(calls)
            else:
                others += len(calls)
        return has_room(mine + 1, others, MAX_CALLS, SHARE)

    def forget(self, session: str) -> None:
        """Drop what Gradio has of a session: its state now, and a minute later the results that nobody has fetched."""
        queue, states, now = self._page._queue, self._page.state_holder, time.monotonic()
        with states.lock:
            states.session_data.pop(session, None)
            states.time_last_used.pop(session, None)
        self._later[session] = now + _FETCHED_WITHIN_S
        for one in [one for one, when in list(self._later.items()) if when <= now and not self._is_active(one)]:
            self._later.pop(one, None)
            queue.pending_messages_per_session.pop(one, None)
            queue.pending_event_ids_session.pop(one, None)

    def _is_active(self, session: str) -> bool:
        """Whether Gradio will still send something to a session: it fails if there is no place for that."""
        queue = self._page._queue
        waiting = [event for its in queue.event_queue_per_concurrency_id.values() for event in its.queue]
        running = [event for job in queue.active_jobs if job for event in job]
        active = any(event.session_hash == session for event in (*waiting, *running))
        return active or self._store.is_read(session)
