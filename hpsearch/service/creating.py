"""Studies made of descriptions, and of other studies."""

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError

from hpsearch.automatic import EPOCHS
from hpsearch.earlier import Found
from hpsearch.errors import StudyExists
from hpsearch.objectives.check import study_faults, with_declared_space, with_declared_steps
from hpsearch.search import samplers
from hpsearch.search.feasible import check_satisfiable
from hpsearch.service import checks, cloning
from hpsearch.service.earlier import found_for
from hpsearch.service.every_trial import every_trial
from hpsearch.service.known import KnownObjectives
from hpsearch.service.tables import Tables
from hpsearch.spec import StudySpec, parse_study
from hpsearch.store import earlier, studies
from hpsearch.store.database import Database
from hpsearch.studies import Clone, Study


class Creation:
    """Checks what is described against what is known, and makes it."""

    def __init__(self, database: Database, tables: Tables, objectives: KnownObjectives) -> None:
        self._database = database
        self._tables = tables
        self._objectives = objectives

    def create(self, raw: object) -> tuple[Study, bool]:
        """See `Service.create_study`."""
        known = self._objectives.known()
        given = with_declared_space(raw, known)
        raw = with_declared_steps(given, known, EPOCHS)
        spec = parse_study(raw, study_faults(raw, known))
        check_satisfiable(spec)
        found = self._found_earlier(spec)
        samplers.import_ahead(spec)
        try:
            with self._database.write() as tx:
                study = studies.create(tx, spec)
                earlier.keep(tx, study.id, found)
                return study, True
        except IntegrityError:
            with self._database.read() as tx:
                study = studies.find(tx, spec.name)
        spec, bare = (checks.by_rules_of(study.spec, wanted) for wanted in (spec, parse_study(given)))
        if study.spec not in (spec, bare):  # it may be older than the rule that steps are on record
            what = checks.difference(study.spec, spec)
            raise StudyExists(f"study {spec.name!r} exists with another description: {what}")
        return study, False

    def clone(self, name: str, new_name: str, raw: object = None, *, counted: bool = False) -> Clone:
        """See `Service.clone_study`."""
        with self._database.read() as tx:
            source = studies.find(tx, name)
            kept = earlier.of_study(tx, source.id)
        described = cloning.described(source.spec, raw, new_name)
        known = self._objectives.known()
        described = with_declared_space(described, known)
        if raw is not None:  # without another description it is as the first study was
            described = with_declared_steps(described, known, EPOCHS)
        info = known.get(source.spec.objective.name or "")
        faults = [*study_faults(described, known), *cloning.faults(source.spec, described, info)]
        spec = parse_study(described, faults)
        known_before = self._found_earlier(spec, kept)
        clone = cloning.Cloning(source, spec, info, every_trial(self._database, source), known_before, counted=counted)
        samplers.import_ahead(spec)
        try:
            with self._database.write() as tx:
                return clone.make(tx)
        except IntegrityError:  # the name is taken: by the same, perhaps
            with self._database.write() as tx:
                return clone.found(tx)

    def _found_earlier(self, spec: StudySpec, kept: Sequence[Found] = ()) -> list[Found]:
        """What the earlier studies of a new one have found. Of one that exists nothing: it has its own, and they may
        be gone. Raises `InvalidSpec`."""
        if spec.earlier:
            with self._database.read() as tx:
                if studies.present(tx, spec.name) is not None:
                    return []
        return found_for(self._database, self._tables, spec, kept)
