"""The one kind of error that is the user's to mend, not ours."""


class InputError(ValueError):
    """A file, value or model from the user cannot be used.

    The message is one line: what is wrong, with which file or value, and what would be
    accepted. The command line prints it without a traceback and exits with code 2.
    """
