"""Faults of a study's settings, as the objective finds them in the data."""

from hpsearch.errors import Fault, InvalidInput


def setting_fault(name: str, problem: str, suggestion: str | None = None) -> InvalidInput:
    """The error for one setting."""
    return InvalidInput(faults=[Fault(f"objective.settings.{name}", problem, suggestion)])
