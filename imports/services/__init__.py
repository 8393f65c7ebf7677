"""Imports and exports: taken, tried out, run, undone, written, deleted."""

from imports.services import orders, people  # noqa: F401 - they register what can be imported
from imports.services.exports import (
    ask_for_export,
    ask_for_export_as_system,
    delete_old_exports,
    download,
    download_as_system,
    write_export,
)
from imports.services.files import delete_old_files, samples_of, take_file
from imports.services.forgetting import forget_person
from imports.services.own_fields import deaf_fields
from imports.services.running import (
    importable,
    importing,
    start_import,
    stop_import,
    undo_import,
    undoing,
)
from imports.services.trying import begin_dry_run, try_out

__all__ = [
    "ask_for_export",
    "ask_for_export_as_system",
    "begin_dry_run",
    "deaf_fields",
    "delete_old_exports",
    "delete_old_files",
    "download",
    "download_as_system",
    "forget_person",
    "importable",
    "importing",
    "samples_of",
    "start_import",
    "stop_import",
    "take_file",
    "try_out",
    "undo_import",
    "undoing",
    "write_export",
]
