"""People of two brands in the console, the owner in English."""

import pytest

from tests.console.conftest import ours, owner, signed_in, theirs  # noqa: F401 - fixtures


@pytest.fixture
def as_owner(owner, settings):  # noqa: F811
    client = signed_in(owner)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return client
