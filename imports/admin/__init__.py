"""Pages of imports and exports."""

from imports.admin import exports, jobs

__all__ = ["exports", "jobs"]
