"""Objectives of the user's own: plain functions and classes, made objectives.

def objective(depth: Annotated[int, Int(1, 12)], learning_rate: float = 0.1, *, context: Context) -> float: ...

Nothing here is imported by the server.
"""
