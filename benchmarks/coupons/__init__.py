"""Coupons: claims that all want the last of a budget, and codes by the million."""
