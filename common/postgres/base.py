"""Sends BEGIN and local settings with the first statement, and sees without a question whether a connection lives.

A short transaction costs more by its round trips than by its work. psycopg2 would send BEGIN alone, each setting is a
statement of its own, and Django's health check is another one: here `BEGIN; setting; statement` travel as one message.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import psycopg2
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from django.db.transaction import TransactionManagementError
from psycopg2 import errors, extensions

if TYPE_CHECKING:
    from collections.abc import Sequence

_IDLE = extensions.TRANSACTION_STATUS_IDLE


class Connection(extensions.connection):
    """A connection whose transactions are begun by the statement that needs one.

    To psycopg2 it is always in autocommit; `in_transactions` says whether statements belong into a transaction,
    `waiting` is what goes in front of the next one, and `lost` that the message with BEGIN was refused as a whole.
    """

    in_transactions = False
    waiting = b""
    lost = False

    def cursor(self, *args: Any, **more: Any) -> Any:
        """Give a cursor of ours: another kind would send its statement without what has to go before it."""
        found = super().cursor(*args, **more)
        if not isinstance(found, Cursor):
            raise psycopg2.NotSupportedError("only cursors of common.postgres send what waits before a statement")
        return found

    def ahead(self) -> bytes:
        """Give what has to be sent before a statement; it waits until `arrived` is called."""
        if self.lost:
            raise errors.InFailedSqlTransaction("the transaction could not be begun: roll it back")
        begin = b"BEGIN;" if self.in_transactions and self.get_transaction_status() == _IDLE else b""
        return begin + self.waiting

    def arrived(self) -> None:
        """Nothing waits any longer."""
        self.waiting = b""

    def refused(self) -> None:
        """Note an error: if not even BEGIN was executed, statements would run outside, without their settings."""
        self.lost = self.in_transactions and self.get_transaction_status() == _IDLE

    def commit(self) -> None:
        """End the transaction, if one was begun."""
        self._end("COMMIT")

    def rollback(self) -> None:
        """Take the transaction back, if one was begun."""
        self._end("ROLLBACK")

    def _end(self, word: str) -> None:
        self.waiting, self.lost = b"", False
        if self.closed or self.get_transaction_status() != _IDLE:
            with self.plain_cursor() as cursor:
                cursor.execute(word)

    def plain_cursor(self) -> extensions.cursor:
        """Give a cursor that sends nothing but its statement."""
        return super().cursor(cursor_factory=extensions.cursor)


class Cursor(extensions.cursor):
    """A cursor that sends what is waiting on its connection in front of its own statement."""

    connection: Connection
    _own: bytes | None = None

    @property
    def query(self) -> bytes | None:
        """The statement itself, as it was sent."""
        return self._own if self._own is not None else super().query

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        """Send a statement, with what has to go before it in the same message."""
        self._own = None
        connection = self.connection
        if self.name:  # of the server's: its statement becomes part of another
            self._send_ahead()
        ahead = connection.ahead() if connection.in_transactions or connection.waiting else b""
        if not ahead:
            super().execute(query, vars)
            return
        self._own = self.mogrify(query, vars)
        try:
            super().execute(ahead + self._own)
        except psycopg2.Error:
            connection.refused()
            raise
        connection.arrived()

    def executemany(self, query: Any, vars_list: Any) -> None:
        """Send a statement for every row."""
        self._send_ahead()
        super().executemany(query, vars_list)

    def callproc(self, procname: Any, parameters: Any = None, /) -> None:
        """Call a function."""
        self._send_ahead()
        super().callproc(procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        """Copy rows in or out."""
        self._send_ahead()
        super().copy_expert(sql, file, size)

    def copy_from(self, *arguments: Any, **more: Any) -> None:
        """Copy rows in."""
        self._send_ahead()
        super().copy_from(*arguments, **more)

    def copy_to(self, *arguments: Any, **more: Any) -> None:
        """Copy rows out."""
        self._send_ahead()
        super().copy_to(*arguments, **more)

    def _send_ahead(self) -> None:
        self._own = None
        connection = self.connection
        ahead = connection.ahead()
        if ahead:
            with connection.plain_cursor() as cursor:
                cursor.execute(ahead)
            connection.arrived()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection to PostgreSQL over psycopg2."""

    connection: Connection | None

    def get_connection_params(self) -> dict[str, Any]:
        """Connect with our connection and cursor."""
        if "isolation_level" in self.settings_dict["OPTIONS"]:
            raise ImproperlyConfigured("common.postgres begins transactions itself, at the server's isolation level")
        parameters: dict[str, Any] = super().get_connection_params()
        return {**parameters, "connection_factory": Connection, "cursor_factory": Cursor}

    def send_ahead(self, statement: str, values: Sequence[Any]) -> None:
        """Have a statement without an answer executed before the next one, in the transaction that is open then.

        It is dropped when the transaction ends first: it is for settings that would have ended with it.
        """
        self.ensure_connection()
        connection = self.connection
        if connection is None:
            raise psycopg2.InterfaceError
        if not connection.in_transactions:
            raise TransactionManagementError("a setting travels with a transaction, and none is open")
        with connection.plain_cursor() as cursor:
            connection.waiting += cursor.mogrify(statement, values) + b";"

    def is_usable(self) -> bool:
        """Say whether the server has not hung up: then the idle connection would have something to read."""
        connection = self.connection
        if connection is None or connection.closed or connection.get_transaction_status() != _IDLE:
            return False
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0)

    def _savepoint_rollback(self, sid: str) -> None:
        # A savepoint sends what waits, so what waits now belongs to what is taken back.
        if self.connection is not None:
            self.connection.waiting = b""
        super()._savepoint_rollback(sid)  # type: ignore[misc] # Django's stubs leave it out

    def _set_autocommit(self, autocommit: bool) -> None:
        with self.wrap_database_errors:
            connection = self.connection
            if connection is None:
                raise psycopg2.InterfaceError
            if not connection.autocommit:
                connection.autocommit = True
            if autocommit and connection.get_transaction_status() != _IDLE:
                raise psycopg2.ProgrammingError("a transaction is open")
            connection.in_transactions = not autocommit
