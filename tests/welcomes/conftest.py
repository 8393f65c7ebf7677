"""The console's two brands and people, for the page of this app."""

from tests.console.conftest import (  # noqa: F401 - fixtures
    as_guide,
    as_manager,
    as_marketer,
    as_owner,
    guide_user,
    manager,
    marketer,
    ours,
    owner,
    theirs,
)
