"""Questions about points and tiers."""
