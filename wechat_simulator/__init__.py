"""A stand-in for WeChat's servers on loopback: its own process, sharing no code with the product."""
