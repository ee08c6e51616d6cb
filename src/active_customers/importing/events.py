"""Bulk import of events: files in, archive and session states out, exactly once.

Rows go through a staging database in a folder of their own; until the store adopts that folder as a whole, nothing has
changed but log positions and numbers that are used up. So an import can be broken off at any moment and run again.

Rows of one file that agree in everything all count, and importing the file again changes nothing; importing two files
by one command is the same as importing one after the other; there is one import at a time. An event with an event_id
that was posted before is not imported, and one that was imported is a duplicate when it is posted, within the days that
the log remembers keys; only one that is posted while it is being imported may count twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from active_customers.core.clock import DAY, Clock
from active_customers.core.event import MAX_AHEAD
from active_customers.importing.acts import ActsWriter
from active_customers.importing.event_files import EventFiles
from active_customers.importing.event_rows import NO_CONSENT, Wanted
from active_customers.importing.folder import REJECTS, clear_leftovers, import_folder, import_lock
from active_customers.importing.parts import grouped, write_keys, write_parts
from active_customers.importing.rejects import RejectsFile
from active_customers.importing.report import ImportReport
from active_customers.importing.request import ImportRequest, Progress, no_progress
from active_customers.importing.row_keys import event_keys
from active_customers.importing.scratch import scratch_database
from active_customers.importing.staging import Facts, Staging
from active_customers.importing.unused_columns import unused_columns
from active_customers.storage.archive import Archive
from active_customers.storage.base import DAYS_REMEMBERED, Store, StoreWriter
from active_customers.storage.staged import seal, write_turns


@dataclass(frozen=True, slots=True)
class EventStore:
    """The store as an import of events sees it: one reads it, the writer changes it."""

    writer: StoreWriter
    store: Store


def import_events(
    request: ImportRequest, store: EventStore, clock: Clock, progress: Progress = no_progress
) -> ImportReport:
    """Import events; the store changes once, at the end.

    Raises `InvalidValueError` when a file cannot be read at all and `StorageError` when there is no room for it or
    another import is running; then nothing has changed.
    """
    imported = _EventImport(request, clock.now(), progress)
    imports = request.directory.imports
    with import_lock(imports):
        store.writer.archive_log()
        clear_leftovers(imports, imported.now, int(request.config.rejects_days * DAY))
        with import_folder(imports, imported.now) as folder:
            facts = _staged(imported, folder, store)
            if facts.rows:
                seal(folder, imported.now, imported.since)
                store.writer.adopt(folder)
            return imported.finished(folder / REJECTS)


def _staged(imported: _EventImport, folder: Path, store: EventStore) -> Facts:
    """Write all of the import into its folder; return what it amounts to."""
    config = imported.request.config
    with scratch_database(folder, config.scratch) as scratch:
        stage = Staging(scratch)
        facts = imported.stage(stage, RejectsFile(folder / REJECTS, config.rejects_kept))
        if facts.rows:
            facts = imported.write(stage, folder, store)
    return facts


def check_events(request: ImportRequest, clock: Clock, progress: Progress = no_progress) -> ImportReport:
    """Report what `import_events` would do; nothing is changed and nothing left behind.

    Rows that were posted lately and are not in the archive yet are not seen as duplicates.
    """
    imported = _EventImport(request, clock.now(), progress)
    with (
        TemporaryDirectory(prefix="active-customers-") as folder,
        scratch_database(Path(folder), request.config.scratch) as scratch,
    ):
        imported.stage(Staging(scratch), None)
    return imported.finished(None)


class _EventImport:
    """One import under way, its report filled as it goes."""

    def __init__(self, request: ImportRequest, now: int, progress: Progress) -> None:
        self.now = now
        self.since = 1
        self._started = time.perf_counter()
        self.request = request
        self._preset = request.choose_preset("events")
        self._progress = progress
        self._report = ImportReport("events", self._preset.name, request.config.most_rejected_share)
        self._report.notes += unused_columns(request.files, self._preset, "events")

    def stage(self, stage: Staging, rejects: RejectsFile | None) -> Facts:
        """Read all files into the staging database, and take out what is there already."""
        paths, report = self.request.files, self._report
        wanted = Wanted(self._preset, self.now + MAX_AHEAD, self.request.rules.consent.default)
        files = EventFiles(paths, wanted, self.request.config.batch_rows)
        staged = 0
        for number, batch in files.batches(self._progress):
            report.note(paths[number].name, batch.rejects, batch.ignored)
            if rejects is not None:
                rejects.write(str(paths[number]), batch.rejects)
            if len(batch.events):
                stage.add(number, batch.events, event_keys(self._preset.name, batch.events))
                staged += len(batch.events)
        facts = stage.settle([part.path for part in Archive(self.request.directory.archive).parts()])
        report.duplicates = staged - facts.rows
        return self._noted(facts)

    def _noted(self, facts: Facts) -> Facts:
        report = self._report
        report.accepted, report.customers, report.products = facts.rows, facts.customers, facts.products
        report.first_time, report.last_time = facts.first_time, facts.last_time
        return facts

    def write(self, stage: Staging, folder: Path, store: EventStore) -> Facts:
        """Give numbers, positions and sessions, and write all that the store needs to adopt the import.

        Returns what it amounts to once rows that their customers do not want kept are gone.
        """
        config, customers = self.request.config, store.store.customers
        self.since = store.writer.reserve(0)
        stage.number("product", store.writer.number_products)
        stage.number("customer", store.writer.number_customers)
        refused = customers.refused()
        dropped = stage.drop_refused(refused)  # logins among them join nobody
        turns = stage.turns(customers, store.writer.number_customers)
        dropped += stage.drop_refused(refused)  # by whom logins of the file gave them to
        facts = self._noted(stage.facts())
        if dropped:
            self._report.ignored[NO_CONSENT] += dropped
        if not facts.rows:
            return facts
        write_turns(folder, turns + stage.robots(self.request.rules.robots))
        first = store.writer.reserve(facts.rows)
        acts = ActsWriter(folder, facts.rows, first, store.store.sessions.state_of_number)
        for batch in stage.acts(config.batch_rows):
            acts.add(batch)
        acts.close()
        tables = grouped(stage.rows(config.batch_rows), config.part_rows)
        write_parts(folder, tables, acts.placed, (first, self.now))
        acts.discard_placed()
        write_keys(folder, stage.keys(self.now - DAYS_REMEMBERED * DAY, config.batch_rows))
        return facts

    def finished(self, rejects: Path | None) -> ImportReport:
        """Return the report."""
        self._report.seconds = time.perf_counter() - self._started
        self._report.dry_run = rejects is None
        self._report.rejects_path = rejects if rejects is not None and rejects.exists() else None
        return self._report
