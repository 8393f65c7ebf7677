"""What the suite of imports runs beside itself."""
