"""Tables of members: one of an old till, imported but for the rows that are refused, and one that is only tried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from accounts.tenancy import brand_scope
from common import clock
from demo.notebook import notes
from imports import services
from imports.models import Import

if TYPE_CHECKING:
    from collections.abc import Iterable

_TITLES: Final = ("手机号", "姓名", "会员卡号", "城市", "肤质", "过敏史", "来源")
_ROWS: Final = (
    ("10009990011", "顾念慈", "88000011", "杭州", "干性", "", "老收银"),
    ("10009990012", "沈一川", "88000012", "苏州", "油性", "花粉", "老收银"),
    ("10009990013", "陆知行", "88000013", "上海", "混合", "", "老收银"),
    ("10009990014", "许静", "88000014", "上海", "敏感", "", "老收银"),  # not one of the list
    ("1.00E+10", "何敬之", "88000015", "杭州", "干性", "", "老收银"),  # a program lost the digits
)
TAKEN: Final = 3  # the others are refused
_OPENING: Final = (
    ("手机号", "姓名", "生日", "城市", "标签"),
    ("10009990021", "程以宁", "08-17", "上海", ""),
    ("10009990022", "周慕白", "1992-11-03", "苏州", ""),
    ("10009990011", "顾念慈", "", "杭州", ""),  # known from the other table
    ("10009990023", "林晚", "02-30", "上海", ""),  # no such day
    ("12345", "苏合", "", "上海", ""),  # no phone
)


def import_tables(brand_id: int) -> None:
    """Import one table, and leave the other to be looked at; doing it again changes nothing."""
    with brand_scope(brand_id):
        if Import.objects.exists():
            return
    job = _tried_out(brand_id, "老收银会员.csv", (_TITLES, *_ROWS), source="老收银")
    with brand_scope(brand_id):
        services.start_import(job_id=job.pk, at=clock.now())
    services.importing(brand_id=brand_id, job_id=job.pk)
    notes().members |= {card for _phone, _name, card, *_rest in _ROWS[:TAKEN]}
    _tried_out(brand_id, "新店开业登记.csv", _OPENING, source="开业登记")


def _tried_out(brand_id: int, name: str, rows: Iterable[tuple[str, ...]], *, source: str) -> Import:
    body = "\r\n".join(",".join(row) for row in rows).encode("utf-8-sig")
    with brand_scope(brand_id):
        job = services.take_file(name=name, body=body, kind="members", at=clock.now())
        services.begin_dry_run(job_id=job.pk, columns=job.columns, options={"source": source}, at=clock.now())
    services.try_out(brand_id=brand_id, job_id=job.pk)
    return job
