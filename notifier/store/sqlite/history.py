"""The whole history of one generation: states, watches, deliveries, attempts. It answers "why did it not arrive?"."""

import sqlite3
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from notifier.domain.ids import EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId
from notifier.domain.model import DeliveryStatus, State, Trigger, Verdict, WatchStatus
from notifier.domain.times import from_micros
from notifier.store.records import AttemptSummary, DeliverySummary, History, Trouble, WatchSummary
from notifier.store.sqlite import troubles
from notifier.store.sqlite.rows import moment_or_none, result_from
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("report")
Row = tuple[Any, ...]


def read(conn: sqlite3.Connection, generation: str) -> list[History]:
    """One history for each provider; compared without case if no exact match exists."""
    found = conn.execute(_SQL["find_generations"], (generation,)).fetchall()
    if not found:
        found = conn.execute(_SQL["find_generations_without_case"], (generation,)).fetchall()
    providers = troubles.of_providers(conn)
    return [_history(conn, row, providers) for row in found]


def _history(conn: sqlite3.Connection, row: Row, providers: Mapping[ProviderName, Trouble]) -> History:
    key, provider, id_, state, provider_state, result, failure, registered_at, observed_at, not_before, trouble = row
    states = [(State(word), from_micros(at)) for word, at in conn.execute(_SQL["states_of"], (key,))]
    return History(
        provider=ProviderName(provider),
        id=GenerationId(id_),
        state=None if state is None else State(state),
        provider_state=provider_state,
        failure=failure,
        result_url=result_from(result).url,
        registered_at=from_micros(registered_at),
        observed_at=moment_or_none(observed_at),
        not_before=moment_or_none(not_before),
        states=sorted(states, key=lambda entry: entry[0].rank),  # they only rise; clocks may not
        watches=[_watch(conn, watch) for watch in conn.execute(_SQL["watches_of"], (key,)).fetchall()],
        trouble=None if trouble is None else troubles.read(trouble),
        provider_trouble=providers.get(ProviderName(provider)),
    )


def _watch(conn: sqlite3.Connection, row: Row) -> WatchSummary:
    key, id_, target, endpoint, status, round_, metadata, registered_at, deadline, ended_at = row
    return WatchSummary(
        id=WatchId(id_),
        target=State(target),
        endpoint=EndpointIdentity(endpoint),
        status=WatchStatus(status),
        round=round_,
        metadata=metadata,
        registered_at=from_micros(registered_at),
        deadline=from_micros(deadline),
        ended_at=moment_or_none(ended_at),
        deliveries=[_delivery(conn, found) for found in conn.execute(_SQL["deliveries_of"], (key,)).fetchall()],
    )


def _delivery(conn: sqlite3.Connection, row: Row) -> DeliverySummary:
    key, message_id, type_, status, reason, created_at, due_at, number, claimed_at, trigger = row
    attempts = [_attempt(found) for found in conn.execute(_SQL["attempts_of"], (key,))]
    if claimed_at is not None:
        attempts.append(_attempt((number, claimed_at, None, None, None, "", b"", trigger)))
    return DeliverySummary(
        message_id=MessageId(message_id),
        type=type_,
        status=DeliveryStatus(status),
        reason=reason,
        created_at=from_micros(created_at),
        due_at=moment_or_none(due_at),
        attempts=attempts,
    )


def _attempt(row: Row) -> AttemptSummary:
    number, started_at, took, verdict, status_code, detail, head, trigger = row
    return AttemptSummary(
        number=number,
        trigger=Trigger(trigger),
        started_at=from_micros(started_at),
        took=None if took is None else timedelta(microseconds=took),
        verdict=None if verdict is None else Verdict(verdict),
        status_code=status_code,
        detail=detail,
        head=head,
    )
