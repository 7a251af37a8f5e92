"""How the scripts end: as the command `iln` does."""

from __future__ import annotations

import sys
from collections.abc import Callable

from iln.errors import InputError


def run(main: Callable[[], int]) -> None:
    """Exit with what `main` returns, or with 2 and one line for what the user can change."""
    try:
        sys.exit(main())
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except FloatingPointError as error:  # a training whose loss is not finite
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
