"""WeChat Pay APIv3 for direct merchants: keys, orders, refunds, notifications, bills (pay reference, section 3)."""
