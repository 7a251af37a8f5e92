import pytest


@pytest.fixture
def nothing_on_stderr(capfd):
    """The C libraries keep quiet, whatever they are given."""
    yield
    assert capfd.readouterr().err == ""
