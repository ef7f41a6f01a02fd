"""Proof on demand: is the chain of decisions whole, and does the log lead to these very decisions again?

Pure logic over records that somebody else reads: nothing here reads Kafka, a file or a clock, or decides anything; the
gate and the replay of the engine are asked, so that there is one definition of everything.
"""
