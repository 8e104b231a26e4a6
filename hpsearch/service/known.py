"""The objectives that studies may name: the server's, and users' own."""

from collections.abc import Callable, Sequence

from sqlalchemy.exc import IntegrityError

from hpsearch.errors import ObjectiveNotFound, near
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.service import publishing
from hpsearch.store import objectives
from hpsearch.store.database import Database, Transaction


class KnownObjectives:
    """What they publish of themselves."""

    def __init__(self, database: Database, built_in: Sequence[ObjectiveInfo]) -> None:
        self._database = database
        self._built_in = {info.name: info for info in built_in}

    def known(self) -> dict[str, ObjectiveInfo]:
        """All by name: the server's, then users' own."""
        with self._database.read() as tx:
            own = objectives.published(tx)
        return {**self._built_in, **publishing.understood(own, besides=self._built_in)}

    def find(self, name: str) -> ObjectiveInfo:
        """Raises `ObjectiveNotFound`."""
        known = self.known()
        if name not in known:
            close = near(name, known)
            raise ObjectiveNotFound(
                f"there is no objective {name!r}" + (f" (did you mean {close!r}?)" if close else "")
            )
        return known[name]

    def publish(self, infos: Sequence[ObjectiveInfo], besides: Callable[[Transaction], None] | None = None) -> None:
        """Make users' own known, in one transaction with what is to be done `besides`. Raises `InvalidInput`."""
        documents = publishing.publishable(infos, self._built_in)
        try:
            self._publish(documents, besides)
        except IntegrityError:  # another was the first under one of the names, or did the rest: it is there now
            self._publish(documents, besides)

    def _publish(self, documents: publishing.Documents, besides: Callable[[Transaction], None] | None) -> None:
        with self._database.write() as tx:
            if besides is not None:
                besides(tx)
            objectives.publish(tx, documents)
