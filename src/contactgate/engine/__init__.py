"""What waits: workers, drivers, intakes, the barrier's questions and the pages, on real Kafka and a real store.

It carries out what `partition` asks for, one effect after the other. Must never decide about a person or change the
order of effects.
"""
