"""What operators see: metrics and alerts, their names, severities and advice.

Makes records and exposes numbers; sending them is the engine's. Must never hold anything about a person.
"""
