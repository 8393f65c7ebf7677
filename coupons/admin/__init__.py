"""Pages about coupons."""

from coupons.admin import batches, counter, gifts, member, portrait, purchases, pushes, templates

__all__ = ["batches", "counter", "gifts", "member", "portrait", "purchases", "pushes", "templates"]
