"""`python -m iln` is the command `iln`."""

from iln.cli import main

if __name__ == "__main__":
    main()
