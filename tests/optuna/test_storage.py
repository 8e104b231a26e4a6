"""Optuna's own suite of storage tests, whole."""

from optuna.testing.pytest_storages import StorageTestCase


class TestStorage(StorageTestCase):
    """The fixture `storage` is in conftest.py."""
