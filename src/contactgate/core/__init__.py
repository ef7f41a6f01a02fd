"""The decision core: pure functions of their arguments. No I/O, no clock, no logging; what decides cannot wait."""
