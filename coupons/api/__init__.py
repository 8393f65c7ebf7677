"""Coupons for mini programs, tills, shops and the brand's other systems."""
