"""A second, slow, obviously correct model of the decision rules; it shares no code with the package it checks."""
