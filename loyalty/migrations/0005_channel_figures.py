"""A trigger that has people counted again in the figures of channels, in the transaction that changes their purchases."""

from __future__ import annotations

from django.db import migrations

_PURCHASES = """
CREATE FUNCTION loyalty_recount_buyers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id)
    SELECT DISTINCT brand_id, member_id FROM fresh WHERE kind IN ('PURCHASE', 'REFUND');
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO touchpoints_recount (brand_id, member_id)
        SELECT DISTINCT brand_id, member_id FROM stale WHERE kind IN ('PURCHASE', 'REFUND');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_fact_recount_new AFTER INSERT ON loyalty_fact
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION loyalty_recount_buyers();
CREATE TRIGGER loyalty_fact_recount_moved AFTER UPDATE ON loyalty_fact
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION loyalty_recount_buyers();
"""
_NO_PURCHASES = """
DROP TRIGGER loyalty_fact_recount_new ON loyalty_fact;
DROP TRIGGER loyalty_fact_recount_moved ON loyalty_fact;
DROP FUNCTION loyalty_recount_buyers;
"""


class Migration(migrations.Migration):
    dependencies = [("loyalty", "0004_told_warnings"), ("touchpoints", "0010_values")]

    operations = [migrations.RunSQL(_PURCHASES, _NO_PURCHASES)]
