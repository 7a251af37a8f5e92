from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# For `make fuzz`.
settings.register_profile("fuzz", max_examples=15_000)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Nothing here is large enough to be worth a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
