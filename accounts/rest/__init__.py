"""What every REST endpoint shares: who calls, in which brand, and one shape for errors and pages."""
