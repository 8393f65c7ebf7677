"""Files that come in with what became of every row, and files that go out."""

from imports.models.exports import Export, ExportChunk, ExportFormat, ExportState
from imports.models.jobs import Import, ImportChunk, ImportRow, ImportState, RowState

__all__ = [
    "Export",
    "ExportChunk",
    "ExportFormat",
    "ExportState",
    "Import",
    "ImportChunk",
    "ImportRow",
    "ImportState",
    "RowState",
]
