"""The brand that looks at the canary, with one of everything."""

from tests.console.conftest import as_owner, ours, owner  # noqa: F401 - fixtures
