"""The only place that speaks to WeChat: callbacks in, calls out, tokens, quotas, error codes."""
