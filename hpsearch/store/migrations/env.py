"""Alembic's entry: runs the migrations inside the transaction that `store.migrate` opened."""

from alembic import context

from hpsearch.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
