"""Pages about invitations."""

from referrals.admin import member, people, programmes, report

__all__ = ["member", "people", "programmes", "report"]
