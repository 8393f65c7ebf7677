"""Points and tiers for mini programs and for the brand's other systems."""
