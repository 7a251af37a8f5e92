"""`python -m iln` is the command `iln`."""

from iln.cli.main import main

if __name__ == "__main__":
    main()
