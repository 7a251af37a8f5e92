"""The command `iln`, and `python -m iln`."""

import sys


def main() -> None:
    """Load the command, and run it."""
    try:
        from iln.cli.main import main as command
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
