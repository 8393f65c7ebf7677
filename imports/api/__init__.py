"""Tables in and out, for the brand's other systems."""
