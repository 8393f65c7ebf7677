"""Visits to stores have people counted again in the figures of channels, too: they tell who came for more than a benefit."""

from __future__ import annotations

from django.db import migrations

_RECOUNT = """
CREATE OR REPLACE FUNCTION loyalty_recount_buyers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id)
    SELECT DISTINCT brand_id, member_id FROM fresh WHERE kind IN ({kinds});
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO touchpoints_recount (brand_id, member_id)
        SELECT DISTINCT brand_id, member_id FROM stale WHERE kind IN ({kinds});
    END IF;
    RETURN NULL;
END $$;
"""
_WITH_VISITS = _RECOUNT.format(kinds="'PURCHASE', 'REFUND', 'VISIT'")
_WITHOUT = _RECOUNT.format(kinds="'PURCHASE', 'REFUND'")


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0007_dated_costs"), ("touchpoints", "0010_values")]

    operations = [migrations.RunSQL(_WITH_VISITS, _WITHOUT)]
