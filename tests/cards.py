"""Whether the backends of a graphics card can be run on this machine."""

import pytest

from livestyle.backends.tensorrt_library import LIBRARIES, describe_library
from livestyle.errors import BackendUnavailable


def missing(backend: str) -> str | None:
    """Why a backend cannot be run here, or None."""
    if backend not in LIBRARIES:
        return None
    try:
        describe_library(backend)
    except BackendUnavailable as error:
        return str(error)
    return None


def marked(backend: str) -> object:
    """The backend as a parameter of a test that is skipped, with the reason, where there is no card for it."""
    why = missing(backend)
    return pytest.param(backend, marks=[pytest.mark.gpu, pytest.mark.skipif(why is not None, reason=why or "")])


CARD_BACKENDS = [marked(backend) for backend in LIBRARIES]
