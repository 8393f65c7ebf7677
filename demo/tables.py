"""A table of an old till, imported: fields of the brand's own among its columns, and rows that are refused."""

from __future__ import annotations

from typing import Final

from accounts.tenancy import brand_scope
from common import clock
from imports import services
from imports.models import Import

_TITLES: Final = ("手机号", "姓名", "会员卡号", "城市", "肤质", "过敏史", "来源")
_ROWS: Final = (
    ("10009990011", "顾念慈", "88000011", "杭州", "干性", "", "老收银"),
    ("10009990012", "沈一川", "88000012", "苏州", "油性", "花粉", "老收银"),
    ("10009990013", "陆知行", "88000013", "上海", "混合", "", "老收银"),
    ("10009990014", "许静", "88000014", "上海", "敏感", "", "老收银"),  # not one of the list
    ("1.00E+10", "何敬之", "88000015", "杭州", "干性", "", "老收银"),  # a program lost the digits
)


def import_tables(brand_id: int) -> None:
    """Import the table; importing it again changes nothing."""
    with brand_scope(brand_id):
        if Import.objects.exists():
            return
        body = "\r\n".join(",".join(row) for row in (_TITLES, *_ROWS)).encode("utf-8-sig")
        job = services.take_file(name="老收银会员.csv", body=body, kind="members", at=clock.now())
        services.begin_dry_run(job_id=job.pk, columns=job.columns, options={"source": "老收银"}, at=clock.now())
    services.try_out(brand_id=brand_id, job_id=job.pk)
    with brand_scope(brand_id):
        services.start_import(job_id=job.pk, at=clock.now())
    services.importing(brand_id=brand_id, job_id=job.pk)
