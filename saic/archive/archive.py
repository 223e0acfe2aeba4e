"""A folder of outputs with its journal: what is left to do, and what was done."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saic import files
from saic.archive import names
from saic.archive.engine import Made
from saic.archive.journal import DONE, NAME, WRITING, Journal, JournalError, OtherSettings, Row, keyed
from saic.archive.plan import Item, shown
from saic.archive.recipe import sha256_of
from saic.audio import output
from saic.errors import SaicError, UsageError

if TYPE_CHECKING:
    from saic.keys import Key


class Archive:
    """A folder of outputs with its journal.

    Parameters
    ----------
    folder
        The output folder. The journal is :data:`saic.archive.journal.NAME` in it, unless there is a
        mapping.
    mapping
        A table to write of recordings and their new names. The journal then lies beside it.
    settings
        From the salt of the journal to the settings of the run, see
        :meth:`saic.archive.recipe.Recipe.settings`.
    key, study
        The key of the study, if there is one; its hashes in the journal are keyed by it.
    resume, force
        Go on with the journal that is there; or replace all that is there.

    Raises
    ------
    JournalError
        There is a journal, and neither ``resume`` nor ``force`` is set; there is none, and
        ``resume`` is set; it is in use or damaged; or (:class:`~saic.archive.journal.OtherSettings`)
        the run had other settings.
    """

    def __init__(
        self,
        folder: Path,
        settings: Callable[[str], dict[str, object]],
        *,
        mapping: Path | None = None,
        key: "Key | None" = None,
        study: str = "",
        resume: bool = False,
        force: bool = False,
    ) -> None:
        self.folder, self.mapping = folder, mapping
        self.path = folder / NAME if mapping is None else names.journal_beside(mapping)
        exists = os.path.lexists(self.path)
        if mapping is not None and not resume and (exists or os.path.lexists(mapping)):
            raise JournalError(
                "There is a mapping or its journal already, and neither is ever replaced. Add --resume to go on with"
                " that run, or name another mapping."
            )
        if exists and not (resume or force):
            raise JournalError(
                "There is a journal of an earlier run here. Add --resume to go on with that run, --force to start"
                " over and replace its outputs, or name another output."
            )
        if resume and not exists:
            raise JournalError("There is no journal here that --resume could go on with. Leave it out.")
        self._settings, self.key, self._study, self._force = settings, key, study, force
        self._items: Sequence[Item] = ()
        self._subjects: Mapping[Item, str | None] = {}
        self._extras: Mapping[str, bytes] = {}
        self._rows: dict[str, Row] = {}
        self._journal = Journal(self.path) if exists else None
        try:
            if resume:
                if self._journal.settings is not None:
                    self._journal.require(settings(self._journal.salt))
                self._rows = self._journal.rows()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def known_names(self) -> dict[str, str]:
        """Path in IN to output, where the outputs had got new names."""
        return {row.source: row.output for row in self._rows.values() if row.source is not None}

    def sort_out(
        self,
        items: Sequence[Item],
        subjects: Mapping[Item, str | None],
        reports: Mapping[Item, Path],
        extras: Mapping[str, bytes],
    ) -> dict[Item, bool]:
        """What is left to do, and whether an output that is there may be replaced.

        A recording is done if its output is there with the hash that the journal has, its report was
        written after that, and the recording has not changed. It stays done if the recording cannot
        be read now: converted again later, it could get another voice.

        An output may be replaced if the journal has its hash. With ``force`` any output may. If a run
        that began with ``force`` is resumed, any output may that it has not come to.

        Parameters
        ----------
        extras
            Other files that the output folder gets, by name: those of a BIDS dataset.

        Raises
        ------
        JournalError
            Outputs exist that are not the journal's.
        OtherSettings
            Recordings that are done have other subjects now.
        """
        self._items, self._subjects, self._extras = items, subjects, extras
        for name in extras:
            if os.path.lexists(self.folder / name) and not self._may_replace(name):
                raise JournalError(f"{name} exists in the output folder and is not of this run. Move it away.")
        if not self._rows:
            return dict.fromkeys(items, self._force)
        left, foreign, others = {}, [], []
        for item in items:
            row = self._rows.get(item.output_name) or Row(item.output_name)
            may_replace = self._may_replace(item.output_name)
            if os.path.lexists(item.output) and not may_replace:
                foreign.append(item.number)
            has_output = row.state in (DONE, WRITING) and self._hash(item.output_name) == row.sha256
            # A report is written after its output: until the file is done, it may be of an earlier output.
            has_report = item not in reports or (row.state == DONE and os.path.lexists(reports[item]))
            if not (has_output and has_report) or self._input_hash(item) not in (None, row.input):
                left[item] = may_replace
            elif row.subject != self._subject_hash(item):
                others.append(item.number)
            elif row.state == WRITING:  # killed between the output and the last word on it
                self._journal.done(item.output_name)
        if foreign:
            raise JournalError(
                f"{len(foreign)} of {len(items)} outputs exist that are not those of the journal, and are never"
                f" replaced: number {shown(foreign)}, sorted by path. Move them away."
            )
        if others:
            raise OtherSettings(
                f"{len(others)} recordings that are done had another subject: number {shown(others)}, sorted by path."
                " Name subjects as before, or name another output folder."
            )
        return left

    def may_replace_report(self, item: Item) -> bool:
        """Whether a report that is there may be replaced.

        With ``force``, or if a run that began with it is resumed, any may; else those of files that the
        run has begun to write.
        """
        row = self._rows.get(item.output_name)
        return self._force or (row is not None and (row.sha256 is not None or self._journal.replaces))

    def begin(self) -> None:
        """Make folder and journal if they are not there, queue the files, and write the mapping."""
        files.make_folder(self.path.parent)
        files.make_folder(self.folder)
        if self.mapping is not None:
            names.require_apart(self.mapping, self.folder)  # now that both exist, however they are spelled
        if self._journal is None:
            self._journal = Journal(self.path)
        rows = [Row(item.output_name, source=self.mapping and item.name) for item in self._items]
        settings = self._settings(self._journal.salt)
        self._journal.begin(settings, [*rows, *map(Row, self._extras)], anew=self._force)
        if self.mapping is not None:
            pairs = {**self.known_names, **{item.name: item.output_name for item in self._items}}
            names.write_mapping(self.mapping, pairs.items())
        for name, data in self._extras.items():
            self._journal.writing(Row(name, sha256=hashlib.sha256(data).hexdigest()), 0.0, 0.0)
            output.write(self.folder / name, data, force=True)
            self._journal.done(name)

    def writing(self, item: Item, made: Made) -> None:
        """Note what is about to be written."""
        row = Row(
            item.output_name,
            subject=self._subject_hash(item),
            input=keyed(self._secret, made.source_sha256),
            sha256=files.sha256(made.data),
        )
        self._journal.writing(row, made.duration_s, made.seconds)

    def done(self, item: Item) -> None:
        self._journal.done(item.output_name)

    def failed(self, item: Item, error: SaicError) -> None:
        self._journal.failed(item.output_name, error)

    def _hash(self, name: str) -> str | None:
        """SHA-256 of a file of the output folder; None if there is none."""
        path = self.folder / name
        return sha256_of(path) if os.path.isfile(path) else None

    def _may_replace(self, name: str) -> bool:
        """Whether a file of the output folder may be replaced, see :meth:`sort_out`."""
        if self._force:
            return True
        row = self._rows.get(name)
        if row is None:
            return False
        is_still_forced = self._journal.replaces and (row.sha256 is None or row.state == WRITING)
        return is_still_forced or self._hash(name) in {row.sha256, row.before} - {None}

    @property
    def _secret(self) -> bytes:
        """What hashes of recordings are keyed by."""
        salt = self._journal.salt
        return self.key.digest("saic journal input", salt) if self.key else bytes.fromhex(salt)

    def _input_hash(self, item: Item) -> str | None:
        try:
            return keyed(self._secret, sha256_of(item.source))
        except UsageError:
            return None  # if it is left to do, it will fail, with its reason

    def _subject_hash(self, item: Item) -> str | None:
        """A hash of who speaks, another one for each output, so that it links none of them."""
        subject = self._subjects.get(item)
        if subject is None or self.key is None:
            return None
        fields = (self._journal.salt, self._study, subject, os.fsencode(item.output_name).hex())
        return self.key.digest("saic journal subject", *fields).hex()
