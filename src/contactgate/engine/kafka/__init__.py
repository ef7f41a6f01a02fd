"""Kafka as the engine speaks it: its clients, one partition's transactions, the protocol below, and patched aiokafka.

The only place where aiokafka's inner parts are touched. Must never know what a record means.
"""
