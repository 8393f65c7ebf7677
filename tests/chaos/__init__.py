"""Real processes killed, cut and stopped under load; the outcome is compared with what WeChat's stand-in knows."""
