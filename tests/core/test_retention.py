"""What may be removed, and the index rebuilt from records."""

from datetime import UTC, datetime, timedelta

from podbook_core.execution.idempotency import idempotency_over
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.index import Entry, milliseconds
from podbook_core.upkeep.retention import may_be_expired, orphaned_executions, retention_over

NOW = datetime(2030, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def ended(name: str, uid: str, created: datetime) -> NotebookExecution:
    execution = NotebookExecution(
        metadata=Metadata(name=name, uid=uid, creation_timestamp=created),
        spec=Spec(notebook=NotebookRef(name="analysis"), submitted_by="ci"),
    )
    status = advance(execution.status, Change(Reason.CANCELLED), generation=1, now=created + timedelta(minutes=1))
    return execution.with_status(status)


def test_retention_counts_from_the_end() -> None:
    assert retention_over(NOW - 7 * DAY, NOW - 30 * DAY, now=NOW, days=7)
    assert not retention_over(NOW - 6 * DAY, NOW - 30 * DAY, now=NOW, days=7)
    assert retention_over(None, NOW - 8 * DAY, now=NOW, days=7)


def test_only_entries_old_enough_are_worth_a_look() -> None:
    assert may_be_expired(Entry(milliseconds(NOW - 8 * DAY), "u", Reason.SUCCEEDED), now=NOW, days=7)
    assert not may_be_expired(Entry(milliseconds(NOW - 6 * DAY), "u", Reason.SUCCEEDED), now=NOW, days=7)


def test_an_idempotency_key_counts_until_a_day_after_the_end() -> None:
    long_ago = NOW - 30 * DAY
    assert not idempotency_over(NOW - timedelta(hours=23), long_ago, alive=False, now=NOW)
    assert idempotency_over(NOW - timedelta(hours=24), long_ago, alive=False, now=NOW)
    assert not idempotency_over(None, long_ago, alive=True, now=NOW)
    assert not idempotency_over(None, NOW - timedelta(hours=1), alive=False, now=NOW)
    assert idempotency_over(None, long_ago, alive=False, now=NOW)


def test_orphans_are_what_neither_lives_nor_has_a_record() -> None:
    keys = [
        "executions/recorded/attempts/a/output.json",
        "executions/recorded/record.json",
        "executions/alive/attempts/a/progress.json",
        "executions/forgotten/attempts/a/log.txt",
    ]
    assert orphaned_executions(keys, {"alive"}) == {"forgotten"}
