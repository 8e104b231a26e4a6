"""The command line. Heavy modules are imported by the commands that need them: `hpsearch --help` stays quick."""

import sys

from hpsearch.errors import HpsearchError, InvalidInput


def main() -> None:
    """The entry point: one clear message instead of a traceback for what hpsearch itself raises."""
    from hpsearch.cli.commands import app

    try:
        app()
    except HpsearchError as error:
        _complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(error: HpsearchError) -> None:
    if isinstance(error, InvalidInput) and error.faults:
        count = len(error.faults)
        print(f"error: {count} fault{'s' if count > 1 else ''}", file=sys.stderr)  # noqa: T201
        for fault in error.faults:
            print(f"  {fault}", file=sys.stderr)  # noqa: T201
    else:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
