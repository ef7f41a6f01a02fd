"""The rules, one module a subject: request, parties, consent, caps, registries, calling hours, relationships.

Each answers from when on it passes (`core.rule`); `core.rulebook` lists them. A rule must never look at a clock or
change a state.
"""
