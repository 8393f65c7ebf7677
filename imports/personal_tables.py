"""What imported files said of a person, as `members.personal` wants it: the rows stay for the sums of their import."""

from members.personal import SUMS, Fate, by_member, register

register(
    "imports.ImportRow",
    by_member("imports.ImportRow"),
    "number",
    "state",
    "applied_at",
    fate=Fate.ANONYMOUS,
    law=SUMS,
    blank={"cells": None, "did": None, "problems": [], "named": [], "member": None},
)
